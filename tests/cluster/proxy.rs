//! TCP proxies in front of everything that gateways reach: etcd, devices, the broker, each other.
//!
//! A gateway is known by the address that its connections come from, and each gateway has a path of its own to
//! each target. A path passes, cuts, holds bytes and delivers them later, accepts without ever answering, or
//! delays.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// The gateways of the cluster.
pub const MEMBERS: usize = 3;
/// The place of the gateway without `[cluster]`.
pub const ALONE: usize = MEMBERS;
/// All that have paths of their own.
const GATEWAYS: usize = MEMBERS + 1;
/// The second number of the first gateway's addresses behind a proxy.
const FIRST_BEHIND: u8 = 16;
/// Members of etcd.
pub const ETCD_MEMBERS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Clear,
    /// Connections are ended, and new ones are ended at once.
    Cut,
    /// Nothing passes. What was sent passes later.
    Freeze,
    /// New connections are accepted and never answered, and present ones fall silent. All end afterwards.
    HalfOpen,
    /// Everything comes this much later.
    Delay(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A member of etcd.
    Etcd(usize),
    Devices,
    Broker,
    /// Another gateway's HTTP port.
    Peer(usize),
}

impl Target {
    fn all() -> impl Iterator<Item = Self> {
        let etcd = (0..ETCD_MEMBERS).map(Self::Etcd);
        let peers = (0..MEMBERS).map(Self::Peer);
        etcd.chain([Self::Devices, Self::Broker]).chain(peers)
    }
}

/// The address that a gateway's connections come from.
pub fn source(gateway: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, u8::try_from(gateway).unwrap() + 1)
}

/// The address that the next connection of this gateway has behind a proxy. Each has another one: the kernel looks
/// through the ports of an address for a free one, which takes it 12 ms where tens of thousands are in use.
fn source_behind(gateway: usize) -> Ipv4Addr {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    let [third, fourth] = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    Ipv4Addr::new(
        127,
        FIRST_BEHIND + u8::try_from(gateway).unwrap(),
        third,
        fourth,
    )
}

/// The gateway whose address this is.
pub fn gateway_at(address: IpAddr) -> Option<usize> {
    let is_behind = |gateway: usize| match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            first == 127 && usize::from(second) == usize::from(FIRST_BEHIND) + gateway
        }
        IpAddr::V6(_) => false,
    };
    (0..GATEWAYS).find(|gateway| is_behind(*gateway) || address == IpAddr::V4(source(*gateway)))
}

/// One gateway's path to one kind of target.
struct Way {
    path: watch::Sender<Path>,
    /// Ends the present connections.
    reset: Mutex<CancellationToken>,
    /// HTTP requests that went to etcd.
    requests: AtomicU64,
}

impl Way {
    fn reset(&self) {
        std::mem::take(&mut *self.reset.lock().unwrap()).cancel();
    }
}

/// All paths of one process. Clones are handles to the same.
#[derive(Clone)]
pub struct Paths(Arc<BTreeMap<(usize, Target), Way>>);

impl Paths {
    pub fn new() -> Self {
        let way = |gateway| Target::all().map(move |target| (gateway, target));
        let ways = (0..GATEWAYS).flat_map(way).map(|key| {
            let way = Way {
                path: watch::Sender::new(Path::Clear),
                reset: Mutex::default(),
                requests: AtomicU64::new(0),
            };
            (key, way)
        });
        Self(Arc::new(ways.collect()))
    }

    pub fn set(&self, gateway: usize, target: Target, path: Path) {
        let way = &self.0[&(gateway, target)];
        // First the end, so that nothing of a half-open connection is delivered.
        if *way.path.borrow() == Path::HalfOpen {
            way.reset();
        }
        way.path.send_replace(path);
        if path == Path::Cut {
            way.reset();
        }
    }

    /// Everything passes again.
    pub fn clear(&self) {
        for (gateway, target) in self.0.keys() {
            self.set(*gateway, *target, Path::Clear);
        }
    }

    /// The requests that a gateway has sent to all members of etcd.
    pub fn etcd_requests(&self, gateway: usize) -> u64 {
        let ways = (0..ETCD_MEMBERS).map(|member| &self.0[&(gateway, Target::Etcd(member))]);
        ways.map(|way| way.requests.load(Ordering::Relaxed)).sum()
    }

    /// Listens at a free port of this address, and passes connections on to `to`.
    pub async fn listen(&self, at: Ipv4Addr, target: Target, to: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind((at, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let paths = self.clone();
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((near, from)) => {
                        let paths = paths.clone();
                        tokio::spawn(async move { paths.carry(near, from, target, to).await });
                    }
                    Err(_) => sleep(Duration::from_millis(10)).await,
                }
            }
        });
        address
    }

    async fn carry(self, near: TcpStream, from: SocketAddr, target: Target, to: SocketAddr) {
        let Some(gateway) = gateway_at(from.ip()) else {
            // The simulated devices see it as nobody's, and the judge says so.
            let _ = through(near, None, to, &Way::passing()).await;
            return;
        };
        let way = &self.0[&(gateway, target)];
        let now = *way.path.borrow();
        match now {
            Path::Cut => {
                let _ = near.set_zero_linger();
            }
            Path::HalfOpen => {
                let reset = way.reset.lock().unwrap().clone();
                reset.cancelled().await;
            }
            _ => {
                let _ = through(near, Some(source_behind(gateway)), to, way).await;
            }
        }
    }
}

