//! What the benches share: processes to measure, a client, a bare client of devices, figures.
//!
//! Gateway, simulated devices, Mosquitto and the bare relay are processes of their own. Every
//! socket has `TCP_NODELAY`. Without `--bench` (`cargo test`) each bench runs for about a second,
//! to see that it works; nothing is ever judged by its time.
#![allow(dead_code)]

pub mod bare;
pub mod client;
pub mod figures;
pub mod processes;

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// Whether to measure, or only to see that the bench works.
pub fn measuring() -> bool {
    std::env::args().any(|argument| argument == "--bench")
}

/// This when measuring, that otherwise.
pub fn either<T>(measuring_: T, trying: T) -> T {
    if measuring() { measuring_ } else { trying }
}

/// `name=number` among the arguments.
pub fn argument(name: &str) -> Option<u64> {
    std::env::args().find_map(|argument| {
        let (key, value) = argument.split_once('=')?;
        (key == name).then(|| value.parse().unwrap())
    })
}

/// The parts of a bench to run: the words among the arguments, or all.
pub fn wanted(part: &str) -> bool {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--") && !argument.contains('='))
        .collect();
    words.is_empty() || words.iter().any(|word| word == part)
}

/// So many ports in a row that nothing else takes, below those the system gives away.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    loop {
        let number = first.wrapping_add(NEXT.fetch_add(u32::from(count), Ordering::Relaxed));
        let port = 12_000 + u16::try_from(number % 8_000).unwrap();
        let all = (port..port + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
        if all {
            return port;
        }
    }
}
