//! The device's reply to a log-in (`POST /rest/session`): a session, or why there is none; and to a log-out.
//!
//! Pure.

use serde_json::Value;

use super::problem::{Problem, ProblemCode};
use super::session::{Session, id_cookie, token_cookie};
use crate::catalogue::{read_body, session_state, truth};

/// Reasons of a refusal that say nothing of user and password, and what they mean. Firmware gives them with
/// 400, 412 or 403.
const OTHER_REASONS: [(&str, &str); 3] = [
    (
        "SessionAlreadyActive",
        "it says that the gateway is logged in already",
    ),
    ("SessionRequestInvalid", "it cannot read the request"),
    ("SessionNoActiveSession", "it says that there is no session"),
];

/// What became of a session that the device was told to release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Release {
    /// The device does not hold it any more.
    Done,
    /// The firmware has no log-out: the device holds it until it lets go by itself.
    NoLogOut,
    /// Nothing is known.
    Unconfirmed,
}

impl Release {
    /// By the reply to a log-out. A device answers that it has no such session with 400, and some firmware
    /// with 412 or 403.
    pub(super) fn of(status: u16, body: &[u8]) -> Self {
        let is_unknown = || String::from_utf8_lossy(body).contains("SessionNoActiveSession");
        match status {
            200..=299 | 400 | 412 => Self::Done,
            _ if is_unknown() => Self::Done,
            405 | 501 => Self::NoLogOut,
            _ => Self::Unconfirmed,
        }
    }
}

/// Whether sessions are made where a log-in was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplyKind {
    /// The device has no such path.
    LacksPath,
    /// It grants a session, or refuses one by name (`Session…`).
    OfSessions,
    /// It says nothing of that.
    Other,
}

/// The device's reply to a log-in.
#[derive(Clone, Copy)]
pub struct LoginReply<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The values of `Set-Cookie`.
    pub cookies: &'a [String],
    /// The body.
    pub body: &'a [u8],
}

