//! `/room/…` and `/gateway/…`: reads states, sends commands, streams files.
//!
//! A path is a topic. Which topics are commands, and which of them download or upload a file, comes
//! from the catalogue.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{ALLOW, HeaderValue, LINK};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;
use url::form_urlencoded;

use super::authorization::Authorized;
use super::command_body::{RefusedBody, payload, small_payload};
use super::path::EndsInSlash;
use super::room_request::RoomRequest;
use super::{HttpState, response};
use crate::catalogue::CATALOGUE;
use crate::command::{DoorKind, Download, ErrorCode, Outcome, Reply, Transfer};
use crate::doors::access::Grant;
use crate::doors::clients::{RoomGateway, state_as_json};
use crate::nearest::{Nearest, nearest};
use crate::topics::{GATEWAY_INFO, OFFLINE, RoomTopics, split_room};

/// The path as a topic, its levels encoded as the client sent them: an encoded slash is part of a
/// level.
fn topic_of(request: &Request) -> String {
    let path = request.uri().path();
    path.strip_prefix('/').unwrap_or(path).to_owned()
}

/// `GET /gateway/info`.
pub async fn gateway(
    State(state): State<Arc<HttpState>>,
    Authorized { grant, .. }: Authorized,
    request: Request,
) -> Response {
    let topic = topic_of(&request);
    let value = state.clients.states.get(&topic);
    match value.filter(|_| grant.sees_topic(&topic)) {
        Some(value) => response::state(&grant.own_view(&topic, &value).unwrap_or(value)),
        None => response::error_code(ErrorCode::NotFound, "the gateway has no such state"),
    }
}

/// The value of `gateway/info`, which names all rooms that are configured.
pub fn info(state: &HttpState) -> Value {
    let info = state.clients.states.get(GATEWAY_INFO);
    info.map(|info| state_as_json(GATEWAY_INFO, &info))
        .unwrap_or_default()
}

/// `GET /room`: the rooms that the client may see, each with its id, name, availability, the code of
/// its problem, where all its states are, and where all its commands are explained. Where several gateways share
/// the rooms, also the name of the gateway that has it, or null while none has.
pub async fn list(
    State(state): State<Arc<HttpState>>,
    Authorized { grant, .. }: Authorized,
) -> Response {
    let store = &state.clients.states;
    let known = |topic: &str| store.get(topic).map(|value| state_as_json(topic, &value));
    let info = info(&state);
    let rooms = info["rooms"].as_object().into_iter().flatten();
    let rooms: Value = rooms
        .filter(|(id, _)| grant.sees(id))
        .map(|(id, name)| {
            let topics = RoomTopics::new(id);
            let problem = known(&topics.problem()).unwrap_or_default();
            let url = format!("/{}", topics.start().trim_end_matches('/'));
            let mut entry = json!({
                "id": id,
                "name": name,
                // A room that could not be started has no topics.
                "availability": known(&topics.availability()).unwrap_or_else(|| OFFLINE.into()),
                "problem": problem["code"],
                "url": url,
                "commands": format!("{url}/commands"),
            });
            match store.gateway_of(id) {
                RoomGateway::Alone => {}
                RoomGateway::Nobody => entry["gateway"] = Value::Null,
                RoomGateway::Named(name) => entry["gateway"] = json!(*name),
            }
            entry
        })
        .collect();
    response::text("application/json", rooms.to_string())
}

/// `GET /room/1`: all states as one object.
pub async fn room(
    State(state): State<Arc<HttpState>>,
    Authorized { grant, .. }: Authorized,
    request: Request,
) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let message = "all states of a room are read with GET; a command is \
                       /room/<room>/<command>, such as /room/1/audio/volume/set";
        return not_allowed("GET", message);
    }
    let room = request.uri().path();
    let room = room.strip_prefix("/room/").unwrap_or(room);
    if !grant.sees(room) {
        return other_room(&grant, room);
    }
    let start = RoomTopics::new(room).start();
    let store = &state.clients.states;
    if !store.fetch(room).await {
        return not_arrived(room);
    }
    let states: Map<String, Value> = store
        .topics_below(&start)
        .into_iter()
        .filter_map(|topic| {
            let value = state_as_json(&topic, &store.get(&topic)?);
            Some((topic[start.len()..].to_owned(), value))
        })
        .collect();
    if states.is_empty() {
        return unknown_room(&state, &grant, room);
    }
    let mut response = response::text("application/json", Value::Object(states).to_string());
    // Relative, so that it is right below the path of a proxy.
    let base = match request.extensions().get::<EndsInSlash>() {
        Some(EndsInSlash) => String::new(),
        None => format!("{room}/"),
    };
    let link = format!("<{base}commands>; rel=\"service-desc\"");
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(LINK, link);
    }
    response
}

