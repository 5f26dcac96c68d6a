//! A proxy that counts the bytes of each direction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What passed.
#[derive(Debug, Default)]
pub struct Passed {
    pub there: AtomicU64,
    pub back: AtomicU64,
}

impl Passed {
    pub fn now(&self) -> (u64, u64) {
        let get = |bytes: &AtomicU64| bytes.load(Ordering::Relaxed);
        (get(&self.there), get(&self.back))
    }
}

/// Listens at a free port of this machine, which it gives, and passes everything on to `to`.
pub async fn tap(to: u16, passed: Arc<Passed>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let passed = passed.clone();
            tokio::spawn(async move {
                // What listens there may have ended.
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else {
                    return;
                };
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                tokio::join!(
                    pass(near_read, far_write, &passed.there),
                    pass(far_read, near_write, &passed.back),
                );
            });
        }
    });
    port
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, count: &AtomicU64) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        count.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    // The other end may be gone already.
    let _ = to.shutdown().await;
}
