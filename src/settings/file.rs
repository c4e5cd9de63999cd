//! Files of settings and configs, read within a bound.

use std::io::Read as _;
use std::path::Path;

/// Reads a text file of at most a config's length, and no further.
pub(crate) fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let most = haldane_judges::config::MAX_CONFIG_BYTES as u64;
    if std::fs::File::open(path)?.take(most + 1).read_to_string(&mut text)? as u64 > most {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, format!("it is longer than the {most} bytes that are read")));
    }
    Ok(text)
}
