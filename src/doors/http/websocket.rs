//! `/ws`: clients over a WebSocket.
//!
//! Owns the upgrade, the protocol's limits and the close codes. [`clients`](crate::doors::clients)
//! handles the frames.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::response::Response;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use url::form_urlencoded;

use super::authorization::{authorize, denied, sender_address};
use super::connection::RequestConnection;
use super::unread::ReceivedBytes;
use super::upgrade::no_websocket;
use super::{HttpState, charge, response};
use crate::command::{DoorKind, ErrorCode};
use crate::doors::access::Denied;
use crate::doors::clients::{
    ClientFrame, ClientLimits, CloseReason, Disconnected, FrameFormat, FrameSink, FrameSource,
    Incoming, NewClient, Newcomer, close_client, read_filter, serve_client,
};
use crate::doors::payers::{PartialMessage, Payer};
use crate::topics::Filter;

/// Buffers of one connection, for reading and for writing. Most frames are below 1 KB, so one write
/// carries many; the library's own 128 KB would be too much for 2000 clients.
const BUFFER_BYTES: usize = 16 << 10;

/// What the query of the address asks for.
#[derive(Debug)]
struct UpgradeQuery {
    format: FrameFormat,
    filters: Vec<Filter>,
}

fn parse_query(query: &str) -> Result<UpgradeQuery, String> {
    let mut parsed = UpgradeQuery {
        format: FrameFormat::Json,
        filters: Vec::new(),
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, &*value) {
            ("format", "json") => parsed.format = FrameFormat::Json,
            ("format", "plain") => parsed.format = FrameFormat::Plain,
            ("format", _) => return Err("format takes json or plain".into()),
            ("subscribe", filter) => parsed.filters.push(read_filter(filter)?),
            ("token", _) => {}
            (other, _) => {
                return Err(format!(
                    "a WebSocket's address takes subscribe, format and token, not \"{other:.40}\""
                ));
            }
        }
    }
    Ok(parsed)
}

/// Opens a WebSocket. A wrong token is answered by a close code after the upgrade: a script in a
/// browser cannot see an HTTP status.
pub async fn upgrade(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let query = match parse_query(request.uri().query().unwrap_or_default()) {
        Ok(query) => query,
        Err(message) => return response::error_code(ErrorCode::InvalidPayload, &message),
    };
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => with_limits(upgrade, &state.clients.limits),
        Err(_) => return no_websocket(&parts),
    };
    let authorized = authorize(&state, DoorKind::WebSocket, &parts).await;
    if let Err(too_often @ Denied::TooOften { .. }) = authorized {
        return denied(too_often);
    }
    let connection = RequestConnection::of(&parts.extensions);
    let place = connection.map(|it| it.peer.place.clone());
    let address = sender_address(&state, &parts);
    if let Ok(grant) = &authorized {
        charge::admit(&parts, &state.clients.payer(grant, address)).await;
    }
    let new_client = authorized
        .map_err(|_| CloseReason::BadToken)
        .and_then(|grant| {
            let slot = state.clients.reserve_slot(Newcomer {
                door: DoorKind::WebSocket,
                address,
                grant: &grant,
                place: place.as_deref(),
            })?;
            let new = NewClient {
                payer: state.clients.payer(&grant, address),
                grant,
                door: DoorKind::WebSocket,
                format: query.format,
                filters: query.filters,
                answers_pings: true,
            };
            Ok((new, slot))
        });
    let received = parts.extensions.get::<ReceivedBytes>().cloned();
    let received = received.unwrap_or_default();
    let clients = state.clients.clone();
    // Tracked from here, so that a stop between this line and the upgrade waits for the client.
    let tracked = clients.tasks.token();
    upgrade.on_upgrade(move |socket| async move {
        let _tracked = tracked;
        let (sink, source) = socket.split();
        let (sink, mut source) = (SocketSink(sink), SocketSource::new(source));
        match new_client {
            Ok((new, _slot)) => {
                source.is_admitted(&clients.limits, &new.payer, received);
                serve_client(&clients, new, source, sink).await;
            }
            Err(reason) => {
                let gave_way = async {
                    match &place {
                        Some(place) => place.gave_way().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = gave_way => {}
                    () = close_client(&clients, reason, source, sink) => {}
                }
            }
        }
    })
}

