//! `/room/…`: states are read, commands are sent, files stream.
//!
//! Which topics are commands, and which bring or take a file, is the catalogue's to say.

use std::sync::Arc;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use tokio::time::timeout;
use url::form_urlencoded;

use super::credentials::Admitted;
use super::{Shared, answer};
use crate::catalogue::{AnswerKind, CATALOGUE, Method as DeviceMethod, Payload, Route};
use crate::command::{CutOff, DoorKind, Download, ErrorCode, Outcome, Reply, Transfer, Upload};
use crate::doors::access::Grant;
use crate::doors::conversation::state_value;
use crate::topics::{decode_level, encode_level};

/// `GET /gateway/info`.
pub async fn gateway(State(shared): State<Arc<Shared>>, _: Admitted, request: Request) -> Response {
    let topic = request.uri().path().trim_start_matches('/');
    match shared.clients.store.get(topic) {
        Some(state) => answer::state(&state),
        None => answer::failed(ErrorCode::NotFound, "the gateway has no such state"),
    }
}

/// `GET /room/1`: all states as one object.
pub async fn room(
    State(shared): State<Arc<Shared>>,
    Admitted(grant): Admitted,
    request: Request,
) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return not_allowed("GET");
    }
    let room = request.uri().path().trim_start_matches("/room/");
    if !grant.sees(room) {
        return other_room(&grant, room);
    }
    let below = format!("room/{room}/");
    let states: Map<String, Value> = shared
        .clients
        .store
        .topics_below(&below)
        .into_iter()
        .filter_map(|topic| {
            let state = shared.clients.store.get(&topic)?;
            Some((topic[below.len()..].to_owned(), state_value(&topic, &state)))
        })
        .collect();
    if states.is_empty() {
        let message = format!("there is no room \"{room:.64}\"");
        return answer::failed(ErrorCode::UnknownRoom, &message);
    }
    answer::plain("application/json", Value::Object(states).to_string())
}

/// `GET` of a state or query, `POST` of a command.
pub async fn topic(
    State(shared): State<Arc<Shared>>,
    Admitted(grant): Admitted,
    request: Request,
) -> Response {
    // As it was sent: what stands encoded in a level belongs into the level.
    let path = request.uri().path().to_owned();
    let below = path.strip_prefix("/room/").and_then(|p| p.split_once('/'));
    let Some((room, topic)) = below else {
        return super::pages::nothing().await;
    };
    let asked = Asked {
        room,
        topic,
        route: CATALOGUE.route(topic).ok().map(|(route, _)| route),
    };
    match *request.method() {
        Method::GET | Method::HEAD => {
            let query = request.uri().query().unwrap_or_default().to_owned();
            get(&shared, &grant, &asked, &query).await
        }
        Method::POST => post(&shared, &grant, &asked, request).await,
        _ => not_allowed("GET, POST"),
    }
}

struct Asked<'a> {
    room: &'a str,
    topic: &'a str,
    route: Option<&'static Route>,
}

impl Asked<'_> {
    /// The topic under which a state is retained.
    fn state(&self) -> Option<String> {
        let level = |level| decode_level(level).ok().map(|level| encode_level(&level));
        let levels: Option<Vec<String>> = self.topic.split('/').map(level).collect();
        Some(format!("room/{}/{}", self.room, levels?.join("/")))
    }

    fn brings_file(&self) -> bool {
        self.route
            .is_some_and(|route| matches!(route.command().answer, AnswerKind::Binary(_)))
    }

    fn takes_file(&self) -> bool {
        self.route
            .is_some_and(|route| matches!(route.command().payload, Payload::Bytes { .. }))
    }

    /// It only reads: some of the device's GET requests set something.
    fn only_reads(&self) -> bool {
        self.route.is_some_and(|route| {
            let reads =
                |variant: &crate::catalogue::Variant| variant.operation.method == DeviceMethod::Get;
            let named = route.topic.ends_with("/get") || self.brings_file();
            named && route.variants.iter().all(reads)
        })
    }
}

async fn get(shared: &Shared, grant: &Grant, asked: &Asked<'_>, query: &str) -> Response {
    if !grant.sees(asked.room) {
        return other_room(grant, asked.room);
    }
    let state = asked
        .state()
        .and_then(|topic| shared.clients.store.get(&topic));
    if let Some(state) = state {
        return answer::state(&state);
    }
    if asked.only_reads() {
        let payload = parameters(query);
        return send(shared, grant, asked, payload, Transfer::None).await;
    }
    if asked.route.is_some() {
        return not_allowed("POST");
    }
    let message = format!(
        "room \"{:.64}\" has no state \"{:.64}\"",
        asked.room, asked.topic
    );
    answer::failed(ErrorCode::NotFound, &message)
}

