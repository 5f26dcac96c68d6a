//! The HTTPS server: connections, the journal, and the faults around each request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::check::{DeviceReply, DeviceRequest};
use super::fault::{FaultKind, take};
use super::session::Credentials;
use super::{JournalEntry, Shared, lock};

/// The largest body. The guide: "The REST API cannot accept more than 10 MB of data."
const LARGEST_BODY: usize = 10_000_000;
/// A client that does not finish the TLS handshake in time is cut off.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A device that is told to restart sends its answer first; this is enough time for it.
const REBOOT_DELAY: Duration = Duration::from_millis(50);

/// Accepts connections until the device is stopped.
pub async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, client)) = accepted else {
            continue;
        };
        // Before the look at `down_until`: a restart sets that first and ends the connections then.
        let ended = lock(&shared.connections).clone();
        let down = lock(&shared.down_until).is_some_and(|until| until > Instant::now());
        if down {
            continue;
        }
        let shared = shared.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = serve(stream, client, shared, ended.clone()) => {}
            }
        });
    }
    // A connection that was accepted while `stop` ended the others.
    shared.end_connections();
    tasks.close();
    tasks.wait().await;
}

async fn serve(
    stream: TcpStream,
    client: SocketAddr,
    shared: Arc<Shared>,
    ended: CancellationToken,
) {
    // Otherwise an answer of two packets waits for the other side's acknowledgement.
    let _ = stream.set_nodelay(true);
    let acceptor = TlsAcceptor::from(lock(&shared.identity).tls.clone());
    let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await else {
        return;
    };
    // A request whose connection is to be dropped ends the connection with this.
    let cut = ended.child_token();
    let service = service_fn(|request| {
        let (shared, cut) = (shared.clone(), cut.clone());
        async move { Ok::<_, Infallible>(respond(request, client, &shared, &cut).await) }
    });
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = cut.cancelled() => {}
        // The client sees what was wrong with its connection.
        _ = connection => {}
    }
}

/// Answers a request, or waits until the connection is dropped.
///
/// A device that has received a whole request carries it out even if the client has gone, so that is
/// a task of its own.
async fn respond(
    request: Request<Incoming>,
    client: SocketAddr,
    shared: &Arc<Shared>,
    cut: &CancellationToken,
) -> Response<Body> {
    let device = shared.clone();
    let answered = tokio::spawn(async move {
        let running = device.running.fetch_add(1, Ordering::Relaxed) + 1;
        device.most_running.fetch_max(running, Ordering::Relaxed);
        let reply = answer(request, client, &device).await;
        device.running.fetch_sub(1, Ordering::Relaxed);
        device.changed.notify_waiters();
        reply
    });
    let Ok(Some(reply)) = answered.await else {
        cut.cancel();
        return std::future::pending().await;
    };
    if reply.reboots {
        // The answer is still sent.
        let shared = shared.clone();
        tokio::spawn(async move {
            sleep(REBOOT_DELAY).await;
            shared.reboot(shared.options.reboot);
        });
    }
    let mut response = Response::builder().status(reply.status);
    if !reply.body.is_empty() {
        response = response.header(CONTENT_TYPE, reply.content_type);
    }
    if let Some(location) = reply.location {
        response = response.header(LOCATION, location);
    }
    if let Some(wait) = reply.retry_after {
        response = response.header(RETRY_AFTER, wait);
    }
    for cookie in reply.cookies {
        response = response.header(SET_COOKIE, cookie);
    }
    response.body(Body::from(reply.body)).unwrap_or_default()
}

