//! The built program as a process, and free ports for it.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::SOON;

/// The path of the built program. Cargo puts it beside the folder of the running test.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap();
    built.join("poly2mqtt")
}

/// The program with these arguments, and without the test's own `POLY2MQTT_` variables.
pub fn program(words: &[&str]) -> Command {
    let mut command = Command::new(path());
    command.args(words);
    without_variables(command)
}

/// The same, with this limit of open files.
pub fn program_with_files(limit: u32, words: &[&str]) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit -n {limit}; exec \"$0\" \"$@\"");
    command.args(["-c", &script]).arg(path()).args(words);
    without_variables(command)
}

fn without_variables(mut command: Command) -> Command {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("POLY2MQTT_") {
            command.env_remove(name);
        }
    }
    command
}

/// A running program. It is killed when it is dropped.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Starts a command that says itself where its standard output goes.
    pub fn start_printing(mut command: Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// What the program writes to standard error, which must be piped and was not taken before.
    pub fn stderr(&mut self) -> ChildStderr {
        self.0.stderr.take().unwrap()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.0.id());
        let killed = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits until it ends by itself, and gives its exit status.
    pub fn wait(mut self) -> ExitStatus {
        self.0.wait().unwrap()
    }

    /// Sends SIGTERM. Gives the exit status and what was printed.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let mut printed = String::new();
        let mut stdout = self.0.stdout.take().unwrap();
        stdout.read_to_string(&mut printed).unwrap();
        (self.0.wait().unwrap(), printed)
    }
}

/// Waits until something accepts connections at a port.
pub fn listening(port: u16) {
    let deadline = Instant::now() + SOON;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on {port}");
        std::thread::yield_now();
    }
}

/// A free port, a different one at each call. It is below the ports that the system gives out for
/// port 0, so that no other program takes it meanwhile.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    loop {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + u16::try_from(number % 12_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