/// Nobody knows whether there is what was asked for.
fn not_arrived(room: &str) -> Response {
    let message = format!(
        "the gateway that has room \"{room:.64}\" has not sent all its states in time; try again"
    );
    response::error_code(ErrorCode::Timeout, &message)
}

/// There is no such room. Those that the client may see and could mean are named.
pub fn unknown_room(state: &HttpState, grant: &Grant, room: &str) -> Response {
    let info = info(state);
    let rooms = info["rooms"].as_object().into_iter().flatten();
    let seen = rooms.map(|(id, _)| id.as_str()).filter(|id| grant.sees(id));
    let known = Nearest::of(room, seen).words("configured", str::to_owned);
    let message = format!("there is no room \"{room:.64}\"; {known}");
    response::error_code(ErrorCode::UnknownRoom, &message)
}

/// `GET` of a state or query, `POST` of a command.
pub async fn topic(
    State(state): State<Arc<HttpState>>,
    authorized: Authorized,
    request: Request,
) -> Response {
    let topic = topic_of(&request);
    let Some((room, topic)) = split_room(&topic) else {
        return response::not_found().await;
    };
    let room_request = RoomRequest::new(room, topic);
    let parameters = match parameters(request.uri().query().unwrap_or_default()) {
        Ok(parameters) => parameters,
        Err(message) => return response::error_code(ErrorCode::InvalidPayload, &message),
    };
    match *request.method() {
        Method::GET | Method::HEAD => {
            get(&state, &authorized.grant, &room_request, parameters).await
        }
        Method::POST => {
            let body = request.into_body();
            post(&state, &authorized, &room_request, parameters, body).await
        }
        _ => not_allowed(room_request.methods(), "commands take POST, states GET"),
    }
}

async fn get(
    state: &HttpState,
    grant: &Grant,
    request: &RoomRequest<'_>,
    parameters: Bytes,
) -> Response {
    if !grant.sees(request.room) {
        return other_room(grant, request.room);
    }
    let arrived = state.clients.states.fetch(request.room).await;
    let topic = request.state_topic();
    if let Some(value) = topic.and_then(|topic| state.clients.states.get(&topic)) {
        return response::state(&value);
    }
    if request.only_reads() {
        return send(state, grant, request, parameters, Transfer::None).await;
    }
    if request.route.is_some() {
        let message = format!(
            "{:.64} is a command: send it with POST and its payload as the body; the query of an \
             address is for the parameters of what is only read, such as calendar/meetings/get",
            request.topic
        );
        return not_allowed("POST", &message);
    }
    if !arrived {
        return not_arrived(request.room);
    }
    let start = RoomTopics::new(request.room).start();
    let topics = state.clients.states.topics_below(&start);
    // Every room has its availability.
    if topics.is_empty() {
        return unknown_room(state, grant, request.room);
    }
    let mut hint = request.spelling_hint();
    if hint.is_empty() {
        let known = topics.iter().map(|topic| &topic[start.len()..]);
        if let Some(near) = nearest(request.topic, known) {
            hint = format!("; did you mean {near}?");
        }
    }
    let message = format!(
        "room \"{:.64}\" has no state \"{:.64}\"{hint}",
        request.room, request.topic
    );
    response::error_code(ErrorCode::NotFound, &message)
}

/// The parameters in the query of an address, as a payload. `token` is not one of them.
///
/// # Errors
/// One is there twice, as a message for the user: which one counts would be a guess, as in JSON.
fn parameters(query: &str) -> Result<Bytes, String> {
    let mut pairs = Map::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "token" {
            continue;
        }
        if pairs.contains_key(&*name) {
            return Err(format!("{name:.40} is there twice in the address"));
        }
        pairs.insert(name.into_owned(), value.into_owned().into());
    }
    Ok(if pairs.is_empty() {
        Bytes::new()
    } else {
        Value::Object(pairs).to_string().into()
    })
}

