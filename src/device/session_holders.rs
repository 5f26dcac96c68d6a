//! Who holds a device's sessions, when it has none left for the gateway.
//!
//! Asks within a session that the device still holds for the gateway, and could not be released. Changes nothing
//! at the device.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;

use super::endpoint::{AttemptOutcome, Endpoint, RequestSlot, SMALL_RESPONSE};
use super::session::Session;
use super::sessions::Sessions;
use crate::catalogue::{SESSION_LISTS, read_body, session_holders};

/// The holders in words for a message, without any id. None if the device takes none of these sessions,
/// or does not tell.
pub(super) async fn holders(
    endpoint: &Endpoint,
    slot: &RequestSlot<'_>,
    sessions: &Sessions,
) -> Option<String> {
    // The current one may be in use again though it was to be replaced.
    let held = sessions.still_held().into_iter();
    for session in held.chain(sessions.current(None)) {
        match session_list(endpoint, slot, &session).await {
            SessionList::Told(body) => {
                sessions.note_valid(session.generation);
                return session_holders(&read_body(&body).ok()?);
            }
            SessionList::NotTold => {}
            SessionList::NoConnection => return None,
        }
    }
    None
}

/// What the device says about its sessions.
enum SessionList {
    /// The body of its list.
    Told(Bytes),
    /// The session with which it was asked is not valid, or it has no list.
    NotTold,
    /// No other session would help.
    NoConnection,
}

async fn session_list(
    endpoint: &Endpoint,
    slot: &RequestSlot<'_>,
    session: &Arc<Session>,
) -> SessionList {
    for path in SESSION_LISTS {
        let request = endpoint.fixed(Method::GET, path, None);
        let attempt = endpoint
            .attempt(slot, &request, session, None, SMALL_RESPONSE)
            .await;
        match attempt {
            AttemptOutcome::Answered(response) if response.status == 200 => {
                return SessionList::Told(response.body);
            }
            // It may have the other spelling.
            AttemptOutcome::Answered(response) if matches!(response.status, 404 | 405 | 501) => {}
            AttemptOutcome::Answered(_) | AttemptOutcome::Large(_) => {
                return SessionList::NotTold;
            }
            AttemptOutcome::Unreachable(_) | AttemptOutcome::Broken(_) => {
                return SessionList::NoConnection;
            }
        }
    }
    SessionList::NotTold
}
