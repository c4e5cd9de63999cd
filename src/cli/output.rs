//! Standard output and standard error: broken pipes are no error, colours and widths only where there is a terminal.

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use super::CommandFailure;
use crate::report::Terminal;

/// Columns assumed where output does not go to a terminal.
const DEFAULT_WIDTH: usize = 80;

/// Writes to standard output. A reader that has gone away (`| head`) wants nothing more, which is no failure.
///
/// # Errors
/// [`CommandFailure::Usage`] when the output cannot be written, such as to a full disk.
pub(super) fn print(text: &str) -> Result<(), CommandFailure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandFailure::usage(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes to a file, or to standard output where none is named.
///
/// # Errors
/// [`CommandFailure::Usage`] when the file cannot be written.
pub(super) fn write(file: Option<&Path>, text: &str) -> Result<(), CommandFailure> {
    match file {
        None => print(text),
        Some(file) => {
            std::fs::write(file, text).map_err(|error| CommandFailure::usage(format!("cannot write `{}`: {error}", file.display())))
        }
    }
}

/// Writes a line to standard error. Where that is closed there is nobody left to tell.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// A document as JSON that people can read.
///
/// # Errors
/// [`CommandFailure::Usage`] for one that JSON has no form for.
pub(super) fn pretty(document: &impl serde::Serialize) -> Result<String, CommandFailure> {
    let text = serde_json::to_string_pretty(document);
    text.map(|text| text + "\n").map_err(|error| CommandFailure::usage(format!("the document cannot be written as JSON: {error}")))
}

/// What standard output can show.
pub(super) fn terminal() -> Terminal {
    if !io::stdout().is_terminal() {
        return Terminal { width: DEFAULT_WIDTH, colour: false };
    }
    let width = terminal_size::terminal_size().map_or(DEFAULT_WIDTH, |(width, _)| usize::from(width.0));
    // https://no-color.org: any value that is not empty.
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    Terminal { width, colour: !refused && !dumb }
}
