//! The events of rooms: commands, availability, calls. Each that a person may want to look up goes into the
//! [`LogRing`](super::LogRing); some are log lines too.
//!
//! The lines of this module do not go through the ring's layer (`RingLayer`): they would be there twice.
//! Payloads of commands go nowhere: they may hold a PIN or a password.

use std::sync::Arc;

use serde_json::Value;
use tracing::Level;

use super::events::ROOMS;
use super::floods::Subject;
use super::log_ring::{LogKind, LoggedCommand, NewEntry};
use super::shortened::shortened;
use super::{LONGEST_TEXT, Telemetry, room_span};
use crate::catalogue::{CATALOGUE, RoomEvent};
use crate::command::{DoorKind, ErrorCode, Failure, Outcome};

/// By this the layer knows the lines that are not for it.
pub(super) const ROOM_EVENTS_MODULE: &str = module_path!();

/// The members of an event that say what the text says already, or mean nothing to people.
const MEMBERS_LEFT_OUT: [&str; 4] = ["event_type", "id", "connection", "conference"];

impl Telemetry {
    /// A command has its result, wherever it was decided. A superseded command is counted but not
    /// logged: its sender replaced it.
    pub fn command_finished(&self, door: DoorKind, outcome: &Outcome) {
        let code = match &outcome.result {
            Ok(_) => "ok",
            Err(failure) => failure.code.as_str(),
        };
        self.metrics.command(door.as_str(), code, outcome.took);
        match &outcome.result {
            // What only reads changes nothing, and some clients read all the time.
            Ok(_) if CATALOGUE.only_reads(&outcome.command) => {}
            Ok(_) => self.log.push(NewEntry {
                level: Level::INFO,
                kind: LogKind::Command,
                room: Some(&outcome.room),
                text: "",
                command: Some(logged_command(door, outcome, code)),
            }),
            Err(failure) if failure.code != ErrorCode::Superseded => {
                self.command_failed(door, outcome, failure);
            }
            Err(_) => {}
        }
    }

    fn command_failed(&self, door: DoorKind, outcome: &Outcome, failure: &Failure) {
        let room = shortened(&outcome.room, LONGEST_TEXT);
        // What was refused to a token names that token, which those who see the room need not know. Rooms that do not
        // exist are among those, and clients choose their names.
        let is_of_the_room = !matches!(failure.code, ErrorCode::UnknownRoom | ErrorCode::Forbidden);
        let counted_room = is_of_the_room.then(|| Arc::from(&*room));
        let subject = Subject::FailedCommands(door, failure.code, counted_room);
        if !self.floods.is_in_full(subject, &outcome.command) {
            return;
        }
        let command = &*shortened(&outcome.command, LONGEST_TEXT);
        let reason = &*shortened(&failure.message, LONGEST_TEXT);
        let code = failure.code.as_str();
        room_span(&room)
            .in_scope(|| tracing::info!(target: ROOMS, command, code, reason, "command failed"));
        let text = if is_of_the_room {
            reason.to_owned()
        } else {
            format!("room \"{room}\": {reason}")
        };
        self.log.push(NewEntry {
            level: Level::WARN,
            kind: LogKind::Failure,
            room: is_of_the_room.then_some(&*room),
            text: &text,
            command: Some(logged_command(door, outcome, code)),
        });
    }

    /// A room's device is logged in to and can be used.
    pub fn room_online(&self, room: &str) {
        let subject = Subject::RoomChanges(room.into());
        if self.floods.is_in_full(subject, &"online") {
            room_span(room).in_scope(|| tracing::info!(target: ROOMS, "online"));
            self.remember(Level::INFO, LogKind::Online, room, "online");
        }
    }

    /// A room's device cannot be used any more, or has another problem than before.
    pub fn room_offline(&self, room: &str, problem: &str) {
        let problem = &*shortened(problem, LONGEST_TEXT);
        let subject = Subject::RoomChanges(room.into());
        if self.floods.is_in_full(subject, &problem) {
            room_span(room).in_scope(|| tracing::warn!(target: ROOMS, problem, "offline"));
            let text = format!("offline: {problem}");
            self.remember(Level::WARN, LogKind::Offline, room, &text);
        }
    }

