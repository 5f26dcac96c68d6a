//! What etcd says when it does not carry out a request.

use http::StatusCode;
use serde_json::Value;

use crate::cluster::registry::RegistryError;
use crate::visible::without_invisible;

/// Something else answers, or an older etcd.
pub const NOT_ETCD: &str = "what answers is not etcd 3.4 or later";
/// How much of what etcd says is shown.
const LONGEST_MESSAGE: usize = 120;

/// What etcd said that was no answer to the transaction.
#[derive(Debug, PartialEq, Eq)]
pub enum EtcdRefusal {
    /// The token is missing or not valid (any more).
    Token,
    /// The user may not do this. Nothing happened.
    Rights,
    /// It is handed to the caller.
    Final(RegistryError),
}

/// What an answer other than 200 means. etcd gives gRPC's codes.
pub fn refusal(status: StatusCode, body: &[u8]) -> EtcdRefusal {
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
        _ if lacks_token => EtcdRefusal::Token,
        // PERMISSION_DENIED
        Some(7) => EtcdRefusal::Rights,
        // INVALID_ARGUMENT, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNIMPLEMENTED: nothing happened.
        Some(3 | 8 | 9 | 12) => EtcdRefusal::Final(RegistryError::Refused(words)),
        None if status == StatusCode::NOT_FOUND => {
            EtcdRefusal::Final(RegistryError::Refused(NOT_ETCD.into()))
        }
        // A leader was lost, or a time limit passed: the write may be on its way.
        _ => EtcdRefusal::Final(RegistryError::InDoubt(format!(
            "{words} (HTTP {})",
            status.as_u16()
        ))),
    }
}

/// Why etcd gives no token.
pub fn login_refusal(status: StatusCode, body: &Value) -> RegistryError {
    let code = body.get("code").and_then(Value::as_u64);
    match code {
        // INVALID_ARGUMENT, UNAUTHENTICATED. Others come with the same HTTP status.
        Some(3 | 16) => RegistryError::Refused(
            "etcd refuses the user and password (cluster.username, cluster.password_file)".into(),
        ),
        // The transaction was refused before: nothing of it is in doubt.
        _ => RegistryError::Unreachable(format!(
            "the log-in at etcd failed: {} (HTTP {})",
            message_of(body),
            status.as_u16()
        )),
    }
}

/// The words of etcd, as far as they can be shown.
pub fn message_of(body: &Value) -> String {
    let message = body.get("message").or_else(|| body.get("error"));
    let message = message.and_then(Value::as_str).unwrap_or("no message");
    without_invisible(message, LONGEST_MESSAGE)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
            assert_eq!(refused(401, body), EtcdRefusal::Token, "{body}");
        }
        for (status, body) in [
            (
                400,
                r#"{"code":8,"message":"etcdserver: mvcc: database space exceeded"}"#,
            ),
            (404, "404 page not found"),
        ] {
            let refusal = refused(status, body);
            assert!(
                matches!(&refusal, EtcdRefusal::Final(RegistryError::Refused(_))),
                "{body}: {refusal:?}"
            );
        }
        let denied = r#"{"code":7,"message":"etcdserver: permission denied"}"#;
        assert_eq!(refused(403, denied), EtcdRefusal::Rights);
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
                matches!(&refusal, EtcdRefusal::Final(RegistryError::InDoubt(_))),
                "{body}: {refusal:?}"
            );
        }
    }

    #[test]
    fn what_etcd_says_is_shown_without_what_cannot_be_seen() {
        let message = "no\n \u{202e}space\u{200b}\u{2028} on \u{feff}é";
        assert_eq!(message_of(&json!({"message": message})), "no space on é");
        let long = "x".repeat(1000);
        assert_eq!(message_of(&json!({"error": long})).len(), LONGEST_MESSAGE);
    }

    #[test]
    fn a_wrong_password_is_told_from_a_log_in_that_fails_otherwise() {
        let login = |body: &Value| login_refusal(StatusCode::BAD_REQUEST, body);
        let wrong = "etcdserver: authentication failed, invalid user ID or password";
        for code in [3, 16] {
            let refusal = login(&json!({"code": code, "message": wrong}));
            assert!(
                matches!(refusal, RegistryError::Refused(_)),
                "{code}: {refusal:?}"
            );
        }
        for body in [
            json!({"code": 14, "message": "etcdserver: no leader"}),
            json!({"code": 9, "message": "etcdserver: authentication is not enabled"}),
            json!({}),
            Value::Null,
        ] {
            let refusal = login(&body);
            assert!(
                matches!(refusal, RegistryError::Unreachable(_)),
                "{body}: {refusal:?}"
            );
        }
    }
}
