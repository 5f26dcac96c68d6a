//! Guide, section Calendar.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::calls::Calls;
use super::check::{Ask, Handled, bad, not_allowed, not_found, ok};

#[derive(Debug)]
pub struct Calendar {
    newer: bool,
    started: i64,
}

impl Calendar {
    pub fn new(newer: bool) -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            newer,
            started: i64::try_from(since.as_secs()).unwrap_or(0),
        }
    }

    /// One that runs now, one in 20 minutes, one in two hours. Ids are as Exchange makes them.
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

    pub fn handle(&mut self, ask: &Ask, path: &[&str], calls: &mut Calls) -> Handled {
        let meetings = self.meetings();
        let find = |id: &str| {
            let found = meetings.iter().find(|meeting| meeting["id"] == id);
            found.ok_or_else(not_found)
        };
        match (path, ask.method.as_str()) {
            ([], "GET") => {
                ask.plain()?;
                let name = if self.newer { "status" } else { "Status" };
                ok(&json!({name: "ONLINE"}))
            }
            (["meetings"], "GET") => {
                ask.only(&["number", "start", "end"])?;
                let number = ask.number("number", 1)?;
                let range = (ask.number("start", 0)?, ask.number("end", 0)?);
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
                ask.plain()?;
                ok(find(id)?)
            }
            (["meetings", id], "POST") => {
                ask.plain()?;
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
                let fields = ask.object(&known)?;
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
