//! Where real devices differ from the REST API Reference Guide 4.0.0.
//!
//! [`QUIRKS`] is the one list of every known deviation, each with its source and the place that
//! handles it. The functions that forgive a body are in `forgive`; `device` handles the
//! deviations of sessions. `source` names the drivers and recordings. Add a new deviation to the list first.

mod forgive;
mod source;
#[cfg(test)]
mod tests;

pub(super) use forgive::{
    CALENDAR_STATUS, NO_ERROR, as_list, bare_word, collaboration_session, epoch_seconds,
    error_word, flag, is_pending, member, numeric_mute, plain_number, preset_numbers, result_of,
    seconds, text, unwrap_result, whole,
};
pub use forgive::{learned_preset_offset, refusal_reason, refuses, truth};
pub use source::QuirkSource;

use source::{AVISPL, CRESTRON, EXTRON, MIVIDAS, X30_3_10, X30_3_12};

/// One deviation of firmware from the guide.
#[derive(Debug, Clone, Copy)]
pub struct Quirk {
    /// A short name, unique in the list.
    pub name: &'static str,
    /// What the guide says.
    pub guide: &'static str,
    /// What devices do.
    pub device: &'static str,
    /// The firmware that is known to do it.
    pub firmware: &'static str,
    /// Where that is known from.
    pub source: QuirkSource,
    /// The file and function that handles it.
    pub handled: (&'static str, &'static str),
}

