//! The one table of what a device can do.
//!
//! Every REST operation is one entry in the file of its area. Routing, payload rules, polling, the
//! read-back after a command, Home Assistant's entities and the printed documents are made from
//! the entries. Pure: no clock, no sockets, no tasks.
//!
//! # Map
//!
//! The parts of an entry:
//!
//! ```text
//! operation    a method and a path: its states, how often it is polled, its commands
//! state        how states are picked from the device's answer
//! command      a topic that carries an operation out: payload, plan, read-back, urgency
//! payload      what a payload may be; field, list: one value of it; advice: what a wrong one was meant to be
//! evidence     whether an answer is one that a Poly device gives
//! entity       what Home Assistant shows; up_down: its template for words such as `up`
//! references   how entries refer to each other, so that a misspelt reference does not compile
//! areas/       the entries: audio, calendar, cameras …
//! quirks       every deviation of firmware from the guide
//! ```
//!
//! What uses the entries:
//!
//! ```text
//! pattern         topics and paths with parameters
//! route, router   from a topic to its entry
//! call            a checked command: its plan's steps and its request
//! step, request   one step of a plan; the HTTP request made from it
//! body            the bytes of answers and states
//! connections     what the list of conferences says about calls
//! paired          what the list of devices says about what is paired
//! call_log        what the call log says about the last call
//! session_list    who holds sessions, without their ids
//! device_config   the names of the device's settings, and which values are never shown
//! provider        which providers can run the room, and which does
//! motion          which stop ends a camera's move
//! preset_names    which presets there are, and the names that people give them
//! sources         the names of connected cameras and inputs
//! search          paging through a directory query
//! room_event      the events of a room
//! gateway_topics  the topics whose values come from the gateway itself
//! ```
//!
//! `docs/adding-an-operation.md` shows how an operation is added.

mod advice;
mod areas;
mod body;
mod call;
mod call_log;
mod command;
mod connections;
mod device_config;
mod entity;
mod evidence;
mod field;
mod file;
mod gateway_topics;
mod list;
mod motion;
mod operation;
mod paired;
mod pattern;
mod payload;
mod preset_names;
mod provider;
mod quirks;
mod references;
#[cfg(test)]
mod references_test;
mod request;
mod room_event;
mod route;
mod router;
mod search;
mod session_list;
mod sources;
mod state;
mod step;
mod up_down;
#[cfg(test)]
mod words_test;

pub(crate) use areas::cameras::commands::{ACTIVATE_PRESET, SET_POSITION, SET_POSITION_OF_SOURCE};
pub use areas::cameras::states::{CONNECTED_SOURCES, PRESET_NAMES, PRESETS};
pub use areas::conferences::states::{CALL_LAST, CALLS};
pub use areas::config::states::SETTING;
pub use areas::operations;
pub use areas::paired::states::{DEVICES, TOUCH_PANEL};
pub use areas::providers::SYSTEM_MODES;
pub use areas::providers::states::{CALL_IN_MEETING, MODE as SYSTEM_MODE, PROVIDERS};
pub use areas::session::{SESSION_LISTS, session_state, states::SESSION};
pub use areas::system::states::{
    BOOT_TIME, INFO as SYSTEM_INFO, STATE as SYSTEM_STATE, STATUS_PART,
};
pub use areas::system::{boot_date, uptime};
pub use body::{is_deep, is_plain_text, is_web_page, payload, read_body};
pub use call::Call;
pub use command::{AnswerKind, AnswerReading, Command, Ended, Plan, TimeLimit, TopicKind, Urgency};
pub use connections::{CallConnection, CallPhase, connections};
pub use device_config::{MOST_SETTINGS, SettingRule, is_setting_name, setting_names};
pub use entity::{Category, Enabled, Entity, EntityKind, EntityOptions, SelectOption};
pub use evidence::{Evidence, MemberKind};
pub use field::{Field, MOST_KEYS, OFF, ON, Rule, SentIn, SwitchWords, TOGGLE};
pub use file::{FileAnswerKind, FileSpec};
pub use gateway_topics::{GATEWAY_TOPICS, GatewayTopic};
pub use motion::Motion;
pub use operation::{Class, Method, Operation, ReadBody, When};
pub use paired::{MOST_PAIRED, PairedDevice, paired_devices};
pub(crate) use pattern::PRESET as PRESET_PARAMETER;
pub use pattern::{about_parameter, parameters};
pub use payload::Payload;
pub use preset_names::{PRESET_NUMBERS, PresetNames};
pub use provider::{Provider, Providers, accepted as switch_accepted};
pub use provider::{active_persona, is_own_provider};
pub use quirks::{
    QUIRKS, Quirk, QuirkSource, learned_preset_offset, refusal_reason, refuses, truth,
};
pub use references::{CommandTopic, StateTopic, ValueKind};
pub use request::{Request, RequestBody};
pub use room_event::RoomEvent;
pub use route::{Route, Variant};
pub use router::{CATALOGUE, Catalogue};
pub use search::Search;
pub use session_list::session_holders;
pub use state::{Context, Pick, Shape, State, StateTopicValue};
pub use step::{Params, Step};

/// What the check of a room reads and sends, and where its report stands.
pub(crate) mod checked {
    pub(crate) use super::areas::audio::states::MICROPHONES_CONNECTED;
    pub(crate) use super::areas::calendar::next_meeting_start;
    pub(crate) use super::areas::calendar::states::{MEETINGS, STATUS as CALENDAR_STATE};
    pub(crate) use super::areas::cameras::commands::{MOVE as MOVE_CAMERA, STOP as STOP_CAMERA};
    pub(crate) use super::areas::cameras::states::{NEAR as NEAR_CAMERAS, NEAR_SELECTED_PEOPLE};
    pub(crate) use super::areas::conferences::commands::{DIAL, HANG_UP_CONNECTION};
    pub(crate) use super::areas::conferences::states::CALL_STATE;
    pub(crate) use super::areas::providers::states::CALL_IN_MEETING;
    pub(crate) use super::areas::readiness::commands::RUN as READINESS_RUN;
    pub(crate) use super::areas::readiness::states::READINESS;
    pub(crate) use super::areas::system::states::{H323_GATEKEEPERS, SIP_SERVERS};
}