/// A query's parameters as the payload that they would be; the token is none of them.
fn parameters(query: &str) -> Bytes {
    let pairs: Map<String, Value> = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name != "token")
        .map(|(name, value)| (name.into_owned(), value.into_owned().into()))
        .collect();
    if pairs.is_empty() {
        Bytes::new()
    } else {
        Value::Object(pairs).to_string().into()
    }
}

async fn post(shared: &Shared, grant: &Grant, asked: &Asked<'_>, request: Request) -> Response {
    let limits = &shared.clients.limits;
    let body = request.into_body();
    let length = body.size_hint().exact();
    if asked.takes_file() {
        let Some(length) = length else {
            return answer::error(
                StatusCode::LENGTH_REQUIRED,
                ErrorCode::InvalidPayload.as_str(),
                "a file is taken only with a Content-Length",
            );
        };
        if length > 0 {
            let chunks = body.into_data_stream();
            let chunks = chunks.map(|chunk| chunk.map_err(|_| CutOff)).boxed();
            let upload = Transfer::Upload(Upload { length, chunks });
            return send(shared, grant, asked, Bytes::new(), upload).await;
        }
    }
    match timeout(limits.body, to_bytes(body, limits.message)).await {
        Ok(Ok(payload)) => send(shared, grant, asked, payload, Transfer::None).await,
        Ok(Err(_)) => {
            let message = format!(
                "the payload could not be read, or has more than {} bytes",
                limits.message
            );
            answer::failed(ErrorCode::TooLarge, &message)
        }
        Err(_) => answer::error(
            StatusCode::REQUEST_TIMEOUT,
            ErrorCode::Timeout.as_str(),
            "the payload did not come in time",
        ),
    }
}

/// Hands a command in and waits for its result, or for the first bytes of the file it brings.
async fn send(
    shared: &Shared,
    grant: &Grant,
    asked: &Asked<'_>,
    payload: Bytes,
    transfer: Transfer,
) -> Response {
    let (answered, result) = oneshot::channel::<Outcome>();
    let reply = Reply::new(asked.room.into(), asked.topic, move |outcome| {
        // Whoever asked may have gone away.
        let _ = answered.send(outcome);
    });
    let clients = &shared.clients;
    if !asked.brings_file() {
        clients.submit(grant, DoorKind::Http, payload, transfer, reply);
        return of(result.await);
    }
    let (download, arrival) = Download::new();
    let transfer = Transfer::Download(download);
    clients.submit(grant, DoorKind::Http, payload, transfer, reply);
    match arrival.head.await {
        Ok(head) => answer::file_of(&head, Body::from_stream(arrival.body.into_stream())),
        // There is no file to stream: the result says why, or holds it.
        Err(_) => of(result.await),
    }
}

fn of(outcome: Result<Outcome, oneshot::error::RecvError>) -> Response {
    match outcome {
        Ok(outcome) => answer::result(&outcome),
        // A reply answers even when it is dropped, so this cannot happen.
        Err(_) => answer::failed(ErrorCode::OutcomeUnknown, "the command had no result"),
    }
}

fn other_room(grant: &Grant, room: &str) -> Response {
    let message = grant.authority(room).err().unwrap_or_default();
    answer::failed(ErrorCode::Forbidden, &message)
}

fn not_allowed(allowed: &'static str) -> Response {
    let message = format!("this takes {allowed}");
    let code = ErrorCode::UnknownCommand.as_str();
    let mut response = answer::error(StatusCode::METHOD_NOT_ALLOWED, code, &message);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allowed));
    response.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(topic: &str) -> Asked<'_> {
        Asked {
            room: "1",
            topic,
            route: CATALOGUE.route(topic).ok().map(|(route, _)| route),
        }
    }

    #[test]
    fn a_get_never_changes_anything() {
        for reads in [
            "system/logs/get",
            "directory/export",
            "audio/volume/get",
            "camera/snapshot/near/get",
            "calendar/meetings/get",
        ] {
            assert!(asked(reads).only_reads(), "{reads}");
        }
        for changes in [
            "audio/volume/set",
            "collaboration/content/saving/set",
            "system/reboot",
            "directory/import",
            "nonsense",
        ] {
            assert!(!asked(changes).only_reads(), "{changes}");
        }
        assert!(asked("directory/import").takes_file());
        assert!(asked("system/logs/get").brings_file());
    }

    #[test]
    fn levels_are_found_however_they_are_encoded() {
        let state = |topic| asked(topic).state();
        assert_eq!(state("a/b%2Fc"), Some("room/1/a/b%2Fc".into()));
        assert_eq!(state("a/%62"), Some("room/1/a/b".into()));
        assert_eq!(state("a/%2e%2e/b"), None);
    }

    #[test]
    fn parameters_become_a_payload_without_the_token() {
        assert_eq!(parameters("token=secret"), Bytes::new());
        assert_eq!(
            parameters("start=1&token=secret&a=b+c"),
            "{\"start\":\"1\",\"a\":\"b c\"}"
        );
    }
}
