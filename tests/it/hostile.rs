//! Hostile input, briefly: the checks of the fuzz targets in `fuzz/`, with the seeds and a few hundred
//! inputs made of typical pieces.
use std::path::Path;

use poly2mqtt_test_support::raw_mqtt::fixed_header;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

mod broker_packets;
mod certificate;
mod config;
mod device_answer;
mod device_certificate;
mod device_http;
mod device_server;
mod discovery;
mod environment;
mod etcd_answer;
mod frame;
mod gateway_message;
mod http_request;
mod link_frame;
mod payload;
mod session_file;
mod topic;
mod url;

/// The pieces that random input is made of.
const PIECES: &[&str] = &[
    "..",
    ".",
    "/",
    "\\",
    "%2e",
    "%2F",
    "%252e",
    "%",
    "\r\n",
    "\n",
    "\t",
    "\0",
    "\u{1b}[2J",
    "+",
    "#",
    "$",
    "room/1/",
    "gateway/",
    "/result",
    "/get",
    "/set",
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "1",
    "-1",
    "9223372036854775807",
    "1e999",
    "\"id\":",
    "\"topic\":",
    "\"payload\":",
    "\"subscribe\":",
    "\"connections\":",
    "\"name\":",
    "\"stateList\":",
    "\"PENDING\"",
    "\"index\":",
    "\"startTime\":",
    "\"sessionList\":",
    "\"userId\":",
    "\"duration\":",
    "\"entries\":",
    "\"success\":true",
    "session_id=",
    "GET ",
    "POST ",
    "/room/1/audio/volume",
    "Host: localhost",
    "Origin: http://evil.example",
    "[http]",
    "[rooms.1]",
    "url = ",
    "\"https://x\"",
    "password = ",
    "\u{2028}",
    "\u{fffd}",
    "toggle",
    "a",
];

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..8),
    ];
    let first = vec(any::<u8>(), 0..3);
    (first, vec(piece, 0..12)).prop_map(|(first, pieces)| [first, pieces.concat()].concat())
}

/// Runs a target with each of its seeds, whole, cut in half and doubled.
fn seeds(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        run(&seed);
        run(&seed[..seed.len() / 2]);
        run(&seed.repeat(2));
        count += 1;
    }
    assert!(count > 0);
}

macro_rules! hostile {
    (cases: $cases:literal, $($target:ident: $seeds:ident, $any:ident;)*) => {
        $(
            #[test]
            fn $seeds() {
                seeds(stringify!($target), $target::run);
            }
        )*
        proptest! {
            #![proptest_config(ProptestConfig::with_cases($cases))]
            $(
                #[test]
                fn $any(data in hostile()) {
                    $target::run(&data);
                }
            )*
        }
    };
}

hostile! {
    cases: 256,
    topic: the_seeds_of_topics, any_topic;
    payload: the_seeds_of_payloads, any_payload;
    frame: the_seeds_of_frames, any_frame;
    http_request: the_seeds_of_requests, any_request;
    device_answer: the_seeds_of_answers, any_answer;
    config: the_seeds_of_configurations, any_configuration;
    environment: the_seeds_of_environments, any_environment;
    session_file: the_seeds_of_session_files, any_session_file;
    discovery: the_seeds_of_discovery_documents, any_discovery_document;
    broker_packets: the_seeds_of_broker_packets, any_broker_packet;
    certificate: the_seeds_of_certificate_contents, any_certificate_content;
    link_frame: the_seeds_of_link_frames, any_link_frame;
    etcd_answer: the_seeds_of_etcd_answers, any_etcd_answer;
    gateway_message: the_seeds_of_gateway_messages, any_gateway_message;
}

// Fewer cases, because each opens a TLS connection.
hostile! {
    cases: 32,
    device_http: the_seeds_of_http_answers, any_http_answer;
    device_certificate: the_seeds_of_certificates, any_certificate;
}

/// Nesting deeper than a parser should follow, and deeper than the stack allows. What fails this test is a panic, or a
/// crash of the whole program: a stack that is used up.
#[test]
fn no_nesting_panics_or_crashes() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"connections\":", "}]")] {
        for depth in [100, 128, 2000] {
            for text in [
                format!("{}1{}", open.repeat(depth), close.repeat(depth)),
                open.repeat(depth),
            ] {
                frame::run(text.as_bytes());
                frame::run(format!("{{\"topic\":\"room/1/x\",\"payload\":{text}}}").as_bytes());
                config::run(format!("x = {text}").as_bytes());
                for which in (0..=u8::MAX).step_by(17) {
                    payload::run(&[&[which], text.as_bytes()].concat());
                    device_answer::run(&[&[which, 0], text.as_bytes()].concat());
                }
            }
        }
    }
}

/// A long topic is refused quickly and without much memory.
#[test]
fn a_long_topic_costs_nothing() {
    let began = std::time::Instant::now();
    for _ in 0..20 {
        topic::run(&[&[255], "room/1/".as_bytes(), &[b'x'; 250_000]].concat());
    }
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}
