//! Which provider runs the room (Poly, Teams, Zoom, none), and the meetings in their apps. Not in the guide.

use serde_json::Value;

use super::system::any;
use crate::catalogue::command::{Command, Plan, TimeLimit};
use crate::catalogue::entity::{Enabled, Entity, EntityOptions};
use crate::catalogue::evidence::MemberKind;
use crate::catalogue::field::{Field, Rule};
use crate::catalogue::operation::{Class, Operation, When, get, post};
use crate::catalogue::provider::options;
use crate::catalogue::quirks::truth;
use crate::catalogue::state::{Shape, State};

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::{StateTopic, ValueKind};

    /// Which provider is active.
    pub const MODE: StateTopic = StateTopic::new(
        "system/mode",
        "Which provider runs the room: `activePersona` names it (Poly, Teams, Zoom, or another).",
    );
    /// The apps that can run the room.
    pub const PROVIDERS: StateTopic = StateTopic::new(
        "system/providers",
        "The providers that the device can run, as a list; `appName` is what `system/provider/set` \
         takes.",
    );
    pub const APPS: StateTopic = StateTopic::new(
        "system/apps",
        "The apps on the device, as a list with `appPackageName` and whether each is `inMeeting`.",
    );
    /// Whether any app is in a meeting.
    pub const CALL_IN_MEETING: StateTopic = StateTopic::new(
        "call/in_meeting",
        "Whether any app on the device, such as Teams or Zoom, is in a meeting.",
    )
    .of(ValueKind::Flag);
    pub const TEAMS_MEETING: StateTopic = StateTopic::new(
        "call/teams_meeting",
        "Whether the Teams app on the device is in a meeting.",
    )
    .of(ValueKind::Flag);
    pub const ZOOM_MEETING: StateTopic = StateTopic::new(
        "call/zoom_meeting",
        "Whether the Zoom app on the device is in a meeting.",
    )
    .of(ValueKind::Flag);
}

const TEAMS: &str = "com.microsoft.skype.teams.ipphone";
const ZOOM: &str = "us.zoom.zoompresence";

const PROVIDER: &[Field] = &[Field::body(
    "provider",
    "enabledapps",
    "The provider to run, as `appName` in `system/providers` says, in any case of letters.",
    Rule::Text,
)
.required()];

const PROVIDER_SELECT: &[Entity] = &[Entity::select(
    "provider",
    "Provider",
    EntityOptions {
        state: states::PROVIDERS,
        read: options,
    },
)
.icon("mdi:apps")
.config()
.needs(&[states::PROVIDERS])
.enabled(Enabled::WhenAllowed)
// A device in device mode names no app, or no persona.
.value(
    "((value_json.get('activePersona') or value_json.get('app') or '') | string | lower) \
     if value_json is mapping else ''",
)];

const fn meeting(key: &'static str, name: &'static str) -> Entity {
    Entity::binary_sensor(key, name).icon("mdi:account-group")
}

/// The device's mode: the path, and its other spelling, for devices that lack the first.
pub const SYSTEM_MODES: [&str; 2] = ["/rest/system/mode", "/rest/current/system/mode"];

const MODE_STATES: &[State] = &[State::whole(states::MODE)];
const PROVIDER_STATES: &[State] = &[State::whole(states::PROVIDERS)];

const fn mode(path: &'static str) -> Operation {
    get(path)
        .shape(Shape::Object)
        .known_by(&[("activePersona", MemberKind::Text)])
        .states(MODE_STATES)
        .poll(Class::Normal)
}

const fn providers(path: &'static str) -> Operation {
    get(path)
        .shape(Shape::List)
        .known_by(&[
            ("appName", MemberKind::Text),
            ("packageName", MemberKind::Text),
        ])
        .states(PROVIDER_STATES)
        .poll(Class::Slow)
}

const APPS_STATES: &[State] = &[
    State::whole(states::APPS),
    State::with(states::CALL_IN_MEETING, |apps, _| any(apps, "inMeeting"))
        .entities(&[meeting("in_meeting", "In meeting")]),
    State::with(states::TEAMS_MEETING, |apps, _| in_meeting(apps, TEAMS))
        .entities(&[meeting("teams_meeting", "Teams meeting")]),
    State::with(states::ZOOM_MEETING, |apps, _| in_meeting(apps, ZOOM))
        .entities(&[meeting("zoom_meeting", "Zoom meeting")]),
];

const fn apps_state(path: &'static str) -> Operation {
    get(path)
        .shape(Shape::List)
        .known_by(&[
            ("appPackageName", MemberKind::Text),
            ("inMeeting", MemberKind::Flag),
        ])
        .states(APPS_STATES)
        // The device's own app is in a meeting while a call lasts.
        .poll_when(Class::Normal, When::AroundCalls)
}

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    mode(SYSTEM_MODES[0]),
    mode(SYSTEM_MODES[1]).fallback_for(SYSTEM_MODES[0]),
    providers("/rest/system/apps"),
    providers("/rest/current/system/apps").fallback_for("/rest/system/apps"),
    apps_state("/rest/system/apps/state"),
    apps_state("/rest/current/system/apps/state").fallback_for("/rest/system/apps/state"),
    // Whether a lost answer was carried out shows in the mode, so it is never sent twice.
    post(SYSTEM_MODES[1]).commands(&[Command::new(
        "system/provider/set",
        "Switches the room to another provider, such as Teams, Zoom or Poly, and waits until it \
         runs, which takes up to three minutes.",
    )
    .guarded()
    .fields(Some("provider"), PROVIDER)
    .plan(Plan::SwitchProvider)
    .sets(states::MODE)
    .refresh(&[states::MODE])
    .not_idempotent()
    .within(TimeLimit::Minutes)
    .entities(PROVIDER_SELECT)]),
    post(SYSTEM_MODES[0]).commands(&[Command::fallback("system/provider/set")
        .fields(Some("provider"), PROVIDER)
        .plan(Plan::SwitchProvider)
        .not_idempotent()]),
];

/// Whether the app of this package is in a meeting. An app that the device does not list is in none.
fn in_meeting(apps: &Value, package: &str) -> Option<Value> {
    let is_its = |app: &&Value| {
        let name = app["appPackageName"].as_str();
        name.is_some_and(|name| name.eq_ignore_ascii_case(package))
    };
    let mut its = apps.as_array()?.iter().filter(is_its);
    Some(its.any(|app| truth(&app["inMeeting"]) == Some(true)).into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_meeting_is_of_its_own_app() {
        let app =
            |package: &str, meets: Value| json!({"appPackageName": package, "inMeeting": meets});
        for (apps, teams, zoom) in [
            (json!([]), false, false),
            (json!([app(TEAMS, json!(true))]), true, false),
            (
                json!([app(ZOOM, json!(1)), app(TEAMS, json!(false))]),
                false,
                true,
            ),
            (json!([app("com.poly.video", json!(true))]), false, false),
            (
                json!([app("US.ZOOM.ZoomPresence", json!(true)), 7, {}]),
                false,
                true,
            ),
        ] {
            assert_eq!(in_meeting(&apps, TEAMS), Some(teams.into()), "{apps}");
            assert_eq!(in_meeting(&apps, ZOOM), Some(zoom.into()), "{apps}");
        }
    }
}
