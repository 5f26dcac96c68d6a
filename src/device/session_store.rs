//! A room's sessions on disk, so that a gateway that was killed finds them again.
//!
//! Without it, each kill would leave a session at the device that cannot be released, until the
//! device has no free session for people. Owns the file: one a room, readable by the gateway's user
//! only, replaced as a whole. Its content is secret and never logged. If the file cannot be used,
//! the gateway logs in again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use url::Url;

use super::session::Session;

/// How many bytes of the digest of device and user stand in the file's name: enough to tell the few
/// apart that a room ever has.
const OWNER_DIGEST_LENGTH: usize = 8;

/// The file of one room's sessions.
#[derive(Debug, Clone)]
pub struct SessionStore {
    file: PathBuf,
}

impl SessionStore {
    /// The file of a room in this directory. It is named after device and user too, so that no
    /// session is sent to another device.
    pub fn new(directory: &Path, room: &str, url: &Url, user: &str) -> Self {
        let owner = format!("{url}\n{user}");
        let digest = digest(&SHA256, owner.as_bytes());
        let bytes = digest.as_ref().iter().take(OWNER_DIGEST_LENGTH);
        let owner: String = bytes.map(|byte| format!("{byte:02x}")).collect();
        Self {
            file: directory.join(format!("{room}-{owner}.session")),
        }
    }

    /// What an earlier run stored, the newest last.
    pub(super) fn load(&self) -> Vec<Session> {
        let text = match fs::read(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                self.warn(&error);
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
            .filter_map(|(generation, stored)| Session::from_json(stored, generation))
            .collect()
    }

    /// Stores these, the newest last; with none the file is removed.
    pub(super) fn store<'a>(&self, sessions: impl Iterator<Item = &'a Session>) {
        let sessions: Vec<_> = sessions.map(Session::to_json).collect();
        let stored = if sessions.is_empty() {
            fs::remove_file(&self.file)
        } else {
            self.replace(&serde_json::Value::from(sessions).to_string())
        };
        match stored {
            Err(error) if error.kind() != io::ErrorKind::NotFound => self.warn(&error),
            _ => {}
        }
    }

    /// A kill at any moment leaves the old file or the new one. The file is not synced to the disk:
    /// it must outlive the gateway, not the machine.
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

    fn warn(&self, error: &io::Error) {
        tracing::warn!(
            file = %self.file.display(),
            "the session cannot be stored, so a gateway that is killed leaves it at the device: \
             {error}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn session(id: &str) -> Session {
        let stored = serde_json::json!({"id": id, "token": "t", "state": {"role": "ADMIN"}});
        Session::from_json(&stored, 1).unwrap()
    }

    fn store(directory: &Path, user: &str) -> SessionStore {
        let url = Url::parse("https://192.0.2.10").unwrap();
        SessionStore::new(directory, "1", &url, user)
    }

    #[test]
    fn sessions_come_back_and_nobody_else_reads_them() {
        let directory = tempfile::tempdir().unwrap();
        let store_1 = store(directory.path(), "admin");
        assert!(store_1.load().is_empty());
        store_1.store([session("a+/="), session("b")].iter());
        let loaded = store_1.load();
        assert_eq!(loaded.len(), 2);
        let cookie = &loaded[0].headers().cookie;
        assert_eq!(cookie, "session_id=a+/=; XSRF-TOKEN=t");
        assert_eq!(loaded[1].state["role"], "ADMIN");
        assert!(loaded[0].generation < loaded[1].generation);
        let mode = fs::metadata(&store_1.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(store(directory.path(), "another").load().is_empty());
        assert!(!format!("{store_1:?} {loaded:?}").contains("a+/="));
        store_1.store([].iter());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_new_file_replaces_the_old_one_and_what_a_kill_left() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path(), "admin");
        store.store([session("a"), session("b")].iter());
        fs::write(store.file.with_extension("new"), "half a fi").unwrap();
        store.store([session("c")].iter());
        assert_eq!(store.load().len(), 1);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_read_or_written_is_no_session() {
        let directory = tempfile::tempdir().unwrap();
        let store_1 = store(directory.path(), "admin");
        for text in ["", "[{}]", "{\"id\":\"a\"}", "[{\"id\":\"a\\nb\"}]"] {
            fs::write(&store_1.file, text).unwrap();
            assert!(store_1.load().is_empty(), "{text}");
        }
        let nowhere = store(&directory.path().join("nowhere"), "admin");
        nowhere.store([session("a")].iter());
        assert!(nowhere.load().is_empty());
    }
}
