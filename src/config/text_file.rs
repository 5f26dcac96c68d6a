//! Reads a whole text file: the configuration, and the files of passwords and tokens.
//!
//! Owns what counts as a text file: a regular file of a bounded size in UTF-8, whose byte order mark
//! is taken off. No message holds what is in the file.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::os_error;

/// The mark that some editors put at the start of a text.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum TextFileError {
    /// There is none.
    #[error("cannot be read: there is no such file")]
    Missing,
    /// A link, and what it leads to is not there.
    #[error("cannot be read: it is a link that leads nowhere")]
    LinkToNothing,
    /// The gateway's user may not read it.
    #[error("cannot be read: the gateway's user has no permission; {0}")]
    Denied(String),
    /// A directory. Docker makes one where the file to mount is not there.
    #[error("cannot be read: it is a directory")]
    Directory,
    /// A pipe, a socket or a device. It may give its text only once, or wait for ever.
    #[error("cannot be read: it is a pipe or a device; give a file, which a reload can read again")]
    NotAFile,
    /// Larger than any file of its kind.
    #[error("is larger than {0} KiB")]
    TooLarge(u64),
    /// Windows' "Unicode".
    #[error("is text in UTF-16; save it as UTF-8")]
    Utf16,
    /// Another encoding, or no text.
    #[error("is not text in UTF-8")]
    NotUtf8,
    /// Anything else.
    #[error("cannot be read: {}", os_error::words(.0))]
    Other(io::Error),
}

impl TextFileError {
    fn of(path: &Path, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound if path.is_symlink() => Self::LinkToNothing,
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied(os_error::permission_remedy(path)),
            _ => Self::Other(error),
        }
    }
}

/// The text of a file of at most `limit` KiB, without a byte order mark.
///
/// # Errors
/// It is no text file, or cannot be read.
pub fn read(path: &Path, limit: u64) -> Result<String, TextFileError> {
    // Before it is opened: opening a pipe waits for a writer.
    let failed = |error| TextFileError::of(path, error);
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(TextFileError::Directory);
    }
    if !metadata.is_file() {
        return Err(TextFileError::NotAFile);
    }
    let most = limit << 10;
    let mut bytes = Vec::new();
    // The size that the system tells is not asked: in /proc it is 0.
    let file = File::open(path).map_err(failed)?;
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(TextFileError::TooLarge(limit));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(TextFileError::Utf16);
    }
    let text = String::from_utf8(bytes).map_err(|_| TextFileError::NotUtf8)?;
    Ok(without_mark(text))
}

/// The text without a byte order mark at its start.
pub fn without_mark(text: String) -> String {
    match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    }
}