    /// A room's device has begun to ask for fewer requests. `is_gentle`: the room is read at the gentle pace already.
    pub fn room_throttled(&self, room: &str, is_gentle: bool) {
        let text = if is_gentle {
            "the device asks for fewer requests, and gets fewer: its states are read more rarely for a while"
        } else {
            "the device asks for fewer requests, and gets fewer: its states are read more rarely for a while; if it \
                 does so often, set poll = \"gentle\" for the room"
        };
        self.pace_changed(Level::WARN, room, text);
    }

    /// A room's device has not asked for fewer requests for a while.
    pub fn room_throttled_no_more(&self, room: &str) {
        self.pace_changed(
            Level::INFO,
            room,
            "the device is read at the usual pace again",
        );
    }

    fn pace_changed(&self, level: Level, room: &str, text: &str) {
        if !self
            .floods
            .is_in_full(Subject::PaceChanges(room.into()), &text)
        {
            return;
        }
        room_span(room).in_scope(|| match level {
            Level::WARN => tracing::warn!(target: ROOMS, "{text}"),
            _ => tracing::info!(target: ROOMS, "{text}"),
        });
        self.remember(level, LogKind::Line, room, text);
    }

    /// A camera that was started may still move: the device has refused every stop.
    pub fn camera_not_stopped(&self, room: &str, failure: &Failure) {
        let reason = &*shortened(&failure.message, LONGEST_TEXT);
        let what = "the camera may still move: the device refuses to stop it";
        room_span(room).in_scope(|| tracing::warn!(target: ROOMS, reason, "{what}"));
        let text = format!("{what}: {reason}");
        self.remember(Level::WARN, LogKind::Line, room, &text);
    }

    /// A room's task has ended by a fault of the gateway, which the line of the panic describes.
    pub fn room_failed(&self, room: &str) {
        let text = "a fault in the gateway ended the room's task; it starts again";
        room_span(room).in_scope(|| tracing::error!(target: ROOMS, "{text}"));
        self.remember(Level::ERROR, LogKind::Line, room, text);
    }

    /// A room is no longer configured.
    pub fn room_removed(&self, room: &str) {
        room_span(room).in_scope(|| tracing::info!(target: ROOMS, "removed"));
        self.remember(Level::INFO, LogKind::Line, room, "removed");
    }

    /// A room has published an event with these details.
    pub fn room_event(&self, room: &str, event: RoomEvent, details: &Value) {
        let kind = match event {
            RoomEvent::IncomingCall | RoomEvent::CallConnected | RoomEvent::CallEnded => {
                LogKind::Call
            }
            RoomEvent::DeviceLost | RoomEvent::DeviceBack => LogKind::Event,
            // They have a log line of their own, or are the result of a command.
            RoomEvent::ReadinessFailed | RoomEvent::CommandFailed => return,
        };
        let text = event_text(event.as_str(), details);
        self.remember(Level::INFO, kind, room, &text);
    }

    /// The device's call log has a new entry, told as `call/last` does.
    pub fn last_call(&self, room: &str, call: &Value) {
        if let Some(text) = last_call_text(call) {
            self.remember(Level::INFO, LogKind::Call, room, &text);
        }
    }

    fn remember(&self, level: Level, kind: LogKind, room: &str, text: &str) {
        self.log.push(NewEntry {
            level,
            kind,
            room: Some(room),
            text,
            command: None,
        });
    }
}

fn logged_command(door: DoorKind, outcome: &Outcome, code: &'static str) -> LoggedCommand {
    LoggedCommand {
        topic: shortened(&outcome.command, LONGEST_TEXT).into(),
        door: door.as_str(),
        code,
        took_ms: u64::try_from(outcome.took.as_millis()).unwrap_or(u64::MAX),
    }
}

/// `incoming call: address ada@example.com, duration 7`.
fn event_text(name: &str, details: &Value) -> String {
    let members = details.as_object().into_iter().flatten();
    let members = members.filter(|(member, _)| !MEMBERS_LEFT_OUT.contains(&member.as_str()));
    let members = members.filter_map(|(member, value)| {
        let value = match value {
            Value::String(text) if !text.is_empty() => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(is) => is.to_string(),
            _ => return None,
        };
        Some(format!("{} {value}", member.replace('_', " ")))
    });
    let members: Vec<_> = members.collect();
    let name = name.replace('_', " ");
    if members.is_empty() {
        name
    } else {
        format!("{name}: {}", members.join(", "))
    }
}

