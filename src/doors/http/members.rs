//! `/cluster`: the links of other gateways of the cluster, and their files. Without `[cluster]` there is no such path.
//!
//! Owns who is let in: only one who proves that it has the cluster's token, after this gateway has proved it over the
//! same connection. Wrong proofs are slowed down as wrong tokens are everywhere. What members say is in
//! [`cluster::link`](crate::cluster::link).

use std::sync::Arc;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt, future};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokio::time::timeout;

use super::authorization::{denied, sender_address};
use super::connection::{KeepsPlace, RequestConnection};
use super::upgrade::no_websocket;
use super::{HttpState, charge, response};
use crate::cluster::link::{
    DOWNLOAD_HEADER, FILE_ANSWER_HEADER, FILE_HEADER, FORMAT, FORMAT_HEADER, FileAnswered,
    MEMBER_HEADER, MemberDoor, MemberMessage, NONCE_HEADER, PIECES_HEADER, PROOF_HEADER,
    takes_pieces_by,
};
use crate::command::{CutOff, DoorKind, ErrorCode, Upload};
use crate::doors::access::{Denied, Sender};
use crate::telemetry::ClientRefusal;

/// Buffers of one link, for reading and for writing.
const BUFFER_BYTES: usize = 64 << 10;

/// A member that has proved that it has the cluster's token.
struct AdmittedMember {
    name: String,
    door: Arc<MemberDoor>,
}

