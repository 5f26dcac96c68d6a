//! The file of a room's sessions, so that a gateway that was killed finds them again.
//!
//! Without it, each kill would leave a session at the device that cannot be released, until the
//! device has no free session for people. Owns the file: one a room, readable by the gateway's user
//! only, replaced as a whole; and which directory and which files are safe to use. Its content is
//! secret and never logged. If the file cannot be used, the gateway logs in again.

use std::collections::BTreeSet;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::OFlags;
use url::Url;

use crate::digest::hex_digest;
use crate::os_error;
use crate::telemetry::Telemetry;

/// How many bytes of the digest of device and user stand in the file's name: enough to tell the few
/// apart that a room ever has.
const OWNER_DIGEST_LENGTH: usize = 8;
/// The largest file that is read. A room has at most six sessions, of less than 130 KB each: their
/// cookies came in one head of a response.
const LARGEST_FILE: u64 = 1 << 20;
/// The extension of a file of sessions.
const SESSION_FILE: &str = "session";
/// The extension of a file of sessions while it is written.
const NEW_FILE: &str = "new";
/// The bits of a mode that let others than the owner write.
const OTHERS_WRITE: u32 = 0o022;
/// The bits of a mode that let others than the owner do anything.
const OTHERS: u32 = 0o077;

/// The file of one room's sessions.
#[derive(Debug, Clone)]
pub struct SessionFile {
    file: PathBuf,
    /// The log says that the file cannot be used, and it could not since. A device can cause any number
    /// of log-ins.
    has_warned: Arc<AtomicBool>,
    telemetry: Arc<Telemetry>,
}

impl SessionFile {
    /// The file of a room in this directory. It is named after device and user too, so that no
    /// session is sent to another device.
    pub fn new(
        directory: &Path,
        room: &str,
        url: &Url,
        user: &str,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        let owner = format!("{url}\n{user}");
        let owner = hex_digest(owner.as_bytes(), OWNER_DIGEST_LENGTH);
        Self {
            file: directory.join(format!("{room}-{owner}.{SESSION_FILE}")),
            has_warned: Arc::default(),
            telemetry,
        }
    }

    /// Whether sessions may be stored in a directory: only the gateway's user may be able to put
    /// files there, or another user could give the gateway a session.
    ///
    /// # Errors
    /// Why not.
    pub fn check_directory(directory: &Path) -> Result<(), String> {
        let wrong = |why: &str| Err(format!("{} {why}", directory.display()));
        match fs::metadata(directory) {
            Err(error) => wrong(&format!(
                "cannot be used: {}",
                os_error::file_words(directory, &error)
            )),
            Ok(found) if !found.is_dir() => wrong("is no directory"),
            Ok(found) if !is_ours(&found) => wrong("belongs to another user"),
            Ok(found) if found.mode() & OTHERS_WRITE != 0 => {
                wrong("can be written to by other users; its mode must be 0700")
            }
            Ok(_) => Ok(()),
        }
    }

    /// Removes from a directory the files of rooms, devices and users that are configured no more.
    /// `used`: the files of those that are.
    pub fn remove_unused(directory: &Path, used: &[Self]) {
        let used: BTreeSet<_> = used.iter().map(|store| &store.file).collect();
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if is_session_file(&path) && !used.contains(&path) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The text that an earlier run stored; empty if there is none.
    pub(super) fn load(&self) -> Vec<u8> {
        match self.contents() {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.warn(&error);
                Vec::new()
            }
        }
    }

    /// The file's content. A link is not followed, and a file that another user owns or can read is
    /// not taken.
    fn contents(&self) -> io::Result<Vec<u8>> {
        // Without waiting, which a pipe would make the gateway do.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(&self.file)?;
        let found = file.metadata()?;
        if !found.is_file() || !is_ours(&found) || found.mode() & OTHERS != 0 {
            return Err(io::Error::other(
                "it is not a file of the gateway's user only",
            ));
        }
        let mut text = Vec::new();
        file.take(LARGEST_FILE).read_to_end(&mut text)?;
        Ok(text)
    }

    /// Stores this text; `None` removes the file.
    pub(super) fn store(&self, text: Option<&str>) {
        let stored = match text {
            Some(text) => self.replace(text),
            None => {
                // What a kill left half written holds a session too.
                let _ = fs::remove_file(self.file.with_extension(NEW_FILE));
                fs::remove_file(&self.file)
            }
        };
        match stored {
            Err(error) if error.kind() != io::ErrorKind::NotFound => self.warn(&error),
            _ => self.has_warned.store(false, Ordering::Relaxed),
        }
    }

    /// A kill at any moment leaves the old file or the new one. The file is not synced to the disk:
    /// it must outlive the gateway, not the machine.
    fn replace(&self, text: &str) -> io::Result<()> {
        let new = self.file.with_extension(NEW_FILE);
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
        if self.has_warned.swap(true, Ordering::Relaxed) {
            return;
        }
        let why = os_error::file_words(&self.file, error);
        self.telemetry.session_not_stored(&self.file, &why);
    }
}