async fn post(
    state: &HttpState,
    authorized: &Authorized,
    request: &RoomRequest<'_>,
    parameters: Bytes,
    body: Body,
) -> Response {
    let grant = &authorized.grant;
    // A sender without the right is told so before more than a small payload is read.
    if grant.authority(request.room).is_err() {
        let payload = small_payload(body).await;
        return send(state, grant, request, payload, Transfer::None).await;
    }
    if is_state(state, request).await {
        let message = format!(
            "{:.64} is a state, which is read with GET{}",
            request.topic,
            request.set_hint()
        );
        return not_allowed("GET", &message);
    }
    let limits = &state.clients.limits;
    match payload(limits, &authorized.payer, request, parameters, body).await {
        Ok((payload, transfer)) => send(state, grant, request, payload, transfer).await,
        Err(RefusedBody {
            status,
            payload,
            failure,
        }) => {
            let (reply, result) = reply(request);
            let gateway = &state.clients.gateway;
            gateway.refuse(DoorKind::Http, reply, &payload, failure);
            let mut response = result_of(result.await);
            *response.status_mut() = status;
            response
        }
    }
}

/// Whether a room has this state, and no command of the same topic.
async fn is_state(state: &HttpState, request: &RoomRequest<'_>) -> bool {
    if request.route.is_some() {
        return false;
    }
    let store = &state.clients.states;
    store.fetch(request.room).await;
    let has = |topic: Option<String>| topic.is_some_and(|topic| store.get(&topic).is_some());
    let room = RoomTopics::new(request.room).availability();
    has(request.state_topic()) || has(Some(room)) && CATALOGUE.is_published(request.topic)
}

/// Hands a command in and waits for its result, or for the first bytes of the file it downloads.
async fn send(
    state: &HttpState,
    grant: &Grant,
    request: &RoomRequest<'_>,
    payload: Bytes,
    transfer: Transfer,
) -> Response {
    let (reply, result) = reply(request);
    let clients = &state.clients;
    if !request.downloads_file() {
        clients.submit(grant, DoorKind::Http, payload, transfer, reply);
        return result_of(result.await);
    }
    let (download, reader) = Download::new();
    let transfer = Transfer::Download(download);
    clients.submit(grant, DoorKind::Http, payload, transfer, reply);
    match reader.head.await {
        Ok(head) => response::file(&head, Body::from_stream(reader.body.into_stream())),
        // Nothing is streamed: the result says why, or holds the file.
        Err(_) => match result.await {
            Ok(outcome) if response::is_unready(&outcome) => StatusCode::NO_CONTENT.into_response(),
            result => result_of(result),
        },
    }
}

/// The reply to a request, and where its outcome arrives.
fn reply(request: &RoomRequest<'_>) -> (Reply, oneshot::Receiver<Outcome>) {
    let (sender, result) = oneshot::channel();
    let reply = Reply::new(request.room.into(), request.topic, move |outcome| {
        // The client may have gone away.
        let _ = sender.send(outcome);
    });
    (reply, result)
}

fn result_of(outcome: Result<Outcome, oneshot::error::RecvError>) -> Response {
    match outcome {
        Ok(outcome) => response::outcome(&outcome),
        // Cannot happen: a reply answers even when it is dropped.
        Err(_) => response::error_code(ErrorCode::OutcomeUnknown, "the command had no result"),
    }
}

/// The token is for other rooms.
pub fn other_room(grant: &Grant, room: &str) -> Response {
    let message = grant.authority(room).err().unwrap_or_default();
    response::error_code(ErrorCode::Forbidden, &message)
}

fn not_allowed(allowed: &'static str, message: &str) -> Response {
    let code = ErrorCode::UnknownCommand;
    let mut response = response::error(StatusCode::METHOD_NOT_ALLOWED, code, message);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allowed));
    response.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_a_payload_without_the_token() {
        assert_eq!(parameters("token=secret"), Ok(Bytes::new()));
        assert_eq!(
            parameters("start=1&token=secret&a=b+c").unwrap(),
            "{\"start\":\"1\",\"a\":\"b c\"}"
        );
        assert!(parameters("a=1&token=x&a=1").unwrap_err().contains("twice"));
    }
}
