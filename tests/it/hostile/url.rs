//! A request's URL must match its catalogue entry, with any values in it.

use percent_encoding::percent_decode_str;
use poly2mqtt::catalogue::{Operation, Request, RequestBody};
use serde_json::Value;
use url::Url;

/// Checks the address and the body of a request of this operation.
pub fn check(operation: &Operation, request: &Request) {
    // The gateway carries it out itself, with requests of other operations.
    if operation.is_gateways_own() {
        return;
    }
    let base = Url::parse("https://device:8443").unwrap();
    let url = base.join(&request.target()).unwrap();
    assert_eq!(url.origin(), base.origin(), "{url}");
    assert!(
        url.fragment().is_none() && url.username().is_empty(),
        "{url}"
    );
    let wanted: Vec<&str> = operation.path.split('/').skip(1).collect();
    let segments: Vec<&str> = url.path_segments().unwrap().collect();
    assert_eq!(
        segments.len(),
        wanted.len(),
        "{url} is no {}",
        operation.path
    );
    for ((segment, wanted), value) in segments.iter().zip(&wanted).zip(&request.path) {
        let once = percent_decode_str(segment).decode_utf8().unwrap();
        assert_eq!(once, *value, "{url}");
        if !wanted.starts_with('{') {
            assert_eq!(segment, wanted, "{url}");
        }
        // A device that decodes twice is not led astray either.
        let twice = percent_decode_str(&once).decode_utf8_lossy();
        for decoded in [&once, &twice] {
            let mut steps = decoded.split(['/', '\\']);
            assert!(steps.all(|step| step != "." && step != ".."), "{url}");
            assert!(!decoded.chars().any(char::is_control), "{url}");
        }
    }
    let pairs: Vec<_> = url.query_pairs().collect();
    assert_eq!(pairs.len(), request.query.len(), "{url}");
    for ((name, value), wanted) in pairs.iter().zip(&request.query) {
        assert_eq!((&**name, &**value), (wanted.0, wanted.1.as_str()), "{url}");
    }
    if let RequestBody::Json(body) = &request.body {
        let sent = body.to_string();
        assert_eq!(serde_json::from_str::<Value>(&sent).unwrap(), *body);
        assert!(!sent.contains(['\r', '\n', '\0']), "{sent}");
    }
}
