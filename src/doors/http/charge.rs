//! What a request costs, and who pays: its processor time, and a large answer until it is sent.
//!
//! Who pays is known only when its token has been looked at, so a request carries a [`Charge`] from the start. Where no
//! right token was shown, the address pays: the answer waits until it may, so a right token waits for no wrong ones.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State as RouterState};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;

use super::authorization::sender_address;
use super::{HttpState, response};
use crate::command::ErrorCode;
use crate::doors::payers::{
    Admitted, LARGE_MESSAGE, Payer, ReadsPayer, TOO_MUCH_WAITS, WaitingBytes, metered,
};
use crate::net::turn;

/// What one request has cost so far.
#[derive(Debug, Clone, Default)]
pub struct Charge(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What it cost before it was known who pays.
    unpaid: Duration,
    paid_by: Option<(Arc<Payer>, Admitted)>,
    /// Another gateway of the cluster has sent it.
    is_trusted: bool,
}

impl Charge {
    fn add(&self, cost: Duration) {
        let mut state = self.0.lock();
        match &state.paid_by {
            Some((_, admitted)) => admitted.charge(cost),
            None => state.unpaid += cost,
        }
    }

    fn payer(&self) -> Option<Arc<Payer>> {
        let state = self.0.lock();
        let (payer, _) = state.paid_by.as_ref()?;
        Some(payer.clone())
    }
}

/// Waits until a request of this payer may be handled, who pays for it from now on.
pub async fn admit(parts: &Parts, payer: &Arc<Payer>) {
    let admitted = payer.admit().await;
    if let Some(reads) = parts.extensions.get::<ReadsPayer>() {
        reads.becomes(payer.clone());
    }
    if let Some(charge) = parts.extensions.get::<Charge>() {
        let mut state = charge.0.lock();
        admitted.charge_before(std::mem::take(&mut state.unpaid));
        state.paid_by = Some((payer.clone(), admitted));
    }
}

/// Nobody pays for this request, nor for what is read from its connection: another gateway of the cluster has sent it,
/// for clients who pay there.
pub fn trust(parts: &Parts) {
    if let Some(reads) = parts.extensions.get::<ReadsPayer>() {
        reads.is_trusted();
    }
    if let Some(charge) = parts.extensions.get::<Charge>() {
        charge.0.lock().is_trusted = true;
    }
}

/// Measures what a request costs. Others run in between: the library takes one request after the other for as long as
/// more have come.
pub async fn measure(
    RouterState(state): RouterState<Arc<HttpState>>,
    request: Request,
    next: Next,
) -> Response {
    turn().await;
    let (mut parts, body) = request.into_parts();
    let address = sender_address(&state, &parts);
    let reads = parts.extensions.get::<ReadsPayer>().cloned();
    let charge = Charge::default();
    parts.extensions.insert(charge.clone());
    let request = Request::from_parts(parts, body);
    let stranger = state.clients.stranger(address);
    let left = LeftToPay(&charge, &stranger);
    let handled = metered(next.run(request), |cost| charge.add(cost));
    let response = handled.await;
    if let Some(payer) = charge.payer() {
        return held(&payer, response);
    }
    if !charge.0.lock().is_trusted {
        if let Some(reads) = reads {
            reads.is_stranger(stranger.clone());
        }
        // However many connections strangers have, and however much has come of each.
        stranger.others_run_first().await;
        drop(left);
    }
    response
}

/// What a request has cost that nobody pays for: this stranger does, also if the client leaves before the answer.
struct LeftToPay<'a>(&'a Charge, &'a Payer);

impl Drop for LeftToPay<'_> {
    fn drop(&mut self) {
        let Self(charge, stranger) = self;
        let mut state = charge.0.lock();
        if !state.is_trusted {
            stranger.charge(std::mem::take(&mut state.unpaid));
        }
    }
}

/// A response whose body, if it is large and whole, counts among what waits for clients.
fn held(payer: &Payer, response: Response) -> Response {
    let size = HttpBody::size_hint(response.body()).exact();
    let size = size.and_then(|size| usize::try_from(size).ok());
    let Some(size) = size.filter(|size| *size > LARGE_MESSAGE) else {
        return response;
    };
    match payer.reserve(size) {
        Some(held) => response.map(|inner| {
            Body::new(HeldBody {
                inner,
                held: Some(held),
            })
        }),
        None => response::error_code(ErrorCode::Busy, TOO_MUCH_WAITS),
    }
}

/// A body whose bytes are counted until they are sent.
struct HeldBody {
    inner: Body,
    /// Goes with the first bytes, which are all of them: the body is whole.
    held: Option<WaitingBytes>,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(cx)) else {
            return Poll::Ready(None);
        };
        let held = self.held.take();
        Poll::Ready(Some(frame.map(|frame| match held {
            Some(held) => frame.map_data(|bytes| held.around(bytes)),
            None => frame,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        HttpBody::size_hint(&self.inner)
    }
}
