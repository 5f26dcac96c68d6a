//! A session at the device: its cookie, its token, and the state that users see.
//!
//! Pure. Id and token are secrets: `Debug` shows neither, and only the session's file holds them.

use http::header::HeaderValue;
use serde_json::{Value, json};

use super::http::SessionHeaders;

/// Where sessions are made and released: the path, and its other spelling, for devices that lack the first.
pub(super) const SESSION_PATHS: [&str; 2] = ["/rest/session", "/rest/current/session"];
/// The cookie that holds the session's id.
const ID_COOKIE: &str = "session_id";
/// The cookie that holds the token against cross-site requests.
const TOKEN_COOKIE: &str = "XSRF-TOKEN";

/// The longest id or token, in bytes. Those of devices have some tens; all sessions of a cluster are in one store,
/// which no device is to fill.
const LONGEST_SECRET: usize = 1 << 10;

/// A session at the device.
#[derive(Clone)]
pub struct Session {
    id: String,
    token: Option<String>,
    /// What each request carries, made once.
    headers: SessionHeaders,
    /// What users see of it: role, user, whether it is authenticated.
    pub state: Value,
    /// The number of its log-in, by which a request can tell whether its session was replaced.
    pub generation: u64,
    /// Where it was made, and is released: in one of the two spellings that devices have.
    pub path: &'static str,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// None if the id or the token cannot stand in a header, or is too long.
    pub(super) fn new(
        id: String,
        token: Option<String>,
        state: Value,
        generation: u64,
    ) -> Option<Self> {
        Some(Self {
            headers: headers(&id, token.as_deref())?,
            id,
            token,
            state,
            generation,
            path: SESSION_PATHS[0],
        })
    }

    /// The same session, made at another path.
    pub fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// The session that these cookies (values of `Set-Cookie`) set, if they do. Its state is null:
    /// the rest of the response cannot be used, but the device holds the session.
    pub fn from_cookies(cookies: &[String], generation: u64) -> Option<Self> {
        let id = id_cookie(cookies)?;
        Self::new(id, token_cookie(cookies), Value::Null, generation)
    }

    /// Whether it has a token against cross-site requests.
    pub fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// The headers that carry it.
    pub fn headers(&self) -> &SessionHeaders {
        &self.headers
    }

    /// Everything but the generation, for the session's file.
    pub fn to_json(&self) -> Value {
        let mut stored = json!({"id": self.id, "token": self.token, "state": self.state});
        if self.path != SESSION_PATHS[0] {
            stored["path"] = self.path.into();
        }
        stored
    }

    /// A session from its file; none if that holds none.
    pub fn from_json(stored: &Value, generation: u64) -> Option<Self> {
        let id = stored["id"].as_str()?.to_owned();
        let token = stored["token"].as_str().map(str::to_owned);
        let session = Self::new(id, token, stored["state"].clone(), generation)?;
        let mut paths = SESSION_PATHS.into_iter();
        let path = paths.find(|path| stored["path"] == *path);
        Some(session.at(path.unwrap_or(SESSION_PATHS[0])))
    }

    /// Takes the token that these cookies set. True if it is a new one.
    pub fn renew_token(&mut self, cookies: &[String]) -> bool {
        let token = token_cookie(cookies);
        let Some(token) = token.filter(|token| self.token.as_ref() != Some(token)) else {
            return false;
        };
        let Some(headers) = headers(&self.id, Some(&token)) else {
            return false;
        };
        self.headers = headers;
        self.token = Some(token);
        true
    }
}