/// `call log: incoming call with Ada, ada@example.com: missed`.
fn last_call_text(call: &Value) -> Option<String> {
    let part = |name: &str| call.get(name).and_then(Value::as_str);
    call.as_object()?;
    let mut with: Vec<&str> = [part("name"), part("address")]
        .into_iter()
        .flatten()
        .collect();
    with.dedup();
    let with = if with.is_empty() {
        "unknown".to_owned()
    } else {
        with.join(", ")
    };
    let mut text = format!(
        "call log: {}call with {with}",
        match part("direction") {
            Some(direction) => format!("{direction} "),
            None => String::new(),
        }
    );
    if let Some(outcome) = part("outcome") {
        text += &format!(": {}", outcome.replace('_', " "));
    }
    if let Some(seconds) = call.get("duration").and_then(Value::as_i64) {
        text += &format!(", {seconds} s");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::command::{Reply, Success};
    use crate::telemetry::LogQuery;

    #[test]
    fn commands_are_kept_without_payload_and_refusals_without_room() {
        let telemetry = Arc::<Telemetry>::default();
        let finish = |result| {
            let told = telemetry.clone();
            let reply = Reply::new("1".into(), "call/dial", move |outcome| {
                told.command_finished(DoorKind::Tcp, &outcome);
            });
            reply.answer(result);
        };
        finish(Ok(Success::new(200, json!(null))));
        for code in [
            ErrorCode::Offline,
            ErrorCode::Forbidden,
            ErrorCode::UnknownRoom,
            ErrorCode::Superseded,
        ] {
            finish(Err(Failure::new(code, "no")));
        }
        let entries = telemetry.log.read(&LogQuery::ALL, |_| true);
        let found: Vec<_> = entries
            .iter()
            .map(|entry| {
                let command = entry.command.as_ref().unwrap();
                assert_eq!((&*command.topic, command.door), ("call/dial", "tcp"));
                (entry.room.as_deref(), command.code, &*entry.text)
            })
            .collect();
        let wanted = [
            (Some("1"), "ok", ""),
            (Some("1"), "offline", "no"),
            (None, "forbidden", "room \"1\": no"),
            (None, "unknown_room", "room \"1\": no"),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn commands_that_are_refused_for_invented_rooms_push_nothing_out_of_the_log() {
        let telemetry = Arc::<Telemetry>::default();
        telemetry.room_online("lab");
        for code in [ErrorCode::Forbidden, ErrorCode::UnknownRoom] {
            for n in 0..10_000 {
                let told = telemetry.clone();
                let reply = Reply::new(format!("x{n}").into(), "audio/mute", move |outcome| {
                    told.command_finished(DoorKind::Http, &outcome);
                });
                reply.answer(Err(Failure::new(code, "no")));
            }
        }
        let entries = telemetry.log.read(&LogQuery::ALL, |_| true);
        assert!(entries.iter().any(|entry| &*entry.text == "online"));
        assert!(entries.len() < 50, "{}", entries.len());
    }

    #[test]
    fn events_and_calls_read_as_sentences() {
        for (name, details, wanted) in [
            (
                "incoming_call",
                json!({"id": "3", "address": "ada@example.com", "display_name": ""}),
                "incoming call: address ada@example.com",
            ),
            ("device_lost", json!({}), "device lost"),
            ("call_ended", json!(null), "call ended"),
        ] {
            assert_eq!(event_text(name, &details), wanted);
        }
        for (call, wanted) in [
            (json!("none"), None),
            (json!({}), Some("call log: call with unknown")),
            (
                json!({"name": "Ada", "address": "ada@x", "direction": "incoming", "outcome": "missed"}),
                Some("call log: incoming call with Ada, ada@x: missed"),
            ),
            (
                json!({"name": "7", "address": "7", "direction": "outgoing",
                    "outcome": "not_answered", "duration": 0}),
                Some("call log: outgoing call with 7: not answered, 0 s"),
            ),
        ] {
            assert_eq!(last_call_text(&call).as_deref(), wanted);
        }
    }
}
