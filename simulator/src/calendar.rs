//! The guide's section Calendar: meetings, which can be dialled, and the calendar server.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::calls::Calls;
use super::check::{DeviceRequest, Handled, bad, not_allowed, not_found, ok};
use super::condition::{Condition, Conditions};
use super::profile::{Feature, Profile};

#[derive(Debug)]
pub struct Calendar {
    profile: Profile,
    started: i64,
}

impl Calendar {
    pub fn new(profile: Profile) -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            profile,
            started: i64::try_from(since.as_secs()).unwrap_or(0),
        }
    }

    /// Three meetings: one runs now, one begins in 20 minutes, one in two hours. The ids look like
    /// those of Exchange, with characters that must be encoded in a path.
    fn meetings(&self) -> Vec<Value> {
        let meeting = |id: &str, subject: &str, after: i64, dial: &str| {
            json!({
                "actions": [format!("sip:{dial}")], "body": "", "canDial": true,
                "canceled": false, "duration": 1800, "id": id, "inCall": false,
                "location": "Boardroom", "optionalAttendees": [], "organizer": "Ada",
                "privateMeeting": false, "recurring": false, "requiredAttendees": ["Ada"],
                "startTime": self.started + after, "subject": subject,
                "lastSyncTime": self.started,
            })
        };
        vec![
            meeting("AAMk/now+1==", "Stand-up", -300, "standup@example.com"),
            meeting("AAMk/next+2==", "Planning", 1200, "planning@example.com"),
            meeting("AAMk/later+3==", "Review", 7200, "review@example.com"),
        ]
    }

    pub fn handle(
        &mut self,
        request: &DeviceRequest,
        path: &[&str],
        calls: &mut Calls,
        now: &Conditions,
    ) -> Handled {
        let meetings = self.meetings();
        let find = |id: &str| {
            let found = meetings.iter().find(|meeting| meeting["id"] == id);
            found.ok_or_else(not_found)
        };
        match (path, request.method.as_str()) {
            ([], "GET") => {
                request.plain()?;
                let lower = self.profile.has(Feature::LowerCaseCalendar);
                let name = if lower { "status" } else { "Status" };
                let offline = now.has(Condition::CalendarOffline);
                ok(&json!({name: if offline { "OFFLINE" } else { "ONLINE" }}))
            }
            (["meetings"], "GET") => {
                request.only(&["number", "start", "end"])?;
                let number = request.number("number", 1)?;
                let range = (request.number("start", 0)?, request.number("end", 0)?);
                let wanted: Vec<_> = match (number, range) {
                    (Some(number), (None, None)) => {
                        let number = usize::try_from(number).unwrap_or(usize::MAX);
                        meetings.iter().take(number).collect()
                    }
                    (None, (Some(start), Some(end))) => meetings
                        .iter()
                        .filter(|meeting| {
                            let at = meeting["startTime"].as_u64().unwrap_or(0);
                            (start..=end).contains(&at)
                        })
                        .collect(),
                    (None, (None, None)) => meetings.iter().collect(),
                    _ => return Err(bad("number and start with end exclude each other")),
                };
                ok(&json!(wanted))
            }
            (["meetings", id], "GET") => {
                request.plain()?;
                ok(find(id)?)
            }
            (["meetings", id], "POST") => {
                request.plain()?;
                let action = find(id)?["actions"][0]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                let connection = calls.dial(action.trim_start_matches("sip:"));
                let number: i64 = connection.parse().unwrap_or(0);
                ok(&json!({"connectionId": number, "success": true}))
            }
            (["discover"], "POST") => {
                let known = ["domain", "email", "username", "password", "userdomain"];
                let fields = request.object(&known)?;
                fields.text("domain")?;
                fields.word("domain", &["sip", "email"])?;
                for name in &known[1..] {
                    fields.maybe_text(name)?;
                }
                ok(&json!({"error": "NOERROR", "serverUrl": "https://calendar.example.com"}))
            }
            ([] | ["meetings" | "discover"] | ["meetings", _], _) => not_allowed(),
            _ => Err(not_found()),
        }
    }
}
