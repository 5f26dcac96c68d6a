//! Floods over WebSocket. Frames are written as bytes, RFC 6455 section 5.2.

use std::io;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::attacker::{ANSWER_TIMEOUT, Flood};
use super::gateway::{HONEST, LOBBY, SCREEN};
use super::http::{IMPATIENCE, count_guess, status};

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const PING: u8 = 9;
const LAST: u8 = 0x80;

/// A frame with the mask 0, which leaves the payload as it is. `payload` has less than 64 KiB.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Asks for a WebSocket and gives the status of the answer, if one comes in time.
async fn upgrade(
    flood: &Flood,
    stream: &mut TcpStream,
    token: &str,
    patience: Duration,
) -> io::Result<Option<u16>> {
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {token}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        flood.ports.http
    );
    stream.write_all(request.as_bytes()).await?;
    match timeout(patience, status(stream)).await {
        Ok(status) => Ok(Some(status?)),
        Err(_) => Ok(None),
    }
}

/// A client that may read, and whose system takes as little as possible.
async fn client(flood: &Flood) -> io::Result<TcpStream> {
    let mut stream = flood.connect_unread(flood.ports.http).await?;
    match upgrade(flood, &mut stream, SCREEN.secret, ANSWER_TIMEOUT).await? {
        Some(101) => {
            flood.count("let_in");
            Ok(stream)
        }
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

/// Clients that send these bytes without end and read nothing.
async fn send_unread(flood: &Flood, clients: usize, first: &[u8], again: &[u8]) {
    let send = || async {
        let mut stream = client(flood).await?;
        stream.write_all(first).await?;
        loop {
            flood.turn().await;
            // Blocks when the gateway reads no further, and fails when it has ended the connection.
            stream.write_all(again).await?;
            flood.add("kib", again.len() / 1024);
        }
    };
    flood.keep(clients, send).await;
}

pub async fn pings(flood: &Flood) {
    let ping = frame(LAST | PING, &[b'x'; 125]).repeat(128);
    send_unread(flood, flood.size(1, 4), &[], &ping).await;
}

pub async fn subscriptions(flood: &Flood) {
    let text = format!("{{\"id\":1,\"subscribe\":[\"room/{LOBBY}/#\"]}}");
    let subscribe = frame(LAST | TEXT, text.as_bytes()).repeat(64);
    send_unread(flood, flood.size(4, 4), &[], &subscribe).await;
}

pub async fn fragments(flood: &Flood) {
    let begin = frame(TEXT, b"{\"id\":1,\"topic\":\"");
    let go_on = frame(CONTINUATION, &[b'x'; 4096]).repeat(4);
    send_unread(flood, flood.size(4, 4), &begin, &go_on).await;
}

async fn guess(flood: &Flood, token: &str, patience: Duration) -> io::Result<bool> {
    let mut stream = flood.connect(flood.ports.http).await?;
    flood.count("guesses");
    let answer = upgrade(flood, &mut stream, token, patience).await?;
    match answer {
        Some(status) => count_guess(flood, status).await,
        None => flood.count("hung_up"),
    }
    Ok(answer == Some(101))
}

pub async fn guesses(flood: &Flood) {
    let guess = |secret: String| async move { guess(flood, &secret, IMPATIENCE).await };
    flood.keep_guessing(flood.size(32, 4), guess).await;
}

pub async fn guess_right(flood: &Flood) -> io::Result<bool> {
    guess(flood, HONEST.secret, ANSWER_TIMEOUT).await
}
