//! Guessing of tokens: how far it gets at each door, and that it holds back nobody else.
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use poly2mqtt::config::AccessLevel;
use poly2mqtt::doors::clients::ClientLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use poly2mqtt_test_support::door::{Doors, http, text, token};
use poly2mqtt_test_support::log::file_contains;
use poly2mqtt_test_support::{SOON, soon};

/// Long enough that nobody guesses it.
const LONG: &str = "a-token-of-more-than-sixteen-characters";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Via {
    Http,
    WebSocket,
    Lines,
}

const ALL: [Via; 3] = [Via::Http, Via::WebSocket, Via::Lines];

async fn guarded(trusted_proxies: &[&str]) -> Doors {
    let proxies = trusted_proxies.iter().map(|text| text.parse().unwrap());
    Doors::start_with(ClientLimits::default(), |config| {
        config.http.trusted_proxies = proxies.collect();
        config.http.tokens = vec![
            token("known", AccessLevel::Read, None),
            token("fresh", AccessLevel::Read, None),
            token(LONG, AccessLevel::Read, None),
        ];
    })
    .await
}

/// Connects and shows a token, and reads nothing.
async fn show(doors: &Doors, via: Via, token: &str, header: &str) -> TcpStream {
    let (addr, sent): (SocketAddr, String) = match via {
        Via::Lines => (
            doors.service.tcp_addr().unwrap(),
            format!("token {token}\nping\n"),
        ),
        Via::Http => (
            doors.addr(),
            format!(
                "GET /gateway/availability HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                 Authorization: Bearer {token}\r\n{header}\r\n"
            ),
        ),
        Via::WebSocket => (
            doors.addr(),
            format!(
                "GET /ws?token={token} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                 Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n{header}\r\n"
            ),
        ),
    };
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// The first line of the answer to a token.
async fn answer(doors: &Doors, via: Via, token: &str, header: &str) -> String {
    let mut stream = show(doors, via, token, header).await;
    let mut line = Vec::new();
    let read = async {
        while !line.ends_with(b"\n") {
            line.push(stream.read_u8().await.unwrap());
        }
    };
    timeout(SOON, read).await.expect("an answer comes");
    String::from_utf8(line).unwrap()
}

fn is_admitted(via: Via, answer: &str) -> bool {
    match via {
        Via::Http => answer.starts_with("HTTP/1.1 200 "),
        Via::WebSocket => answer.starts_with("HTTP/1.1 101 "),
        Via::Lines => answer == "pong\r\n",
    }
}

fn is_refused_unchecked(via: Via, answer: &str) -> bool {
    match via {
        Via::Http | Via::WebSocket => answer.starts_with("HTTP/1.1 429 "),
        Via::Lines => answer.starts_with("closed too many wrong tokens"),
    }
}

/// How many guesses were checked, at all doors.
async fn checked(doors: &Doors) -> u64 {
    let metrics = text(&doors.url(&format!("/metrics?token={LONG}"))).await;
    let counts = metrics
        .lines()
        .filter(|line| line.starts_with("poly2mqtt_guesses_total{"));
    counts
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}

/// How many guesses are checked until an address is blocked for five seconds: the sixth blocks it for a
/// little more than one, which a busy machine may need for the next request.
const CHECKED: u64 = 7;

/// Shows wrong tokens, another one each time, and hangs up at once, until the address is blocked.
async fn guess(doors: &Doors, via: Via, header: &str) {
    let guesses = async {
        for n in 0.. {
            drop(show(doors, via, &format!("guess-{n}"), header).await);
            if n % 10 == 9 && checked(doors).await >= CHECKED {
                return;
            }
        }
    };
    soon("the address is blocked", guesses).await;
}

#[tokio::test]
async fn hanging_up_early_gains_no_guesses_at_any_door() {
    for via in ALL {
        let doors = guarded(&[]).await;
        let admitted = answer(&doors, via, "known", "").await;
        assert!(is_admitted(via, &admitted), "{via:?} {admitted}");
        let begun = Instant::now();
        guess(&doors, via, "").await;
        for n in 0..100 {
            drop(show(&doors, via, &format!("more-{n}"), "").await);
        }
        for at in ALL {
            // Whether a short token is right is not said any more, at any door.
            for token in ["fresh", "wrong"] {
                let refused = answer(&doors, at, token, "").await;
                assert!(
                    is_refused_unchecked(at, &refused),
                    "{via:?} {at:?} {refused}"
                );
            }
            // One that cannot be guessed, or was right here before, is let in at once.
            for token in [LONG, "known"] {
                let admitted = answer(&doors, at, token, "").await;
                assert!(is_admitted(at, &admitted), "{via:?} {at:?} {admitted}");
            }
        }
        // Six at once, and one more in five seconds.
        let most = 7 + begun.elapsed().as_secs() / 5;
        let checked = checked(&doors).await;
        assert!(checked <= most, "{via:?}: {checked} guesses were checked");
        doors.stop().await;
    }
}

#[tokio::test]
async fn the_answer_says_when_to_try_again() {
    let doors = guarded(&[]).await;
    guess(&doors, Via::Http, "").await;
    let request = http().get(doors.url("/room/1")).bearer_auth("wrong");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 429);
    let retry_after = response.headers()["retry-after"].to_str().unwrap();
    let seconds: u64 = retry_after.parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    doors.stop().await;
}

