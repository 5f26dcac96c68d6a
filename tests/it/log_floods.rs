//! A client that is refused again and again: at each door it gets every answer and is counted in the
//! metrics, but it does not fill the log.

use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt_simulator::Options;
use poly2mqtt_test_support::BrokerKind;
use poly2mqtt_test_support::door::{Doors, http, text, token};
use poly2mqtt_test_support::gateway::Gateway;
use poly2mqtt_test_support::log::{Log, thread_log};

const TOKEN: &str = "a-token-that-only-reads";
/// Refused commands at each door.
const REFUSED: usize = 120;
/// Lines in full: ten a minute, and a new minute may begin while the test runs.
const MOST_LINES: usize = 20;

/// The number after `name=` in a line.
fn number(line: &str, name: &str) -> usize {
    let field = format!(" {name}=");
    let (_, rest) = line.split_once(&field).unwrap_or_else(|| panic!("{line}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// All failures of this code and topic are in the log: few in full, the others in counts.
fn is_short(log: &Log, door: &str, code: &str, command: &str) {
    let log = log.text();
    let of_code = |line: &&str| line.contains(&format!("code=\"{code}\""));
    let in_full: Vec<_> = log
        .lines()
        .filter(of_code)
        .filter(|line| line.contains(&format!("command=\"{command}")))
        .collect();
    let counts: Vec<_> = log
        .lines()
        .filter(of_code)
        .filter(|line| line.contains("again in the last minute: command failed"))
        .filter(|line| line.contains(&format!("door=\"{door}\"")))
        .collect();
    let first = in_full.first().expect("the first is logged");
    assert!(first.contains("room{room=\"1\"}"), "{first}");
    assert!(
        first.contains("command failed") && first.contains("reason="),
        "{first}"
    );
    assert!(in_full.len() <= MOST_LINES, "{}", in_full.len());
    assert!(!counts.is_empty() && counts.len() <= 2, "{log}");
    // What a token may not send is counted without its room, which need not exist.
    let names_room = |line: &&str| line.contains("room{room=\"1\"}");
    let has_room = code != "forbidden";
    assert!(
        counts.iter().all(|it| names_room(it) == has_room),
        "{counts:?}"
    );
    let counted: usize = counts.iter().map(|line| number(line, "count")).sum();
    assert_eq!(in_full.len() + counted, REFUSED, "{door}\n{log}");
    assert!(log.lines().all(|line| line.len() < 2000), "{log}");
}

#[tokio::test]
async fn refused_commands_at_every_door_of_clients_write_few_lines() {
    let (log, _guard) = thread_log();
    let configured = token(TOKEN, AccessLevel::Read, None);
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![configured];
    })
    .await;
    let mut ws = doors.ws(&format!("/ws?token={TOKEN}")).await;
    for id in 0..REFUSED as u64 {
        let unknown = "n".repeat(800);
        let answer = ws.ask(id, &format!("\"topic\":\"room/1/{unknown}\"")).await;
        assert_eq!(answer["payload"]["error"]["code"], "forbidden", "{answer}");
    }
    let mut tcp = doors.tcp().await;
    tcp.send(&format!("token {TOKEN}\n")).await;
    for _ in 0..REFUSED {
        tcp.send("room/1/audio/volume/set 5\n").await;
        let line = tcp.line().await.unwrap();
        assert!(line.contains("error forbidden"), "{line}");
    }
    let client = http();
    for _ in 0..REFUSED {
        let request = client
            .post(doors.url("/room/1/camera/move"))
            .bearer_auth(TOKEN);
        assert_eq!(request.send().await.unwrap().status(), 403);
    }
    let metrics = text(&doors.url(&format!("/metrics?token={TOKEN}"))).await;
    for series in [
        "door=\"websocket\",outcome=\"forbidden\"",
        "door=\"tcp\",outcome=\"forbidden\"",
        "door=\"http\",outcome=\"forbidden\"",
    ] {
        let wanted = format!("poly2mqtt_commands_total{{{series}}} {REFUSED}\n");
        assert!(metrics.contains(&wanted), "{wanted}\n{metrics}");
    }
    doors.stop().await;
    is_short(&log, "websocket", "forbidden", "nnn");
    is_short(&log, "tcp", "forbidden", "audio/volume/set");
    is_short(&log, "http", "forbidden", "camera/move");
}

#[tokio::test]
async fn refused_commands_over_mqtt_write_few_lines() {
    let (log, _guard) = thread_log();
    let it = Gateway::start(BrokerKind::Embedded, Options::default()).await;
    it.online().await;
    for _ in 0..REFUSED {
        let command = "room/1/audio/volume/set";
        let result = it.client.command(command, "y".repeat(900)).await;
        assert_eq!(result["error"]["code"], "invalid_payload");
    }
    it.service.stop().await;
    is_short(&log, "mqtt", "invalid_payload", "audio/volume/set");
}
