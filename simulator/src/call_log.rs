//! `calllog/entries`: the calls that have ended, newest first. Not in the guide.

use serde_json::{Value, json};

use super::check::{DeviceRequest, Handled, ok};
use super::routes::{Route, get};

pub const ROUTES: &[Route] = &[get("calllog/entries", |world, request| {
    world.calls.log.list(request)
})
.with_input()];

/// The most entries that a device gives at once.
const MOST_ENTRIES: u64 = 500;
/// The calls before the simulator started: address, start, milliseconds.
const EARLIER: [(&str, i64, i64); 2] = [
    ("testcall@example.com", 1_664_470_010_000, 7_000),
    ("standup@example.com", 1_664_470_150_000, 900_000),
];

/// A call that has ended.
#[derive(Debug, Clone)]
pub struct EndedCall {
    pub address: String,
    pub incoming: bool,
    /// It was connected.
    pub connected: bool,
    /// When it began and ended, in milliseconds since 1970.
    pub started: i64,
    pub ended: i64,
}

#[derive(Debug, Default)]
pub struct CallLog {
    /// Oldest first.
    calls: Vec<EndedCall>,
}

impl CallLog {
    pub fn new() -> Self {
        let earlier = |(address, started, took): (&str, i64, i64)| EndedCall {
            address: address.to_owned(),
            incoming: false,
            connected: true,
            started,
            ended: started + took,
        };
        Self {
            calls: EARLIER.into_iter().map(earlier).collect(),
        }
    }

    pub fn add(&mut self, call: EndedCall) {
        self.calls.push(call);
    }

    fn entry((number, call): (usize, &EndedCall)) -> Value {
        let kind = match (call.incoming, call.connected) {
            (false, _) => "PLACED",
            (true, true) => "RECEIVED",
            (true, false) => "MISSED",
        };
        let name = call.address.split('@').next().unwrap_or_default();
        let seconds = (call.ended - call.started) / 1000;
        json!({
            "address": call.address, "callType": "UNKNOWN", "callerId": name, "causeCode": 0,
            "connected": call.connected, "duration": if call.connected { seconds } else { 0 },
            "endTime": call.ended, "name": name, "outgoingCall": !call.incoming,
            "precedenceLevel": "none", "rate": 2048, "rowId": number + 1,
            "startTime": call.started, "transportType": "sip", "type": kind,
        })
    }

    /// `GET calllog/entries?limit=n`.
    fn list(&self, request: &DeviceRequest) -> Handled {
        request.only(&["limit"])?;
        request.no_body()?;
        let limit = request.number("limit", 1)?.unwrap_or(MOST_ENTRIES);
        let limit = usize::try_from(limit.min(MOST_ENTRIES)).unwrap_or(0);
        let newest = self.calls.iter().enumerate().rev().take(limit);
        ok(&newest.map(Self::entry).collect())
    }
}
