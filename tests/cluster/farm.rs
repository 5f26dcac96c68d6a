//! The simulated devices, in processes of their own, and the proxies in front of them.
//!
//! This program starts itself again as such a process. The judge tells it what the paths are; it tells the judge
//! of every request: which device, from which gateway, when.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use poly2mqtt_simulator::{JournalEntry, Options, SimulatedDevice};
use poly2mqtt_test_support::watchdog;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::clock;
use crate::ledger::marked;
use crate::proxy::{Path, Paths, Target, gateway_at};
use crate::record::{Record, Request};

/// Says which port the process is to report to, its first device and how many it has.
const ASKED: &str = "CLUSTER_FARM";
/// A device and its proxy have two open files, three for each connection, and two connections with each of two gateways
/// while it changes hands: fourteen. A process is often limited to 20,000.
const DEVICES_PER_PROCESS: usize = 1000;
/// How often the journals are read: each time costs a thousand locks.
const READ_INTERVAL: Duration = Duration::from_millis(200);
/// The address of the proxies, which is that of the devices for the gateways.
const AT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Runs the devices if this program was started for that; otherwise does nothing.
pub fn serve_if_asked() {
    let Ok(asked) = std::env::var(ASKED) else {
        return;
    };
    let mut numbers = asked.split(' ').map(|number| number.parse().unwrap());
    let mut next = || numbers.next().unwrap();
    let (port, first, count): (usize, usize, usize) = (next(), next(), next());
    // A dozen such processes share the machine, so more threads would only wake each other.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(serve(u16::try_from(port).unwrap(), first, count));
    // Not the tests that come after this one.
    std::process::exit(0);
}

async fn serve(port: u16, first: usize, count: usize) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (read, write) = stream.into_split();
    let (sender, mut lines) = mpsc::unbounded_channel::<String>();
    let writing = tokio::spawn(async move {
        let mut write = BufWriter::new(write);
        while let Some(line) = lines.recv().await {
            let written = write.write_all(line.as_bytes()).await;
            if written.is_err() || (lines.is_empty() && write.flush().await.is_err()) {
                return;
            }
        }
    });
    let paths = Paths::new();
    let mut devices = Vec::with_capacity(count);
    for number in first..first + count {
        let options = Options {
            name: format!("Room {number}"),
            ..Options::default()
        };
        let device = SimulatedDevice::start(options).await.unwrap();
        let at = paths.listen(AT, Target::Devices, device.addr()).await;
        let print = device.fingerprint();
        sender.send(format!("D {number} {at} {print}\n")).unwrap();
        devices.push(device);
    }
    sender.send("R\n".into()).unwrap();
    let devices: Arc<[SimulatedDevice]> = devices.into();
    let reading = tokio::spawn(report(devices.clone(), first, sender.clone()));
    let mut orders = BufReader::new(read).lines();
    while let Ok(Some(order)) = orders.next_line().await {
        obey(&order, &paths, &devices, first, &sender);
    }
    reading.abort();
    writing.abort();
}

/// Carries out an order of the judge.
fn obey(
    order: &str,
    paths: &Paths,
    devices: &[SimulatedDevice],
    first: usize,
    sender: &mpsc::UnboundedSender<String>,
) {
    let words: Vec<_> = order.split(' ').collect();
    match words[..] {
        ["path", gateway, path] => {
            paths.set(gateway.parse().unwrap(), Target::Devices, read_path(path));
        }
        ["clear"] => paths.clear(),
        _ => {
            for (number, device) in (first..).zip(devices) {
                // The judge has gone if this fails, and the process ends.
                let _ = sender.send(format!("S {number} {}\n", device.sessions()));
            }
            let _ = sender.send("E\n".into());
        }
    }
}

fn path_word(path: Path) -> String {
    match path {
        Path::Clear => "clear".into(),
        Path::Cut => "cut".into(),
        Path::Freeze => "freeze".into(),
        Path::HalfOpen => "half-open".into(),
        Path::Delay(late) => late.as_millis().to_string(),
    }
}

fn read_path(word: &str) -> Path {
    match word {
        "clear" => Path::Clear,
        "cut" => Path::Cut,
        "freeze" => Path::Freeze,
        "half-open" => Path::HalfOpen,
        late => Path::Delay(Duration::from_millis(late.parse().unwrap())),
    }
}

/// Reports every request, again and again.
async fn report(
    devices: Arc<[SimulatedDevice]>,
    first: usize,
    sender: mpsc::UnboundedSender<String>,
) {
    // The journal's clock is the monotonic one; both run at the same speed unless the machine sleeps.
    let (instant, now) = (Instant::now(), clock::now());
    let at = |time: Instant| now + u64::try_from((time - instant).as_nanos()).unwrap();
    loop {
        tokio::time::sleep(READ_INTERVAL).await;
        for (number, device) in (first..).zip(&*devices) {
            for entry in device.take_journal() {
                let line = line(number, &entry, at(entry.came), at(entry.answered));
                if sender.send(line).is_err() {
                    return;
                }
            }
        }
    }
}

