//! A TCP proxy that can fail: it refuses, stalls, slows down, resets, and cuts in mid-message.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Clear,
    /// Connections are ended, and new ones are ended at once.
    Refuse,
    /// Nothing passes. What was sent passes later, even if the sender has gone.
    Stall,
    /// This many bytes pass every 10 ms.
    Slow(usize),
}

/// The side whose bytes are counted until the cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Request,
    Answer,
}

/// The connection ends here.
struct Cut;

struct Shared {
    path: watch::Sender<Path>,
    cut: Mutex<Option<(Side, usize)>>,
    /// Ends the present connections.
    reset: Mutex<CancellationToken>,
}

#[derive(Clone)]
pub struct Proxy {
    pub port: u16,
    shared: Arc<Shared>,
}

impl Proxy {
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            path: watch::Sender::new(Path::Clear),
            cut: Mutex::default(),
            reset: Mutex::default(),
        });
        let proxy = Self { port, shared };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    sleep(Duration::from_millis(10)).await;
                    continue;
                };
                tokio::spawn(accepting.clone().carry(stream, to));
            }
        });
        proxy
    }

    pub fn set(&self, path: Path) {
        self.shared.path.send_replace(path);
        if path == Path::Refuse {
            self.reset();
        }
    }

    /// Ends every connection with a reset, as a crash does.
    pub fn reset(&self) {
        let old = std::mem::take(&mut *self.shared.reset.lock().unwrap());
        old.cancel();
    }

    /// Cuts the connection that carries this many more bytes from this side, in the middle of them.
    pub fn cut(&self, side: Side, bytes: usize) {
        *self.shared.cut.lock().unwrap() = Some((side, bytes));
    }

    /// Everything passes again.
    pub fn clear(&self) {
        self.set(Path::Clear);
        *self.shared.cut.lock().unwrap() = None;
    }

    async fn carry(self, mut near: TcpStream, to: SocketAddr) {
        let reset = self.shared.reset.lock().unwrap().clone();
        if *self.shared.path.borrow() == Path::Refuse {
            let _ = near.set_zero_linger();
            return;
        }
        let Ok(mut far) = TcpStream::connect(to).await else {
            let _ = near.set_zero_linger();
            return;
        };
        let _ = (near.set_nodelay(true), far.set_nodelay(true));
        let crashed = {
            let (near_read, near_write) = near.split();
            let (far_read, far_write) = far.split();
            let request = self.pump(near_read, far_write, Side::Request);
            let answer = self.pump(far_read, near_write, Side::Answer);
            tokio::select! {
                () = reset.cancelled() => true,
                _ = async { tokio::try_join!(request, answer) } => false,
            }
        };
        if crashed {
            let _ = (near.set_zero_linger(), far.set_zero_linger());
        }
    }

    /// Passes data on until the end or a cut.
    async fn pump(
        &self,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
        side: Side,
    ) -> Result<(), Cut> {
        let mut path = self.shared.path.subscribe();
        let mut buffer = vec![0; 16 << 10];
        loop {
            let Ok(count @ 1..) = from.read(&mut buffer).await else {
                // The other direction may still carry data.
                let _ = path.wait_for(|path| *path != Path::Stall).await;
                let _ = to.shutdown().await;
                return Ok(());
            };
            let _ = path.wait_for(|path| *path != Path::Stall).await;
            let (count, last) = self.budget(side, count);
            let now = *path.borrow();
            let step = match now {
                Path::Slow(step) => step,
                _ => buffer.len(),
            };
            for chunk in buffer[..count].chunks(step) {
                if to.write_all(chunk).await.is_err() {
                    return Err(Cut);
                }
                if matches!(*path.borrow(), Path::Slow(_)) {
                    sleep(Duration::from_millis(10)).await;
                }
            }
            if last {
                return Err(Cut);
            }
        }
    }

    /// How many of these bytes pass, and whether the connection is cut after them.
    fn budget(&self, side: Side, count: usize) -> (usize, bool) {
        let mut cut = self.shared.cut.lock().unwrap();
        match &mut *cut {
            Some((counted, left)) if *counted == side => {
                if count >= *left {
                    let passes = *left;
                    *cut = None;
                    return (passes, true);
                }
                *left -= count;
                (count, false)
            }
            _ => (count, false),
        }
    }
}