fn with_limits(upgrade: WebSocketUpgrade, limits: &ClientLimits) -> WebSocketUpgrade {
    upgrade
        .max_message_size(limits.max_message)
        .max_frame_size(limits.max_message)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
}

struct SocketSource {
    inner: SplitStream<WebSocket>,
    /// The error after which the library cannot go on reading.
    broken: Option<CloseReason>,
    /// What the message that is coming takes, and how much of it has come.
    partial: Option<(PartialMessage, ReceivedBytes)>,
}

/// What a pong takes besides its payload: the head of a frame from a client.
const CONTROL_FRAME_HEAD: usize = 6;

impl SocketSource {
    fn new(inner: SplitStream<WebSocket>) -> Self {
        Self {
            inner,
            broken: None,
            partial: None,
        }
    }

    /// The client was let in: its messages may be large.
    fn is_admitted(&mut self, limits: &ClientLimits, payer: &Arc<Payer>, received: ReceivedBytes) {
        // What has come until now was the request.
        received.restart();
        let largest = limits.max_message;
        let partial = PartialMessage::new(payer.clone(), largest, limits.body_timeout);
        self.partial = Some((partial, received));
    }

    /// The next message, unless the one that is coming takes too much.
    async fn message(&mut self) -> Result<Option<Result<Message, axum::Error>>, CloseReason> {
        let Self { inner, partial, .. } = self;
        let message = poll_fn(|cx| {
            if let Poll::Ready(message) = inner.poll_next_unpin(cx) {
                return Poll::Ready(Ok(message));
            }
            let Some((partial, received)) = partial else {
                return Poll::Pending;
            };
            if let Err(why) = partial.has(received.count()) {
                return Poll::Ready(Err(CloseReason::from(why)));
            }
            partial.poll_late(cx).map(|why| Err(why.into()))
        });
        let message = message.await?;
        if let Some((partial, received)) = partial {
            match &message {
                // It may stand between the parts of another message.
                Some(Ok(Message::Pong(bytes) | Message::Ping(bytes))) => {
                    received.without(CONTROL_FRAME_HEAD + bytes.len());
                }
                _ => {
                    received.restart();
                    partial.is_whole();
                }
            }
        }
        Ok(message)
    }
}

impl FrameSource for SocketSource {
    async fn next(&mut self) -> Incoming {
        let message = match self.message().await {
            Ok(message) => message,
            Err(reason) => {
                self.broken = Some(reason);
                return Incoming::End(reason);
            }
        };
        match message {
            Some(Ok(Message::Text(text))) => Incoming::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(bytes))) => Incoming::Binary(bytes),
            // Reading on answers a close frame; then the stream ends.
            Some(Ok(Message::Pong(_) | Message::Close(_))) => Incoming::KeepAlive,
            Some(Ok(Message::Ping(_))) => Incoming::Ping,
            None => Incoming::End(CloseReason::ClientLeft),
            Some(Err(error)) => {
                let reason = classify(error);
                self.broken = Some(reason);
                Incoming::End(reason)
            }
        }
    }

    async fn drain(&mut self) {
        match self.broken {
            None => while !matches!(self.next().await, Incoming::End(_)) {},
            // Reading on would collect the whole frame in memory, which is the one that is too large.
            Some(
                CloseReason::MessageTooLarge
                | CloseReason::TooManyLarge
                | CloseReason::MessageTooSlow,
            ) => std::future::pending().await,
            Some(_) => {}
        }
    }
}

/// What an error of the protocol means. The framework wraps the library's error.
fn classify(error: axum::Error) -> CloseReason {
    use tokio_tungstenite::tungstenite::Error;
    match error.into_inner().downcast_ref::<Error>() {
        Some(Error::Capacity(_)) => CloseReason::MessageTooLarge,
        Some(Error::Utf8(_)) => CloseReason::InvalidText,
        Some(Error::Protocol(_)) => CloseReason::ProtocolError,
        _ => CloseReason::ClientLeft,
    }
}

struct SocketSink(SplitSink<WebSocket, Message>);

