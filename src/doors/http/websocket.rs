//! `/ws`: clients over a WebSocket.
//!
//! Owns the upgrade, the protocol's limits and the close codes. What the frames mean is the business
//! of [`conversation`](crate::doors::conversation).

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use url::form_urlencoded;

use super::authorization::authorize;
use super::{HttpState, response};
use crate::command::{DoorKind, ErrorCode};
use crate::doors::access::Denied;
use crate::doors::conversation::{
    Ending, Filter, Format, Gone, Limits, Received, Sent, Sink, Source, Visitor, converse, dismiss,
};

/// Buffers of one connection, for reading and for writing. Most frames are below 1 KB, so one write
/// carries many; the library's own 128 KB would be too much for 2000 clients.
const BUFFER_BYTES: usize = 16 << 10;

/// What the query of the address asks for.
#[derive(Debug)]
struct UpgradeQuery {
    format: Format,
    filters: Vec<Filter>,
}

fn parse_query(query: &str) -> Result<UpgradeQuery, String> {
    let mut parsed = UpgradeQuery {
        format: Format::Json,
        filters: Vec::new(),
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, &*value) {
            ("format", "json") => parsed.format = Format::Json,
            ("format", "plain") => parsed.format = Format::Plain,
            ("format", _) => return Err("format takes json or plain".into()),
            ("subscribe", filter) => parsed.filters.push(Filter::new(filter)?),
            _ => {}
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
        Err(rejection) => return rejection.into_response(),
    };
    let authorized = authorize(&state, &parts).await;
    if authorized.as_ref().err() == Some(&Denied::TooOften) {
        let message = "too many wrong tokens from this address; try again later";
        return response::error(StatusCode::TOO_MANY_REQUESTS, "forbidden", message);
    }
    let visitor = authorized
        .map_err(|_| Ending::BadToken)
        .map(|grant| Visitor {
            grant,
            door: DoorKind::WebSocket,
            format: query.format,
            filters: query.filters,
            answers_pings: true,
        });
    let visitor = visitor.and_then(|visitor| {
        let place = state.clients.place().ok_or(Ending::TooMany)?;
        Ok((visitor, place))
    });
    let clients = state.clients.clone();
    // Tracked from here, so that a stop between this line and the upgrade waits for the client.
    let tracked = clients.tasks.token();
    upgrade.on_upgrade(move |socket| async move {
        let _tracked = tracked;
        let (sink, source) = socket.split();
        let (sink, source) = (SocketSink(sink), SocketSource::new(source));
        match visitor {
            Ok((visitor, _place)) => converse(&clients, visitor, source, sink).await,
            Err(ending) => dismiss(&clients, ending, source, sink).await,
        }
    })
}

fn with_limits(upgrade: WebSocketUpgrade, limits: &Limits) -> WebSocketUpgrade {
    upgrade
        .max_message_size(limits.message)
        .max_frame_size(limits.message)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
}

struct SocketSource {
    inner: SplitStream<WebSocket>,
    /// The error after which the library cannot go on reading.
    broken: Option<Ending>,
}

impl SocketSource {
    fn new(inner: SplitStream<WebSocket>) -> Self {
        Self {
            inner,
            broken: None,
        }
    }
}

impl Source for SocketSource {
    async fn next(&mut self) -> Received {
        match self.inner.next().await {
            Some(Ok(Message::Text(text))) => Received::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(bytes))) => Received::Binary(bytes),
            // Reading on answers a close frame; then the stream ends.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_))) => Received::Sign,
            None => Received::End(Ending::Left),
            Some(Err(error)) => {
                let ending = classify(error);
                self.broken = Some(ending);
                Received::End(ending)
            }
        }
    }

    async fn rest(&mut self) {
        match self.broken {
            None => while !matches!(self.next().await, Received::End(_)) {},
            // Reading on would collect the whole frame in memory, which is the one that is too large.
            Some(Ending::TooLarge) => std::future::pending().await,
            Some(_) => {}
        }
    }
}

/// What an error of the protocol means. The framework wraps the library's error.
fn classify(error: axum::Error) -> Ending {
    use tokio_tungstenite::tungstenite::Error;
    match error.into_inner().downcast_ref::<Error>() {
        Some(Error::Capacity(_)) => Ending::TooLarge,
        Some(Error::Utf8(_)) => Ending::NotText,
        Some(Error::Protocol(_)) => Ending::Broken,
        _ => Ending::Left,
    }
}

struct SocketSink(SplitSink<WebSocket, Message>);

impl Sink for SocketSink {
    async fn send(&mut self, frame: Sent) -> Result<(), Gone> {
        let message = match frame {
            Sent::Text(text) => Message::text(&*text),
            Sent::Binary(bytes) => Message::Binary(bytes),
            Sent::Ping => Message::Ping(bytes::Bytes::new()),
        };
        self.0.feed(message).await.map_err(|_| Gone)
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        self.0.flush().await.map_err(|_| Gone)
    }

    async fn close(&mut self, ending: Ending) {
        let frame = CloseFrame {
            code: close_code(ending),
            reason: ending.reason().unwrap_or_default().into(),
        };
        // The client may be gone already.
        let _ = self.0.send(Message::Close(Some(frame))).await;
    }
}

/// The close code (RFC 6455, section 7.4); 4401 is ours, after HTTP's 401.
fn close_code(ending: Ending) -> u16 {
    match ending {
        Ending::Left => 1000,
        Ending::GoingAway => 1001,
        Ending::Broken => 1002,
        Ending::NotText => 1007,
        Ending::Silent | Ending::Stuck => 1008,
        Ending::TooLarge => 1009,
        Ending::TooMany => 1013,
        Ending::BadToken => 4401,
    }
}

/// Sends every message back, through the same stack with the same limits, for the Autobahn test
/// suite.
#[cfg(feature = "autobahn-echo")]
pub async fn echo(State(state): State<Arc<HttpState>>, upgrade: WebSocketUpgrade) -> Response {
    with_limits(upgrade, &state.clients.limits).on_upgrade(async move |socket| {
        let (sink, source) = socket.split();
        let (mut sink, mut source) = (SocketSink(sink), SocketSource::new(source));
        let ending = loop {
            let message = match source.next().await {
                Received::Text(text) => Sent::Text(text.into()),
                Received::Binary(bytes) => Sent::Binary(bytes),
                Received::Sign => continue,
                Received::End(ending) => break ending,
            };
            if sink.send(message).await.is_err() || sink.flush().await.is_err() {
                return;
            }
        };
        dismiss(&state.clients, ending, source, sink).await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_gives_format_and_filters() {
        let query = parse_query("subscribe=room/1/%23&token=x&format=plain&subscribe=gateway/%2B");
        let query = query.unwrap();
        assert_eq!(query.format, Format::Plain);
        let filters: Vec<_> = query.filters.iter().map(Filter::as_str).collect();
        assert_eq!(filters, ["room/1/#", "gateway/+"]);
        assert!(parse_query("format=xml").is_err());
        assert!(parse_query("subscribe=a%23").is_err());
    }

    #[test]
    fn close_codes_are_those_of_the_documentation() {
        let page = include_str!("../../../docs/websocket.md");
        for ending in [
            Ending::GoingAway,
            Ending::Broken,
            Ending::NotText,
            Ending::TooLarge,
            Ending::TooMany,
            Ending::BadToken,
        ] {
            assert!(ending.reason().is_some());
            let row = format!("\n| {} |", close_code(ending));
            assert!(page.contains(&row), "{ending:?}");
        }
    }
}
