//! What a request holds, and the strict reading of it.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Bytes,
    pub cookies: Vec<String>,
    /// The device goes down after this answer.
    pub reboots: bool,
}

impl Reply {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
            cookies: Vec::new(),
            reboots: false,
        }
    }

    pub fn json(value: &Value) -> Self {
        Self::new(200, "application/json", value.to_string())
    }

    pub fn empty(status: u16) -> Self {
        Self::new(status, "application/json", Bytes::new())
    }

    pub fn reason(status: u16, reason: &str) -> Self {
        let body = json!({"success": false, "reason": reason});
        Self::new(status, "application/json", body.to_string())
    }

    /// The session that it gives, if it gives one.
    pub fn session(&self) -> Option<String> {
        self.cookies.iter().find_map(|cookie| {
            let value = cookie.strip_prefix("session_id=")?;
            Some(value.split(';').next().unwrap_or(value).to_owned())
        })
    }

    /// Stale and missing sessions are answered with a page.
    pub fn forbidden_page() -> Self {
        Self::new(
            403,
            "text/html",
            "<html><body><h1>403 Forbidden</h1></body></html>",
        )
    }
}

/// What a handler gives: an answer, or the status of a refusal.
pub type Handled = Result<Reply, Reply>;

pub fn bad(reason: &str) -> Reply {
    Reply::reason(400, reason)
}

pub fn not_found() -> Reply {
    Reply::reason(404, "Unavailable")
}

/// The path is known, but not with this method.
pub fn not_allowed() -> Handled {
    Err(Reply::reason(405, "Not Allowed"))
}

pub fn ok(value: &Value) -> Handled {
    Ok(Reply::json(value))
}

pub fn done() -> Handled {
    Ok(Reply::empty(200))
}

/// `{"success":true,"reason":""}`.
pub fn success() -> Handled {
    ok(&json!({"success": true, "reason": ""}))
}

/// A request as handlers see it.
#[derive(Debug)]
pub struct Ask {
    pub method: String,
    /// The path's segments below `/rest`, decoded.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub content_type: Option<String>,
    pub body: Bytes,
}

impl Ask {
    pub fn new(
        method: &str,
        path: &str,
        query: &str,
        content_type: Option<String>,
        body: Bytes,
    ) -> Option<Self> {
        let decode = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
        let mut segments = path.strip_prefix("/rest/")?.split('/');
        let path = segments.by_ref().map(decode).collect::<Option<_>>()?;
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Some(Self {
            method: method.to_owned(),
            path,
            query: pairs.into_owned().collect(),
            content_type,
            body,
        })
    }

    /// No body and no query.
    pub fn plain(&self) -> Result<(), Reply> {
        self.no_query()?;
        if self.body.is_empty() {
            Ok(())
        } else {
            Err(bad("no body is expected"))
        }
    }

    pub fn no_query(&self) -> Result<(), Reply> {
        if self.query.is_empty() {
            Ok(())
        } else {
            Err(bad("no query is expected"))
        }
    }

    /// Only these query parameters, each at most once.
    pub fn only(&self, known: &[&str]) -> Result<(), Reply> {
        for (n, (name, _)) in self.query.iter().enumerate() {
            let twice = self.query[..n].iter().any(|(before, _)| before == name);
            if twice || !known.contains(&name.as_str()) {
                return Err(bad("unknown query parameter"));
            }
        }
        Ok(())
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A query parameter that is a number of at least `min`.
    pub fn number(&self, name: &str, min: u64) -> Result<Option<u64>, Reply> {
        let Some(text) = self.param(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if number >= min => Ok(Some(number)),
            _ => Err(bad("a query parameter is not a number in its range")),
        }
    }

    /// The body as JSON, sent as such.
    pub fn json(&self) -> Result<Value, Reply> {
        if self.content_type.as_deref() != Some("application/json") {
            return Err(Reply::reason(415, "the body is not application/json"));
        }
        serde_json::from_slice(&self.body).map_err(|_| bad("the body is not JSON"))
    }

    /// The body as an object with these fields and no others.
    pub fn object(&self, known: &[&str]) -> Result<Fields, Reply> {
        self.no_query()?;
        let Value::Object(fields) = self.json()? else {
            return Err(bad("the body is not an object"));
        };
        if let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(bad(&format!("unknown field {unknown}")));
        }
        Ok(Fields(fields))
    }
}

/// The fields of a body.
#[derive(Debug)]
pub struct Fields(pub Map<String, Value>);

impl Fields {
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A text that must be there and not be empty.
    pub fn text(&self, name: &str) -> Result<String, Reply> {
        match self.maybe_text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(Reply::reason(415, &format!("{name} is missing"))),
        }
    }

    pub fn maybe_text(&self, name: &str) -> Result<Option<String>, Reply> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(bad(&format!("{name} is not a string"))),
        }
    }

    /// One of these words.
    pub fn word(&self, name: &str, words: &[&str]) -> Result<Option<String>, Reply> {
        let text = self.maybe_text(name)?;
        match &text {
            Some(text) if !words.contains(&text.as_str()) => {
                Err(bad(&format!("{name} is none of its words")))
            }
            _ => Ok(text),
        }
    }

    pub fn bool(&self, name: &str) -> Result<bool, Reply> {
        match self.0.get(name) {
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(bad(&format!("{name} is not a boolean"))),
            None => Err(Reply::reason(415, &format!("{name} is missing"))),
        }
    }

    pub fn integer(&self, name: &str, min: i64, max: i64) -> Result<i64, Reply> {
        match self.0.get(name).map(Value::as_i64) {
            Some(Some(number)) if (min..=max).contains(&number) => Ok(number),
            Some(_) => Err(bad(&format!("{name} is not an integer in its range"))),
            None => Err(Reply::reason(415, &format!("{name} is missing"))),
        }
    }
}
