//! The configuration file that a room is written into.
//!
//! Owns its reading and its replacement in one step: a reader sees the old file or the new one, never
//! half of one. The file is written only if the gateway would take it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use crate::config::{self, Config, ConfigErrors, NewRoom, with_room};
use crate::os_error;

/// A new file is for its owner alone: it holds a password.
const NEW_FILE_MODE: u32 = 0o600;

/// A new file that its group reads too, in a folder of root's that is shared with that group.
const GROUP_READS_MODE: u32 = 0o640;

/// The bits of a folder's mode.
const OTHERS_ENTER: u32 = 0o007;
const GROUP_ENTERS: u32 = 0o010;

/// Why a room is not written.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The configuration that exists is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// The configuration file, which need not exist yet, and the environment over it.
#[derive(Debug, Clone)]
pub struct SetupFile {
    path: PathBuf,
    environment: Vec<(String, String)>,
    /// What a file begins with that does not exist yet.
    start: String,
}

impl SetupFile {
    /// The file at this path.
    pub fn new(path: PathBuf, environment: Vec<(String, String)>) -> Self {
        Self {
            path,
            environment,
            start: String::new(),
        }
    }

    /// Lets the file begin with this text if it does not exist yet.
    pub fn starting_with(self, start: String) -> Self {
        Self { start, ..self }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is something at the path, if only a link that leads nowhere.
    pub fn exists(&self) -> bool {
        config::is_there(&self.path)
    }

    /// Finds out before a person is asked for anything whether the file can be written.
    ///
    /// # Errors
    /// It cannot, and why.
    pub fn check_writable(&self) -> Result<(), SetupError> {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = folder_of(&path);
        access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
            let why = os_error::file_words(folder, &error.into());
            let folder = folder.display();
            self.failed(&format!("the folder {folder} cannot be written: {why}"))
        })
    }

    /// The configuration so far; the default where there is no file.
    ///
    /// # Errors
    /// It is wrong: a room is only added to a configuration that works.
    pub fn config(&self) -> Result<Config, ConfigErrors> {
        self.checked(&self.text()?)
    }

    /// Adds the room, and gives the configuration with it.
    ///
    /// # Errors
    /// The room exists, the gateway would not take the file, or it cannot be written. Nothing has changed.
    pub fn add(&self, room: &NewRoom) -> Result<Config, SetupError> {
        let text = with_room(&self.text()?, room).map_err(|why| self.failed(&why))?;
        let config = self.checked(&text)?;
        if !config.rooms.contains_key(&room.id) {
            return Err(self.failed("the room was not added; write it into the file by hand"));
        }
        self.replace(&text)
            .map_err(|error| self.failed(&os_error::file_words(&self.path, &error)))?;
        Ok(config)
    }

    fn text(&self) -> Result<String, ConfigErrors> {
        if self.exists() {
            config::read_file(&self.path)
        } else {
            Ok(self.start.clone())
        }
    }

    fn checked(&self, text: &str) -> Result<Config, ConfigErrors> {
        let name = self.path.display().to_string();
        config::read(name, text, self.environment.clone()).map(|loaded| loaded.config)
    }

    fn failed(&self, why: &str) -> SetupError {
        SetupError::Other(format!("{}: {why}", self.path.display()))
    }

    /// Writes a file beside it, and puts that in its place. Mode and owner stay; a new file gets them from
    /// its folder.
    fn replace(&self, text: &str) -> io::Result<()> {
        // A link stays one: the file that it leads to is replaced.
        let path = match fs::canonicalize(&self.path) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.path.clone(),
            Err(error) => return Err(error),
        };
        let folder = folder_of(&path);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = folder.join(format!(".{name}.{}.new", std::process::id()));
        let written =
            write_new(&beside, &path, folder, text).and_then(|()| fs::rename(&beside, &path));
        if written.is_err() {
            // What is left is this program's own, and it holds a password.
            let _ = fs::remove_file(&beside);
        }
        written?;
        // So that the file survives a power failure. Some file systems have no such thing for a folder.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

