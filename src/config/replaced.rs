//! Files that were replaced behind a mount.
//!
//! A file that is mounted by itself, as `docker run -v FILE:FILE` does it, stays the one that it was. Editors and tools
//! write a new file and rename it, so the gateway goes on reading the old one: a reload finds nothing new, and `check`
//! calls it good. Such a file has no name any more on its own file system, and that can be seen.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Certificate, Config, ConfigError, SecretPlaces};

/// What is wrong with such a file, and what mends it.
const WHY: &str = "was replaced or deleted after it was mounted, and the old one is still read: mount its folder instead \
                   of the file, or restart the container after each change";

/// What the kernel puts behind the name of an open file that has none any more.
const DELETED: &str = " (deleted)";

/// Whether the file at this path has no name any more where it is stored.
fn is_replaced(path: &Path) -> bool {
    let has_no_link = |path: &Path| {
        let found = path.metadata();
        found.is_ok_and(|found| found.is_file() && found.nlink() == 0)
    };
    has_no_link(path) && shown_name(path).is_none_or(|name| is_deleted(&name))
}

/// The name that the kernel shows of the file at this path; `None` where it shows none. Some file systems of networks
/// and of FUSE do not count links: all their files have none. The kernel knows which names are gone.
fn shown_name(path: &Path) -> Option<PathBuf> {
    let file = File::open(path).ok()?;
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

fn is_deleted(name: &Path) -> bool {
    name.as_os_str()
        .as_encoded_bytes()
        .ends_with(DELETED.as_bytes())
}

/// A warning for each such file that the configuration consists of or names. `file` is the configuration, if there
/// is one.
pub fn warnings(file: Option<&Path>, places: &SecretPlaces, config: &Config) -> Vec<String> {
    let (mqtt, tls) = (&config.mqtt, config.http.tls.as_ref());
    let named = [
        tls.map(|files| &files.certificate),
        tls.map(|files| &files.key),
        mqtt.ca_file.as_ref(),
        mqtt.client_cert_file.as_ref(),
        mqtt.client_key_file.as_ref(),
        config.cluster.as_ref().and_then(|it| it.ca_file.as_ref()),
    ];
    let of_rooms = config.rooms.values().map(|room| match &room.certificate {
        Certificate::CaFile(path) => Some(path),
        _ => None,
    });
    let others = named.into_iter().chain(of_rooms).flatten();
    let others = others.chain(&places.files).map(PathBuf::as_path);
    let mut files: Vec<&Path> = file.into_iter().chain(others).collect();
    files.sort_unstable();
    files.dedup();
    files.retain(|file| is_replaced(file));
    let warning = |file: &Path| format!("{} {WHY}", file.display());
    files.into_iter().map(warning).collect()
}

/// The same as an error beside those of a configuration: who mends them in the new file must know why they stay.
pub fn error(file: &Path) -> Option<ConfigError> {
    is_replaced(file).then(|| ConfigError {
        place: file.display().to_string(),
        key: String::new(),
        message: WHY.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    /// A path that leads to a file without a name, as a mount of one that was replaced does.
    fn replaced(text: &str) -> (File, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, text).unwrap();
        let file = File::open(&path).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        assert!(!is_replaced(&path), "a link to a file that is there");
        drop(directory);
        (file, path)
    }

    /// As on a network's file system, where every file may have no links.
    #[test]
    fn a_file_that_is_there_has_a_name_whatever_its_links_are() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "4").unwrap();
        let shown = shown_name(&path).expect("a name");
        assert!(!is_deleted(&shown), "{shown:?}");
        let (_file, path) = replaced("4");
        let shown = shown_name(&path).expect("a name");
        assert!(is_deleted(&shown), "{shown:?}");
        assert!(shown_name(&directory.path().join("nothing")).is_none());
    }

    #[test]
    fn each_file_that_was_replaced_behind_its_mount_is_told() {
        let (_secret, secret) = replaced("4");
        let (_authority, authority) = replaced("PEM");
        let room = |password: &str| {
            format!(
                "[mqtt]\nurl = \"off\"\n[rooms.1]\nurl = \"https://192.0.2.1\"\nca_file = \"{}\"\n{password}\n",
                authority.display()
            )
        };
        let good = room(&format!("password_file = \"{}\"", secret.display()));
        let (_file, path) = replaced(&good);
        let loaded = load(&path, []).unwrap();
        for file in [&secret, &authority, &path] {
            let warning = format!("{} {WHY}", file.display());
            assert!(loaded.warnings.contains(&warning), "{:?}", loaded.warnings);
        }
        let (_file, path) = replaced(&room("password = []"));
        let errors = load(&path, []).unwrap_err().0;
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert_eq!(errors.last(), error(&path).as_ref());
        let directory = tempfile::tempdir().unwrap();
        let there = directory.path().join("poly2mqtt.toml");
        fs::write(&there, room("password = \"4\"")).unwrap();
        let told = load(&there, []).unwrap().warnings;
        assert_eq!(
            told.iter().filter(|it| it.contains(WHY)).count(),
            1,
            "{told:?}"
        );
    }
}
