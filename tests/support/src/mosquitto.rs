//! Mosquitto as a process, if it is installed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::program::{free_port, listening};
use super::programs::MOSQUITTO;
use super::watchdog;

/// The path of Mosquitto; `None` if it is not installed, which a line says. With
/// `POLY2MQTT_TEST_MOSQUITTO=required` a missing Mosquitto fails the test.
pub fn mosquitto() -> Option<PathBuf> {
    MOSQUITTO.find()
}

/// A Mosquitto process. It ends when it is dropped.
pub struct Mosquitto {
    pub port: u16,
    child: Child,
    _dir: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts it with further lines of configuration. Port 0 takes a free port.
    pub fn start(port: u16, more: &str) -> Self {
        Self::start_with(port, "allow_anonymous true", |_| more.to_owned())
    }

    pub fn start_with(port: u16, access: &str, more: impl FnOnce(&Path) -> String) -> Self {
        let program = mosquitto().expect("Mosquitto is installed");
        let dir = tempfile::tempdir().unwrap();
        let port = if port == 0 { free_port() } else { port };
        let more = more(dir.path());
        let config = dir.path().join("mosquitto.conf");
        let mut file = std::fs::File::create(&config).unwrap();
        write!(
            file,
            "listener {port} 127.0.0.1\n{access}\nset_tcp_nodelay true\npersistence false\n{more}\n"
        )
        .unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        watchdog::started(child.id());
        let mut mosquitto = Self {
            port,
            child,
            _dir: dir,
        };
        listening(port);
        // What listens must be this one: it ends at once where something else has the port.
        let ended = mosquitto.child.try_wait().unwrap();
        assert!(ended.is_none(), "Mosquitto at port {port}: {ended:?}");
        mosquitto
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        watchdog::ended(self.child.id());
    }
}