impl std::fmt::Debug for LoginReply<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Cookies and body hold the session.
        f.debug_struct("LoginReply")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl LoginReply<'_> {
    /// Whether sessions are made there.
    pub(super) fn kind(self) -> ReplyKind {
        let names_session = String::from_utf8_lossy(self.body).contains("Session");
        match self.status {
            404 | 405 | 501 => ReplyKind::LacksPath,
            _ if names_session || id_cookie(self.cookies).is_some() => ReplyKind::OfSessions,
            _ => ReplyKind::Other,
        }
    }

    /// The session. A log-in succeeds with status 200 **and** `"success": true`; the body names the
    /// reason of a refusal (REST guide, "Session").
    ///
    /// # Errors
    /// The room's problem.
    pub fn session(self, generation: u64) -> Result<Session, Problem> {
        let text = String::from_utf8_lossy(self.body);
        if text.contains("SessionPortLockout") {
            return Err(Problem::new(
                ProblemCode::LockedOut,
                "the device refuses all log-ins for a while after too many failed ones; the \
                 gateway waits and then tries again",
            ));
        }
        if text.contains("SessionMaxActiveSessionsReached") {
            return Err(Problem::too_many_sessions(None));
        }
        let reply = read_body(self.body).unwrap_or_default();
        if self.status == 200 && truth(&reply["success"]) == Some(true) {
            return self.granted(&reply, generation).ok_or_else(|| {
                Problem::not_understood(
                    "the device accepted the log-in but gave no session that can be used",
                )
            });
        }
        let mut other_reasons = OTHER_REASONS.iter();
        if let Some((reason, words)) = other_reasons.find(|(reason, _)| text.contains(reason)) {
            return Err(Problem::not_understood(format!(
                "the device refuses the log-in: {words} ({reason}, {}); the gateway tries again",
                self.status
            )));
        }
        Err(match self.status {
            // Not a refusal of the password: there is no reason to wait until it is corrected.
            200 | 401 | 403 if !self.refuses_password(&text, &reply) => {
                Problem::not_understood(format!(
                    "the device answers {} to the log-in, and not as a Poly VideoOS device does: is it \
                     a proxy or another product?",
                    self.status
                ))
            }
            200 | 401 | 403 => Problem::new(
                ProblemCode::Unauthorized,
                "the device refuses the user and password; correct them in the configuration (the \
                 gateway tries again only after a long wait, so that nobody is locked out)",
            ),
            429 => Problem::not_understood(
                "the device answers 429 to the log-in: too many requests at a time; the gateway waits and tries again",
            ),
            status @ 500..=599 => Problem::not_understood(format!(
                "the device answers {status} to the log-in: it may be starting, updating or in \
                 trouble"
            )),
            status @ 300..=399 => Problem::not_understood(format!(
                "the device answers {status} to the log-in, a redirect to another address: is it a \
                 Poly VideoOS device, or a proxy or another product?"
            )),
            status => Problem::not_understood(format!(
                "the device answers {status} to the log-in: is it a Poly VideoOS device?"
            )),
        })
    }

    /// Whether an answer with the status 200, 401 or 403 can be a Poly device's that refuses the user and
    /// password. With 200 it says so; with the others it may say nothing, but no page and nothing of another
    /// product. In doubt it can: repeated log-ins with a wrong password lock people out.
    fn refuses_password(self, text: &str, reply: &Value) -> bool {
        let is_said = truth(&reply["success"]) == Some(false) || text.contains("\"Session");
        let is_page = text
            .trim_start_matches('\u{feff}')
            .trim_start()
            .starts_with('<');
        let is_of_another_kind = match reply {
            Value::Object(members) => {
                !members.contains_key("success") && !members.contains_key("reason")
            }
            other => other.is_array(),
        };
        is_said || (self.status != 200 && !is_page && !is_of_another_kind)
    }

    /// The session id from the cookie, or from the body if there is no cookie.
    fn granted(self, reply: &Value, generation: u64) -> Option<Session> {
        let id = id_cookie(self.cookies)
            .or_else(|| reply["session"]["sessionId"].as_str().map(str::to_owned))?;
        let token = token_cookie(self.cookies);
        Session::new(id, token, session_state(reply), generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, cookies: &[String], body: &str) -> Result<Session, Problem> {
        let body = body.as_bytes();
        LoginReply {
            status,
            cookies,
            body,
        }
        .session(1)
    }

    #[test]
    fn the_cookie_goes_back_byte_for_byte_and_is_never_shown() {
        let cookies = [
            "session_id=AB+/c==; Path=/; Secure; HttpOnly".to_owned(),
            "XSRF-TOKEN=t0ken; Path=/".to_owned(),
        ];
        let session = reply(200, &cookies, r#"{"success":true}"#).unwrap();
        let headers = session.headers();
        assert_eq!(headers.cookie, "session_id=AB+/c==; XSRF-TOKEN=t0ken");
        assert_eq!(headers.token.as_ref().unwrap(), "t0ken");
        assert!(!format!("{session:?} {headers:?}").contains("AB+"));
        assert!(!format!("{headers:?}").contains("t0ken"));
        let reply = LoginReply {
            status: 200,
            cookies: &cookies,
            body: b"AB+",
        };
        assert!(!format!("{reply:?}").contains("AB+"));
    }

    #[test]
    fn without_a_cookie_the_id_is_the_bodys() {
        let body = r#"{"success":true,"session":{"sessionId":"abc","role":"ADMIN"}}"#;
        let session = reply(200, &[], body).unwrap();
        assert_eq!(session.headers().cookie, "session_id=abc");
        assert_eq!(session.state["role"], "ADMIN");
        assert_eq!(session.generation, 1);
    }

    #[test]
    fn refusals_are_told_apart() {
        for (status, body, code) in [
            (
                403,
                "SessionInvalidUserNamePassword",
                ProblemCode::Unauthorized,
            ),
            (401, "", ProblemCode::Unauthorized),
            (200, "{\"success\":false}", ProblemCode::Unauthorized),
            (400, "SessionPortLockout", ProblemCode::LockedOut),
            (
                403,
                "SessionMaxActiveSessionsReached",
                ProblemCode::TooManySessions,
            ),
            (302, "", ProblemCode::NotUnderstood),
            (404, "", ProblemCode::NotUnderstood),
            (503, "<html>", ProblemCode::NotUnderstood),
            (429, "", ProblemCode::NotUnderstood),
            (200, "<html>", ProblemCode::NotUnderstood),
            (200, "{\"success\":tr", ProblemCode::NotUnderstood),
            (200, "null", ProblemCode::NotUnderstood),
            (200, "{\"success\":true}", ProblemCode::NotUnderstood),
            (201, "{\"success\":true}", ProblemCode::NotUnderstood),
        ] {
            assert_eq!(
                reply(status, &[], body).unwrap_err().code,
                code,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_refusal_for_another_reason_is_none_of_the_password_whatever_its_status() {
        for (reason, _) in OTHER_REASONS {
            let body = format!(r#"{{"success":false,"reason":"{reason}"}}"#);
            for status in [200, 400, 403, 409, 412] {
                let problem = reply(status, &[], &body).unwrap_err();
                assert_eq!(problem.code, ProblemCode::NotUnderstood, "{status} {body}");
                assert!(problem.message.contains(reason), "{problem}");
            }
        }
        for status in [400, 403, 412] {
            for (reason, code) in [
                ("SessionPortLockout", ProblemCode::LockedOut),
                (
                    "SessionMaxActiveSessionsReached",
                    ProblemCode::TooManySessions,
                ),
            ] {
                assert_eq!(
                    reply(status, &[], reason).unwrap_err().code,
                    code,
                    "{status}"
                );
            }
        }
    }

    #[test]
    fn a_device_that_knows_the_session_no_more_has_logged_out() {
        let none = br#"{"success":false,"reason":"SessionNoActiveSession"}"#;
        for status in [400, 403, 412] {
            assert_eq!(Release::of(status, none), Release::Done, "{status}");
        }
        for (status, body, wanted) in [
            (200, "", Release::Done),
            (204, "", Release::Done),
            (400, "", Release::Done),
            (412, "", Release::Done),
            (403, "<html>", Release::Unconfirmed),
            (405, "", Release::NoLogOut),
            (501, "", Release::NoLogOut),
            (503, "", Release::Unconfirmed),
        ] {
            assert_eq!(Release::of(status, body.as_bytes()), wanted, "{status}");
        }
    }

    #[test]
    fn another_products_answer_is_no_refusal_of_the_password() {
        for body in [
            r#"{"error":"no route"}"#,
            r#"{"error":{"code":401,"message":"Unauthorized"}}"#,
            r#"{"status":"UP"}"#,
            r#"{"message":"Forbidden"}"#,
            "{}",
            "[]",
            "<html><body>Sign in</body></html>",
            "\u{feff}\n<!DOCTYPE html><title>403</title>",
            "<?xml version=\"1.0\"?><error/>",
        ] {
            for status in [200, 401, 403] {
                let problem = reply(status, &[], body).unwrap_err();
                assert_eq!(problem.code, ProblemCode::NotUnderstood, "{status} {body}");
                assert!(problem.message.contains("another product"), "{problem}");
            }
        }
        for body in [
            r#"{"success":false}"#,
            r#"{"success":0,"reason":""}"#,
            r#"{"success":"false"}"#,
            r#"{"reason":"SessionInvalidUserNamePassword"}"#,
            r#"{"error":{"reason":"SessionInvalidUserNamePassword"}}"#,
            r#""SessionInvalidUserNamePassword""#,
        ] {
            for status in [200, 401, 403] {
                let problem = reply(status, &[], body).unwrap_err();
                assert_eq!(problem.code, ProblemCode::Unauthorized, "{status} {body}");
            }
        }
        // These say nothing of their own: as careful as with a refusal.
        for body in [
            "",
            "null",
            "Forbidden",
            "Access denied.",
            "{\"success\":fal",
            r#"{"reason":"no"}"#,
        ] {
            for status in [401, 403] {
                let problem = reply(status, &[], body).unwrap_err();
                assert_eq!(problem.code, ProblemCode::Unauthorized, "{status} {body}");
            }
        }
    }

    #[test]
    fn a_problem_says_what_to_do_and_holds_no_secret() {
        let message = |status, body| reply(status, &[], body).unwrap_err().message;
        assert!(message(403, "").contains("correct them in the configuration"));
        assert!(message(503, "").contains("answers 503"));
        assert!(message(200, "secret").contains("another product"));
        assert!(!message(200, "secret").contains("secret"));
    }
}