/// Lets a member in.
async fn admit(
    state: &HttpState,
    parts: &Parts,
    door: DoorKind,
) -> Result<AdmittedMember, Response> {
    let Some(members) = &state.members else {
        return Err(response::not_found().await);
    };
    let address = sender_address(state, parts);
    let sender = Sender { door, address };
    let header = |name| header(&parts.headers, name);
    let (Some(FORMAT), Some(name)) = (header(FORMAT_HEADER), header(MEMBER_HEADER)) else {
        return Err(other_format());
    };
    let begun = RequestConnection::of(&parts.extensions).and_then(|it| it.begun.take());
    let checked = match (begun, header(PROOF_HEADER)) {
        (Some(exchange), Some(proof)) => {
            let right = members.is_member(&exchange, name, proof);
            state.clients.access.check(sender, proof, right).await
        }
        _ => Err(Denied::Missing),
    };
    if let Err(why) = checked {
        state.clients.telemetry.client_refused(ClientRefusal::Token);
        return Err(denied(why));
    }
    charge::trust(parts);
    Ok(AdmittedMember {
        name: name.to_owned(),
        door: members.clone(),
    })
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Not the status of the code: by this one the other gateway knows that its version is the reason.
fn other_format() -> Response {
    response::error(
        StatusCode::CONFLICT,
        ErrorCode::Unsupported,
        "the gateways of a cluster must speak in the same way: run the same version on all",
    )
}

/// Proves to whoever asks that this gateway has the cluster's token. The next request over this connection may then be
/// a member's.
pub async fn prove(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let Some(members) = &state.members else {
        return response::not_found().await;
    };
    if header(request.headers(), FORMAT_HEADER) != Some(FORMAT) {
        return other_format();
    }
    let connection = RequestConnection::of(request.extensions());
    let proved = header(request.headers(), NONCE_HEADER).and_then(|nonce| members.prove(nonce));
    let (Some(connection), Some((exchange, proof))) = (connection, proved) else {
        return no_command();
    };
    let mut response = Response::new(Body::empty());
    for (name, text) in [(NONCE_HEADER, &exchange.door_nonce), (PROOF_HEADER, &proof)] {
        if let Ok(value) = HeaderValue::from_str(text) {
            response.headers_mut().insert(name, value);
        }
    }
    connection.begun.begin(exchange);
    response
}

/// Opens the link of another gateway.
pub async fn link(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let (mut parts, _) = request.into_parts();
    let member = match admit(&state, &parts, DoorKind::WebSocket).await {
        Ok(member) => member,
        Err(refused) => return refused,
    };
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await else {
        return no_websocket(&parts);
    };
    let connection = RequestConnection::of(&parts.extensions);
    if connection.is_some_and(|it| it.peer.place.hold().is_err()) {
        state.clients.telemetry.client_refused(ClientRefusal::Limit);
        let message = "too many clients are connected";
        return response::error_code(ErrorCode::Busy, message);
    }
    let largest = member.door.max_message();
    let tracked = member.door.tasks().token();
    let takes_pieces = takes_pieces_by(&parts.headers);
    let mut response = upgrade
        .max_message_size(largest)
        .max_frame_size(largest)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .on_upgrade(move |socket| async move {
            let _tracked = tracked;
            tracing::debug!(member = member.name, "the link of another gateway is open");
            serve(member.door, socket, takes_pieces).await;
            tracing::debug!(
                member = member.name,
                "the link of another gateway has ended"
            );
        });
    let headers = response.headers_mut();
    headers.insert(PIECES_HEADER, HeaderValue::from_static("1"));
    response
}

async fn serve(door: Arc<MemberDoor>, socket: WebSocket, takes_pieces: bool) {
    let (sink, source) = socket.split();
    let messages = source.map(|message| match message {
        Ok(Message::Binary(bytes)) => Some(MemberMessage::Frame(bytes)),
        Ok(Message::Ping(_) | Message::Pong(_)) => Some(MemberMessage::Ping),
        Ok(Message::Text(_) | Message::Close(_)) | Err(_) => None,
    });
    let messages = messages
        .take_while(|message| future::ready(message.is_some()))
        .filter_map(future::ready);
    let frames =
        sink.with(|frame: Bytes| future::ready(Ok::<_, axum::Error>(Message::Binary(frame))));
    door.serve(messages, frames, takes_pieces).await;
}

/// Sends a file to a room here, or fetches one, for another gateway.
pub async fn file(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let member = match admit(&state, &parts, DoorKind::Http).await {
        Ok(member) => member,
        Err(refused) => return refused,
    };
    // Only now: whoever shows no right token gives way to others.
    let _place = KeepsPlace::of(&parts);
    let Some(command) = parts.headers.get(FILE_HEADER) else {
        return no_command();
    };
    let (payload, upload) = match received(&state, &parts.headers, body).await {
        Ok(received) => received,
        Err(refused) => return refused,
    };
    match member.door.file(command.as_bytes(), payload, upload).await {
        Err(_) => no_command(),
        Ok(FileAnswered::NotHere) => {
            let message = "this gateway has not got the room";
            // Not the status of the code: only by this one the other gateway knows that it may look for the
            // room elsewhere.
            response::error(StatusCode::MISDIRECTED_REQUEST, ErrorCode::Offline, message)
        }
        Ok(FileAnswered::Outcome(outcome)) => answer("outcome", outcome.into()),
        Ok(FileAnswered::File(head, body)) => {
            let mut response = answer("file", Body::from_stream(body.into_stream()));
            let headers = response.headers_mut();
            if let Ok(content_type) = HeaderValue::from_str(&head.content_type) {
                headers.insert(CONTENT_TYPE, content_type);
            }
            if let Some(length) = head.length {
                headers.insert(CONTENT_LENGTH, length.into());
            }
            response
        }
    }
}

/// The payload of a command that fetches a file, or the file that is sent.
async fn received(
    state: &HttpState,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, Option<Upload>), Response> {
    if !headers.contains_key(DOWNLOAD_HEADER) {
        let length = body.size_hint().exact().ok_or_else(no_command)?;
        let chunks = body.into_data_stream();
        let chunks = chunks.map(|chunk| chunk.map_err(|_| CutOff)).boxed();
        return Ok((Bytes::new(), Some(Upload { length, chunks })));
    }
    let limits = &state.clients.limits;
    match timeout(limits.body_timeout, to_bytes(body, limits.max_message)).await {
        Ok(Ok(payload)) => Ok((payload, None)),
        _ => Err(no_command()),
    }
}

fn no_command() -> Response {
    let message = "this is for the other gateways of the cluster";
    response::error_code(ErrorCode::InvalidPayload, message)
}

fn answer(kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(FILE_ANSWER_HEADER, kind);
    response
}
