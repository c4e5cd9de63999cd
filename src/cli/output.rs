//! Standard output and standard error: broken pipes are no error, colours and widths only where there is a terminal.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use super::CommandFailure;
use crate::report::Terminal;

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
    // A pipe has no width; who reads it may say one, as other programs are told it.
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse::<usize>().ok()).filter(|columns| *columns > 0);
    let unseen = Terminal { width: told.unwrap_or(Terminal::default().width), colour: false };
    if !io::stdout().is_terminal() {
        return unseen;
    }
    let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    Terminal { width: width.unwrap_or(unseen.width), colour: takes_escapes() }
}

/// Whether a terminal, where there is one, is to be sent escape sequences.
pub(super) fn takes_escapes() -> bool {
    has_colour(std::env::var_os("NO_COLOR"), std::env::var_os("TERM"))
}

/// Whether a terminal takes escape sequences, by what the environment says of it.
fn has_colour(no_color: Option<OsString>, term: Option<OsString>) -> bool {
    // https://no-color.org: any value that is not empty.
    let refused = no_color.is_some_and(|value| !value.is_empty());
    let dumb = term.is_some_and(|value| value == "dumb");
    !refused && !dumb
}

#[cfg(test)]
mod tests {
    use super::has_colour;

    #[test]
    fn no_escape_sequence_is_written_where_the_environment_refuses_colours() {
        let cases = [(None, None, true), (Some(""), Some("xterm"), true), (Some("1"), Some("xterm"), false), (None, Some("dumb"), false)];
        for (no_color, term, expected) in cases {
            assert_eq!(has_colour(no_color.map(Into::into), term.map(Into::into)), expected, "{no_color:?} {term:?}");
        }
    }
}
