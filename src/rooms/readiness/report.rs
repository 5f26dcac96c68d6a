//! The report of a run, as people and programs read it.

use serde_json::{Value, json};

use crate::clock::rfc3339_of_unix;
use crate::visible::visible;

/// One check of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name, which never changes: `microphones`.
    pub name: &'static str,
    /// Nothing is wrong.
    pub ok: bool,
    /// What was found; if something is wrong, also what to do.
    pub message: String,
}

impl Check {
    /// Nothing is wrong.
    pub fn passed(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, true, message.into())
    }

    /// Something is wrong.
    pub fn failed(name: &'static str, message: impl Into<String>) -> Self {
        Self::new(name, false, message.into())
    }

    /// Words of the device are part of the message: what cannot be seen in them is shown as an escape.
    fn new(name: &'static str, ok: bool, message: String) -> Self {
        Self {
            name,
            ok,
            message: visible(&message).into_owned(),
        }
    }
}

/// The report of a run: the state `readiness`, and the body of the result of `readiness/run`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    checks: Vec<Check>,
}

impl Report {
    /// A report of these checks.
    pub fn new(checks: Vec<Check>) -> Self {
        Self { checks }
    }

    /// `{"ok","at","checks":[{"name","ok","message"}]}`. `now`: when it began, in
    /// seconds since 1970.
    pub fn to_json(&self, now: i64) -> Value {
        let checks = self.checks.iter();
        json!({
            "ok": self.checks.iter().all(|check| check.ok),
            "at": rfc3339_of_unix(now),
            "checks": checks
                .map(|check| json!({"name": check.name, "ok": check.ok, "message": check.message}))
                .collect::<Vec<_>>(),
        })
    }
}

/// The details of the event `readiness_failed` for a report: when, and the checks that failed. `None` if
/// nothing is wrong.
pub fn failure_event(report: &Value) -> Option<Value> {
    let checks = report["checks"].as_array()?.iter();
    let failed: Vec<Value> = checks
        .filter(|check| check["ok"] == false)
        .map(|check| json!({"name": check["name"], "message": check["message"]}))
        .collect();
    (!failed.is_empty()).then(|| json!({"at": report["at"], "failed": failed}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_ok_if_each_check_is() {
        let good = Check::passed("login", "logged in");
        let bad = Check::failed("cameras", "no camera\u{202e} is connected");
        let report = Report::new(vec![good.clone()]).to_json(1_700_000_000);
        let wanted = json!({
            "ok": true,
            "at": "2023-11-14T22:13:20Z",
            "checks": [{"name": "login", "ok": true, "message": "logged in"}],
        });
        assert_eq!(report, wanted);
        assert_eq!(failure_event(&report), None);
        let report = Report::new(vec![good, bad]).to_json(0);
        assert_eq!(report["ok"], false);
        let event = failure_event(&report).unwrap();
        assert_eq!(event["failed"].as_array().unwrap().len(), 1);
        assert_eq!(event["failed"][0]["name"], "cameras");
        let message = event["failed"][0]["message"].as_str().unwrap();
        assert!(!message.contains('\u{202e}'), "{message}");
    }
}