#[tokio::test]
async fn one_panel_with_an_old_token_blocks_nobody() {
    let doors = guarded(&[]).await;
    for via in ALL {
        for _ in 0..20 {
            drop(show(&doors, via, "old-token", "").await);
        }
    }
    for via in ALL {
        let admitted = answer(&doors, via, "fresh", "").await;
        assert!(is_admitted(via, &admitted), "{via:?} {admitted}");
    }
    doors.stop().await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_penalty() {
    let doors = guarded(&["127.0.0.0/8"]).await;
    let from = |clients: &str| format!("X-Forwarded-For: {clients}\r\n");
    guess(&doors, Via::Http, &from("198.51.100.1")).await;
    for via in [Via::Http, Via::WebSocket] {
        for guesser in ["198.51.100.1", "198.51.100.2, [::ffff:198.51.100.1]:4711"] {
            let refused = answer(&doors, via, "fresh", &from(guesser)).await;
            assert!(is_refused_unchecked(via, &refused), "{guesser}: {refused}");
        }
    }
    for via in [Via::WebSocket, Via::Http] {
        for other in ["198.51.100.2", "198.51.100.1, 198.51.100.2, 127.0.0.9"] {
            let admitted = answer(&doors, via, "fresh", &from(other)).await;
            assert!(is_admitted(via, &admitted), "{other}: {admitted}");
        }
    }
    doors.stop().await;
}

#[tokio::test]
async fn nobody_else_may_name_the_clients_address() {
    let doors = guarded(&["192.0.2.1"]).await;
    let guesses = async {
        for n in 0.. {
            let header = format!("X-Forwarded-For: 198.51.100.{}\r\n", n % 250);
            drop(show(&doors, Via::Http, &format!("guess-{n}"), &header).await);
            if n % 10 == 9 && checked(&doors).await >= CHECKED {
                return;
            }
        }
    };
    soon("the address is blocked", guesses).await;
    let header = "X-Forwarded-For: 203.0.113.1\r\n";
    let refused = answer(&doors, Via::Http, "fresh", header).await;
    assert!(is_refused_unchecked(Via::Http, &refused), "{refused}");
    doors.stop().await;
}

#[tokio::test]
async fn a_reload_takes_over_the_proxies() {
    let mut doors = guarded(&[]).await;
    guess(&doors, Via::Http, "").await;
    let header = "X-Forwarded-For: 198.51.100.1\r\n";
    let refused = answer(&doors, Via::Http, "fresh", header).await;
    assert!(is_refused_unchecked(Via::Http, &refused), "{refused}");
    let mut config = doors.config.clone();
    config.http.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
    doors.service.reload(config).await.unwrap();
    let admitted = answer(&doors, Via::Http, "fresh", header).await;
    assert!(is_admitted(Via::Http, &admitted), "{admitted}");
    doors.stop().await;
}

/// The line that fail2ban reads, from the built program.
#[tokio::test]
async fn the_log_names_the_address_of_each_guess() {
    use poly2mqtt_test_support::free_port;
    use poly2mqtt_test_support::program::{Running, listening, program};
    let dir = tempfile::tempdir().unwrap();
    let (config, log) = (dir.path().join("poly2mqtt.toml"), dir.path().join("log"));
    let port = free_port();
    let text = format!(
        "[mqtt]\nurl = \"off\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
         trusted_proxies = [\"127.0.0.1\"]\n\
         [[http.token]]\nname = \"a\"\ntoken = \"{LONG}\"\n"
    );
    std::fs::write(&config, text).unwrap();
    let mut command = program(&["run", "--config", config.to_str().unwrap()]);
    command.stderr(std::fs::File::create(&log).unwrap());
    let gateway = Running::start(command);
    listening(port);
    let forged = "guess\" address=203.0.113.9 failures=1\nWARN poly2mqtt::doors: wrong token";
    let query: String = url::form_urlencoded::byte_serialize(forged.as_bytes()).collect();
    let request = http()
        .get(format!("http://127.0.0.1:{port}/room/1?token={query}"))
        .header("x-forwarded-for", "2001:db8::7");
    assert_eq!(request.send().await.unwrap().status(), 401);
    file_contains(&log, "wrong token", 1).await;
    drop(gateway);
    let log = std::fs::read_to_string(&log).unwrap();
    let mut lines = log.lines().filter(|line| line.contains("wrong token"));
    let line = lines.next().unwrap();
    let wanted = "WARN poly2mqtt::doors: wrong token or password door=\"http\" address=2001:db8::7 failures=1";
    assert!(line.ends_with(wanted), "{line}");
    assert_eq!(lines.next(), None);
    // The example's pattern is this line, with a place for the address.
    let pattern = include_str!("../../examples/fail2ban/filter.conf");
    assert!(pattern.contains(
        "WARN poly2mqtt::doors: wrong token or password door=\"[a-z]+\" address=<ADDR> failures=\\d+$"
    ));
    let page = include_str!("../../docs/monitoring.md");
    assert!(page.contains("poly2mqtt::doors: wrong token or password door=\"http\" address="));
}

#[tokio::test]
async fn a_guess_that_waits_is_answered_later() {
    let doors = guarded(&[]).await;
    let begun = Instant::now();
    for n in 0..4 {
        let wrong = answer(&doors, Via::Http, &format!("guess-{n}"), "").await;
        assert!(wrong.starts_with("HTTP/1.1 401 "), "{wrong}");
    }
    // 100, 200, 400 and 800 ms.
    assert!(begun.elapsed() >= Duration::from_millis(1500));
    doors.stop().await;
}
