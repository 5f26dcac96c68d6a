//! What the catalogue says of a file that an operation answers with, and what in its place is none.
//!
//! Pure: looks at the type and the first bytes of an answer.

use serde::de::IgnoredAny;

use super::body::is_web_page;

/// How a JPEG picture begins.
pub const JPEG: &[u8] = b"\xff\xd8";

/// What the catalogue says about the file that an operation answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileSpec {
    /// The topic below the room.
    pub topic: &'static str,
    /// The MIME type to give when the device gives none.
    pub content_type: &'static str,
    /// The newest file is kept as a state.
    pub is_state: bool,
    /// How every such file begins; empty where the guide does not say what it is.
    pub begins: &'static [u8],
    /// The device answers 204 until the file is ready.
    pub may_be_unready: bool,
}

/// What came where a file was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileAnswerKind {
    /// The file, as far as its start shows.
    File,
    /// A web page, from a proxy or as a log-in.
    WebPage,
    /// JSON: what the device says instead of the file. No file of the guide is JSON.
    Json,
    /// Something else than the guide says.
    Other,
}

impl FileSpec {
    /// A file of this MIME type that is published at `topic`.
    pub(super) const fn new(topic: &'static str, content_type: &'static str) -> Self {
        Self {
            topic,
            content_type,
            is_state: false,
            begins: &[],
            may_be_unready: false,
        }
    }

    /// A JPEG picture, of which the newest is kept as a state at `topic`.
    pub(super) const fn picture(topic: &'static str) -> Self {
        Self {
            is_state: true,
            begins: JPEG,
            ..Self::new(topic, "image/jpeg")
        }
    }

    /// The device answers 204 until it is ready.
    pub(super) const fn unready_at_first(self) -> Self {
        Self {
            may_be_unready: true,
            ..self
        }
    }

    /// What an answer is, by its type and its first bytes. Bytes count more than the type: devices give
    /// `application/json` to what is none.
    pub fn kind_of(&self, content_type: Option<&str>, start: &[u8]) -> FileAnswerKind {
        let has_begun = start.starts_with(self.begins);
        if has_begun && !self.begins.is_empty() {
            FileAnswerKind::File
        } else if is_web_page(content_type, start) {
            FileAnswerKind::WebPage
        } else if is_json(content_type, start) {
            FileAnswerKind::Json
        } else if has_begun {
            FileAnswerKind::File
        } else {
            FileAnswerKind::Other
        }
    }
}

/// Whether bytes are JSON, whole or cut; or a text that is called JSON, such as a word without quotes.
fn is_json(content_type: Option<&str>, start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let start = start.trim_ascii();
    if start.is_empty() {
        return false;
    }
    let is_called_json =
        content_type.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    // XML may be called JSON too.
    let is_text = || is_start_of_text(start) && !start.starts_with(b"<");
    match serde_json::from_slice::<IgnoredAny>(start) {
        Ok(_) => true,
        Err(error) => error.is_eof() || is_called_json && is_text(),
    }
}

/// Whether bytes are text in UTF-8, the last character perhaps cut.
fn is_start_of_text(start: &[u8]) -> bool {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_some() => return false,
        Err(error) => std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default(),
    };
    text.chars().all(|c| !c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: Option<&str> = Some("application/json");
    const BYTES: Option<&str> = Some("application/octet-stream");

    #[test]
    fn what_a_device_says_instead_of_a_file_is_no_file() {
        let logs = FileSpec::new("system/logs", "application/octet-stream");
        let picture = FileSpec::picture("camera/snapshot/near");
        for body in [
            &b"null"[..],
            b" true\r\n",
            b"{\"success\":false}",
            b"\xef\xbb\xbf{}",
            b"[]",
            b"{\"a\":",
            b"\"half",
        ] {
            for kind in [None, JSON, BYTES] {
                assert_eq!(logs.kind_of(kind, body), FileAnswerKind::Json, "{body:?}");
                assert_eq!(
                    picture.kind_of(kind, body),
                    FileAnswerKind::Json,
                    "{body:?}"
                );
            }
        }
        assert_eq!(logs.kind_of(JSON, b"NOT_READY"), FileAnswerKind::Json);
        assert_eq!(logs.kind_of(JSON, b"caf\xc3"), FileAnswerKind::Json);
        assert_eq!(logs.kind_of(None, b" <html>"), FileAnswerKind::WebPage);
        for body in [&b"GIF89a"[..], b"\0\0\0\0", b"   "] {
            assert_eq!(picture.kind_of(None, body), FileAnswerKind::Other);
        }
    }

    #[test]
    fn a_file_is_one_whatever_its_type_is_called() {
        let logs = FileSpec::new("system/logs", "application/octet-stream");
        for body in [
            &b"var/log/messages\0\0\0\0"[..],
            b"[1].log\0\0",
            b"\x1f\x8b\x08",
            b"PK\x05\x06",
            b"<?xml version=\"1.0\"?><directory/>",
            b"\0\0\0\0",
            b"    ",
        ] {
            for kind in [None, JSON, BYTES] {
                assert_eq!(logs.kind_of(kind, body), FileAnswerKind::File, "{body:?}");
            }
        }
        let picture = FileSpec::picture("camera/snapshot/near");
        assert_eq!(picture.kind_of(JSON, b"\xff\xd8\xff"), FileAnswerKind::File);
    }
}
