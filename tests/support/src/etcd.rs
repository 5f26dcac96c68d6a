//! Members of etcd as processes, if it is installed.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::program::{free_port, listening};
use super::watchdog;

/// The path of etcd; `None` if it is not installed. With `POLY2MQTT_TEST_ETCD=required` a missing etcd fails
/// the test.
pub fn etcd() -> Option<PathBuf> {
    let places = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&places)
        .map(|dir| dir.join("etcd"))
        .find(|path| path.is_file());
    if std::env::var("POLY2MQTT_TEST_ETCD").is_ok_and(|value| value == "required") {
        assert!(found.is_some(), "etcd is required but not installed");
    }
    found
}

/// An etcd cluster on loopback with the timing that its page advises. It ends when it is dropped.
pub struct EtcdCluster {
    members: Vec<EtcdMember>,
    directory: tempfile::TempDir,
}

struct EtcdMember {
    client_port: u16,
    peer_port: u16,
    child: Option<Child>,
}

impl EtcdCluster {
    /// Starts this many members.
    pub fn start(members: usize) -> Self {
        let member = |_| EtcdMember {
            client_port: free_port(),
            peer_port: free_port(),
            child: None,
        };
        let mut cluster = Self {
            members: (0..members).map(member).collect(),
            directory: tempfile::tempdir().unwrap(),
        };
        (0..members).for_each(|n| cluster.start_member(n));
        cluster
            .members
            .iter()
            .for_each(|member| listening(member.client_port));
        cluster
    }

    /// Starts a member, also one that was killed.
    pub fn start_member(&mut self, n: usize) {
        let peers: Vec<String> = (0..)
            .zip(&self.members)
            .map(|(n, member): (usize, _)| format!("m{n}=http://127.0.0.1:{}", member.peer_port))
            .collect();
        let member = &mut self.members[n];
        let client = format!("http://127.0.0.1:{}", member.client_port);
        let peer = format!("http://127.0.0.1:{}", member.peer_port);
        let name = format!("m{n}");
        let directory = self.directory.path().join(&name);
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
            .args(["--initial-cluster", &peers.join(",")])
            .args(["--heartbeat-interval", "50", "--election-timeout", "500"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        watchdog::started(child.id());
        member.child = Some(child);
    }

    /// The addresses of all members.
    pub fn endpoints(&self) -> Vec<String> {
        let ports = self.members.iter().map(|member| member.client_port);
        ports
            .map(|port| format!("http://127.0.0.1:{port}"))
            .collect()
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
    }
}
