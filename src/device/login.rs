//! Logging in and out, as pure readings of what the device answers.
//!
//! Owns the session's cookie and token and the meaning of a refused log-in. A session's Debug
//! shows none of it.

use http::HeaderValue;
use serde_json::{Value, json};

use super::problem::{Problem, ProblemCode};
use crate::catalogue::session_state;

/// A session at the device.
#[derive(Clone)]
pub struct Session {
    id: String,
    token: Option<String>,
    headers: Headers,
    /// What users see of it: role, user, whether it is authenticated.
    pub state: Value,
    /// Counts the log-ins, so that a request can tell whether its session was replaced meanwhile.
    pub generation: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// None if the id or the token cannot stand in a header.
    fn new(id: String, token: Option<String>, state: Value, generation: u64) -> Option<Self> {
        Some(Self {
            headers: Headers::of(&id, token.as_deref())?,
            id,
            token,
            state,
            generation,
        })
    }

    /// The `Cookie` header: the id byte for byte, since it holds `+` and `/`.
    pub fn cookie(&self) -> &HeaderValue {
        &self.headers.cookie
    }

    /// The `X-XSRF-Token` header, where the firmware gave a token.
    pub fn token(&self) -> Option<&HeaderValue> {
        self.headers.token.as_ref()
    }

    /// What an answer to a log-in gave, though the rest of it cannot be used.
    pub fn given(cookies: &[String], generation: u64) -> Option<Self> {
        let id = cookie(cookies, "session_id")?;
        Self::new(id, cookie(cookies, "XSRF-TOKEN"), Value::Null, generation)
    }

    /// Everything but the generation, for a file that only the gateway reads.
    pub fn to_kept(&self) -> Value {
        json!({"id": self.id, "token": self.token, "state": self.state})
    }

    /// A session from such a file.
    pub fn from_kept(kept: &Value, generation: u64) -> Option<Self> {
        let id = kept["id"].as_str()?.to_owned();
        let token = kept["token"].as_str().map(str::to_owned);
        Self::new(id, token, kept["state"].clone(), generation)
    }

    /// Takes a new token from any answer that sets one; true if it was new.
    pub fn renew_token(&mut self, cookies: &[String]) -> bool {
        let token = cookie(cookies, "XSRF-TOKEN");
        let Some(token) = token.filter(|token| self.token.as_ref() != Some(token)) else {
            return false;
        };
        let Some(headers) = Headers::of(&self.id, Some(&token)) else {
            return false;
        };
        self.headers = headers;
        self.token = Some(token);
        true
    }
}

/// What each request of a session carries, made once.
#[derive(Clone)]
struct Headers {
    cookie: HeaderValue,
    token: Option<HeaderValue>,
}

impl Headers {
    fn of(id: &str, token: Option<&str>) -> Option<Self> {
        let cookie = match token {
            Some(token) => format!("session_id={id}; XSRF-TOKEN={token}"),
            None => format!("session_id={id}"),
        };
        Some(Self {
            cookie: sensitive(&cookie)?,
            token: match token {
                Some(token) => Some(sensitive(token)?),
                None => None,
            },
        })
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The value of a cookie, of those that an answer sets.
fn cookie(cookies: &[String], name: &str) -> Option<String> {
    cookies.iter().find_map(|set| {
        let pair = set.split(';').next()?;
        let (known, value) = pair.split_once('=')?;
        (known.trim() == name && !value.is_empty()).then(|| value.trim().to_owned())
    })
}

/// Reads the answer to `POST /rest/session`.
///
/// Success is 200 **and** `"success": true`. The reasons of refusals stand in the body.
///
/// # Errors
/// The problem, as the room tells it.
pub fn read_login_reply(
    status: u16,
    cookies: &[String],
    body: &[u8],
    generation: u64,
) -> Result<Session, Problem> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = String::from_utf8_lossy(body);
    let says = |reason: &str| text.contains(reason);
    let problem = |code, message: &str| Err(Problem::new(code, message));
    if says("SessionPortLockout") {
        return problem(
            ProblemCode::LockedOut,
            "the device refuses all log-ins for a while after too many failed ones; the gateway \
             waits and then tries again",
        );
    }
    if says("SessionMaxActiveSessionsReached") {
        return problem(
            ProblemCode::TooManySessions,
            "all of the device's sessions are in use; log out elsewhere or restart the device",
        );
    }
    if status == 200 && answer["success"] == true {
        let id = cookie(cookies, "session_id")
            .or_else(|| answer["session"]["sessionId"].as_str().map(str::to_owned));
        let token = cookie(cookies, "XSRF-TOKEN");
        let session = id.and_then(|id| Session::new(id, token, session_state(&answer), generation));
        return session.ok_or_else(|| {
            Problem::new(
                ProblemCode::Offline,
                "the device accepted the log-in but gave no session that can be used",
            )
        });
    }
    match status {
        // Whatever this is, it is no refusal: a wait for another password would be in vain.
        200 if !answer.is_object() => problem(
            ProblemCode::Offline,
            "the device's answer to the log-in cannot be read",
        ),
        200 | 401 | 403 => problem(
            ProblemCode::Unauthorized,
            "the device refuses the user and password; correct them in the configuration (the \
             gateway tries again only after a long wait, so that nobody is locked out)",
        ),
        _ => Err(Problem::new(
            ProblemCode::Offline,
            format!("the device answers {status} to the log-in: is it a Poly VideoOS device?"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_goes_back_byte_for_byte_and_is_never_shown() {
        let cookies = [
            "session_id=AB+/c==; Path=/; Secure; HttpOnly".to_owned(),
            "XSRF-TOKEN=tok; Path=/".to_owned(),
        ];
        let session = read_login_reply(200, &cookies, br#"{"success":true}"#, 1).unwrap();
        assert_eq!(
            session.cookie().as_bytes(),
            b"session_id=AB+/c==; XSRF-TOKEN=tok"
        );
        assert_eq!(session.token().unwrap().as_bytes(), b"tok");
        assert!(!format!("{session:?} {:?}", session.cookie()).contains("AB+"));
    }

    #[test]
    fn refusals_are_told_apart() {
        let code = |status, body: &str| {
            read_login_reply(status, &[], body.as_bytes(), 1)
                .unwrap_err()
                .code
        };
        assert_eq!(
            code(403, "SessionInvalidUserNamePassword"),
            ProblemCode::Unauthorized
        );
        assert_eq!(code(200, "{\"success\":false}"), ProblemCode::Unauthorized);
        assert_eq!(code(400, "SessionPortLockout"), ProblemCode::LockedOut);
        assert_eq!(
            code(403, "SessionMaxActiveSessionsReached"),
            ProblemCode::TooManySessions
        );
        assert_eq!(code(503, "<html>"), ProblemCode::Offline);
        assert_eq!(code(200, "<html>"), ProblemCode::Offline);
        assert_eq!(code(200, "{\"success\":tr"), ProblemCode::Offline);
        assert_eq!(code(200, "null"), ProblemCode::Offline);
        assert_eq!(code(200, "{\"success\":true}"), ProblemCode::Offline);
    }
}
