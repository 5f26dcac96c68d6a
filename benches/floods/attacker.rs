//! The process of one flood: what every flood uses, and how the bench starts and ends it.
//!
//! Each flood is a process of its own, so that its processor time can be read and its files are not
//! the bench's. It runs at the lowest priority (`nice`). The bench says `begin` and `end` on its
//! standard input; at the end it says what it counted. It also ends when its input ends, so that it
//! never outlives the bench.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use futures_util::future::join_all;
use poly2mqtt_bench_support::processes::Process;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::catalogue::{Act, FLOODS, FloodKind, Running};
use super::devices::HostileDevice;
use super::gateway::Ports;

const CHILD: &str = "POLY2MQTT_BENCH_FLOOD";

/// How long an attacker waits for a connection, or for an answer that it wants.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failure an attacker waits this long, so that a refusing gateway is not merely a way to
/// use up the processor.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);
/// The attackers of one flood that have addresses of their own have this many of them, so that no
/// limit for one address ends the flood.
const ADDRESSES: u32 = 8;
/// How long a flood may take to say what it counted.
const REPORT_TIMEOUT: Duration = Duration::from_secs(20);

/// A number that is another one at each call.
pub fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// How hard a flood presses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// As hard as it can: it is the only one.
    Alone,
    /// At its fixed rate: all floods share two cores with the honest clients.
    Together,
}

/// What a flood knows and counts.
pub struct Flood {
    pub ports: Ports,
    pub force: Force,
    kind: &'static FloodKind,
    addresses: AtomicU32,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    turn: Mutex<Option<Instant>>,
}

impl Flood {
    fn new(kind: &'static FloodKind, ports: Ports, force: Force) -> Self {
        Self {
            ports,
            force,
            kind,
            addresses: AtomicU32::new(0),
            counts: Mutex::default(),
            turn: Mutex::default(),
        }
    }

    /// The first number if the flood is alone, the second if all run together.
    pub fn size(&self, alone: usize, together: usize) -> usize {
        match self.force {
            Force::Alone => alone,
            Force::Together => together,
        }
    }

    pub fn count(&self, what: &'static str) {
        self.add(what, 1);
    }

    pub fn add(&self, what: &'static str, more: usize) {
        *self.counts.lock().unwrap().entry(what).or_default() += more as u64;
    }

    fn counts(&self) -> String {
        let counts = self.counts.lock().unwrap();
        let counts: Vec<String> = counts
            .iter()
            .map(|(what, count)| format!("{what}={count}"))
            .collect();
        counts.join(" ")
    }

    /// Waits for the next turn. Together with others a flood has a fixed number of them a second;
    /// alone it has as many as it can use.
    pub async fn turn(&self) {
        let Force::Together = self.force else {
            tokio::task::yield_now().await;
            return;
        };
        self.every(Duration::from_secs(1) / self.kind.per_second)
            .await;
    }

    /// Waits for the next turn, with this time between two of them.
    pub async fn every(&self, apart: Duration) {
        let due = {
            let mut turn = self.turn.lock().unwrap();
            let now = Instant::now();
            let due = turn.map_or(now, |last| (last + apart).max(now));
            *turn = Some(due);
            due
        };
        sleep_until(due).await;
    }

    /// The next address of this flood.
    fn address(&self) -> Ipv4Addr {
        if self.kind.shares_honest_address {
            return Ipv4Addr::LOCALHOST;
        }
        let place = FLOODS.iter().position(|kind| kind.name == self.kind.name);
        let third = u8::try_from(place.unwrap() + 1).unwrap();
        let fourth = self.addresses.fetch_add(1, Ordering::Relaxed) % ADDRESSES + 1;
        Ipv4Addr::new(127, 1, third, u8::try_from(fourth).unwrap())
    }

    /// A connection to this port of the gateway.
    pub async fn connect(&self, port: u16) -> io::Result<TcpStream> {
        self.connect_with(port, None).await
    }

    /// A connection whose system buffer for what arrives is the smallest that there is.
    pub async fn connect_unread(&self, port: u16) -> io::Result<TcpStream> {
        self.connect_with(port, Some(4096)).await
    }

    async fn connect_with(&self, port: u16, buffer: Option<u32>) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if let Some(buffer) = buffer {
            socket.set_recv_buffer_size(buffer)?;
        }
        socket.bind(SocketAddr::from((self.address(), 0)))?;
        let gateway = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let connected = timeout(ANSWER_TIMEOUT, socket.connect(gateway)).await;
        let stream = connected.map_err(|_| io::ErrorKind::TimedOut)??;
        stream.set_nodelay(true)?;
        self.count("connections");
        Ok(stream)
    }

    /// Keeps this many attackers at work, each of which begins again when its attack has ended.
    pub async fn keep<F: Future<Output = io::Result<()>>>(
        &self,
        attackers: usize,
        attack: impl Fn() -> F,
    ) {
        let attackers = (0..attackers).map(|_| async {
            loop {
                self.turn().await;
                if attack().await.is_err() {
                    self.count("failed");
                    sleep(PAUSE_AFTER_FAILURE).await;
                }
            }
        });
        join_all(attackers).await;
    }

    /// Keeps this many attackers guessing. `guess` says whether it was let in.
    pub async fn keep_guessing<F: Future<Output = io::Result<bool>>>(
        &self,
        attackers: usize,
        guess: impl Fn(String) -> F,
    ) {
        let guess = &guess;
        let wrong = || async move {
            if guess(format!("a-wrong-secret-{}", next())).await? {
                self.count("wrong_let_in");
            }
            Ok(())
        };
        self.keep(attackers, wrong).await;
    }

    /// Reads and drops until the gateway ends the connection.
    pub async fn until_closed(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut buffer = [0; 4096];
        while let Ok(1..) = stream.read(&mut buffer).await {}
        self.count("closed");
        Ok(())
    }
}

