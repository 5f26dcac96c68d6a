//! Three members of etcd, and what the judge asks of them.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use poly2mqtt_test_support::EtcdCluster;
use poly2mqtt_test_support::etcd::EtcdSetup;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::proxy::ETCD_MEMBERS;

pub struct Etcd {
    members: EtcdCluster,
    http: reqwest::Client,
}

impl Etcd {
    /// Starts all members, with data and logs in this directory.
    pub fn start(directory: &Path) -> Self {
        Self {
            members: EtcdCluster::start_in(directory, ETCD_MEMBERS, EtcdSetup::default()),
            http: client(Duration::from_secs(2)),
        }
    }

    /// Starts a member that does not run, with the data that it has.
    pub fn run(&mut self, number: usize) {
        self.members.start_member(number);
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self, number: usize) {
        self.members.kill(number);
    }

    pub fn port(&self, number: usize) -> u16 {
        self.members.port(number)
    }

    async fn ask(&self, number: usize, path: &str, body: &Value) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}{path}", self.port(number));
        let response = self.http.post(url).json(body).send().await.ok()?;
        response.error_for_status().ok()?.json().await.ok()
    }

    /// Sets a key; false if no member takes it.
    pub async fn put(&self, key: &str, value: &str) -> bool {
        let put = json!({"key": BASE64.encode(key), "value": BASE64.encode(value)});
        for number in 0..ETCD_MEMBERS {
            if self.ask(number, "/v3/kv/put", &put).await.is_some() {
                return true;
            }
        }
        false
    }

    /// The member that leads; waits until one says so of itself, which can be later than the first answer.
    pub async fn leader(&self, within: Duration) -> Option<usize> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(leader) = self.who_leads().await {
                return Some(leader);
            }
            sleep(Duration::from_millis(20)).await;
        }
        None
    }

    async fn who_leads(&self) -> Option<usize> {
        for number in 0..ETCD_MEMBERS {
            let Some(status) = self.ask(number, "/v3/maintenance/status", &json!({})).await else {
                continue;
            };
            if status["leader"] == status["header"]["member_id"] && status["leader"].is_string() {
                return Some(number);
            }
        }
        None
    }

    /// Waits until etcd answers a read by majority; false if it does not in time.
    pub async fn answers(&self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            for number in 0..ETCD_MEMBERS {
                let read = json!({"key": "Lw=="});
                if self.ask(number, "/v3/kv/range", &read).await.is_some() {
                    return true;
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

/// An HTTP client for addresses on this machine.
pub fn client(timeout: Duration) -> reqwest::Client {
    // It can only be set once, and the first one is right.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(timeout);
    client.build().unwrap()
}
