//! Members of etcd as processes, if it is installed.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use poly2mqtt::config::TlsFiles;
use serde_json::{Value, json};

use super::door::http;
use super::program::free_port;
use super::programs::ETCD;
use super::wait::until_some;
use super::watchdog;

/// The path of etcd; `None` if it is not installed, which a line says. With `POLY2MQTT_TEST_ETCD=required` a
/// missing etcd fails the test.
pub fn etcd() -> Option<PathBuf> {
    ETCD.find()
}

/// How the members of etcd are set up, beside their timing.
#[derive(Default)]
pub struct EtcdSetup {
    /// The certificate that they show clients; without one they speak plain HTTP.
    pub tls: Option<TlsFiles>,
    /// More arguments.
    pub more: Vec<String>,
}

/// An etcd cluster on loopback with the timing that its page advises. It ends when it is dropped.
pub struct EtcdCluster {
    members: Vec<EtcdMember>,
    /// Where each member has its data and its log.
    directory: PathBuf,
    /// That directory, if it is to go with the members.
    temporary: Option<tempfile::TempDir>,
    setup: EtcdSetup,
}

struct EtcdMember {
    client_port: u16,
    peer_port: u16,
    /// Where it tells without a certificate and a user whether it is well.
    health_port: u16,
    child: Option<Child>,
}

impl EtcdMember {
    /// It has a leader and answers.
    fn is_well(&self) -> bool {
        let ask = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.health_port))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
            let mut said = String::new();
            stream.read_to_string(&mut said)?;
            std::io::Result::Ok(said)
        };
        ask().is_ok_and(|said| said.contains("\"health\":\"true\""))
    }
}

impl EtcdCluster {
    /// Starts this many members, and waits until they are well.
    pub fn start(members: usize) -> Self {
        Self::start_with(members, EtcdSetup::default())
    }

    /// Starts this many members, set up like this, and waits until they are well.
    pub fn start_with(members: usize, setup: EtcdSetup) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut cluster = Self::start_in(temporary.path(), members, setup);
        cluster.wait_well();
        cluster.temporary = Some(temporary);
        cluster
    }

    /// Starts this many members, with data and logs in this directory.
    pub fn start_in(directory: &Path, members: usize, setup: EtcdSetup) -> Self {
        let member = |_| EtcdMember {
            client_port: free_port(),
            peer_port: free_port(),
            health_port: free_port(),
            child: None,
        };
        let mut cluster = Self {
            members: (0..members).map(member).collect(),
            directory: directory.to_owned(),
            temporary: None,
            setup,
        };
        (0..members).for_each(|n| cluster.start_member(n));
        cluster
    }

    /// Starts a member that does not run, with the data that it has.
    pub fn start_member(&mut self, n: usize) {
        if self.members[n].child.is_some() {
            return;
        }
        let peers: Vec<String> = (0..)
            .zip(&self.members)
            .map(|(n, member): (usize, _)| format!("m{n}=http://127.0.0.1:{}", member.peer_port))
            .collect();
        let client = self.endpoint(&self.members[n]);
        let mut more = self.setup.more.clone();
        if let Some(tls) = &self.setup.tls {
            for (option, file) in [("--cert-file", &tls.certificate), ("--key-file", &tls.key)] {
                more.extend([option.to_owned(), file.to_str().unwrap().to_owned()]);
            }
        }
        let member = &mut self.members[n];
        let peer = format!("http://127.0.0.1:{}", member.peer_port);
        let health = format!("http://127.0.0.1:{}", member.health_port);
        let name = format!("m{n}");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.directory.join(format!("etcd-{n}.log")))
            .unwrap();
        let directory = self.directory.join(&name);
        let child = Command::new(etcd().expect("etcd is installed"))
            .args(["--name", &name, "--data-dir"])
            .arg(directory)
            .args([
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
            ])
            .args([
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
            ])
            .args(["--listen-metrics-urls", &health])
            .args(["--initial-cluster", &peers.join(",")])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .args(["--logger", "zap", "--log-level", "warn"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        watchdog::started(child.id());
        member.child = Some(child);
    }

    /// Waits until each member that runs has a leader and answers. It listens long before that.
    pub fn wait_well(&self) {
        for member in self.members.iter().filter(|it| it.child.is_some()) {
            let what = || format!("etcd at port {} is well", member.client_port);
            until_some(what, || member.is_well().then_some(()));
        }
    }

    /// The addresses of all members.
    pub fn endpoints(&self) -> Vec<String> {
        let members = self.members.iter();
        members.map(|member| self.endpoint(member)).collect()
    }

    fn endpoint(&self, member: &EtcdMember) -> String {
        let scheme = if self.setup.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://127.0.0.1:{}", member.client_port)
    }

    /// Where a member listens for clients.
    pub fn port(&self, n: usize) -> u16 {
        self.members[n].client_port
    }

    /// The process ids of the members that run.
    pub fn process_ids(&self) -> Vec<u32> {
        let children = self.members.iter().filter_map(|it| it.child.as_ref());
        children.map(Child::id).collect()
    }

    /// Kills a member.
    pub fn kill(&mut self, n: usize) {
        if let Some(mut child) = self.members[n].child.take() {
            let _ = child.kill();
            let _ = child.wait();
            watchdog::ended(child.id());
        }
    }
}