/// Runs as a flood if this process was started as one; false if it was not.
pub async fn run_if_asked() -> bool {
    let Ok(task) = std::env::var(CHILD) else {
        return false;
    };
    let words: Vec<&str> = task.split(' ').collect();
    let [name, broker, http, lines, force] = words[..] else {
        panic!("{task}: not the words of a flood");
    };
    let kind = FLOODS.iter().find(|kind| kind.name == name).unwrap();
    let ports = Ports {
        broker: broker.parse().unwrap(),
        http: http.parse().unwrap(),
        lines: lines.parse().unwrap(),
    };
    let force = match force {
        "alone" => Force::Alone,
        _ => Force::Together,
    };
    let flood = Flood::new(kind, ports, force);
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    // A hostile device listens before the flood begins, and is no device until then.
    let running: Running<'_, ()> = match &kind.act {
        Act::Client(run) => run(&flood),
        Act::Device(endless) => Box::pin(HostileDevice::listen().await.answer(&flood, endless)),
    };
    let Ok(Some(_)) = lines.next_line().await else {
        return true;
    };
    let ended = tokio::select! {
        // A flood runs until it is ended.
        () = running => return true,
        ended = lines.next_line() => ended,
    };
    if let Ok(Some(_)) = ended {
        if let Some(guess) = kind.guess_right {
            let begun = Instant::now();
            let let_in = timeout(REPORT_TIMEOUT / 2, guess(&flood)).await;
            flood.add(
                "right_guess_ms",
                usize::try_from(begun.elapsed().as_millis()).unwrap(),
            );
            if let Ok(Ok(true)) = let_in {
                flood.count("right_guess_let_in");
            }
        }
        println!("counts {}", flood.counts());
    }
    true
}

/// A flood, seen from the bench.
pub struct Attacker {
    pub kind: &'static FloodKind,
    process: Process,
    lines: mpsc::Receiver<String>,
    begun: Option<std::time::Instant>,
}

/// What one flood did.
pub struct AttackReport {
    pub kind: &'static FloodKind,
    pub seconds: f64,
    pub counts: BTreeMap<String, u64>,
    /// The processor time that the attacker used.
    pub cpu: Duration,
}

impl AttackReport {
    /// A count for each second.
    pub fn rate(&self, what: &str) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let count = self.counts.get(what).copied().unwrap_or(0) as f64;
        count / self.seconds
    }

    /// Every count: those that grow as a rate.
    pub fn describe(&self) -> String {
        if self.counts.is_empty() {
            return "says nothing".to_owned();
        }
        let counts: Vec<String> = self
            .counts
            .iter()
            .map(|(what, count)| match what.as_str() {
                "right_guess_ms" => format!("the right one after {count} ms"),
                "right_guess_let_in" => "let in".to_owned(),
                what => format!("{what} {count} ({:.1}/s)", self.rate(what)),
            })
            .collect();
        counts.join(", ")
    }
}

impl Attacker {
    /// Starts the process, which waits for [`Attacker::begin`].
    pub fn start(kind: &'static FloodKind, ports: Ports, force: Force) -> Self {
        let force = match force {
            Force::Alone => "alone",
            Force::Together => "together",
        };
        let mut command = Command::new("nice");
        command.args(["-n", "19"]);
        command.arg(std::env::current_exe().unwrap());
        command.env(
            CHILD,
            format!(
                "{} {} {} {} {force}",
                kind.name, ports.broker, ports.http, ports.lines
            ),
        );
        let mut process = Process::start(command.stdout(Stdio::piped()));
        let (sender, lines) = mpsc::channel();
        let read = process.lines();
        std::thread::spawn(move || read.for_each(|line| drop(sender.send(line))));
        Self {
            kind,
            process,
            lines,
            begun: None,
        }
    }

    /// What it says before it begins: a hostile device says where it listens.
    ///
    /// # Errors
    /// It says nothing.
    pub fn line(&self) -> Result<String, String> {
        let line = self.lines.recv_timeout(REPORT_TIMEOUT);
        line.map_err(|_| format!("{} does not start", self.kind.name))
    }

    pub fn begin(&mut self) {
        use std::io::Write as _;
        self.begun = Some(std::time::Instant::now());
        // A flood that has died is seen at the end: it says nothing.
        let _ = writeln!(self.process.stdin(), "begin");
    }

    /// Tells it to end. [`Attacker::report`] waits for it, so that all end at the same time.
    pub fn end(&mut self) -> (f64, Duration) {
        use std::io::Write as _;
        let seconds = self
            .begun
            .map_or(1.0, |begun| begun.elapsed().as_secs_f64());
        let cpu = self.process.cpu();
        let _ = writeln!(self.process.stdin(), "end");
        (seconds, cpu)
    }

    pub fn report(self, (seconds, cpu): (f64, Duration)) -> AttackReport {
        let deadline = std::time::Instant::now() + REPORT_TIMEOUT;
        let mut counts = BTreeMap::new();
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                break;
            };
            let Some(line) = line.strip_prefix("counts ") else {
                continue;
            };
            for pair in line.split(' ') {
                if let Some((what, count)) = pair.split_once('=') {
                    counts.insert(what.to_owned(), count.parse().unwrap());
                }
            }
            break;
        }
        AttackReport {
            kind: self.kind,
            seconds,
            counts,
            cpu,
        }
    }
}
