//! Floods at the door for plain lines.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::attacker::{ANSWER_TIMEOUT, Flood, next};
use super::gateway::{HONEST, SCREEN};

pub async fn silent(flood: &Flood) {
    let wait = || async {
        let mut stream = flood.connect(flood.ports.lines).await?;
        flood.until_closed(&mut stream).await
    };
    flood.keep(flood.size(1200, 320), wait).await;
}

pub async fn endless(flood: &Flood) {
    let block = [b'x'; 16 << 10];
    let send = || async {
        let mut stream = flood.connect(flood.ports.lines).await?;
        if next().is_multiple_of(2) {
            let token = format!("token {}\r\n", SCREEN.secret);
            stream.write_all(token.as_bytes()).await?;
        }
        loop {
            flood.turn().await;
            stream.write_all(&block).await?;
            flood.count("blocks");
        }
    };
    flood.keep(flood.size(32, 8), send).await;
}

async fn guess(flood: &Flood, token: &str) -> io::Result<bool> {
    let mut stream = flood.connect(flood.ports.lines).await?;
    let lines = format!("token {token}\r\nroom/1/availability/get\r\n");
    stream.write_all(lines.as_bytes()).await?;
    flood.count("guesses");
    let mut answer = Vec::new();
    let read = async {
        while !answer.contains(&b'\n') {
            if stream.read_buf(&mut answer).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    let read = timeout(ANSWER_TIMEOUT, read).await;
    read.map_err(|_| io::ErrorKind::TimedOut)??;
    let answer = String::from_utf8_lossy(&answer);
    flood.count("answered");
    // Whoever is let in is answered about the room.
    Ok(answer.starts_with("room/1/"))
}

pub async fn guesses(flood: &Flood) {
    let guess = |secret: String| async move { guess(flood, &secret).await };
    flood.keep_guessing(flood.size(32, 4), guess).await;
}

pub async fn guess_right(flood: &Flood) -> io::Result<bool> {
    guess(flood, HONEST.secret).await
}

pub async fn unread(flood: &Flood) {
    let wrong = "nothing/of/this/kind at all\r\n".repeat(256);
    let send = || async {
        let mut stream = flood.connect_unread(flood.ports.lines).await?;
        let token = format!("token {}\r\n", SCREEN.secret);
        stream.write_all(token.as_bytes()).await?;
        loop {
            flood.turn().await;
            stream.write_all(wrong.as_bytes()).await?;
            flood.add("lines", 256);
        }
    };
    flood.keep(flood.size(4, 4), send).await;
}