impl Drop for EtcdCluster {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|n| self.kill(n));
        // After the members that write there.
        drop(self.temporary.take());
    }
}

/// The password that root gets.
pub const ROOT_PASSWORD: &str = "swordfish";

/// Changes users, roles and passwords of etcd over its JSON interface, as etcdctl does.
pub struct EtcdUsers {
    client: reqwest::Client,
    endpoint: String,
}

impl EtcdUsers {
    /// At this member, whose certificate is not checked.
    pub fn at(endpoint: &str) -> Self {
        Self {
            client: http(),
            endpoint: endpoint.to_owned(),
        }
    }

    /// One request, with a token where one is given. Gives the HTTP status and the answer.
    pub async fn post(&self, path: &str, body: Value, token: Option<&str>) -> (u16, Value) {
        let posted = self.client.post(format!("{}/v3/{path}", self.endpoint));
        let posted = match token {
            Some(token) => posted.header("Authorization", token),
            None => posted,
        };
        let answer = posted.json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn change(&self, path: &str, body: Value, token: Option<&str>) {
        let mut is_repeated = false;
        loop {
            let (status, answer) = self.post(path, body.clone(), token).await;
            // On a busy machine etcd may run out of time, and may have done it all the same.
            let is_late = answer["code"] == 14;
            let is_done_before = is_repeated && answer.to_string().contains("already");
            match status == 200 || is_done_before {
                false if is_late => is_repeated = true,
                is_done => {
                    assert!(is_done, "{path} {answer}");
                    break;
                }
            }
        }
    }

    /// Makes root with the password [`ROOT_PASSWORD`], and a user with these rights below a prefix. Then etcd asks for
    /// passwords.
    pub async fn enable(&self, user: &str, password: &str, rights: &str, prefix: &str) {
        self.change(
            "auth/user/add",
            json!({"name": "root", "password": ROOT_PASSWORD}),
            None,
        )
        .await;
        self.change("auth/role/add", json!({"name": "root"}), None)
            .await;
        self.change(
            "auth/user/grant",
            json!({"user": "root", "role": "root"}),
            None,
        )
        .await;
        self.change(
            "auth/user/add",
            json!({"name": user, "password": password}),
            None,
        )
        .await;
        self.change("auth/role/add", json!({"name": user}), None)
            .await;
        self.change("auth/role/grant", permission(user, rights, prefix), None)
            .await;
        self.change("auth/user/grant", json!({"user": user, "role": user}), None)
            .await;
        self.change("auth/enable", json!({}), None).await;
    }

    /// A new token of this user.
    pub async fn token(&self, user: &str, password: &str) -> String {
        let login = json!({"name": user, "password": password});
        let (status, answer) = self.post("auth/authenticate", login, None).await;
        assert_eq!(status, 200, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// A change that only root may do.
    pub async fn as_root(&self, path: &str, body: Value) {
        let token = self.token("root", ROOT_PASSWORD).await;
        self.change(path, body, Some(&token)).await;
    }
}

/// The body that grants a role these rights (`READ`, `READWRITE`) below a prefix that ends with a slash.
pub fn permission(role: &str, rights: &str, prefix: &str) -> Value {
    let end = format!("{}0", prefix.strip_suffix('/').unwrap());
    json!({"name": role, "perm": {
        "permType": rights,
        "key": STANDARD.encode(prefix),
        "range_end": STANDARD.encode(end),
    }})
}
