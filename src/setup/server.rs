//! The setup page, on loopback: takes one device, writes the configuration, and ends.
//!
//! Owns the page's routes and who may use them: requests for another host or from another origin are
//! refused as at the gateway's own door, and nothing is done without the one-time code.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::code::{CodeCheck, OneTimeCode};
use super::file::SetupFile;
use super::room::{DeviceAddress, suggested_id};
use super::trial::{log_in, shown_certificate};
use crate::config::{Fingerprint, NewRoom, RoomId, Secret};
use crate::doors::http::{add_security_headers, is_from_own_page};
use crate::os_error;

/// How long the page is there: whoever starts it is about to use it.
const PAGE_LIFETIME: Duration = Duration::from_secs(30 * 60);
/// How long open connections may take to end.
const LAST_ANSWERS_TIMEOUT: Duration = Duration::from_secs(2);
/// A request is a few lines.
const LARGEST_REQUEST: usize = 16 << 10;
/// The page runs its own script, and connects to its own address alone.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                           frame-ancestors 'none'; form-action 'none'; base-uri 'none'";

struct SetupState {
    code: OneTimeCode,
    file: SetupFile,
    /// One device is tried at a time.
    trying: tokio::sync::Mutex<()>,
    outcome: Mutex<Option<Result<(), String>>>,
    done: CancellationToken,
}

impl SetupState {
    fn end(&self, outcome: Result<(), String>) {
        let mut kept = self.outcome.lock();
        kept.get_or_insert(outcome);
        self.done.cancel();
    }

    fn check_code(&self, sent: &str) -> Result<(), Refusal> {
        // A connection may outlive the page.
        if self.done.is_cancelled() {
            let ended = "the setup page has ended";
            return Err(Refusal(StatusCode::FORBIDDEN, ended.to_owned()));
        }
        match self.code.check(sent) {
            CodeCheck::Right => Ok(()),
            CodeCheck::Wrong => Err(Refusal(StatusCode::FORBIDDEN, WRONG_CODE.to_owned())),
            CodeCheck::Spent => {
                self.end(Err(
                    "the setup page has ended: too many wrong codes".to_owned()
                ));
                Err(Refusal(
                    StatusCode::FORBIDDEN,
                    "too many wrong codes: start the program again".to_owned(),
                ))
            }
        }
    }
}

const WRONG_CODE: &str = "that is not the code that the program printed when it started";

/// Why a request is refused; the page shows the text.
struct Refusal(StatusCode, String);

impl Refusal {
    fn wrong(why: impl Into<String>) -> Self {
        Self(StatusCode::UNPROCESSABLE_ENTITY, why.into())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": {"message": self.1}}))).into_response()
    }
}

/// Serves the page until the file is written.
///
/// # Errors
/// The page ended without: too many wrong codes, or nobody came.
pub async fn serve_setup(
    listener: TcpListener,
    file: SetupFile,
    code: OneTimeCode,
) -> Result<(), String> {
    let state = Arc::new(SetupState {
        code,
        file,
        trying: tokio::sync::Mutex::default(),
        outcome: Mutex::default(),
        done: CancellationToken::new(),
    });
    let done = state.done.clone();
    let server = axum::serve(listener, routes(state.clone()));
    let server = server.with_graceful_shutdown(done.clone().cancelled_owned());
    let mut serving = tokio::spawn(server.into_future());
    let ended = tokio::select! {
        // The server ends because the file is written: that is no failure.
        biased;
        in_time = timeout(PAGE_LIFETIME, done.cancelled()) => in_time.map_err(|_| {
            "the setup page has ended: nobody used it; start the program again".to_owned()
        }),
        failed = &mut serving => Err(match failed {
            Ok(Err(error)) => os_error::words(&error),
            _ => "the setup page has ended".to_owned(),
        }),
    };
    done.cancel();
    // The port is the gateway's next.
    if !serving.is_finished() && timeout(LAST_ANSWERS_TIMEOUT, &mut serving).await.is_err() {
        serving.abort();
    }
    let outcome = state.outcome.lock().take();
    ended.and(outcome.unwrap_or(Ok(())))
}

