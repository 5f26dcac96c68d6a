//! A room's sessions on disk, so that a gateway that was killed finds them again.
//!
//! Without that, each kill would leave a session at the device that nobody can free, until the
//! device has none left for people. Owns the file: one a room, readable by nobody else, replaced
//! as a whole. What stands in it is a secret and is never logged. A file that cannot be used costs
//! a log-in and nothing else.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use url::Url;

use super::login::Session;

/// Where a room's sessions are kept.
#[derive(Debug, Clone)]
pub struct SessionStore {
    file: PathBuf,
}

impl SessionStore {
    /// The file of a room in this directory: another device or user has another one.
    pub fn new(directory: &Path, room: &str, url: &Url, user: &str) -> Self {
        let owner = format!("{url}\n{user}");
        let digest = digest(&SHA256, owner.as_bytes());
        let owner: String = digest.as_ref()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            file: directory.join(format!("{room}-{owner}.session")),
        }
    }

    /// What an earlier run kept, the newest last.
    pub(super) fn load(&self) -> Vec<Session> {
        let text = match fs::read(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                self.unusable(&error);
                return Vec::new();
            }
        };
        Self::read(&text)
    }

    /// The sessions in a file's text, the newest last. What cannot be sent to a device is left out,
    /// since anything can stand in a file.
    pub fn read(text: &[u8]) -> Vec<Session> {
        let sessions: Vec<serde_json::Value> = serde_json::from_slice(text).unwrap_or_default();
        (1..)
            .zip(&sessions)
            .filter_map(|(generation, kept)| Session::from_kept(kept, generation))
            .collect()
    }

    /// Keeps these, the newest last; with none the file is removed.
    pub(super) fn store<'a>(&self, sessions: impl Iterator<Item = &'a Session>) {
        let kept: Vec<_> = sessions.map(Session::to_kept).collect();
        let stored = if kept.is_empty() {
            fs::remove_file(&self.file)
        } else {
            self.replace(&serde_json::Value::from(kept).to_string())
        };
        match stored {
            Err(error) if error.kind() != io::ErrorKind::NotFound => self.unusable(&error),
            _ => {}
        }
    }

    /// A kill at any moment leaves the old file or the new one. Nothing is flushed: these files
    /// are to outlive the gateway, not the machine.
    fn replace(&self, text: &str) -> io::Result<()> {
        let new = self.file.with_extension("new");
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&new)?
            .write_all(text.as_bytes())?;
        fs::rename(&new, &self.file)
    }

    fn unusable(&self, error: &io::Error) {
        tracing::warn!(
            file = %self.file.display(),
            "the session cannot be kept, so a gateway that is killed leaves it behind: {error}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn session(id: &str) -> Session {
        let kept = serde_json::json!({"id": id, "token": "t", "state": {"role": "ADMIN"}});
        Session::from_kept(&kept, 1).unwrap()
    }

    #[test]
    fn sessions_come_back_and_nobody_else_reads_them() {
        let directory = tempfile::tempdir().unwrap();
        let url = Url::parse("https://192.0.2.10").unwrap();
        let keep = SessionStore::new(directory.path(), "1", &url, "admin");
        assert!(keep.load().is_empty());
        keep.store([session("a+/="), session("b")].iter());
        let kept = keep.load();
        assert_eq!(kept.len(), 2);
        assert_eq!(
            kept[0].cookie().as_bytes(),
            b"session_id=a+/=; XSRF-TOKEN=t"
        );
        assert_eq!(kept[1].state["role"], "ADMIN");
        let mode = fs::metadata(&keep.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = SessionStore::new(directory.path(), "1", &url, "another");
        assert!(other.load().is_empty());
        assert!(!format!("{keep:?} {kept:?}").contains("a+/="));
        keep.store([].iter());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_no_session() {
        let directory = tempfile::tempdir().unwrap();
        let url = Url::parse("https://192.0.2.10").unwrap();
        let keep = SessionStore::new(directory.path(), "1", &url, "admin");
        for text in ["", "[{}]", "{\"id\":\"a\"}", "[{\"id\":\"a\\nb\"}]"] {
            fs::write(&keep.file, text).unwrap();
            assert!(keep.load().is_empty(), "{text}");
        }
    }
}
