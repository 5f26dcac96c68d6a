//! Reads a request strictly: what the guide does not allow is refused, as a device would.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

/// An answer.
#[derive(Debug, Clone)]
pub struct DeviceReply {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Bytes,
    pub cookies: Vec<String>,
    /// Where a redirect leads.
    pub location: Option<&'static str>,
    /// How long the client is to wait before the next request.
    pub retry_after: Option<String>,
    /// The device restarts after this answer.
    pub reboots: bool,
}

impl DeviceReply {
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type,
            body: body.into(),
            cookies: Vec::new(),
            location: None,
            retry_after: None,
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

    /// The id of the session that it creates, for a log-in.
    pub fn session(&self) -> Option<String> {
        self.cookies.iter().find_map(|cookie| {
            let value = cookie.strip_prefix("session_id=")?;
            Some(value.split(';').next().unwrap_or(value).to_owned())
        })
    }

    /// What answers in place of a device: a page of a proxy or of another product.
    pub fn page() -> Self {
        let page = "<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>";
        Self::new(200, "text/html", page)
    }

    /// Leads those who are not logged in to a log-in page.
    pub fn redirect() -> Self {
        Self {
            location: Some("/login"),
            ..Self::new(302, "text/html", Bytes::new())
        }
    }

    /// The answer to a stale or missing session: a page, as devices send it.
    pub fn forbidden_page() -> Self {
        Self::new(
            403,
            "text/html",
            "<html><body><h1>403 Forbidden</h1></body></html>",
        )
    }
}

/// The result of a handler: an answer or a refusal.
pub type Handled = Result<DeviceReply, DeviceReply>;

pub fn bad(reason: &str) -> DeviceReply {
    DeviceReply::reason(400, reason)
}

pub fn not_found() -> DeviceReply {
    DeviceReply::reason(404, "Unavailable")
}

/// Refuses a method that the path does not have.
pub fn not_allowed() -> DeviceReply {
    DeviceReply::reason(405, "Not Allowed")
}

pub fn ok(value: &Value) -> Handled {
    Ok(DeviceReply::json(value))
}

pub fn done() -> Handled {
    Ok(DeviceReply::empty(200))
}

/// `{"success":true,"reason":""}`.
pub fn success() -> Handled {
    ok(&json!({"success": true, "reason": ""}))
}

/// A request as handlers see it.
#[derive(Debug)]
pub struct DeviceRequest {
    pub method: String,
    /// The path's segments below `/rest`, decoded.
    pub path: Vec<String>,
    pub query: Vec<(String, String)>,
    pub content_type: Option<String>,
    pub body: Bytes,
}

impl DeviceRequest {
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

    /// Checks that there is no body and no query.
    pub fn plain(&self) -> Result<(), DeviceReply> {
        self.no_query()?;
        self.no_body()
    }

    pub fn no_body(&self) -> Result<(), DeviceReply> {
        if self.body.is_empty() {
            Ok(())
        } else {
            Err(bad("no body is expected"))
        }
    }

    pub fn no_query(&self) -> Result<(), DeviceReply> {
        if self.query.is_empty() {
            Ok(())
        } else {
            Err(bad("no query is expected"))
        }
    }

    /// Checks that there are only these query parameters, each at most once.
    pub fn only(&self, known: &[&str]) -> Result<(), DeviceReply> {
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

    /// Reads a query parameter that is a number of at least `min`.
    pub fn number(&self, name: &str, min: u64) -> Result<Option<u64>, DeviceReply> {
        let Some(text) = self.param(name) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(number) if number >= min => Ok(Some(number)),
            _ => Err(bad("a query parameter is not a number in its range")),
        }
    }

    /// The body, which must be JSON with the right `Content-Type`.
    pub fn json(&self) -> Result<Value, DeviceReply> {
        if self.content_type.as_deref() != Some("application/json") {
            return Err(DeviceReply::reason(415, "the body is not application/json"));
        }
        serde_json::from_slice(&self.body).map_err(|_| bad("the body is not JSON"))
    }

    /// The body, which must be an object that has only fields of these names.
    pub fn object(&self, known: &[&str]) -> Result<Fields, DeviceReply> {
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

    /// A required text that is not empty.
    pub fn text(&self, name: &str) -> Result<String, DeviceReply> {
        match self.maybe_text(name)? {
            Some(text) if !text.is_empty() => Ok(text),
            _ => Err(DeviceReply::reason(415, &format!("{name} is missing"))),
        }
    }

    pub fn maybe_text(&self, name: &str) -> Result<Option<String>, DeviceReply> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(bad(&format!("{name} is not a string"))),
        }
    }

    /// An optional text that is one of these words.
    pub fn word(&self, name: &str, words: &[&str]) -> Result<Option<String>, DeviceReply> {
        let text = self.maybe_text(name)?;
        match &text {
            Some(text) if !words.contains(&text.as_str()) => {
                Err(bad(&format!("{name} is none of its words")))
            }
            _ => Ok(text),
        }
    }

    pub fn bool(&self, name: &str) -> Result<bool, DeviceReply> {
        match self.0.get(name) {
            Some(Value::Bool(value)) => Ok(*value),
            Some(_) => Err(bad(&format!("{name} is not a boolean"))),
            None => Err(DeviceReply::reason(415, &format!("{name} is missing"))),
        }
    }

    pub fn integer(&self, name: &str, min: i64, max: i64) -> Result<i64, DeviceReply> {
        match self.0.get(name).map(Value::as_i64) {
            Some(Some(number)) if (min..=max).contains(&number) => Ok(number),
            Some(_) => Err(bad(&format!("{name} is not an integer in its range"))),
            None => Err(DeviceReply::reason(415, &format!("{name} is missing"))),
        }
    }
}
