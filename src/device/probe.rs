//! Reads that tell whether a session is valid and what a 403 means.
//!
//! They change nothing at the device.

use std::time::Duration;

use http::Method;
use tokio::time::timeout;

use super::endpoint::{AttemptOutcome, Endpoint, RequestSlot, SMALL_RESPONSE};
use super::problem::Problem;
use super::session::Session;
use crate::catalogue::{SYSTEM_MODES, active_persona, is_own_provider, read_body};

/// A read that every firmware has.
const AUDIO_PATH: &str = "/rest/audio";
/// The longest name of a mode that is passed on, in characters.
const LONGEST_MODE: usize = 64;

/// The cause of a 403.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Forbidden {
    /// The session is not valid any more.
    StaleSession,
    /// The device runs in this mode, in which it refuses much.
    Mode(String),
    /// The session is valid and the mode is the usual one: the request itself is refused.
    Request,
}

/// Asks the device whether it takes this session. A redirect or a page means that it does not: an
/// interface for people sends those who are not logged in to its log-in. One request may hang while
/// others are answered, so another one is sent after `patience`.
///
/// # Errors
/// The device does not say.
pub(super) async fn is_valid(
    endpoint: &Endpoint,
    session: &Session,
    patience: Duration,
) -> Result<bool, Problem> {
    let slot = endpoint.slot().await;
    let first = timeout(patience, probe(endpoint, &slot, AUDIO_PATH, session)).await;
    let attempt = match first {
        Ok(attempt) => attempt,
        Err(_) => probe(endpoint, &slot, SYSTEM_MODES[0], session).await,
    };
    match attempt {
        AttemptOutcome::Answered(response) => Ok(takes_session(response.status, &response.body)),
        AttemptOutcome::Large(_) => Ok(true),
        AttemptOutcome::Unreachable(problem) => Err(problem),
        AttemptOutcome::Broken(error) => Err(error.problem().unwrap_or_else(Problem::no_answer)),
    }
}

fn takes_session(status: u16, body: &[u8]) -> bool {
    match status {
        200..=299 => read_body(body).is_ok_and(|answer| answer.is_object()),
        300..=399 | 401 | 403 => false,
        // In trouble, or without this path: that says nothing of the session.
        _ => true,
    }
}

/// Asks the device what a 403 means.
pub(super) async fn why_forbidden(
    endpoint: &Endpoint,
    slot: &RequestSlot<'_>,
    session: &Session,
) -> Forbidden {
    // The mode, which older firmware does not have, in both its spellings.
    let [first, second] = SYSTEM_MODES;
    for path in [first, second, AUDIO_PATH] {
        let AttemptOutcome::Answered(response) = probe(endpoint, slot, path, session).await else {
            return Forbidden::Request;
        };
        match response.status {
            403 => return Forbidden::StaleSession,
            200 => return mode(&response.body).map_or(Forbidden::Request, Forbidden::Mode),
            // Another question would be one more of too many.
            429 => return Forbidden::Request,
            // Older firmware has no such path.
            _ => {}
        }
    }
    Forbidden::Request
}

async fn probe(
    endpoint: &Endpoint,
    slot: &RequestSlot<'_>,
    path: &'static str,
    session: &Session,
) -> AttemptOutcome {
    let request = endpoint.fixed(Method::GET, path, None);
    endpoint
        .attempt(slot, &request, session, None, SMALL_RESPONSE)
        .await
}

/// The mode, unless it is the usual one or the body does not name one.
fn mode(body: &[u8]) -> Option<String> {
    let body = read_body(body).unwrap_or_default();
    let mode = active_persona(&body)?;
    (!is_own_provider(mode)).then(|| mode.chars().take(LONGEST_MODE).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_taken_unless_a_log_in_is_asked_for() {
        let audio = br#"{"volume":5}"#;
        for status in [200, 404, 500, 503] {
            assert!(takes_session(status, audio), "{status}");
        }
        for status in [302, 307, 401, 403] {
            assert!(!takes_session(status, audio), "{status}");
        }
        assert!(!takes_session(200, b"<html>"));
    }

    #[test]
    fn a_mode_is_any_but_the_usual_one() {
        assert_eq!(mode(br#"{"activePersona":"Teams"}"#).unwrap(), "Teams");
        for usual in [
            r#"{"activePersona":"Poly"}"#,
            r#"{"activePersona":"POLY"}"#,
            r#"{"activePersona":null}"#,
            r#"{"activePersona":"","app":""}"#,
            r#"{"activePersona":"","app":"com.poly.polylauncher"}"#,
            "[]",
            "<html>",
        ] {
            assert_eq!(mode(usual.as_bytes()), None, "{usual}");
        }
        let device_mode = br#"{"activePersona":null,"app":"com.polycom.camuvc"}"#;
        assert_eq!(mode(device_mode).unwrap(), "com.polycom.camuvc");
        let long = format!(r#"{{"activePersona":"{}"}}"#, "x".repeat(100));
        assert_eq!(mode(long.as_bytes()).unwrap().len(), LONGEST_MODE);
    }
}
