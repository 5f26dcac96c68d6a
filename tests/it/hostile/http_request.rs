//! Requests to the HTTP door, answered by its router without a socket.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use axum::Router;
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use poly2mqtt::catalogue::Call;
use poly2mqtt::command::{DoorKind, Failure, Reply, Submission, Submit, Success};
use poly2mqtt::config;
use poly2mqtt::doors::access::Access;
use poly2mqtt::doors::clients::{ClientLimits, Clients};
use poly2mqtt::doors::http::{HttpSettings, router};
use poly2mqtt::guesses::Guesses;
use poly2mqtt::state::{StateStore, StateValue};
use poly2mqtt::telemetry::{Sample, Telemetry};

/// A room's place is taken by one that answers at once.
#[derive(Default)]
struct Gateway {
    asked: AtomicBool,
}

impl Submit for Gateway {
    fn submit(&self, submission: Submission) {
        self.asked.store(true, Ordering::Relaxed);
        let Submission {
            command,
            payload,
            mut reply,
            ..
        } = submission;
        let call = Call::parse(&command, &payload, &mut reply.request_id);
        reply.answer(call.map(|call| Success::new(200, call.values.into())));
    }

    fn refuse(&self, _: DoorKind, reply: Reply, _: &Bytes, failure: Failure) {
        reply.answer(Err(failure));
    }
}

thread_local! {
    static OPEN: (Arc<Gateway>, Router) = door("");
    static GUARDED: (Arc<Gateway>, Router) = door(
        "[[http.token]]\nname = \"a\"\ntoken = \"0123456789abcdef0123456789abcdef\"\n",
    );
    static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
}

fn door(tokens: &str) -> (Arc<Gateway>, Router) {
    let text = format!("[mqtt]\nurl = \"off\"\n{tokens}");
    let config = config::read("file".into(), &text, []).unwrap().config;
    let gateway = Arc::<Gateway>::default();
    let store = StateStore::new();
    store.set("room/1/audio/volume", StateValue::text("40"));
    store.set("gateway/availability", StateValue::text("online"));
    let clients = Clients::new(
        store,
        gateway.clone(),
        Access::new(&config.http, Guesses::new(Arc::default())),
        Arc::<Telemetry>::default(),
        ClientLimits::default(),
    );
    let look = Arc::new(|| Sample {
        rooms: Default::default(),
        broker_connected: None,
        cluster: None,
    });
    let settings = HttpSettings {
        hosts: vec!["av.example".to_owned()],
        ..HttpSettings::default()
    };
    (gateway, router(clients, settings, look))
}

/// A request as it stands on the wire; without a body's framing.
fn request(data: &[u8]) -> Option<Request<Body>> {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match end {
        Some(end) => (&data[..end], &data[end + 2..]),
        None => (data, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let mut request = Request::builder().method(first.next()?).uri(first.next()?);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    request.body(Body::from(body.to_vec())).ok()
}

/// The future is asked once: nothing here waits but the answer to a wrong token.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let _entered = RUNTIME.with(|runtime| runtime.handle().clone());
    let _entered = _entered.enter();
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn ask(router: &Router, request: Request<Body>) -> Option<Response<Body>> {
    let service = TowerToHyperService::new(router.clone());
    at_once(async move { service.call(request).await.unwrap() })
}

/// The same where no token is needed, so that nothing waits but for the time that all requests here have together.
fn ask_in_turn(router: &Router, request: Request<Body>) -> Option<Response<Body>> {
    let service = TowerToHyperService::new(router.clone());
    let asked = async move { service.call(request).await.unwrap() };
    let answer = async { tokio::time::timeout(LONGEST_TURN, asked).await };
    RUNTIME.with(|runtime| runtime.block_on(answer)).ok()
}

/// A request waits some milliseconds for those before it.
const LONGEST_TURN: std::time::Duration = std::time::Duration::from_secs(5);

/// The whole of it is a request.
pub fn run(data: &[u8]) {
    let (Some(one), Some(other)) = (request(data), request(data)) else {
        return;
    };
    let cross_origin = is_cross_origin(one.headers());
    OPEN.with(|(gateway, router)| {
        gateway.asked.store(false, Ordering::Relaxed);
        let Some(response) = ask_in_turn(router, one) else {
            return;
        };
        let asked = gateway.asked.load(Ordering::Relaxed);
        assert!(!(cross_origin && asked), "another page's command");
        assert_ne!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        check(response, cross_origin);
    });
    GUARDED.with(|(gateway, router)| {
        gateway.asked.store(false, Ordering::Relaxed);
        let response = ask(router, other);
        assert!(
            !gateway.asked.load(Ordering::Relaxed),
            "a command without a token"
        );
        let Some(response) = response else { return };
        check(response, cross_origin);
    });
}

/// These are in the seeds; what looks like them is for the guard's own tests.
fn is_cross_origin(headers: &HeaderMap) -> bool {
    headers
        .get("origin")
        .is_some_and(|origin| origin == "http://evil.example")
        && headers
            .get("host")
            .is_none_or(|host| host != "evil.example")
}

fn check(response: Response<Body>, cross_origin: bool) {
    let (parts, body) = response.into_parts();
    for value in parts.headers.values() {
        assert!(!value.as_bytes().contains(&b'\n'));
    }
    if cross_origin {
        assert!(parts.status.is_client_error());
    }
    let body = at_once(to_bytes(body, 4 << 20)).map(|body| body.unwrap_or_default());
    let Some(body) = body else { return };
    let json = parts.headers.get("content-type");
    if json.is_some_and(|json| json == "application/json") && !body.is_empty() {
        serde_json::from_slice::<serde_json::Value>(&body).unwrap();
    }
}
