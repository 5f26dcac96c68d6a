//! Which program listens on a port of this machine, as far as the system tells.
//!
//! Linux lists listening sockets with their users in `/proc/net`. Whose program holds one can be seen of
//! the own user's programs only, unless this one runs as root. Elsewhere nothing is known.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What the kernel calls the state of a socket that listens.
const LISTENS: &str = "0A";
/// The name of this program's processes.
const OWN_NAME: &str = "poly2mqtt";

/// The program that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortHolder {
    /// This process.
    Process {
        /// Its name.
        name: String,
        /// Its process id.
        id: u32,
    },
    /// A process of this user, which is probably the gateway: the user runs one.
    ProbablyGateway {
        /// The gateway's process id.
        id: u32,
    },
    /// A process of this user.
    User(u32),
}

impl PortHolder {
    /// Whether it is this process itself.
    pub fn is_self(&self) -> bool {
        matches!(self, Self::Process { id, .. } if *id == std::process::id())
    }

    /// Whether it is a gateway, or probably one.
    pub fn is_gateway(&self) -> bool {
        match self {
            Self::Process { name, id } => {
                (name == OWN_NAME || is_same_program(*id)) && !is_simulation(*id)
            }
            Self::ProbablyGateway { .. } => true,
            Self::User(_) => false,
        }
    }
}

impl fmt::Display for PortHolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { name, id } => write!(f, "{name} (process {id})"),
            Self::ProbablyGateway { id } => write!(f, "{OWN_NAME} (probably process {id})"),
            Self::User(user) => write!(f, "a program of user {user}"),
        }
    }
}

/// Who listens at this address, or at the same port of all addresses.
pub fn port_holder(at: SocketAddr) -> Option<PortHolder> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let (inode, user) = tables.iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().find_map(|line| listening_socket(line, at))
    })?;
    let socket = format!("socket:[{inode}]");
    if let Some(id) = processes().find(|id| has_open(*id, &socket)) {
        let name = name(id).unwrap_or_else(|| "a program".to_owned());
        return Some(PortHolder::Process { name, id });
    }
    let is_gateway = |id: &u32| {
        let process = fs::metadata(format!("/proc/{id}"));
        process.is_ok_and(|process| process.uid() == user)
            && *id != std::process::id()
            && name(*id).as_deref() == Some(OWN_NAME)
    };
    match processes().find(is_gateway) {
        Some(id) => Some(PortHolder::ProbablyGateway { id }),
        None => Some(PortHolder::User(user)),
    }
}

/// Whether a process runs the file of this program, whatever its name is.
fn is_same_program(id: u32) -> bool {
    let file = |process: &str| fs::metadata(format!("/proc/{process}/exe"));
    match (file(&id.to_string()), file("self")) {
        (Ok(other), Ok(own)) => (other.dev(), other.ino()) == (own.dev(), own.ino()),
        _ => false,
    }
}

/// Whether a process of this program runs a demo or simulated devices, which are no gateway for a configuration.
fn is_simulation(id: u32) -> bool {
    let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0).skip(1);
    words.any(|word| matches!(word, b"demo" | b"simulate"))
}

/// The inode and the user of a line of `/proc/net/tcp`, if it is a socket that keeps others from
/// listening at this address.
fn listening_socket(line: &str, at: SocketAddr) -> Option<(u64, u32)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, user, inode) = (
        fields.get(1)?,
        fields.get(3)?,
        fields.get(7)?,
        fields.get(9)?,
    );
    let (address, port) = local.split_once(':')?;
    let address = read_address(address)?;
    let overlaps = address == at.ip() || address.is_unspecified() || at.ip().is_unspecified();
    if *state != LISTENS || u16::from_str_radix(port, 16).ok()? != at.port() || !overlaps {
        return None;
    }
    Some((inode.parse().ok()?, user.parse().ok()?))
}

/// An address as the kernel writes it: words of 32 bits in this machine's order.
fn read_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = text.get(at..at + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(Ipv4Addr::from(word(0)?).into());
    }
    let words = [word(0)?, word(8)?, word(16)?, word(24)?];
    let mut bytes = [0; 16];
    bytes.copy_from_slice(words.as_flattened());
    Some(Ipv6Addr::from(bytes).to_canonical())
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn has_open(process: u32, socket: &str) -> bool {
    let files = fs::read_dir(format!("/proc/{process}/fd"));
    let mut files = files.into_iter().flatten().flatten();
    files.any(|file| fs::read_link(file.path()).is_ok_and(|link| link == Path::new(socket)))
}

/// The name of a process, without control characters: its user chose it.
fn name(process: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(name.chars().filter(|c| !c.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_process_that_listens_is_found() {
        for listen in ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0"] {
            let listener = match TcpListener::bind(listen) {
                Ok(listener) => listener,
                // A machine without IPv6.
                Err(_) if listen.starts_with("[::1]") => continue,
                Err(error) => panic!("{listen}: {error}"),
            };
            let at = listener.local_addr().unwrap();
            let holder = port_holder(at);
            let Some(PortHolder::Process { id, .. }) = &holder else {
                panic!("{listen}: {holder:?}");
            };
            assert_eq!(*id, std::process::id());
            drop(listener);
            assert_eq!(port_holder(at), None);
        }
    }

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let word = |address: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(address));
        let line = |address: &str, state: &str| {
            format!("   0: {address}:1F90 00000000:0000 {state} 0:0 00:0 0 115 0 4242 1 0")
        };
        let at = "127.0.0.1:8080".parse().unwrap();
        let own = word([127, 0, 0, 1]);
        assert_eq!(
            listening_socket(&line(&own, LISTENS), at),
            Some((4242, 115))
        );
        assert_eq!(listening_socket(&line(&own, "01"), at), None);
        let all = word([0; 4]);
        assert_eq!(
            listening_socket(&line(&all, LISTENS), at),
            Some((4242, 115))
        );
        let other = word([192, 0, 2, 1]);
        assert_eq!(listening_socket(&line(&other, LISTENS), at), None);
        let mapped = format!("{}{}{}{own}", all, all, word([0, 0, 255, 255]));
        assert_eq!(
            listening_socket(&line(&mapped, LISTENS), at),
            Some((4242, 115))
        );
        for broken in [
            "",
            "sl local_address rem_address st",
            "0: zz:1F90 x 0A 0 0 0 0 0 0",
        ] {
            assert_eq!(listening_socket(broken, at), None);
        }
    }
}