fn header(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// A request as it came.
struct Received {
    client: SocketAddr,
    method: String,
    path: String,
    query: String,
    content_type: Option<String>,
    cookie: Option<String>,
    token: Option<String>,
    body: Bytes,
    came: Instant,
}

impl Received {
    /// Reads a request to its end. Its body is empty if that fails.
    async fn read(
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> (Self, Result<(), axum::Error>) {
        let came = Instant::now();
        let (parts, body) = request.into_parts();
        let read = axum::body::to_bytes(Body::new(body), LARGEST_BODY).await;
        let (body, end) = match read {
            Ok(body) => (body, Ok(())),
            Err(error) => (Bytes::new(), Err(error)),
        };
        let received = Self {
            client,
            method: parts.method.as_str().to_owned(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            content_type: header(&parts.headers, CONTENT_TYPE),
            cookie: header(&parts.headers, COOKIE),
            token: header(&parts.headers, "x-xsrf-token"),
            body,
            came,
        };
        (received, end)
    }

    /// What the device does and answers.
    fn act(&self, shared: &Shared) -> DeviceReply {
        let credentials = Credentials::new(self.cookie.as_deref(), self.token.as_deref());
        let (content_type, body) = (self.content_type.clone(), self.body.clone());
        let read = DeviceRequest::new(&self.method, &self.path, &self.query, content_type, body);
        let Some(request) = read else {
            return super::check::not_found();
        };
        let answered = lock(&shared.world).answer(&request, &credentials);
        answered.unwrap_or_else(|refusal| refusal)
    }

    /// Its entry in the journal, with the status of what is too large.
    fn entry(self) -> JournalEntry {
        JournalEntry {
            client: self.client,
            method: self.method,
            path: self.path,
            query: self.query,
            content_type: self.content_type,
            cookie: self.cookie,
            token: self.token,
            body: self.body,
            status: 413,
            came: self.came,
            answered: Instant::now(),
            acted: None,
            fault: None,
            session: None,
        }
    }
}

/// The answer; `None` if the connection is to be dropped.
async fn answer(
    request: Request<Incoming>,
    client: SocketAddr,
    shared: &Shared,
) -> Option<DeviceReply> {
    let (received, end) = Received::read(request, client).await;
    match end {
        Ok(()) => {}
        Err(error) if broken(&error) => return None,
        Err(_) => {
            shared.note(received.entry());
            return Some(DeviceReply::reason(413, "more than 10 MB"));
        }
    }
    let wait = lock(&shared.limit)
        .as_mut()
        .and_then(|limit| limit.count(received.came));
    let fault = match wait {
        Some(wait) => Some(FaultKind::RetryAfter(429, wait.to_string())),
        None => take(&mut lock(&shared.faults), &received.method, &received.path),
    };
    match fault {
        Some(FaultKind::Delay(late)) => shared.delay(late).await,
        Some(FaultKind::ExpireSession) => lock(&shared.world).sessions.expire(),
        _ => {}
    }
    if lock(&shared.down_until).is_some_and(|until| until > Instant::now()) {
        return None;
    }
    let acted = match fault {
        Some(
            FaultKind::DropBefore
            | FaultKind::Status(_)
            | FaultKind::RetryAfter(..)
            | FaultKind::Page
            | FaultKind::Redirect,
        ) => None,
        _ => Some(received.act(shared)),
    };
    let acted_status = acted.as_ref().map(|reply| reply.status);
    let session = acted.as_ref().and_then(DeviceReply::session);
    let reply = match &fault {
        Some(FaultKind::DropBefore | FaultKind::DropAfter) => None,
        Some(FaultKind::Status(status)) => {
            Some(DeviceReply::reason(*status, "a fault of the simulator"))
        }
        Some(FaultKind::RetryAfter(status, wait)) => Some(DeviceReply {
            retry_after: Some(wait.clone()),
            ..DeviceReply::reason(*status, "a fault of the simulator")
        }),
        Some(FaultKind::Page) => Some(DeviceReply::page()),
        Some(FaultKind::Redirect) => Some(DeviceReply::redirect()),
        Some(kind) => acted.map(|reply| spoilt(reply, kind)),
        None => acted,
    };
    shared.note(JournalEntry {
        status: reply.as_ref().map_or(0, |reply| reply.status),
        answered: Instant::now(),
        acted: acted_status,
        fault,
        session,
        ..received.entry()
    });
    reply
}

/// Applies a fault to an answer. A refusal stays as it is, because the device did not act.
fn spoilt(reply: DeviceReply, kind: &FaultKind) -> DeviceReply {
    if reply.status >= 300 {
        return reply;
    }
    let (status, body) = match kind {
        FaultKind::Garbage => (200, Bytes::from_static(b"<<< {no json \xff")),
        FaultKind::Null => (200, Bytes::from_static(b"null")),
        FaultKind::Body(body) => (200, body.clone().into()),
        FaultKind::Huge(size) => (200, vec![b' '; *size].into()),
        FaultKind::Truncated => (reply.status, reply.body.slice(..reply.body.len() / 2)),
        _ => return reply,
    };
    DeviceReply {
        status,
        body,
        ..reply
    }
}

/// Whether the request did not arrive completely. Otherwise it was too large.
fn broken(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<hyper::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use crate::{Options, SimulatedDevice};

    /// A connection that is accepted while the device stops ends with it. Otherwise the device waits
    /// for a client that may never go.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_that_comes_late_does_not_hold_up_the_stop() {
        for round in 0..300 {
            let device = SimulatedDevice::start(Options::default()).await.unwrap();
            let addr = device.addr();
            let clients = [(); 4].map(|()| tokio::spawn(TcpStream::connect(addr)));
            tokio::task::yield_now().await;
            // Shorter than the time that a client has for its TLS handshake.
            let stopped = timeout(Duration::from_secs(5), device.stop()).await;
            assert!(stopped.is_ok(), "round {round}");
            // They have not closed their connections until now.
            for client in clients {
                let _ = client.await;
            }
        }
    }
}
