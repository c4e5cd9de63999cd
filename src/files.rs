//! Reads files that people name: never without a bound, and never waiting for what does not come.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How long a pipe or a device may take: a shell's `<(command)` is one, and so is a FIFO into which nobody writes.
const PATIENCE: Duration = Duration::from_secs(30);

fn too_long(most: usize) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than the {most} bytes that are read"))
}

fn read_at_most(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > most { Err(too_long(most)) } else { Ok(bytes) }
}

/// Reads a file of at most so many bytes, and no further. What is no regular file is waited for a while.
///
/// # Errors
/// Those of reading, [`io::ErrorKind::FileTooLarge`] and [`io::ErrorKind::TimedOut`].
pub(crate) fn read_bounded_bytes(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.is_file() {
        return read_at_most(path, most);
    }
    let (sender, read) = sync_channel(1);
    let owned = path.to_owned();
    std::thread::Builder::new().name("file".to_owned()).spawn(move || sender.send(read_at_most(&owned, most)))?;
    read.recv_timeout(PATIENCE).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => {
            let message = format!("it is no regular file, and did not end within {} s", PATIENCE.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        }
        RecvTimeoutError::Disconnected => Err(io::Error::other("the thread that read it broke off")),
    })
}

/// The same as text.
///
/// # Errors
/// Those of [`read_bounded_bytes`], and [`io::ErrorKind::InvalidData`] for what is not UTF-8.
pub(crate) fn read_bounded_text(path: &Path, most: usize) -> io::Result<String> {
    String::from_utf8(read_bounded_bytes(path, most)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Reads a file that holds a secret, again and again where it is rotated: a regular file of at most so many bytes, and nothing that could wait.
///
/// # Errors
/// Those of reading, and [`io::ErrorKind::InvalidInput`] for what is no regular file.
pub(crate) fn read_secret_file(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file; a secret is read again and again, from one"));
    }
    read_at_most(path, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_end_is_not_read_to_its_end_and_is_no_secret() {
        let zero = Path::new("/dev/zero");
        assert_eq!(read_bounded_bytes(zero, 1_000).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_secret_file(zero, 1_000).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read_bounded_text(&path, 5).unwrap(), "12345");
        assert_eq!(read_bounded_text(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        std::fs::write(&path, [0xff]).unwrap();
        assert_eq!(read_bounded_text(&path, 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
