//! The built program as a process, and free ports for it.

use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{
    Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Output, Stdio,
};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use super::wait::until_some;
use super::watchdog;

/// The path of the built program. Cargo puts it beside the folder of the running test.
pub fn path() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap();
    built.join("poly2mqtt")
}

/// The program with these arguments, and without the test's own `POLY2MQTT_` variables.
pub fn program(words: &[&str]) -> Command {
    watchdog::watch();
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
pub struct Running {
    child: Child,
    /// Reads what the program prints, so that it never waits for a reader.
    stdout: Option<JoinHandle<Vec<u8>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        watchdog::ended(self.child.id());
    }
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut printed = Vec::new();
        // What came before an error is shown.
        let _ = pipe.read_to_end(&mut printed);
        printed
    })
}

fn printed(reader: Option<JoinHandle<Vec<u8>>>) -> Vec<u8> {
    reader.map_or_else(Vec::new, |reader| reader.join().unwrap())
}

/// Runs a command that ends by itself.
pub fn output(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running::start_printing(command).output()
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped());
        let mut running = Self::start_printing(command);
        running.stdout = running.child.stdout.take().map(read);
        running
    }

    /// Starts a command that says itself where its standard output goes.
    pub fn start_printing(mut command: Command) -> Self {
        watchdog::watch();
        let child = command.spawn().unwrap();
        watchdog::started(child.id());
        Self {
            child,
            stdout: None,
        }
    }

    /// What the program writes to standard error, which must be piped and was not taken before.
    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().unwrap()
    }

    /// What is typed to the program, which must be piped and was not taken before.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// What the program prints, which must be piped and was not taken before.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.child.stdout.take().unwrap()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The reader of its standard output, if that is piped.
    fn stdout(&mut self) -> Option<JoinHandle<Vec<u8>>> {
        let unread = self.child.stdout.take().map(read);
        self.stdout.take().or(unread)
    }

    fn end(&mut self) -> ExitStatus {
        let what = format!("the end of process {}", self.child.id());
        until_some(|| what.clone(), || self.child.try_wait().unwrap())
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(killed.success());
    }

    /// Waits until it ends by itself, and gives its exit status.
    pub fn wait(mut self) -> ExitStatus {
        self.end()
    }

    /// Waits until it ends by itself, and gives what it printed too.
    pub fn output(mut self) -> Output {
        let stdout = self.stdout();
        let stderr = self.child.stderr.take().map(read);
        Output {
            status: self.end(),
            stdout: printed(stdout),
            stderr: printed(stderr),
        }
    }

    /// Sends SIGTERM. Gives the exit status and what was printed.
    pub fn terminate(mut self) -> (ExitStatus, String) {
        self.signal("TERM");
        let stdout = self.stdout();
        let status = self.end();
        (status, String::from_utf8(printed(stdout)).unwrap())
    }
}

/// Waits until something accepts connections at a port.
pub fn listening(port: u16) {
    let what = || format!("something listens on port {port}");
    until_some(what, || TcpStream::connect(("127.0.0.1", port)).ok());
}

/// A free port, a different one at each call. It is below the ports that the system gives out for
/// port 0, so that no other program takes it meanwhile. It is tried by connecting: a socket that listens would be
/// inherited by a process that another test starts in that moment, and hold the port until that one runs.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    watchdog::watch();
    let first = std::process::id().wrapping_mul(97);
    loop {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + u16::try_from(number % 12_000).unwrap();
        if TcpStream::connect(("127.0.0.1", port)).is_err() {
            return port;
        }
    }
}
