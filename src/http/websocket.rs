//! `/ws`: a conversation over a WebSocket.
//!
//! Owns the upgrade, the limits of the protocol and the close codes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use tokio::time::{sleep, timeout};
use url::form_urlencoded;

use super::credentials::admit;
use super::{Shared, answer};
use crate::access::Denied;
use crate::command::Door;
use crate::conversation::{
    Ending, Filter, Format, Gone, Limits, Received, Sent, Sink, Source, Visitor, converse,
};

/// What one connection reads at a time, and collects before it writes.
const BUFFER: usize = 16 << 10;
/// How long a client has to read why it was closed.
const FAREWELL: Duration = Duration::from_secs(1);

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
        Ok(upgrade) => limited(upgrade, &shared.lobby.limits),
        Err(rejection) => return rejection.into_response(),
    };
    let admitted = admit(&shared, &parts).await;
    if admitted.as_ref().err() == Some(&Denied::TooOften) {
        let message = "too many wrong tokens from this address; try again later";
        return answer::error(StatusCode::TOO_MANY_REQUESTS, "forbidden", message);
    }
    let visitor = admitted.map_err(|_| Ending::BadToken).map(|grant| Visitor {
        grant,
        door: Door::WebSocket,
        format: wishes.format,
        filters: wishes.filters,
        answers_pings: true,
    });
    let visitor = visitor.and_then(|visitor| {
        let place = shared.lobby.place().ok_or(Ending::TooMany)?;
        Ok((visitor, place))
    });
    let lobby = shared.lobby.clone();
    // From now on, so that a stop between here and the upgrade waits for it.
    let tracked = lobby.tasks.token();
    upgrade.on_upgrade(move |socket| async move {
        let _tracked = tracked;
        let (sink, source) = socket.split();
        let (mut sink, source) = (SocketSink(sink), SocketSource(source));
        match visitor {
            Ok((visitor, _place)) => {
                converse(&lobby, visitor, source, sink).await;
            }
            Err(ending) => {
                // Nobody may be there to read it.
                let _ = timeout(lobby.limits.send, sink.close(ending)).await;
            }
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

struct SocketSource(SplitStream<WebSocket>);

impl Source for SocketSource {
    async fn next(&mut self) -> Received {
        match self.0.next().await {
            Some(Ok(Message::Text(text))) => Received::Text(text.as_str().to_owned()),
            Some(Ok(Message::Binary(_))) => Received::Binary,
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Received::Sign,
            // The answer to its close has been sent already.
            Some(Ok(Message::Close(_))) | None => Received::End(Ending::Left),
            Some(Err(error)) => Received::End(meaning(error)),
        }
    }
}

/// What an error of the protocol means. The library's type is behind the framework's.
fn meaning(error: axum::Error) -> Ending {
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
            Sent::Text(text) => Message::Text(text.into()),
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
        if self.0.send(Message::Close(Some(frame))).await.is_ok() {
            // A connection that ends while the client still sends takes the reason with it.
            sleep(FAREWELL).await;
        }
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
    limited(upgrade, &shared.lobby.limits).on_upgrade(async |socket| {
        let (sink, mut source) = socket.split();
        let mut sink = SocketSink(sink);
        loop {
            let message = match source.next().await {
                Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => message,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                Some(Ok(Message::Close(_))) | None => return,
                Some(Err(error)) => return sink.close(meaning(error)).await,
            };
            if sink.0.send(message).await.is_err() {
                return;
            }
        }
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
}
