//! Three members of etcd as processes, with the timing that the documentation advises for one site.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use poly2mqtt_test_support::{free_port, watchdog};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::proxy::ETCD_MEMBERS;

/// etcd's program; `None` if it is not installed. With `POLY2MQTT_TEST_ETCD=required` a missing one fails.
pub fn etcd() -> Option<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places)
        .map(|place| place.join("etcd"))
        .find(|path| path.is_file());
    if std::env::var("POLY2MQTT_TEST_ETCD").is_ok_and(|value| value == "required") {
        assert!(found.is_some(), "etcd is required but not installed");
    }
    found
}

struct Member {
    client: u16,
    peer: u16,
    child: Option<Child>,
}

pub struct Etcd {
    directory: PathBuf,
    members: Vec<Member>,
    http: reqwest::Client,
}

impl Etcd {
    /// Starts all members.
    pub fn start(directory: &Path) -> Self {
        let member = |_| Member {
            client: free_port(),
            peer: free_port(),
            child: None,
        };
        let mut etcd = Self {
            directory: directory.to_owned(),
            members: (0..ETCD_MEMBERS).map(member).collect(),
            http: client(Duration::from_secs(2)),
        };
        for member in 0..ETCD_MEMBERS {
            etcd.run(member);
        }
        etcd
    }

    /// Starts a member that does not run, with the data that it has.
    pub fn run(&mut self, number: usize) {
        if self.members[number].child.is_some() {
            return;
        }
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let all: Vec<_> = (0..)
            .zip(&self.members)
            .map(|(number, member)| format!("m{number}={}", url(member.peer)))
            .collect();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.join(format!("etcd-{number}.log")))
            .unwrap();
        let member = &mut self.members[number];
        let child = Command::new(etcd().expect("etcd is installed"))
            .args(["--name", &format!("m{number}"), "--data-dir"])
            .arg(self.directory.join(format!("etcd-{number}")))
            .args(["--listen-client-urls", &url(member.client)])
            .args(["--advertise-client-urls", &url(member.client)])
            .args(["--listen-peer-urls", &url(member.peer)])
            .args(["--initial-advertise-peer-urls", &url(member.peer)])
            .args(["--initial-cluster", &all.join(",")])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(["--logger", "zap", "--log-level", "warn"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        watchdog::started(child.id());
        member.child = Some(child);
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut child) = self.members[number].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
            watchdog::ended(child.id());
        }
    }

    pub fn port(&self, number: usize) -> u16 {
        self.members[number].client
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

    /// The member that leads, as the others see it.
    pub async fn leader(&self) -> Option<usize> {
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

impl Drop for Etcd {
    fn drop(&mut self) {
        for number in 0..ETCD_MEMBERS {
            self.kill(number);
        }
    }
}

/// An HTTP client for addresses on this machine.
pub fn client(timeout: Duration) -> reqwest::Client {
    // It can only be set once, and the first one is right.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(timeout);
    client.build().unwrap()
}
