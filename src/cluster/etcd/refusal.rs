//! What etcd says when it does not carry out a request.

use http::StatusCode;
use serde_json::Value;

use crate::cluster::registry::RegistryError;

/// How much of what etcd says is shown.
const LONGEST_MESSAGE: usize = 120;

/// What etcd said that was no answer to the transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The token is missing or not valid (any more).
    Token,
    /// It is handed to the caller.
    Final(RegistryError),
}

/// What an answer other than 200 means. etcd gives gRPC's codes.
pub fn refusal(status: StatusCode, body: &[u8]) -> Refusal {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = message_of(&body);
    let code = body.get("code").and_then(Value::as_u64);
    let lacks_token = [
        "invalid auth token",
        "user name is empty",
        "revision of auth store is old",
    ]
    .iter()
    .any(|words| message.contains(words));
    let words = format!("etcd answers: {message}");
    match code {
        _ if lacks_token => Refusal::Token,
        // INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNIMPLEMENTED: nothing happened.
        Some(3 | 7 | 8 | 9 | 12) => Refusal::Final(RegistryError::Refused(words)),
        None if status == StatusCode::NOT_FOUND => Refusal::Final(RegistryError::Refused(
            "what answers is not etcd 3.4 or later".into(),
        )),
        // A leader was lost, or a time limit passed: the write may be on its way.
        _ => Refusal::Final(RegistryError::InDoubt(format!(
            "{words} (HTTP {})",
            status.as_u16()
        ))),
    }
}

/// The words of etcd, as far as they can be shown.
pub fn message_of(body: &Value) -> String {
    let message = body.get("message").or_else(|| body.get("error"));
    let message = message.and_then(Value::as_str).unwrap_or("no message");
    let visible = message.chars().filter(|c| !c.is_control());
    visible.take(LONGEST_MESSAGE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_surely_did_not_happen_is_told_from_what_is_in_doubt() {
        let refused = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            refusal(status, body.as_bytes())
        };
        for body in [
            r#"{"error":"etcdserver: invalid auth token","code":16,"message":"etcdserver: invalid auth token"}"#,
            r#"{"error":"etcdserver: user name is empty","code":3,"message":"etcdserver: user name is empty"}"#,
            r#"{"error":"etcdserver: revision of auth store is old","code":3}"#,
        ] {
            assert_eq!(refused(401, body), Refusal::Token, "{body}");
        }
        for (status, body) in [
            (
                403,
                r#"{"code":7,"message":"etcdserver: permission denied"}"#,
            ),
            (
                400,
                r#"{"code":8,"message":"etcdserver: mvcc: database space exceeded"}"#,
            ),
            (404, "404 page not found"),
        ] {
            let refusal = refused(status, body);
            assert!(
                matches!(&refusal, Refusal::Final(RegistryError::Refused(_))),
                "{body}: {refusal:?}"
            );
        }
        for (status, body) in [
            (
                503,
                r#"{"code":14,"message":"etcdserver: request timed out"}"#,
            ),
            (503, r#"{"code":14,"message":"etcdserver: leader changed"}"#),
            (500, r#"{"code":2}"#),
            (502, "<html>"),
        ] {
            let refusal = refused(status, body);
            assert!(
                matches!(&refusal, Refusal::Final(RegistryError::InDoubt(_))),
                "{body}: {refusal:?}"
            );
        }
    }
}