/// Every known deviation.
pub const QUIRKS: &[Quirk] = &[
    // Bodies.
    Quirk {
        name: "word without quotes",
        guide: "answers are JSON",
        device: "a word such as CONTENT_IDLE comes without quotes, as application/json",
        firmware: "3.10 and later; seen at cameras/contentstatus",
        source: QuirkSource::Recordings(&[X30_3_12]),
        handled: ("src/catalogue/quirks/forgive.rs", "bare_word"),
    },
    Quirk {
        name: "one object for a list",
        guide: "several samples show one object, or objects without brackets",
        device: "an array; one object and null are taken too",
        firmware: "all",
        source: QuirkSource::GuideSamples,
        handled: ("src/catalogue/quirks/forgive.rs", "as_list"),
    },
    Quirk {
        name: "value with or without result",
        guide: "a value stands in {\"result\": …} in some answers",
        device: "the value itself, for instance audio/muted and audio/volume",
        firmware: "all",
        source: QuirkSource::Recordings(&[X30_3_12]),
        handled: ("src/catalogue/quirks/forgive.rs", "unwrap_result"),
    },
    Quirk {
        name: "flag as a number",
        guide: "true or false",
        device: "1 or 0, as a microphone's mute has them",
        firmware: "none known",
        source: QuirkSource::Precaution,
        handled: ("src/catalogue/quirks/forgive.rs", "fn flag"),
    },
    Quirk {
        name: "microphone mute as a number",
        guide: "a microphone's mute is a boolean",
        device: "0 or 1",
        firmware: "3.10 and later",
        source: QuirkSource::Recordings(&[X30_3_12]),
        handled: ("src/catalogue/quirks/forgive.rs", "numeric_mute"),
    },
    Quirk {
        name: "whole number with a fraction",
        guide: "volume, duration, index and so on are integers",
        device: "62.0 or 1800.0, as some JSON libraries write integers",
        firmware: "none known",
        source: QuirkSource::Precaution,
        handled: ("src/catalogue/quirks/forgive.rs", "plain_number"),
    },
    Quirk {
        name: "id or address as a number",
        guide: "ids and addresses are strings",
        device: "an integer, which may have more digits than a number in most languages",
        firmware: "none known",
        source: QuirkSource::Precaution,
        handled: (
            "src/catalogue/quirks/forgive.rs",
            "pub(in crate::catalogue) fn text",
        ),
    },
    Quirk {
        name: "presets from zero",
        guide: "the sample numbers presets from 1",
        device: "the presets that people call 1 to 10 are 0 to 9 in paths and in presets/all",
        firmware: "unknown; told from the list",
        source: QuirkSource::Drivers(&[EXTRON]),
        handled: ("src/catalogue/quirks/forgive.rs", "learned_preset_offset"),
    },
    Quirk {
        name: "ringing call as PENDING",
        guide: "a conference has an id and connections",
        device: "an unanswered incoming call is listed under the id PENDING; the entry may stand \
                 beside a live call, and without connections",
        firmware: "3.10 and later",
        source: QuirkSource::Recordings(&[X30_3_10]),
        handled: ("src/catalogue/quirks/forgive.rs", "is_pending"),
    },
    Quirk {
        name: "collaboration id and state",
        guide: "sessionId and sessionState",
        device: "id and state",
        firmware: "3.12 and later",
        source: QuirkSource::Recordings(&[X30_3_12]),
        handled: ("src/catalogue/quirks/forgive.rs", "collaboration_session"),
    },
    Quirk {
        name: "no collaboration",
        guide: "404 while there is none",
        device: "200 with the state INACTIVE",
        firmware: "3.12 and later",
        source: QuirkSource::Recordings(&[X30_3_12]),
        handled: ("src/catalogue/quirks/forgive.rs", "collaboration_session"),
    },
    Quirk {
        name: "words of servers and functions",
        guide: "ON or OFF for a server; up or down in system/status",
        device: "UP for a server; also all_up, some_up, none_up, all_down, off, unknown and full",
        firmware: "3.10 and later",
        source: QuirkSource::Drivers(&[AVISPL, EXTRON]),
        handled: ("src/catalogue/up_down.rs", "macro_rules! up"),
    },
    Quirk {
        name: "calendar Status",
        guide: "status in the text, Status in a sample",
        device: "either",
        firmware: "all",
        source: QuirkSource::Drivers(&[AVISPL]),
        handled: ("src/catalogue/areas/calendar.rs", "CALENDAR_STATUS"),
    },
    Quirk {
        name: "times in milliseconds",
        guide: "a meeting's startTime is seconds since 1970",
        device: "milliseconds, as the call log has them",
        firmware: "none known",
        source: QuirkSource::Precaution,
        handled: ("src/catalogue/quirks/forgive.rs", "epoch_seconds"),
    },
    Quirk {
        name: "success false with 200",
        guide: "an error has a status of its own",
        device: "200 with {\"success\": false, \"reason\": …}",
        firmware: "all; at the log-in and after commands, and to reads as a precaution",
        source: QuirkSource::Drivers(&[AVISPL, CRESTRON, EXTRON]),
        handled: ("src/catalogue/quirks/forgive.rs", "pub fn refuses"),
    },
    // What is there and what is not.
    Quirk {
        name: "missing endpoint",
        guide: "every operation is there",
        device: "404, 405 or 501 to some, depending on model, mode and firmware",
        firmware: "all",
        source: QuirkSource::Drivers(&[AVISPL]),
        handled: ("src/rooms/reading.rs", "Unsupported"),
    },
    Quirk {
        name: "ended conference",
        guide: "a conference is read by its id",
        device: "404 for one that has just ended, which is no error",
        firmware: "all",
        source: QuirkSource::Drivers(&[AVISPL]),
        handled: ("src/catalogue/operation.rs", "or_none"),
    },
    Quirk {
        name: "callaction",
        guide: "has no way to answer, reject or hang up one connection",
        device: "POST /rest/conferences/callaction with ANSWER, IGNORE or HANGUP",
        firmware: "all",
        source: QuirkSource::Drivers(&[EXTRON, MIVIDAS]),
        handled: (
            "src/catalogue/areas/conferences.rs",
            "/rest/conferences/callaction",
        ),
    },
    Quirk {
        name: "camera tracking",
        guide: "has no operation for it",
        device: "POST and DELETE /rest/cameras/near/<index>/control/tracking",
        firmware: "unknown",
        source: QuirkSource::Drivers(&[EXTRON]),
        handled: ("src/catalogue/areas/cameras.rs", "control/tracking"),
    },
    Quirk {
        name: "system, mode and apps",
        guide: "has none of /rest/system, /rest/system/mode and /rest/system/apps/state",
        device: "model and firmware, the active provider, and whether an app is in a meeting",
        firmware: "4.6.2; older firmware may lack them",
        source: QuirkSource::Drivers(&[AVISPL, CRESTRON, EXTRON]),
        handled: (
            "src/catalogue/areas/providers.rs",
            "/rest/system/apps/state",
        ),
    },
    Quirk {
        name: "providers",
        guide: "has no operation for them",
        device: "GET /rest/system/apps lists them; POST /rest/current/system/mode with enabledapps \
                 switches, which takes up to three minutes, and 200 may come with an error",
        firmware: "4.4 and later; 3.12 lists them",
        source: QuirkSource::Drivers(&[AVISPL]),
        handled: ("src/catalogue/provider.rs", "fn accepted"),
    },
    Quirk {
        name: "no Poly provider",
        guide: "knows of no providers: calls are the device's own",
        device: "system/apps lists no Poly, so nobody can go back to it: what the provider that runs refuses, such as \
                 dialling with 403, stays refused",
        firmware: "5.0 and later",
        source: QuirkSource::Reported,
        handled: ("src/rooms/mode_lock.rs", "is_lasting"),
    },
    Quirk {
        name: "device configuration",
        guide: "has no operation for it",
        device: "POST /rest/config with names reads and with vars writes; 200 comes also with names \
                 that were not set",
        firmware: "3.10 and later",
        source: QuirkSource::Drivers(&[AVISPL, MIVIDAS]),
        handled: ("src/catalogue/device_config.rs", "fn settings_written"),
    },
    Quirk {
        name: "setting that does not say that it is secret",
        guide: "has no operation for it",
        device: "isSecure is missing, or false for a password",
        firmware: "none known",
        source: QuirkSource::Precaution,
        handled: ("src/catalogue/device_config.rs", "SECRET_ENDINGS"),
    },
    Quirk {
        name: "content saving",
        guide: "collaboration/contentssavestatus with status=true",
        device: "collaboration/contentsavestatus with status=True",
        firmware: "guide 3.1, and what Extron's driver of 2026 was tested with",
        source: QuirkSource::Drivers(&[EXTRON]),
        handled: (
            "src/catalogue/areas/collaboration.rs",
            "/rest/collaboration/contentsavestatus",
        ),
    },
    Quirk {
        name: "DTMF",
        guide: "POST /rest/audio with the action playDTMF",
        device: "POST /rest/audio/playdtmf with dtmfChar alone",
        firmware: "what Extron's driver of 2026 was tested with",
        source: QuirkSource::Drivers(&[EXTRON]),
        handled: ("src/catalogue/areas/audio.rs", "/rest/audio/playdtmf"),
    },
    Quirk {
        name: "reboot",
        guide: "the action reboot",
        device: "restartAll, which is true",
        firmware: "what Extron's driver of 2026 was tested with",
        source: QuirkSource::Drivers(&[EXTRON]),
        handled: ("src/catalogue/areas/system.rs", "restartAll"),
    },
    Quirk {
        name: "paired devices",
        guide: "has no operation for them",
        device: "POST /rest/devicemanagement/devices, which changes nothing; or the same below \
                 /rest/current with null",
        firmware: "the first 3.10, the second 3.12; newer firmware one or both",
        source: QuirkSource::Recordings(&[X30_3_10, X30_3_12]),
        handled: ("src/catalogue/areas/paired.rs", "fallback_for"),
    },
    Quirk {
        name: "remote controls with one id",
        guide: "has no operation for them",
        device: "several entries with the uid local-remote, and addresses that are none",
        firmware: "3.12",
        source: QuirkSource::Recordings(&[X30_3_12]),
        handled: ("src/catalogue/paired.rs", "fn paired_devices"),
    },
    Quirk {
        name: "call log",
        guide: "has no operation for it",
        device: "GET /rest/calllog/entries?limit=n, newest first, with times in milliseconds; the entry of a \
                 call is written some time after the call is gone from the list",
        firmware: "3.10; 4.0 and 5.0 may lack it",
        source: QuirkSource::Recordings(&[X30_3_10]),
        handled: ("src/rooms/schedule/after_call.rs", "AFTER_CALL_DELAYS"),
    },
    Quirk {
        name: "who holds sessions",
        guide: "has no operation for it",
        device: "GET /rest/current/session/sessions, or the same without current; the ids in it are secrets",
        firmware: "3.10 and later",
        source: QuirkSource::Recordings(&[X30_3_12]),
        handled: ("src/catalogue/session_list.rs", "fn without_ids"),
    },
    Quirk {
        name: "cameras that are not there",
        guide: "cameras/near/all lists the cameras",
        device: "twelve entries with gaps in their numbers: few are connected, some have no name, others \
                 are virtual devices",
        firmware: "3.10",
        source: QuirkSource::Recordings(&[X30_3_10]),
        handled: ("src/catalogue/sources.rs", "fn sources"),
    },
    // Sessions.
    Quirk {
        name: "403 for a stale session",
        guide: "401 for a request without a session",
        device: "403, and the body may be an HTML page; also for a missing XSRF token and for \
                 writes that Teams or Zoom mode refuses",
        firmware: "all",
        source: QuirkSource::Drivers(&[AVISPL, CRESTRON, EXTRON]),
        handled: ("src/device/probe.rs", "why_forbidden"),
    },
    Quirk {
        name: "XSRF token",
        guide: "knows of no token",
        device: "the log-in sets the cookie XSRF-TOKEN, whose value must come back as the header \
                 X-XSRF-Token of POST, PUT and DELETE",
        firmware: "4.6.2 and later; an administrator can switch it off from 4.7.0 on",
        source: QuirkSource::Drivers(&[AVISPL, EXTRON]),
        handled: ("src/device/session.rs", "XSRF-TOKEN"),
    },
    Quirk {
        name: "paths with current",
        guide: "has /rest/session",
        device: "/rest/current/session beside it or in its place, as for the mode, the apps and the list of sessions",
        firmware: "which has which is not known",
        source: QuirkSource::Drivers(&[AVISPL, CRESTRON]),
        handled: ("src/device/session.rs", "SESSION_PATHS"),
    },
    Quirk {
        name: "session cookie byte for byte",
        guide: "says nothing of it",
        device: "the id contains + and /, and is not known when it comes back percent-encoded",
        firmware: "all",
        source: QuirkSource::Drivers(&[AVISPL, CRESTRON]),
        handled: ("src/device/session.rs", "ID_COOKIE"),
    },
    Quirk {
        name: "log-ins locked out",
        guide: "says nothing of it",
        device: "400 with SessionPortLockout after too many failed log-ins",
        firmware: "all",
        source: QuirkSource::Drivers(&[CRESTRON]),
        handled: ("src/device/login_reply.rs", "SessionPortLockout"),
    },
    Quirk {
        name: "another status for a refused log-in",
        guide: "says nothing of it",
        device: "SessionAlreadyActive and SessionNoActiveSession with 400, 412 or 403",
        firmware: "412 seen by the driver for Mividas; 403 said of 4.4",
        source: QuirkSource::Drivers(&[CRESTRON, MIVIDAS]),
        handled: ("src/device/login_reply.rs", "OTHER_REASONS"),
    },
    Quirk {
        name: "too many sessions",
        guide: "says nothing of it",
        device: "403 with SessionMaxActiveSessionsReached: sessions that are never deleted live \
                 for days",
        firmware: "all",
        source: QuirkSource::Drivers(&[EXTRON]),
        handled: (
            "src/device/login_reply.rs",
            "SessionMaxActiveSessionsReached",
        ),
    },
    Quirk {
        name: "log-out",
        guide: "sessions are made with POST; of DELETE it says nothing",
        device: "DELETE /rest/session frees the session; without it the answer is 405 or 501",
        firmware: "all; 4.4 is said to lack it",
        source: QuirkSource::Drivers(&[CRESTRON]),
        handled: (
            "src/catalogue/areas/session.rs",
            "delete(\"/rest/session\")",
        ),
    },
];