fn write_new(beside: &Path, old: &Path, folder: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(NEW_FILE_MODE);
    let mut file = options.open(beside)?;
    file.write_all(text.as_bytes())?;
    match fs::metadata(old) {
        Ok(old) => {
            let new = file.metadata()?;
            if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
        }
        Err(_) if geteuid().is_root() => {
            let folder = fs::metadata(folder)?;
            // Where root may not give files away, as in some containers, it stays root's alone.
            if fchown(&file, Some(folder.uid()), Some(folder.gid())).is_ok() {
                file.set_permissions(Permissions::from_mode(mode_for_gateway(&folder)))?;
            }
        }
        Err(_) => {}
    }
    file.sync_all()
}

/// The mode with which the gateway can read a file that root makes in this folder. The gateway seldom runs as
/// root: the folder belongs to its user, or to root and a group in which it is.
fn mode_for_gateway(folder: &fs::Metadata) -> u32 {
    let shared = folder.uid() == 0 && folder.gid() != 0;
    let closed = folder.mode() & OTHERS_ENTER == 0;
    if shared && closed && folder.mode() & GROUP_ENTERS != 0 {
        GROUP_READS_MODE
    } else {
        NEW_FILE_MODE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Fingerprint, RoomId, Secret};

    fn room(id: &str) -> NewRoom {
        NewRoom {
            id: RoomId::new(id).unwrap(),
            name: None,
            url: format!("https://{id}.example.com"),
            user: Some("operator".to_owned()),
            password: Secret::new("canary"),
            certificate: Fingerprint([1; 32]),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn a_new_file_is_for_its_owner_alone_and_an_old_one_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("poly2mqtt.toml");
        let file = SetupFile::new(path.clone(), Vec::new());
        assert!(!file.exists());
        assert_eq!(file.add(&room("a")).unwrap().rooms.len(), 1);
        assert_eq!(mode(&path), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(file.add(&room("b")).unwrap().rooms.len(), 2);
        assert_eq!(mode(&path), 0o640);
        // Through a link, which stays one.
        let link = folder.path().join("link.toml");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let linked = SetupFile::new(link.clone(), Vec::new());
        assert_eq!(linked.add(&room("c")).unwrap().rooms.len(), 3);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        // Nothing else is left in the folder.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    /// Only root can give files away, so that only root can try it.
    #[test]
    fn what_root_makes_the_owner_or_the_group_of_the_folder_can_read() {
        if !geteuid().is_root() {
            return;
        }
        // The folder's user, group and mode, and the file's.
        for ((user, group, mode), wanted) in [
            // Of a package: the gateway is in the group.
            ((0, 4711, 0o2750), (0, 4711, 0o640)),
            ((0, 4711, 0o750), (0, 4711, 0o640)),
            // The gateway's own.
            ((4711, 4712, 0o2750), (4711, 4712, 0o600)),
            ((4711, 4711, 0o700), (4711, 4711, 0o600)),
            // Root's alone, open to others, or closed to the group.
            ((0, 0, 0o750), (0, 0, 0o600)),
            ((0, 4711, 0o755), (0, 4711, 0o600)),
            ((0, 4711, 0o700), (0, 4711, 0o600)),
        ] {
            let folder = tempfile::tempdir().unwrap();
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).unwrap();
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            let path = folder.path().join("poly2mqtt.toml");
            let file = SetupFile::new(path.clone(), Vec::new());
            file.add(&room("a")).unwrap();
            let found = |path: &Path| {
                let made = fs::metadata(path).unwrap();
                (made.uid(), made.gid(), made.mode() & 0o7777)
            };
            assert_eq!(found(&path), wanted, "{user}:{group} {mode:o}");
            // The next room leaves it so.
            file.add(&room("b")).unwrap();
            assert_eq!(found(&path), wanted, "{user}:{group} {mode:o}");
        }
    }

    #[test]
    fn a_file_that_is_wrong_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("poly2mqtt.toml");
        for wrong in ["[mqtt]\nurll = \"off\"\n", "no toml", "rooms = 7\n"] {
            fs::write(&path, wrong).unwrap();
            let file = SetupFile::new(path.clone(), Vec::new());
            assert!(file.config().is_err(), "{wrong}");
            let error = file.add(&room("a")).unwrap_err().to_string();
            assert!(!error.contains("canary"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
        }
        let file = SetupFile::new(folder.path().join("no/such/folder.toml"), Vec::new());
        let error = file.add(&room("a")).unwrap_err().to_string();
        assert!(error.contains("folder.toml"), "{error}");
    }
}
