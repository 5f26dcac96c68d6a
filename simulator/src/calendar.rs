//! The guide's section Calendar: meetings, which can be dialled, and the calendar server.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::calls::Calls;
use super::check::{DeviceReply, DeviceRequest, Handled, bad, not_found, ok};
use super::condition::{Condition, Conditions};
use super::profile::{Feature, Profile};
use super::routes::{Route, get, post};

pub const ROUTES: &[Route] = &[
    get("calendar", |world, _| {
        world.calendar.server(&world.conditions)
    }),
    get("calendar/meetings", |world, request| {
        world.calendar.list(request)
    })
    .with_input(),
    get("calendar/meetings/<meeting>", |world, request| {
        ok(&world.calendar.meeting(request.segment("meeting"))?)
    }),
    post("calendar/meetings/<meeting>", |world, request| {
        let meeting = world.calendar.meeting(request.segment("meeting"))?;
        dial(&meeting, &mut world.calls)
    })
    .without_input(),
    post("calendar/discover", |_, request| discover(request)),
];

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

    fn meeting(&self, id: &str) -> Result<Value, DeviceReply> {
        let mut meetings = self.meetings().into_iter();
        let found = meetings.find(|meeting| meeting["id"] == id);
        found.ok_or_else(not_found)
    }

    fn server(&self, now: &Conditions) -> Handled {
        let lower = self.profile.has(Feature::LowerCaseCalendar);
        let name = if lower { "status" } else { "Status" };
        let offline = now.has(Condition::CalendarOffline);
        ok(&json!({name: if offline { "OFFLINE" } else { "ONLINE" }}))
    }

    fn list(&self, request: &DeviceRequest) -> Handled {
        request.only(&["number", "start", "end"])?;
        let number = request.number("number", 1)?;
        let range = (request.number("start", 0)?, request.number("end", 0)?);
        let mut meetings = self.meetings();
        match (number, range) {
            (Some(number), (None, None)) => {
                meetings.truncate(usize::try_from(number).unwrap_or(usize::MAX));
            }
            (None, (Some(start), Some(end))) => meetings.retain(|meeting| {
                let at = meeting["startTime"].as_u64().unwrap_or(0);
                (start..=end).contains(&at)
            }),
            (None, (None, None)) => {}
            _ => return Err(bad("number and start with end exclude each other")),
        }
        ok(&Value::Array(meetings))
    }
}

fn dial(meeting: &Value, calls: &mut Calls) -> Handled {
    let action = meeting["actions"][0].as_str().unwrap_or_default();
    let connection = calls.dial(action.trim_start_matches("sip:"));
    let number: i64 = connection.parse().unwrap_or(0);
    ok(&json!({"connectionId": number, "success": true}))
}

fn discover(request: &DeviceRequest) -> Handled {
    let known = ["domain", "email", "username", "password", "userdomain"];
    let fields = request.object(&known)?;
    fields.text("domain")?;
    fields.word("domain", &["sip", "email"])?;
    for name in &known[1..] {
        fields.maybe_text(name)?;
    }
    ok(&json!({"error": "NOERROR", "serverUrl": "https://calendar.example.com"}))
}
