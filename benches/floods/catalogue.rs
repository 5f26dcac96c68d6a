//! Every flood: its name, what it does, how often, and from which address.

use std::future::Future;
use std::io;
use std::pin::Pin;

use super::attacker::Flood;
use super::{broker, devices, http, lines, websocket};

pub type Running<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Tries the right password or token. True if it was let in.
pub type GuessRight = for<'a> fn(&'a Flood) -> Running<'a, io::Result<bool>>;

/// What a flood is.
pub enum Act {
    /// A client of the gateway that never stops.
    Client(for<'a> fn(&'a Flood) -> Running<'a, ()>),
    /// A device of the gateway, and what it sends to each request without end.
    Device(&'static devices::Endless),
}

/// One flood.
pub struct FloodKind {
    pub name: &'static str,
    /// One line: what it does.
    pub what: &'static str,
    /// Its turns in a second while all floods run together.
    pub per_second: u32,
    /// Whether it comes from the address of the honest clients, as behind one proxy.
    pub shares_honest_address: bool,
    /// Whether it is about open files. Alone, it meets a gateway that may open only a few.
    pub takes_files: bool,
    pub act: Act,
    /// What comes after wrong guesses.
    pub guess_right: Option<GuessRight>,
}

macro_rules! client {
    ($run:path) => {
        Act::Client(|flood| Box::pin($run(flood)))
    };
}

macro_rules! guess {
    ($run:path) => {
        Some(|flood| Box::pin($run(flood)))
    };
}

const COMMON: FloodKind = FloodKind {
    name: "",
    what: "",
    per_second: 20,
    shares_honest_address: false,
    takes_files: false,
    act: Act::Device(&devices::CONTINUE),
    guess_right: None,
};

pub const FLOODS: &[FloodKind] = &[
    FloodKind {
        name: "broker_announced",
        what: "60 connections announce a packet of 10 MB before a log-in, and send 9 MB of it",
        per_second: 100,
        act: client!(broker::announced),
        ..COMMON
    },
    FloodKind {
        name: "broker_silent",
        what: "320 connections to the broker send nothing",
        per_second: 50,
        takes_files: true,
        act: client!(broker::silent),
        ..COMMON
    },
    FloodKind {
        name: "broker_guesses",
        what: "wrong passwords of a user, then the right one",
        per_second: 50,
        shares_honest_address: true,
        act: client!(broker::guesses),
        guess_right: guess!(broker::guess_right),
        ..COMMON
    },
    FloodKind {
        name: "broker_takeover",
        what: "a reading user connects with the ids of others, the gateway's among them",
        act: client!(broker::takeover),
        ..COMMON
    },
    FloodKind {
        name: "broker_forbidden",
        what: "states, others' commands, retained, as a will, by a response topic",
        per_second: 10,
        act: client!(broker::forbidden),
        ..COMMON
    },
    FloodKind {
        name: "broker_filters",
        what: "100,000 filters of each client",
        per_second: 4,
        act: client!(broker::filters),
        ..COMMON
    },
    FloodKind {
        name: "broker_retained",
        what: "retained messages of 10 MB, each at a topic of its own",
        per_second: 1,
        act: client!(broker::retained),
        ..COMMON
    },
    FloodKind {
        name: "broker_qos2",
        what: "messages of QoS 2 that are begun and never released",
        per_second: 100,
        act: client!(broker::unreleased),
        ..COMMON
    },
    FloodKind {
        name: "broker_sessions",
        what: "sessions with new ids that never expire",
        per_second: 20,
        act: client!(broker::sessions),
        ..COMMON
    },
    FloodKind {
        name: "broker_slow_readers",
        what: "clients that subscribe to everything and read nothing, while snapshots are published",
        per_second: 2,
        act: client!(broker::slow_readers),
        ..COMMON
    },
    FloodKind {
        name: "broker_malformed",
        what: "packets that MQTT forbids, before and after the log-in",
        per_second: 50,
        shares_honest_address: true,
        act: client!(broker::malformed),
        ..COMMON
    },
    FloodKind {
        name: "http_unread",
        what: "pipelined GET /asyncapi.json whose answers nobody reads",
        per_second: 50,
        act: client!(http::unread),
        ..COMMON
    },
    FloodKind {
        name: "http_slow_heads",
        what: "heads that grow by one line a second",
        per_second: 50,
        act: client!(http::slow_heads),
        ..COMMON
    },
    FloodKind {
        name: "http_silent",
        what: "320 connections to HTTP send nothing",
        per_second: 50,
        takes_files: true,
        act: client!(http::silent),
        ..COMMON
    },
    FloodKind {
        name: "http_guesses",
        what: "wrong tokens that hang up after 20 ms, then the right one",
        per_second: 50,
        shares_honest_address: true,
        act: client!(http::guesses),
        guess_right: guess!(http::guess_right),
        ..COMMON
    },
    FloodKind {
        name: "http_huge",
        what: "heads of 1 MB, and bodies without end",
        per_second: 10,
        act: client!(http::huge),
        ..COMMON
    },
    FloodKind {
        name: "ws_pings",
        what: "pings over WebSocket whose answers nobody reads",
        act: client!(websocket::pings),
        ..COMMON
    },
    FloodKind {
        name: "ws_subscribe",
        what: "subscriptions over WebSocket, again and again, whose answers nobody reads",
        act: client!(websocket::subscriptions),
        ..COMMON
    },
    FloodKind {
        name: "ws_guesses",
        what: "wrong tokens over WebSocket that hang up after 20 ms, then the right one",
        per_second: 20,
        act: client!(websocket::guesses),
        guess_right: guess!(websocket::guess_right),
        ..COMMON
    },
    FloodKind {
        name: "ws_fragments",
        what: "fragments of one message that never ends",
        act: client!(websocket::fragments),
        ..COMMON
    },
    FloodKind {
        name: "lines_silent",
        what: "320 connections to the lines send nothing (1,200 alone)",
        per_second: 50,
        takes_files: true,
        act: client!(lines::silent),
        ..COMMON
    },
    FloodKind {
        name: "lines_endless",
        what: "lines without end, before and after the token",
        act: client!(lines::endless),
        ..COMMON
    },
    FloodKind {
        name: "lines_guesses",
        what: "wrong tokens over lines, then the right one",
        shares_honest_address: true,
        act: client!(lines::guesses),
        guess_right: guess!(lines::guess_right),
        ..COMMON
    },
    FloodKind {
        name: "lines_unread",
        what: "wrong lines whose errors nobody reads",
        act: client!(lines::unread),
        ..COMMON
    },
    FloodKind {
        name: "device_continue",
        what: "a device answers with 100 Continue without end",
        per_second: 50,
        act: Act::Device(&devices::CONTINUE),
        ..COMMON
    },
    FloodKind {
        name: "device_headers",
        what: "a device answers with headers without end",
        per_second: 50,
        act: Act::Device(&devices::HEADERS),
        ..COMMON
    },
    FloodKind {
        name: "device_body",
        what: "a device answers with a body without end",
        per_second: 50,
        act: Act::Device(&devices::BODY),
        ..COMMON
    },
];