fn routes(state: Arc<SetupState>) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/setup.css", get(style))
        .route("/setup.js", get(script))
        .route("/try", post(try_device))
        .route("/add", post(add_room))
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .layer(middleware::from_fn(check_origin))
        .layer(middleware::from_fn(add_security_headers))
        .with_state(state)
}

async fn check_origin(request: Request, next: Next) -> Response {
    if is_from_own_page(&request) {
        next.run(request).await
    } else {
        let why = "this request is for another host, or comes from another page";
        Refusal(StatusCode::FORBIDDEN, why.to_owned()).into_response()
    }
}

async fn page() -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, Html(include_str!("page/index.html"))).into_response()
}

async fn style() -> Response {
    text("text/css; charset=utf-8", include_str!("page/setup.css"))
}

async fn script() -> Response {
    text(
        "text/javascript; charset=utf-8",
        include_str!("page/setup.js"),
    )
}

fn text(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")], text).into_response()
}

#[derive(Deserialize)]
struct TryRequest {
    code: String,
    address: String,
}

async fn try_device(
    State(state): State<Arc<SetupState>>,
    Json(request): Json<TryRequest>,
) -> Result<Response, Refusal> {
    state.check_code(&request.code)?;
    let address = DeviceAddress::parse(&request.address).map_err(Refusal::wrong)?;
    let _one = state.trying.lock().await;
    let shown = shown_certificate(&address.url)
        .await
        .map_err(|error| Refusal::wrong(error.to_string()))?;
    Ok(Json(json!({"url": address.text, "certificate": shown.to_string()})).into_response())
}

#[derive(Deserialize)]
struct AddRequest {
    code: String,
    address: String,
    certificate: String,
    user: String,
    password: String,
    id: String,
}

async fn add_room(
    State(state): State<Arc<SetupState>>,
    Json(request): Json<AddRequest>,
) -> Result<Response, Refusal> {
    state.check_code(&request.code)?;
    let _one = state.trying.lock().await;
    if state.done.is_cancelled() {
        return Err(Refusal::wrong("the room is there already"));
    }
    // Somebody may have made one while the page was open.
    if state.file.exists() {
        let why = format!("{} exists already", state.file.path().display());
        state.end(Err(why.clone()));
        return Err(Refusal::wrong(why));
    }
    let room = new_room(&state.file, request)
        .await
        .map_err(Refusal::wrong)?;
    let added = state.file.add(&room);
    added.map_err(|error| Refusal::wrong(error.to_string()))?;
    state.end(Ok(()));
    let file = state.file.path().display().to_string();
    Ok(Json(json!({"room": room.id.to_string(), "file": file})).into_response())
}

async fn new_room(file: &SetupFile, request: AddRequest) -> Result<NewRoom, String> {
    let address = DeviceAddress::parse(&request.address)?;
    let wrong = || "takes the certificate that the device shows".to_owned();
    let certificate = Fingerprint::parse(&request.certificate).ok_or_else(wrong)?;
    if request.password.is_empty() {
        return Err("the password is missing".to_owned());
    }
    let password = Secret::new(request.password);
    let config = file.config().map_err(|errors| errors.to_string())?;
    let identity = log_in(&address.url, &request.user, &password, certificate).await;
    let identity = identity.map_err(|error| error.to_string())?;
    let id = match request.id.as_str() {
        "" => suggested_id(&config, &identity, &address.url),
        id => RoomId::new(id).ok_or(RoomId::FORM)?,
    };
    Ok(NewRoom {
        id,
        name: identity.name,
        url: address.text,
        user: Some(request.user).filter(|user| user != crate::setup::DEFAULT_USER),
        password,
        certificate,
    })
}