fn line(device: usize, entry: &JournalEntry, came: u64, answered: u64) -> String {
    let gateway = gateway_at(entry.client.ip()).map_or("-".into(), |gateway| gateway.to_string());
    let mark = mark(entry).map_or("-".into(), |mark| mark.to_string());
    let acted = entry.acted.unwrap_or(0);
    let session = u8::from(entry.path == "/rest/session");
    format!("J {device} {gateway} {came} {answered} {acted} {session} {mark}\n")
}

/// The command that a request is of, if it shows.
fn mark(entry: &JournalEntry) -> Option<u64> {
    if entry.method == "GET" {
        return None;
    }
    marked(std::str::from_utf8(&entry.body).ok()?)
}

/// A device as gateways reach it.
#[derive(Debug, Clone)]
pub struct Device {
    pub at: SocketAddr,
    pub fingerprint: String,
}

type Sessions = (
    HashMap<usize, usize>,
    Option<oneshot::Sender<HashMap<usize, usize>>>,
);

/// One process with devices, as the judge sees it.
struct Worker {
    child: Child,
    orders: mpsc::UnboundedSender<String>,
    sessions: Arc<Mutex<Sessions>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        watchdog::ended(self.child.id());
    }
}

/// All devices.
pub struct Farm {
    workers: Vec<Worker>,
    pub devices: Vec<Device>,
}

impl Farm {
    pub async fn start(count: usize, record: &Arc<Mutex<Record>>) -> Self {
        let mut farm = Self {
            workers: Vec::new(),
            devices: Vec::new(),
        };
        while farm.devices.len() < count {
            let first = farm.devices.len();
            let here = (count - first).min(DEVICES_PER_PROCESS);
            farm.worker(first, here, record.clone()).await;
        }
        farm
    }

    async fn worker(&mut self, first: usize, count: usize, record: Arc<Mutex<Record>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["device_process", "--exact", "--nocapture"])
            .env(ASKED, format!("{port} {first} {count}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        watchdog::started(child.id());
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(read).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            let words: Vec<_> = line.split(' ').collect();
            let ["D", _, at, fingerprint] = words[..] else {
                break;
            };
            self.devices.push(Device {
                at: at.parse().unwrap(),
                fingerprint: fingerprint.to_owned(),
            });
        }
        let (orders, mut waiting) = mpsc::unbounded_channel::<String>();
        tokio::spawn(async move {
            while let Some(order) = waiting.recv().await {
                write.write_all(order.as_bytes()).await.unwrap();
            }
        });
        let sessions = Arc::<Mutex<Sessions>>::default();
        let counted = sessions.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                hear(&line, &record, &counted);
            }
        });
        self.workers.push(Worker {
            child,
            orders,
            sessions,
        });
    }

    fn order(&self, order: &str) {
        for worker in &self.workers {
            worker.orders.send(format!("{order}\n")).unwrap();
        }
    }

    /// Sets a gateway's path to all devices.
    pub fn set(&self, gateway: usize, path: Path) {
        self.order(&format!("path {gateway} {}", path_word(path)));
    }

    /// Everything passes again.
    pub fn clear(&self) {
        self.order("clear");
    }

    /// How many sessions each device has.
    pub async fn sessions(&self) -> HashMap<usize, usize> {
        let mut all = HashMap::new();
        for worker in &self.workers {
            let (sender, counted) = oneshot::channel();
            *worker.sessions.lock().unwrap() = (HashMap::new(), Some(sender));
            worker.orders.send("sessions\n".into()).unwrap();
            all.extend(counted.await.unwrap());
        }
        all
    }
}

fn hear(line: &str, record: &Mutex<Record>, sessions: &Mutex<Sessions>) {
    let words: Vec<_> = line.split(' ').collect();
    match words[..] {
        ["J", device, gateway, came, answered, acted, session, mark] => {
            let request = Request {
                gateway: gateway.parse().ok(),
                came: came.parse().unwrap(),
                answered: answered.parse().unwrap(),
                acted: acted.parse().unwrap(),
                session: session == "1",
            };
            let mut record = record.lock().unwrap();
            record.note(device.parse().unwrap(), request, mark.parse().ok());
        }
        ["S", device, count] => {
            let mut sessions = sessions.lock().unwrap();
            let (device, count) = (device.parse().unwrap(), count.parse().unwrap());
            sessions.0.insert(device, count);
        }
        _ => {
            let mut sessions = sessions.lock().unwrap();
            let counted = std::mem::take(&mut sessions.0);
            if let Some(waits) = sessions.1.take() {
                // Nobody waits any more.
                let _ = waits.send(counted);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_the_way_to_the_process() {
        let late = Path::Delay(Duration::from_millis(250));
        for path in [Path::Clear, Path::Cut, Path::Freeze, Path::HalfOpen, late] {
            assert_eq!(read_path(&path_word(path)), path);
        }
    }
}
