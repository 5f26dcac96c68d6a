//! Floods at the HTTP door.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::attacker::{ANSWER_TIMEOUT, Flood, next};
use super::gateway::{HONEST, LOBBY, PANEL, SCREEN};

/// How long an impatient guess waits: a right one is answered sooner.
pub const IMPATIENCE: Duration = Duration::from_millis(20);

pub async fn unread(flood: &Flood) {
    let host = format!("Host: 127.0.0.1:{}\r\n", flood.ports.http);
    let token = format!("Authorization: Bearer {}\r\n", SCREEN.secret);
    let ask = || async {
        let mut stream = flood.connect_unread(flood.ports.http).await?;
        // Every second one has a token, so that the document itself is asked for.
        let token = if next().is_multiple_of(2) {
            token.as_str()
        } else {
            ""
        };
        let request = format!("GET /asyncapi.json HTTP/1.1\r\n{host}{token}\r\n");
        let requests = request.repeat(64);
        loop {
            // Ends when the gateway reads no further, or has ended the connection.
            stream.write_all(requests.as_bytes()).await?;
            flood.add("requests", 64);
        }
    };
    flood.keep(flood.size(1000, 200), ask).await;
}

pub async fn slow_heads(flood: &Flood) {
    let dawdle = || async {
        let mut stream = flood.connect(flood.ports.http).await?;
        let head = format!(
            "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n",
            flood.ports.http
        );
        stream.write_all(head.as_bytes()).await?;
        loop {
            sleep(Duration::from_secs(1)).await;
            stream.write_all(b"X-More: of it\r\n").await?;
            flood.count("lines");
        }
    };
    flood.keep(flood.size(1000, 200), dawdle).await;
}

pub async fn silent(flood: &Flood) {
    let wait = || async {
        let mut stream = flood.connect(flood.ports.http).await?;
        flood.until_closed(&mut stream).await
    };
    flood.keep(320, wait).await;
}

/// The status of the next answer.
pub async fn status(stream: &mut TcpStream) -> io::Result<u16> {
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        if stream.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok());
    status.ok_or_else(|| io::Error::other("no answer"))
}

/// Counts a guess by the status of its answer. 429 says that it was not even looked at: a clever
/// guesser then waits.
pub async fn count_guess(flood: &Flood, status: u16) {
    if status == 429 {
        flood.count("not_checked");
        sleep(IMPATIENCE).await;
    } else {
        flood.count("checked");
    }
}

async fn guess(flood: &Flood, token: &str, patience: Duration) -> io::Result<bool> {
    let mut stream = flood.connect(flood.ports.http).await?;
    let request = format!(
        "GET /room/1/availability HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {token}\r\n\r\n",
        flood.ports.http
    );
    stream.write_all(request.as_bytes()).await?;
    flood.count("guesses");
    match timeout(patience, status(&mut stream)).await {
        Ok(Ok(status)) => {
            count_guess(flood, status).await;
            Ok(status == 200)
        }
        Ok(Err(error)) => Err(error),
        Err(_) => {
            flood.count("hung_up");
            Ok(false)
        }
    }
}

pub async fn guesses(flood: &Flood) {
    let guess = |secret: String| async move { guess(flood, &secret, IMPATIENCE).await };
    flood.keep_guessing(flood.size(32, 8), guess).await;
}

pub async fn guess_right(flood: &Flood) -> io::Result<bool> {
    guess(flood, HONEST.secret, ANSWER_TIMEOUT).await
}

pub async fn huge(flood: &Flood) {
    const BLOCK: usize = 64 << 10;
    let command = format!(
        "POST /room/{LOBBY}/audio/volume/set HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\
         Authorization: Bearer {}\r\n",
        flood.ports.http, PANEL.secret
    );
    let line = format!("X-Filler: {}\r\n", "x".repeat(1000)).repeat(BLOCK / 1024);
    let mut chunk = format!("{BLOCK:x}\r\n").into_bytes();
    chunk.resize(chunk.len() + BLOCK, b'x');
    chunk.extend_from_slice(b"\r\n");
    let send = || async {
        let mut stream = flood.connect(flood.ports.http).await?;
        let (begin, more) = match next() % 3 {
            0 => (
                "GET /healthz HTTP/1.1\r\n".to_owned(),
                line.as_bytes().to_vec(),
            ),
            1 => (
                format!("{command}Content-Length: 1000000000\r\n\r\n"),
                vec![b'x'; BLOCK],
            ),
            _ => (
                format!("{command}Transfer-Encoding: chunked\r\n\r\n"),
                chunk.clone(),
            ),
        };
        stream.write_all(begin.as_bytes()).await?;
        loop {
            flood.turn().await;
            stream.write_all(&more).await?;
            flood.count("blocks");
        }
    };
    flood.keep(flood.size(32, 8), send).await;
}
