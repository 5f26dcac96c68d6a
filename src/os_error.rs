//! Errors of the operating system, in words that say what to do.
//!
//! Every message that ends with such an error takes its words from here, so that none ends with a number
//! that people have to look up. The words begin with the system's own, which people search for. Opens
//! nothing; `net::ListenSetting` has the words for an address that cannot be listened on.

use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;

/// What the standard library puts before the reason why a name has no address.
const LOOK_UP_FAILED: &str = "failed to lookup address information: ";

/// The words for an error: the system's own without its number, and what to do about it where that is
/// known.
pub fn words(error: &io::Error) -> String {
    with_remedy(error, remedy(error))
}

/// The deepest cause of an error. Libraries wrap what went wrong in their own words; people need
/// the cause.
pub fn root_cause<'a>(mut error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    while let Some(deeper) = error.source() {
        error = deeper;
    }
    error
}

/// The words for the deepest cause of a library's error.
pub fn cause_words(error: &(dyn Error + 'static)) -> String {
    let cause = root_cause(error);
    match cause.downcast_ref::<io::Error>() {
        Some(error) => words(error),
        None => without_number(&cause.to_string()),
    }
}

/// The words for an error with this file.
pub fn file_words(path: &Path, error: &io::Error) -> String {
    let remedy = match Errno::from_io_error(error) {
        Some(Errno::ACCESS | Errno::PERM) => Some(permission_remedy(path)),
        Some(Errno::ISDIR) => return "it is a directory, and a file is needed".to_owned(),
        _ if error.kind() == io::ErrorKind::InvalidData => {
            return "it is not text in UTF-8".to_owned();
        }
        _ => remedy(error),
    };
    with_remedy(error, remedy)
}

/// What to do about a file that may not be read.
pub fn permission_remedy(path: &Path) -> String {
    let user = rustix::process::geteuid().as_raw();
    // A file that can be seen and not read is closed itself; otherwise a directory is.
    let closed = match fs::metadata(path) {
        Ok(_) => format!("give it the file: chown {user} {}", path.display()),
        Err(_) => "a directory on the way to it is closed".to_owned(),
    };
    format!("this program runs as user {user}: {closed}")
}

fn with_remedy(error: &io::Error, remedy: Option<String>) -> String {
    let text = error.to_string();
    // The TLS library adds an address of its manual for programmers.
    let text = text.split(": https://docs.rs/").next().unwrap_or_default();
    let text = match text.strip_prefix(LOOK_UP_FAILED) {
        Some(why) => format!("the name has no address: {}", without_number(why)),
        None => without_number(text),
    };
    match remedy {
        Some(remedy) => format!("{text}; {remedy}"),
        None => text,
    }
}

/// What to do, or what it means where the system's words do not say it.
fn remedy(error: &io::Error) -> Option<String> {
    if error.to_string().starts_with(LOOK_UP_FAILED) {
        return Some("is it written right, and does this machine's DNS know it?".to_owned());
    }
    let remedy = match Errno::from_io_error(error)? {
        Errno::MFILE => {
            "this program has as many files and connections open as it may; raise LimitNOFILE of the \
             unit, or ulimit -n"
        }
        Errno::NFILE => {
            "all programs of this machine together have as many files open as they may; raise the \
             sysctl fs.file-max"
        }
        Errno::NOSPC => "free some space",
        Errno::DQUOT => "the user's share of the disk is used up",
        Errno::ROFS => "it can be read and not written; choose another place",
        Errno::CONNREFUSED => "nothing listens on that port",
        Errno::HOSTUNREACH => "nothing answers at that address; is it switched on and connected?",
        Errno::NETUNREACH => "this machine is not connected to that network",
        Errno::TIMEDOUT => "nothing answers at that address; check it, and firewalls on the way",
        Errno::AFNOSUPPORT => "this machine does not have this kind of address; is IPv6 off?",
        _ => return None,
    };
    Some(remedy.to_owned())
}

/// The text without `(os error 98)`, wherever that stands.
fn without_number(text: &str) -> String {
    const NUMBER: &str = " (os error ";
    let mut words = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(NUMBER) {
        let (before, number) = rest.split_at(start);
        words.push_str(before);
        rest = match number[NUMBER.len()..].split_once(')') {
            Some((_, after)) => after,
            None => "",
        };
    }
    words + rest
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn of(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn no_error_of_the_system_is_told_by_its_number() {
        for number in 1..=133 {
            let error = io::Error::from_raw_os_error(number);
            let told = words(&error);
            assert!(!told.contains("os error") && !told.is_empty(), "{told}");
            let wrapped = io::Error::other(format!("{error}, twice: {error}!"));
            let told = words(&wrapped);
            assert!(!told.contains("os error"), "{told}");
            assert!(told.contains(", twice: ") && told.ends_with('!'), "{told}");
        }
    }

    #[test]
    fn a_connection_that_ends_within_tls_is_told_without_an_address_for_programmers() {
        let text = "peer closed connection without sending TLS close_notify: \
                    https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html#unexpected-eof";
        let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
        let wanted = "peer closed connection without sending TLS close_notify";
        assert_eq!(words(&error), wanted);
        assert_eq!(cause_words(&error), wanted);
    }

    #[test]
    fn what_to_do_is_told() {
        for (errno, remedy) in [
            (Errno::MFILE, "LimitNOFILE"),
            (Errno::NFILE, "fs.file-max"),
            (Errno::NOSPC, "free some space"),
            (Errno::DQUOT, "share of the disk"),
            (Errno::ROFS, "another place"),
            (Errno::CONNREFUSED, "nothing listens"),
            (Errno::HOSTUNREACH, "switched on"),
            (Errno::NETUNREACH, "not connected to that network"),
            (Errno::TIMEDOUT, "firewalls"),
        ] {
            let told = words(&of(errno));
            assert!(told.contains("; ") && told.contains(remedy), "{told}");
        }
    }

    #[test]
    fn a_cause_below_others_is_told() {
        #[derive(Debug, thiserror::Error)]
        #[error("error trying to connect")]
        struct Wrapped(#[source] io::Error);
        let told = cause_words(&Wrapped(of(Errno::CONNREFUSED)));
        assert_eq!(told, "Connection refused; nothing listens on that port");
    }

    #[test]
    fn a_name_without_address_is_told_without_the_librarys_words() {
        let library = format!("{LOOK_UP_FAILED}Name or service not known");
        let told = words(&io::Error::other(library));
        assert!(told.starts_with("the name has no address: Name or service not known; "));
        assert!(told.contains("DNS"), "{told}");
    }

    #[test]
    fn files_that_cannot_be_read_have_a_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let read = |path: &Path| file_words(path, &fs::read_to_string(path).unwrap_err());
        assert_eq!(
            read(directory.path()),
            "it is a directory, and a file is needed"
        );
        let missing = directory.path().join("missing");
        assert_eq!(read(&missing), "No such file or directory");
        let binary = directory.path().join("binary");
        fs::write(&binary, [0xff, 0xfe, 0x00]).unwrap();
        assert_eq!(read(&binary), "it is not text in UTF-8");
        fs::set_permissions(&binary, PermissionsExt::from_mode(0o000)).unwrap();
        // Root reads it all the same.
        let told = file_words(&binary, &of(Errno::ACCESS));
        assert!(told.contains("chown") && told.contains("binary"), "{told}");
    }
}
