//! The HTTP request that a call makes, before the device client sends it.
//!
//! Pure. A value from a topic or a device is always one encoded segment of the path, so that no
//! value can reach another path.

use std::borrow::Cow;

use bytes::Bytes;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::areas::operations;
use super::operation::{Method, Operation, ReadBody};
use super::pattern::{PRESET, parameters};
use super::preset_names::PresetNames;
use super::step::Params;
use crate::command::{ErrorCode, Failure};
use crate::topics;

/// What must be encoded in one segment of a path: controls, the URL standard's path percent-encode
/// set, and `/`, `%` and `\`, which would end or change the segment.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// A request as the device client sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path's segments, not yet encoded.
    pub path: Vec<Cow<'static, str>>,
    /// The query's pairs, not yet encoded.
    pub query: Vec<(&'static str, String)>,
    /// The body.
    pub body: RequestBody,
    /// Repeating it is safe.
    pub repeatable: bool,
    /// It changes nothing at the device.
    pub is_read: bool,
}

/// The body of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum RequestBody {
    /// Nothing, and no content type.
    None,
    /// JSON.
    Json(Value),
    /// Bytes of this MIME type.
    Bytes(&'static str, Bytes),
}

impl Request {
    /// The request that reads an operation's states. `settings`: the room's names of the device's
    /// own configuration.
    ///
    /// # Errors
    /// A parameter of the path is missing.
    pub fn read(
        operation: &'static Operation,
        params: &Params,
        settings: &[String],
    ) -> Result<Self, Failure> {
        let body = match operation.read {
            None | Some(ReadBody::None) => RequestBody::None,
            // A test reads every fixed body.
            Some(ReadBody::Fixed(text)) => {
                RequestBody::Json(serde_json::from_str(text).unwrap_or_default())
            }
            Some(ReadBody::SettingNames) => RequestBody::Json(json!({ "names": settings })),
        };
        Ok(Self {
            method: operation.method,
            path: path(operation, params, 0)?,
            query: read_query(operation),
            body,
            repeatable: true,
            is_read: true,
        })
    }

    /// The target of the request line: path and query, encoded.
    pub fn target(&self) -> String {
        let mut target = String::with_capacity(64);
        for segment in &self.path {
            target.push('/');
            target.extend(utf8_percent_encode(segment, SEGMENT));
        }
        if !self.query.is_empty() {
            target.push('?');
            let mut query = form_urlencoded::Serializer::new(String::new());
            let query = query.extend_pairs(&self.query).finish();
            // Of a form, `+` is a blank; outside forms only `%20` is one. A plus is `%2B` already.
            target.push_str(&query.replace('+', "%20"));
        }
        target
    }
}

/// The query of the request that reads an operation's states.
pub(super) fn read_query(operation: &Operation) -> Vec<(&'static str, String)> {
    let pairs = operation.read_query.iter();
    pairs
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

/// The path's segments with the parameters in their places. `preset_offset` is added to a preset's
/// number.
pub(super) fn path(
    operation: &'static Operation,
    params: &Params,
    preset_offset: i8,
) -> Result<Vec<Cow<'static, str>>, Failure> {
    let segments = operation.path.split('/').filter(|part| !part.is_empty());
    let segments = segments
        .map(|segment| {
            let Some(name) = parameters(segment).next() else {
                return Ok(segment.into());
            };
            let value = params.iter().find(|(known, _)| *known == name);
            let (_, value) = value.ok_or_else(|| {
                Failure::new(
                    ErrorCode::NotFound,
                    match name {
                        "conf_id" => "no call is up".into(),
                        _ => format!("{name} is not given"),
                    },
                )
            })?;
            match name {
                PRESET => {
                    let number = PresetNames::default().resolve(value);
                    let number =
                        number.map_err(|why| Failure::new(ErrorCode::InvalidPayload, why))?;
                    Ok((number + i64::from(preset_offset)).to_string().into())
                }
                // An id may come from the device, which is not trusted either.
                _ if topics::is_harmless(value) => Ok(value.clone().into()),
                _ => Err(Failure::new(
                    ErrorCode::DeviceError,
                    format!("the device gave a {name} that cannot be one"),
                )),
            }
        })
        .collect::<Result<Vec<Cow<'static, str>>, Failure>>()?;
    match word_of_another(operation, &segments) {
        None => Ok(segments),
        Some(word) => Err(Failure::new(
            ErrorCode::InvalidPayload,
            format!(
                "\"{word}\" is a word of the device's own here and no id; it has a topic of its own"
            ),
        )),
    }
}

/// A parameter's value that is a word of another operation's path in the same place, where neither path, as far as both
/// go, differs otherwise: the device may take the request for what that word names.
fn word_of_another<'a>(
    operation: &'static Operation,
    segments: &'a [Cow<'static, str>],
) -> Option<&'a str> {
    parameters(operation.path).next()?;
    let parts = |path: &'static str| path.split('/').filter(|part| !part.is_empty());
    operations()
        .filter(|other| other.path != operation.path)
        // Ends at the first difference for most.
        .filter(|other| {
            let mut both = parts(other.path).zip(segments);
            both.all(|(part, segment)| part.starts_with('{') || part == *segment)
        })
        .find_map(|other| {
            let all = parts(operation.path).zip(parts(other.path)).zip(segments);
            let mut words =
                all.filter(|((own, others), _)| own.starts_with('{') && !others.starts_with('{'));
            words.next().map(|(_, word)| &**word)
        })
}

#[cfg(test)]
mod tests {
    use super::super::operation::{get, post};
    use super::*;

    #[test]
    fn a_read_has_the_body_that_its_entry_says() {
        static PLAIN: Operation = get("/rest/audio");
        static FIXED: Operation = post("/rest/x").reads_with(ReadBody::Fixed(r#"{"a":"b"}"#));
        static NULL: Operation = post("/rest/x").reads_with(ReadBody::Fixed("null"));
        static NAMES: Operation = post("/rest/config").reads_with(ReadBody::SettingNames);
        let names = ["system.info.systemname".to_owned()];
        let json = |value: Value| RequestBody::Json(value);
        for (operation, body) in [
            (&PLAIN, RequestBody::None),
            (&FIXED, json(json!({"a": "b"}))),
            (&NULL, json(Value::Null)),
            (&NAMES, json(json!({"names": ["system.info.systemname"]}))),
        ] {
            let request = Request::read(operation, &Params::new(), &names).unwrap();
            assert_eq!(request.body, body);
            assert!(request.repeatable);
        }
    }

    #[test]
    fn a_read_has_the_query_that_its_entry_says() {
        static LIMITED: Operation = get("/rest/x").reads_with_query(&[("limit", "5")]);
        let request = Request::read(&LIMITED, &Params::new(), &[]).unwrap();
        assert_eq!(request.target(), "/rest/x?limit=5");
    }

    #[test]
    fn a_blank_in_a_query_is_one_to_every_reader() {
        let request = Request {
            method: Method::Get,
            path: vec!["rest".into()],
            query: vec![("pin", "a b+c&d=ü*-._~%20".to_owned())],
            body: RequestBody::None,
            repeatable: true,
            is_read: true,
        };
        assert_eq!(
            request.target(),
            "/rest?pin=a%20b%2Bc%26d%3D%C3%BC*-._%7E%2520"
        );
    }
}
