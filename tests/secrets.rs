//! No secret is ever in a log, a topic or a debug print, at whatever level the log is.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use poly2mqtt::config::Secret;
use poly2mqtt::simulator::{Fault, FaultKind, Options};
use tracing_subscriber::fmt::MakeWriter;

use common::Kind;
use common::gateway::Gateway;
use common::secrets::{CALL, OTHER, PASSWORD, PIN, find};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_secret_is_told() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .init();
    let options = Options {
        password: PASSWORD.into(),
        ..Options::default()
    };
    let mut it = Gateway::start_with(Kind::Embedded, options, |room| {
        room.password = Secret::new(PASSWORD);
    })
    .await;
    it.online().await;
    let dial = format!("{{\"address\":\"a@b\",\"password\":\"{CALL}\"}}");
    let wrong = format!("{{\"address\":7,\"password\":[\"{CALL}\"]}}");
    let broken = format!("{{\"address\":\"a@b\",\"password\":\"{CALL}");
    for payload in [dial.as_str(), &wrong, &broken] {
        it.client.command("room/1/call/dial", payload).await;
    }
    it.client
        .command("room/1/collaboration/content/all/get", PIN)
        .await;
    for kind in [FaultKind::DropBefore, FaultKind::Garbage] {
        let path = "/rest/collaboration";
        it.device.add_fault(Fault::on(path, kind).times(3));
        it.client
            .command("room/1/collaboration/content/all/get", PIN)
            .await;
    }
    it.client.command("room/1/session/renew", "").await;
    it.client.command("room/1/session/get", "").await;
    let mut config = it.config.clone();
    for room in config.rooms.values_mut() {
        room.password = Secret::new(OTHER);
    }
    it.service.reload(config.clone()).await.unwrap();
    it.problem("unauthorized").await;
    let topics: Vec<String> = it
        .client
        .all()
        .into_iter()
        .filter(|(topic, _)| !topic.ends_with("/dial") && !topic.ends_with("/all/get"))
        .map(|(topic, payload)| format!("{topic} {payload}"))
        .collect();
    assert_eq!(find(&topics.join("\n")), None);
    let shown = format!("{:?} {config:?} {}", it.service, config.redacted());
    assert_eq!(find(&shown), None);
    it.service.stop().await;
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("TRACE") && log.contains("poly2mqtt"), "no log");
    assert_eq!(find(&log), None);
    it.device.stop().await;
}