impl Way {
    fn passing() -> Self {
        Self {
            path: watch::Sender::new(Path::Clear),
            reset: Mutex::default(),
            requests: AtomicU64::new(0),
        }
    }
}

/// Connects from this address and passes everything on, both ways, until one side ends or the way is reset.
async fn through(
    mut near: TcpStream,
    from: Option<Ipv4Addr>,
    to: SocketAddr,
    way: &Way,
) -> std::io::Result<()> {
    let reset = way.reset.lock().unwrap().clone();
    let mut path = way.path.subscribe();
    // The sender lives as long as the way.
    let _ = path.wait_for(|path| *path != Path::Freeze).await;
    let socket = TcpSocket::new_v4()?;
    if let Some(from) = from {
        socket.bind((from, 0).into())?;
    }
    let mut far = socket.connect(to).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let crashed = {
        let (near_read, near_write) = near.split();
        let (far_read, far_write) = far.split();
        let request = pump(near_read, far_write, way, true);
        let answer = pump(far_read, near_write, way, false);
        tokio::select! {
            () = reset.cancelled() => true,
            _ = async { tokio::try_join!(request, answer) } => false,
        }
    };
    if crashed {
        near.set_zero_linger()?;
        far.set_zero_linger()?;
    }
    Ok(())
}

async fn pump(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    way: &Way,
    requests: bool,
) -> std::io::Result<()> {
    let mut path = way.path.subscribe();
    let mut buffer = vec![0; 8 << 10];
    let mut heads = Heads::default();
    loop {
        let count = from.read(&mut buffer).await.unwrap_or(0);
        let _ = path
            .wait_for(|path| !matches!(path, Path::Freeze | Path::HalfOpen))
            .await;
        let now = *path.borrow();
        if let Path::Delay(late) = now {
            sleep(late).await;
        }
        if count == 0 {
            return to.shutdown().await;
        }
        if requests {
            let found = heads.count(&buffer[..count]);
            way.requests.fetch_add(found, Ordering::Relaxed);
        }
        to.write_all(&buffer[..count]).await?;
    }
}

/// Counts the heads of HTTP requests in a stream whose bodies are JSON.
#[derive(Default)]
struct Heads {
    last: Vec<u8>,
}

impl Heads {
    const END: &'static [u8] = b" HTTP/1.1\r\n";

    fn count(&mut self, bytes: &[u8]) -> u64 {
        self.last.extend_from_slice(bytes);
        let found = self.last.windows(Self::END.len());
        let found = found.filter(|window| *window == Self::END).count();
        let keep = self.last.len().saturating_sub(Self::END.len() - 1);
        self.last.drain(..keep);
        found as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_counted_once_wherever_the_stream_is_broken() {
        let stream = b"POST /v3/kv/txn HTTP/1.1\r\n\r\n{}GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        for at in 0..stream.len() {
            let mut heads = Heads::default();
            let count = heads.count(&stream[..at]) + heads.count(&stream[at..]);
            assert_eq!(count, 2, "broken at {at}");
        }
    }

    #[test]
    fn gateways_are_known_by_their_address() {
        for gateway in 0..GATEWAYS {
            for address in [source(gateway), source_behind(gateway)] {
                assert_eq!(gateway_at(address.into()), Some(gateway));
            }
        }
        assert_eq!(gateway_at(Ipv4Addr::LOCALHOST.into()), None);
    }

    /// An echo behind a path: what passes, and what does not.
    #[tokio::test]
    async fn a_path_fails_as_it_is_told() {
        let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = echo.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, from)) = echo.accept().await {
                assert_eq!(gateway_at(from.ip()), Some(1));
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let paths = Paths::new();
        let at = paths.listen(Ipv4Addr::LOCALHOST, Target::Broker, to).await;
        let connect = || async {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind((source(1), 0).into()).unwrap();
            socket.connect(at).await.unwrap()
        };
        let says = async |stream: &mut TcpStream| {
            let mut byte = [0];
            let _ = stream.write_all(b"x").await;
            let read = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut byte));
            read.await.ok().map(|read| read.unwrap_or(0))
        };
        let mut stream = connect().await;
        assert_eq!(says(&mut stream).await, Some(1));
        // Another gateway's path is its own matter.
        paths.set(0, Target::Broker, Path::Cut);
        assert_eq!(says(&mut stream).await, Some(1));
        paths.set(1, Target::Broker, Path::Freeze);
        assert_eq!(says(&mut stream).await, None);
        paths.set(1, Target::Broker, Path::Clear);
        assert_eq!(says(&mut stream).await, Some(1), "delivered later");
        paths.set(1, Target::Broker, Path::HalfOpen);
        let mut silent = connect().await;
        assert_eq!(says(&mut silent).await, None);
        paths.set(1, Target::Broker, Path::Clear);
        assert_eq!(says(&mut silent).await, Some(0), "ended afterwards");
        let mut stream = connect().await;
        assert_eq!(says(&mut stream).await, Some(1));
        paths.set(1, Target::Broker, Path::Cut);
        assert_eq!(says(&mut stream).await, Some(0));
        assert_eq!(says(&mut connect().await).await, Some(0));
    }
}
