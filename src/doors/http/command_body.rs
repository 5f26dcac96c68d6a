//! The body of a POST as the payload of a command: whole, or as the stream of a file.
//!
//! Owns the limits of a body, and what each of them says. Decides nothing about the command.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, HttpBody, to_bytes};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::StatusCode;
use tokio::time::timeout;

use super::room_request::RoomRequest;
use super::status::status;
use crate::command::{CutOff, ErrorCode, Failure, Transfer, Upload};
use crate::doors::clients::{ClientLimits, REFUSED_PAYLOAD};
use crate::doors::payers::{PartialMessage, Payer, TooMuch};

/// How long the body of a command that is refused whatever it says is waited for. It comes with the head of the
/// request, or right after it.
const REFUSED_BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// A body that makes no command.
pub struct RefusedBody {
    /// Of the response.
    pub status: StatusCode,
    /// What the client gave instead of a body, for its `request_id`.
    pub payload: Bytes,
    /// What is wrong with it.
    pub failure: Failure,
}

/// The payload of a command that is refused whatever it says, for its `request_id`: empty if the body
/// is large or does not arrive soon.
pub async fn small_payload(body: Body) -> Bytes {
    let most = body.size_hint().upper();
    if most.is_none_or(|size| size > REFUSED_PAYLOAD as u64) {
        return Bytes::new();
    }
    let read = timeout(REFUSED_BODY_TIMEOUT, to_bytes(body, REFUSED_PAYLOAD)).await;
    read.ok().and_then(Result::ok).unwrap_or_default()
}

/// The payload in a body: a file as a stream, anything else whole.
pub async fn payload(
    limits: &ClientLimits,
    payer: &Arc<Payer>,
    request: &RoomRequest<'_>,
    parameters: Bytes,
    body: Body,
) -> Result<(Bytes, Transfer), RefusedBody> {
    let refused = |status, code, message: &str| RefusedBody {
        status,
        payload: Bytes::new(),
        failure: Failure::new(code, message),
    };
    if request.uploads_file() {
        let Some(length) = body.size_hint().exact() else {
            return Err(refused(
                StatusCode::LENGTH_REQUIRED,
                ErrorCode::InvalidPayload,
                "a file needs a Content-Length header",
            ));
        };
        if length > 0 {
            let chunks = body.into_data_stream();
            let chunks = chunks.map(|chunk| chunk.map_err(|_| CutOff)).boxed();
            return Ok((Bytes::new(), Transfer::Upload(Upload { length, chunks })));
        }
    }
    let too_large = || {
        let most = limits.max_message;
        let message = format!("the payload has more than {most} bytes");
        refused(status(ErrorCode::TooLarge), ErrorCode::TooLarge, &message)
    };
    if body.size_hint().lower() > limits.max_message as u64 {
        return Err(too_large());
    }
    match whole_body(limits, payer, body.into_data_stream()).await {
        Ok(payload) if !payload.is_empty() || parameters.is_empty() => {
            Ok((payload, Transfer::None))
        }
        Ok(_) if request.only_reads() => Ok((parameters, Transfer::None)),
        // Something that keeps caches away, for example.
        Ok(payload) if !request.takes_payload() => Ok((payload, Transfer::None)),
        Ok(_) => Err(RefusedBody {
            payload: parameters,
            ..refused(
                status(ErrorCode::InvalidPayload),
                ErrorCode::InvalidPayload,
                "the body is empty: the payload of a command is the body of the POST, and not in \
                 the query of the address",
            )
        }),
        Err(NoBody::TooLarge) => Err(too_large()),
        Err(NoBody::Broken(received)) => {
            let message = format!(
                "the payload broke off after {received} bytes, or is not sent as its headers say"
            );
            let code = ErrorCode::InvalidPayload;
            Err(refused(status(code), code, &message))
        }
        Err(NoBody::TooMuch(TooMuch::Bytes)) => {
            let message = "too many large payloads are on their way; try again later";
            Err(refused(status(ErrorCode::Busy), ErrorCode::Busy, message))
        }
        Err(NoBody::TooMuch(TooMuch::Time)) => Err(refused(
            StatusCode::REQUEST_TIMEOUT,
            ErrorCode::Timeout,
            "the payload did not arrive in time",
        )),
    }
}

/// Why a body is not there.
enum NoBody {
    TooLarge,
    /// The connection ended, or what came is no body; so many bytes came before.
    Broken(usize),
    TooMuch(TooMuch),
}

/// All of a body, in one piece.
async fn whole_body(
    limits: &ClientLimits,
    payer: &Arc<Payer>,
    mut chunks: BodyDataStream,
) -> Result<Bytes, NoBody> {
    let mut partial = PartialMessage::new(payer.clone(), limits.max_message, limits.body_timeout);
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| NoBody::Broken(body.len()))?;
            if body.len() + chunk.len() > limits.max_message {
                return Err(NoBody::TooLarge);
            }
            body.extend_from_slice(&chunk);
            partial.has(body.len()).map_err(NoBody::TooMuch)?;
        }
        Ok(body.freeze())
    };
    let read = timeout(limits.body_timeout, read).await;
    read.unwrap_or(Err(NoBody::TooMuch(TooMuch::Time)))
}
