//! Files with secrets that every user of the machine can read or change.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::Config;

/// The bits of a mode that let every user read and write.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

/// Where a configuration has its secrets.
#[derive(Debug, Clone, Default)]
pub struct SecretPlaces {
    /// The configuration file itself holds some.
    pub in_file: bool,
    /// The files that its keys name: passwords and tokens.
    pub files: Vec<PathBuf>,
}

/// A warning for each file with secrets that every user can read or change. `file` is the configuration, if there
/// is one.
pub fn warnings(file: Option<&Path>, places: &SecretPlaces, config: &Config) -> Vec<String> {
    let own = file.filter(|_| places.in_file);
    let keys = [
        config.http.tls.as_ref().map(|files| &files.key),
        config.mqtt.client_key_file.as_ref(),
    ];
    let mut files: Vec<&Path> = own.into_iter().collect();
    let others = places.files.iter().chain(keys.into_iter().flatten());
    files.extend(others.map(PathBuf::as_path));
    files.sort_unstable();
    files.dedup();
    files.into_iter().filter_map(warning).collect()
}

fn warning(path: &Path) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let mode = found.mode();
    let can = match (mode & OTHERS_READ != 0, mode & OTHERS_WRITE != 0) {
        (false, false) => return None,
        (true, false) => "read",
        (false, true) => "change",
        (true, true) => "read and change",
    };
    let shown = path.display();
    let user = rustix::process::geteuid().as_raw();
    let group = rustix::process::getegid().as_raw();
    let is_read_only =
        statvfs(path).is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::RDONLY));
    // Whoever reads the file only because everyone may needs it as their group's.
    let mend = if is_read_only {
        "it is mounted read-only, so the mount must give it the mode 0400 (Kubernetes: defaultMode, \
         Docker: mode)"
            .to_owned()
    } else if user == 0 || user == found.uid() || group == found.gid() {
        format!("chmod o-rwx {shown}")
    } else {
        format!("chgrp {group} {shown} && chmod 640 {shown}")
    };
    Some(format!(
        "{shown} holds secrets, and every user of this machine can {can} it: {mend}"
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::config::TlsFiles;

    #[test]
    fn every_kind_of_file_that_others_can_read_is_told_with_what_mends_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, mode| {
            let path = directory.path().join(name);
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            path
        };
        let mut config = Config::default();
        let tls = |key: PathBuf| TlsFiles {
            certificate: file("cert.pem", 0o644),
            key,
        };
        config.http.tls = Some(tls(file("key.pem", 0o604)));
        config.mqtt.client_key_file = Some(file("client.pem", 0o600));
        let own = file("poly2mqtt.toml", 0o644);
        let mut places = SecretPlaces {
            in_file: true,
            files: vec![
                file("closed", 0o640),
                file("open", 0o666),
                file("open", 0o666),
            ],
        };
        let told = warnings(Some(&own), &places, &config);
        assert_eq!(told.len(), 3, "{told:?}");
        for (told, (name, can)) in told.iter().zip([
            ("key.pem", "can read it"),
            ("open", "can read and change it"),
            ("poly2mqtt.toml", "can read it"),
        ]) {
            let path = directory.path().join(name);
            assert!(told.contains(can), "{told}");
            assert!(
                told.ends_with(&format!("chmod o-rwx {}", path.display())),
                "{told}"
            );
            // What it says mends it.
            let mode = fs::metadata(&path).unwrap().mode() & 0o770;
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        assert!(warnings(Some(&own), &places, &config).is_empty());
        // A file without secrets may be read by everyone.
        fs::set_permissions(&own, PermissionsExt::from_mode(0o644)).unwrap();
        places.in_file = false;
        assert!(warnings(Some(&own), &places, &config).is_empty());
    }
}