/// The gateway's own user, who owns what only the gateway writes.
fn is_ours(found: &Metadata) -> bool {
    found.uid() == rustix::process::geteuid().as_raw()
}

/// Whether a file's name is that of a file of sessions, whole or half written.
fn is_session_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let digest = name
        .and_then(|name| name.rsplit_once('.'))
        .filter(|(_, extension)| [SESSION_FILE, NEW_FILE].contains(extension))
        .and_then(|(stem, _)| stem.rsplit_once('-'));
    digest.is_some_and(|(_, digest)| {
        digest.len() == 2 * OWNER_DIGEST_LENGTH
            && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn store(directory: &Path, user: &str) -> SessionFile {
        let url = Url::parse("https://192.0.2.10").unwrap();
        SessionFile::new(directory, "1", &url, user, Arc::default())
    }

    #[test]
    fn sessions_come_back_and_nobody_else_reads_them() {
        let directory = tempfile::tempdir().unwrap();
        let store_1 = store(directory.path(), "admin");
        assert!(store_1.load().is_empty());
        store_1.store(Some("a+/="));
        assert_eq!(store_1.load(), b"a+/=");
        let mode = fs::metadata(&store_1.file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(store(directory.path(), "another").load().is_empty());
        assert!(!format!("{store_1:?}").contains("a+/="));
        store_1.store(None);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_new_file_replaces_the_old_one_and_what_a_kill_left() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path(), "admin");
        store.store(Some("a and b"));
        fs::write(store.file.with_extension("new"), "half a fi").unwrap();
        store.store(Some("c"));
        assert_eq!(store.load(), b"c");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_written_stores_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let nowhere = store(&directory.path().join("nowhere"), "admin");
        nowhere.store(Some("a"));
        assert!(nowhere.load().is_empty());
    }

    #[test]
    fn links_pipes_and_files_that_others_read_are_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(directory.path(), "admin");
        store.store(Some("a"));
        assert!(!store.load().is_empty());
        fs::set_permissions(&store.file, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(store.load().is_empty(), "others can read it");
        fs::set_permissions(&store.file, PermissionsExt::from_mode(0o600)).unwrap();
        let elsewhere = directory.path().join("elsewhere");
        fs::rename(&store.file, &elsewhere).unwrap();
        symlink(&elsewhere, &store.file).unwrap();
        assert!(store.load().is_empty(), "a link");
        let before = fs::read(&elsewhere).unwrap();
        store.store(Some("b"));
        assert_eq!(
            fs::read(&elsewhere).unwrap(),
            before,
            "the link was written through"
        );
        assert!(!store.load().is_empty());
        fs::remove_file(&store.file).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(&store.file)
            .status();
        assert!(made.unwrap().success());
        assert!(store.load().is_empty(), "a pipe");
    }

    #[test]
    fn a_directory_that_others_can_write_to_is_refused_and_why_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert_eq!(SessionFile::check_directory(path), Ok(()));
        for mode in [0o777, 0o1777, 0o770, 0o702] {
            fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
            let error = SessionFile::check_directory(path).unwrap_err();
            assert!(error.ends_with("its mode must be 0700"), "{error}");
        }
        fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
        let file = path.join("file");
        fs::write(&file, "").unwrap();
        let error = SessionFile::check_directory(&file).unwrap_err();
        assert!(error.ends_with("is no directory"), "{error}");
        let error = SessionFile::check_directory(&path.join("nowhere")).unwrap_err();
        assert!(error.contains("cannot be used"), "{error}");
        // Whoever runs this: either root or another user owns one of these.
        let foreign = ["/", "/proc/self"]
            .map(Path::new)
            .into_iter()
            .find(|path| fs::metadata(path).is_ok_and(|found| !is_ours(&found)));
        if let Some(foreign) = foreign {
            let error = SessionFile::check_directory(foreign).unwrap_err();
            assert!(error.ends_with("belongs to another user"), "{error}");
        }
    }

    #[test]
    fn files_of_rooms_that_are_configured_no_more_are_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (used, unused) = (
            store(directory.path(), "admin"),
            store(directory.path(), "before"),
        );
        for store in [&used, &unused] {
            store.store(Some("a"));
            fs::write(store.file.with_extension(NEW_FILE), "half a fi").unwrap();
        }
        let others = ["notes.session", "1-0123456789abcdef.txt", "a.new"];
        for other in others {
            fs::write(directory.path().join(other), "").unwrap();
        }
        SessionFile::remove_unused(directory.path(), std::slice::from_ref(&used));
        assert!(!used.load().is_empty());
        assert!(unused.load().is_empty());
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1 + others.len()
        );
    }
}
