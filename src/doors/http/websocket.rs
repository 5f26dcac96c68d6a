//! `/ws`: a conversation over a WebSocket.
//!
//! Owns the upgrade, the limits of the protocol and the close codes.

use std::sync::Arc;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use url::form_urlencoded;

use super::credentials::admit;
use super::{Shared, answer};
use crate::command::DoorKind;
use crate::doors::access::Denied;
use crate::doors::conversation::{
    Ending, Filter, Format, Gone, Limits, Received, Sent, Sink, Source, Visitor, converse, dismiss,
};

/// What one connection reads at a time, and collects before it writes.
const BUFFER: usize = 16 << 10;

/// What the address asks for.
#[derive(Debug)]
struct Wishes {
    format: Format,
    filters: Vec<Filter>,
}

fn wishes(query: &str) -> Result<Wishes, String> {
    let mut wishes = Wishes {
        format: Format::Json,
        filters: Vec::new(),
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match (&*name, &*value) {
            ("format", "json") => wishes.format = Format::Json,
            ("format", "plain") => wishes.format = Format::Plain,
            ("format", _) => return Err("format takes json or plain".into()),
            ("subscribe", filter) => wishes.filters.push(Filter::new(filter)?),
            _ => {}
        }
    }
    Ok(wishes)
}

/// Takes a WebSocket in. Who may not come is told so by a close code, since a browser's page sees
/// nothing else.
pub async fn upgrade(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let wishes = match wishes(request.uri().query().unwrap_or_default()) {
        Ok(wishes) => wishes,
        Err(message) => {
            let code = crate::command::ErrorCode::InvalidPayload;
            return answer::failed(code, &message);
        }
    };
    let (mut parts, _) = request.into_parts();
    let upgrade = match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => limited(upgrade, &shared.clients.limits),
        Err(rejection) => return rejection.into_response(),
    };
    let admitted = admit(&shared, &parts).await;
    if admitted.as_ref().err() == Some(&Denied::TooOften) {
        let message = "too many wrong tokens from this address; try again later";
        return answer::error(StatusCode::TOO_MANY_REQUESTS, "forbidden", message);
    }
    let visitor = admitted.map_err(|_| Ending::BadToken).map(|grant| Visitor {
        grant,
        door: DoorKind::WebSocket,
        format: wishes.format,
        filters: wishes.filters,
        answers_pings: true,
    });
    let visitor = visitor.and_then(|visitor| {
        let place = shared.clients.place().ok_or(Ending::TooMany)?;
        Ok((visitor, place))
    });
    let clients = shared.clients.clone();
    // From now on, so that a stop between here and the upgrade waits for it.
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

fn limited(upgrade: WebSocketUpgrade, limits: &Limits) -> WebSocketUpgrade {
    upgrade
        .max_message_size(limits.message)
        .max_frame_size(limits.message)
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
}

struct SocketSource {
    inner: SplitStream<WebSocket>,
    /// What the library cannot read past.
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
            // A close is answered by reading on, after which there is nothing more.
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
            // Reading on would collect in memory what is too large.
            Some(Ending::TooLarge) => std::future::pending().await,
            Some(_) => {}
        }
    }
}

/// What an error of the protocol means. The library's type is behind the framework's.
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
            code: code(ending),
            reason: ending.reason().unwrap_or_default().into(),
        };
        // Nobody may be there to read it.
        let _ = self.0.send(Message::Close(Some(frame))).await;
    }
}

/// The close code of an ending.
fn code(ending: Ending) -> u16 {
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

/// Sends back what comes, through the same stack with the same limits, for Autobahn.
#[cfg(feature = "autobahn-echo")]
pub async fn echo(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    limited(upgrade, &shared.clients.limits).on_upgrade(async move |socket| {
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
        dismiss(&shared.clients, ending, source, sink).await;
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_says_what_is_wanted() {
        let asked = wishes("subscribe=room/1/%23&token=x&format=plain&subscribe=gateway/%2B");
        let asked = asked.unwrap();
        assert_eq!(asked.format, Format::Plain);
        let filters: Vec<_> = asked.filters.iter().map(Filter::as_str).collect();
        assert_eq!(filters, ["room/1/#", "gateway/+"]);
        assert!(wishes("format=xml").is_err());
        assert!(wishes("subscribe=a%23").is_err());
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
            let row = format!("\n| {} |", code(ending));
            assert!(page.contains(&row), "{ending:?}");
        }
    }
}
