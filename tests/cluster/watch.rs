//! Watches the cluster's keys at every member of etcd, and writes the history.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::clock;
use crate::etcd::client;
use crate::history::{Change, History};
use crate::keys::PREFIX;

/// The delay before a lost watch is made again.
const AGAIN: Duration = Duration::from_millis(50);

/// Watches until it is dropped.
pub struct Watches {
    _tasks: JoinSet<()>,
}

impl Watches {
    pub fn start(ports: Vec<u16>, history: &Arc<Mutex<History>>) -> Self {
        let mut tasks = JoinSet::new();
        for port in ports {
            tasks.spawn(stay(port, history.clone()));
        }
        Self { _tasks: tasks }
    }
}

async fn stay(port: u16, history: Arc<Mutex<History>>) {
    // A watch never ends by itself, so there is no time limit.
    let client = client(Duration::from_secs(365 * 24 * 3600));
    loop {
        // An error is a member that is down. The others watch too.
        let _ = watch(&client, port, &history).await;
        sleep(AGAIN).await;
    }
}

async fn watch(
    client: &reqwest::Client,
    port: u16,
    history: &Mutex<History>,
) -> Result<(), reqwest::Error> {
    let mut end = PREFIX.as_bytes().to_vec();
    // The first key after all that begin with the prefix and a slash.
    end.push(b'/' + 1);
    let from = history.lock().unwrap().revision() + 1;
    let body = json!({"create_request": {
        "key": BASE64.encode(format!("{PREFIX}/")),
        "range_end": BASE64.encode(end),
        "start_revision": from.to_string(),
    }});
    let url = format!("http://127.0.0.1:{port}/v3/watch");
    let response = client.post(url).json(&body).send().await?;
    let mut chunks = response.error_for_status()?.bytes_stream();
    let mut text = Vec::new();
    while let Some(chunk) = chunks.next().await {
        text.extend_from_slice(&chunk?);
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = text.drain(..=end).collect();
            let message = serde_json::from_slice(&line).unwrap_or_default();
            history
                .lock()
                .unwrap()
                .hear(&changes(&message, clock::now()));
        }
    }
    Ok(())
}

/// The changes in a message of a watch.
fn changes(message: &Value, heard: u64) -> Vec<Change> {
    let events = message["result"]["events"].as_array();
    let change = |event: &Value| {
        let kv = &event["kv"];
        let text = |name: &str| BASE64.decode(kv[name].as_str().unwrap_or_default()).ok();
        let number = |name: &str| kv[name].as_str()?.parse().ok();
        let deleted = event["type"] == "DELETE";
        Some(Change {
            revision: number("mod_revision")?,
            created: number("create_revision").unwrap_or(0),
            heard,
            key: String::from_utf8(text("key")?).ok()?,
            value: if deleted { None } else { text("value") },
        })
    };
    events.into_iter().flatten().filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::etcd::Etcd;
    use crate::proxy::ETCD_MEMBERS;

    #[test]
    fn a_message_of_etcd_is_read() {
        let message = json!({"result": {"header": {"revision": "4"}, "events": [
            {"kv": {"key": BASE64.encode("/p/a"), "mod_revision": "3", "create_revision": "2", "value": BASE64.encode("x")}},
            {"type": "DELETE", "kv": {"key": BASE64.encode("/p/b"), "mod_revision": "4"}},
        ]}});
        let changes = changes(&message, 9);
        assert_eq!(changes.len(), 2);
        assert_eq!((changes[0].revision, changes[0].created), (3, 2));
        assert_eq!(changes[0].key, "/p/a");
        assert_eq!(changes[0].value.as_deref(), Some(&b"x"[..]));
        assert_eq!((changes[1].revision, &changes[1].value), (4, &None));
    }

    /// A watch misses nothing while members of etcd die and come back, and hears nothing twice.
    #[test]
    fn nothing_is_missed_while_members_of_etcd_die() {
        if crate::can_run() {
            crate::with_runtime(members_die());
        }
    }

    async fn members_die() {
        let directory = tempfile::tempdir().unwrap();
        let mut etcd = Etcd::start(directory.path());
        let long = Duration::from_secs(30);
        assert!(etcd.answers(long).await);
        let history = Arc::<Mutex<History>>::default();
        let ports = (0..ETCD_MEMBERS).map(|member| etcd.port(member)).collect();
        let _watches = Watches::start(ports, &history);
        let mut expected = Vec::new();
        for round in 0..3 {
            let leader = etcd.leader(long).await.unwrap();
            let killed: Vec<_> = (0..=round)
                .map(|step| (leader + step) % ETCD_MEMBERS)
                .collect();
            killed.iter().for_each(|member| etcd.kill(*member));
            assert_eq!(
                etcd.answers(Duration::from_secs(5)).await,
                round == 0,
                "round {round}"
            );
            killed.iter().for_each(|member| etcd.run(*member));
            assert!(etcd.answers(long).await);
            let name = format!("gw-{round}");
            assert!(etcd.put(&format!("{PREFIX}/members/{name}"), "{}").await);
            expected.push(name);
        }
        let heard = || history.lock().unwrap().members() == expected;
        for _ in 0..200 {
            if heard() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?}, not {expected:?}", history.lock().unwrap().members());
    }
}