/// The session's id goes back byte for byte: it may hold `+` and `/`.
fn headers(id: &str, token: Option<&str>) -> Option<SessionHeaders> {
    if id.len().max(token.map_or(0, str::len)) > LONGEST_SECRET {
        return None;
    }
    let cookie = match token {
        Some(token) => format!("{ID_COOKIE}={id}; {TOKEN_COOKIE}={token}"),
        None => format!("{ID_COOKIE}={id}"),
    };
    Some(SessionHeaders {
        cookie: sensitive(&cookie)?,
        token: match token {
            Some(token) => Some(sensitive(token)?),
            None => None,
        },
    })
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The session's id, of the cookies that a response sets.
pub(super) fn id_cookie(cookies: &[String]) -> Option<String> {
    cookie(cookies, ID_COOKIE)
}

/// The session's token, of the cookies that a response sets.
pub(super) fn token_cookie(cookies: &[String]) -> Option<String> {
    cookie(cookies, TOKEN_COOKIE)
}

fn cookie(cookies: &[String], name: &str) -> Option<String> {
    cookies.iter().find_map(|cookie| {
        let pair = cookie.split(';').next()?;
        let (key, value) = pair.split_once('=')?;
        (key.trim() == name && !value.is_empty()).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookies(cookies: &[&str]) -> Vec<String> {
        cookies.iter().map(|cookie| (*cookie).to_owned()).collect()
    }

    #[test]
    fn a_cookie_is_read_without_its_attributes() {
        let set = cookies(&[
            "theme=dark",
            "session_id=AB+/c==; Path=/; Secure; HttpOnly",
            " XSRF-TOKEN = tok ; Path=/",
        ]);
        assert_eq!(id_cookie(&set).unwrap(), "AB+/c==");
        assert_eq!(token_cookie(&set).unwrap(), "tok");
        for set in [
            &[][..],
            &["session_id"],
            &["session_id=; Path=/"],
            &["Session_Id=a"],
            &["a=b; session_id=c"],
        ] {
            assert_eq!(id_cookie(&cookies(set)), None, "{set:?}");
        }
    }

    #[test]
    fn an_id_that_cannot_stand_in_a_header_is_no_session() {
        assert!(Session::from_cookies(&cookies(&["session_id=a\nb"]), 1).is_none());
        let bad_token = cookies(&["session_id=a", "XSRF-TOKEN=b\nc"]);
        assert!(Session::from_cookies(&bad_token, 1).is_none());
    }

    #[test]
    fn a_new_token_goes_into_both_headers() {
        let mut session = Session::from_cookies(&cookies(&["session_id=a"]), 1).unwrap();
        assert_eq!(session.headers().cookie, "session_id=a");
        assert!(session.headers().token.is_none());
        let renewed = cookies(&["XSRF-TOKEN=t"]);
        assert!(session.renew_token(&renewed));
        assert!(!session.renew_token(&renewed), "it is known");
        assert!(!session.renew_token(&cookies(&["XSRF-TOKEN=a\nb"])));
        assert!(!session.renew_token(&[]));
        let (longest, too_long) = ("x".repeat(LONGEST_SECRET), "x".repeat(LONGEST_SECRET + 1));
        assert!(!session.renew_token(&cookies(&[&format!("XSRF-TOKEN={too_long}")])));
        let id = |id: &str| Session::from_cookies(&cookies(&[&format!("session_id={id}")]), 1);
        assert!(id(&longest).is_some() && id(&too_long).is_none());
        assert_eq!(session.headers().cookie, "session_id=a; XSRF-TOKEN=t");
        assert_eq!(session.headers().token.as_ref().unwrap(), "t");
    }

    #[test]
    fn a_stored_session_comes_back_with_its_state() {
        let stored = json!({"id": "a", "token": null, "state": {"role": "ADMIN"}});
        let session = Session::from_json(&stored, 7).unwrap();
        assert_eq!(session.to_json(), stored);
        assert_eq!(session.generation, 7);
        let elsewhere = session.at(SESSION_PATHS[1]).to_json();
        let back = Session::from_json(&elsewhere, 7).unwrap();
        assert_eq!(back.path, SESSION_PATHS[1]);
        let strange = json!({"id": "a", "path": "/rest/audio"});
        let back = Session::from_json(&strange, 7).unwrap();
        assert_eq!(back.path, SESSION_PATHS[0]);
        assert!(Session::from_json(&json!({"token": "t"}), 7).is_none());
    }
}
