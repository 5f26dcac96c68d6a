//! The path of a request, in the one spelling that the routes know.
//!
//! Pure. A slash at the end means nothing, nor do two in a row, nor does a letter that is
//! percent-encoded (RFC 3986, 6.2.2.2). Inside a topic an empty level stays, and is an error there: a
//! script that fills in an empty id (`call//hangup`) must not hang up every call. Upper case stays too:
//! a proxy may have rules for `/metrics`, which another spelling must not get around.

use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;

/// The levels before a topic: `room` and the room.
const LEVELS_BEFORE_TOPIC: usize = 2;

/// The client wrote the path with a slash at its end, so that what a response links to is relative to below it.
#[derive(Debug, Clone, Copy)]
pub struct EndsInSlash;

/// Middleware: writes the path as the routes know it.
pub async fn normalize(mut request: Request) -> Request {
    if request.uri().path().ends_with('/') {
        request.extensions_mut().insert(EndsInSlash);
    }
    let path = request.uri().path();
    let normalized = normalized(path);
    if normalized != path
        && let Some(uri) = with_path(request.uri(), &normalized)
    {
        *request.uri_mut() = uri;
    }
    request
}

fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let mut parts = uri.clone().into_parts();
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

fn normalized(path: &str) -> String {
    if !path.starts_with('/') {
        // `*`, for the server as a whole.
        return path.to_owned();
    }
    let mut levels: Vec<String> = Vec::new();
    for level in path.split('/') {
        if !level.is_empty() || levels.len() > LEVELS_BEFORE_TOPIC {
            levels.push(unreserved(level));
        }
    }
    while levels.last().is_some_and(String::is_empty) {
        levels.pop();
    }
    format!("/{}", levels.join("/"))
}

/// Decodes the letters, digits, `-`, `_` and `~` of a level. Not the dot: `%2e%2e` is refused where a
/// level is read.
fn unreserved(level: &str) -> String {
    let mut decoded = String::with_capacity(level.len());
    let mut rest = level;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let code = after
            .get(..2)
            .filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match byte.filter(|byte| byte.is_ascii_alphanumeric() || b"-_~".contains(byte)) {
            Some(byte) => {
                decoded.push(char::from(byte));
                rest = &after[2..];
            }
            None => {
                decoded.push('%');
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_are_one_path() {
        for (path, wanted) in [
            ("/", "/"),
            ("//", "/"),
            ("/room/1", "/room/1"),
            ("/room/1/", "/room/1"),
            ("/room/1///", "/room/1"),
            ("//room//1//audio/volume/", "/room/1/audio/volume"),
            ("/ws/", "/ws"),
            ("/%72oom/%31/audio%5fx/%7E", "/room/1/audio_x/~"),
            (
                "/room/1/a%2Fb%2fc/%2e%2e/%20",
                "/room/1/a%2Fb%2fc/%2e%2e/%20",
            ),
            ("/room/1/%", "/room/1/%"),
            ("/room/1/%4", "/room/1/%4"),
            ("/room/1/%+1%zz%e9", "/room/1/%+1%zz%e9"),
            ("/room/1/%2541", "/room/1/%2541"),
            // A missing id is an error, not another command.
            ("/room/1/call//hangup", "/room/1/call//hangup"),
            ("*", "*"),
        ] {
            assert_eq!(normalized(path), wanted, "{path}");
            assert_eq!(normalized(wanted), wanted);
        }
    }

    #[test]
    fn the_query_stays() {
        let uri = "http://host:8080/ws/?subscribe=room/1/%23&token=%41"
            .parse()
            .unwrap();
        let wanted = "http://host:8080/ws?subscribe=room/1/%23&token=%41";
        assert_eq!(with_path(&uri, "/ws").unwrap().to_string(), wanted);
    }
}