impl FrameSink for SocketSink {
    async fn send(&mut self, frame: ClientFrame) -> Result<(), Disconnected> {
        let message = match frame {
            ClientFrame::Text(text) => Message::text(&*text),
            ClientFrame::Binary(bytes) => Message::Binary(bytes),
            ClientFrame::Ping => Message::Ping(bytes::Bytes::new()),
        };
        self.0.feed(message).await.map_err(|_| Disconnected)
    }

    async fn flush(&mut self) -> Result<(), Disconnected> {
        self.0.flush().await.map_err(|_| Disconnected)
    }

    async fn close(&mut self, reason: CloseReason) {
        let frame = CloseFrame {
            code: close_code(reason),
            reason: reason.message().unwrap_or_default().into(),
        };
        // The client may be gone already.
        let _ = self.0.send(Message::Close(Some(frame))).await;
    }
}

/// The close code (RFC 6455, section 7.4); 4401 is ours, after HTTP's 401.
fn close_code(reason: CloseReason) -> u16 {
    match reason {
        CloseReason::ClientLeft => 1000,
        CloseReason::Stopping => 1001,
        CloseReason::ProtocolError => 1002,
        CloseReason::OtherProtocol(_) => 1003,
        CloseReason::InvalidText => 1007,
        CloseReason::PingTimeout | CloseReason::SendTimeout => 1008,
        CloseReason::MessageTooLarge => 1009,
        CloseReason::MessageTooSlow => 1008,
        CloseReason::AccessChanged => 1012,
        CloseReason::TooManyClients | CloseReason::TooManyOfPayer | CloseReason::TooManyLarge => {
            1013
        }
        CloseReason::BadToken => 4401,
        // Answered with HTTP's 429, before there is a WebSocket.
        CloseReason::TooManyGuesses => 1013,
    }
}

/// Sends every message back, through the same stack with the same limits, for the Autobahn test
/// suite.
#[cfg(feature = "autobahn-echo")]
pub async fn echo(State(state): State<Arc<HttpState>>, upgrade: WebSocketUpgrade) -> Response {
    with_limits(upgrade, &state.clients.limits).on_upgrade(async move |socket| {
        let (sink, source) = socket.split();
        let (mut sink, mut source) = (SocketSink(sink), SocketSource::new(source));
        let reason = loop {
            let message = match source.next().await {
                Incoming::Text(text) => ClientFrame::Text(text.into()),
                Incoming::Binary(bytes) => ClientFrame::Binary(bytes),
                Incoming::KeepAlive | Incoming::Ping | Incoming::NoText(_) => continue,
                Incoming::End(reason) => break reason,
            };
            if sink.send(message).await.is_err() || sink.flush().await.is_err() {
                return;
            }
        };
        close_client(&state.clients, reason, source, sink).await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::clients::OtherProtocol;

    #[test]
    fn the_query_gives_format_and_filters() {
        let query = parse_query("subscribe=room/1/%23&token=x&format=plain&subscribe=gateway/%2B");
        let query = query.unwrap();
        assert_eq!(query.format, FrameFormat::Plain);
        let filters: Vec<_> = query.filters.iter().map(Filter::as_str).collect();
        assert_eq!(filters, ["room/1/#", "gateway/+"]);
        assert!(parse_query("format=xml").is_err());
        for never in [
            "topic=room/1/%23",
            "subscribe=room/1/",
            "subscribe=/room/1/audio/volume",
            "subscribe=room/1/audio/volume,room/1/audio/muted",
        ] {
            assert!(parse_query(never).is_err(), "{never}");
        }
        assert!(parse_query("subscribe=a%23").is_err());
        assert!(parse_query("subscribe=$share/g/room/1/%23").is_err());
    }

    #[test]
    fn close_codes_are_those_of_the_documentation() {
        let page = include_str!("../../../docs/websocket.md");
        for reason in [
            CloseReason::Stopping,
            CloseReason::ProtocolError,
            CloseReason::OtherProtocol(OtherProtocol::MQTT),
            CloseReason::InvalidText,
            CloseReason::MessageTooLarge,
            CloseReason::TooManyClients,
            CloseReason::TooManyOfPayer,
            CloseReason::TooManyLarge,
            CloseReason::MessageTooSlow,
            CloseReason::AccessChanged,
            CloseReason::BadToken,
        ] {
            assert!(reason.message().is_some());
            let row = format!("\n| {} |", close_code(reason));
            assert!(page.contains(&row), "{reason:?}");
        }
    }
}
