//! The device's own configuration, by name. Not in the guide: one POST reads or writes, as its body says.

use crate::catalogue::command::{Command, Plan, TopicKind};
use crate::catalogue::device_config::{
    SettingRule, as_list, settings, settings_read, settings_written,
};
use crate::catalogue::evidence::MemberKind;
use crate::catalogue::field::{Field, Rule};
use crate::catalogue::operation::{Class, Operation, ReadBody, post};
use crate::catalogue::state::{Pick, Shape, State};

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::StateTopic;

    /// One topic below it for each of the room's `settings`.
    pub const SETTING: StateTopic = StateTopic::new(
        "config",
        "The value of one setting of the device's own configuration, for each name in the room's \
         `settings`.",
    );
}

const NAMES: &[Field] = &[Field::body(
    "names",
    "names",
    "The settings to read, by their names.",
    Rule::Setting(SettingRule::Names),
)
.required()];
const SET: &[Field] = &[
    Field::gateway(
        "name",
        "The setting to change, by its name; it needs `value`.",
        Rule::Setting(SettingRule::Name),
    ),
    Field::gateway(
        "value",
        "The new value of the setting `name`.",
        Rule::Setting(SettingRule::Value),
    ),
    Field::body(
        "vars",
        "vars",
        "Several settings to change, each with `name` and `value`.",
        Rule::Setting(SettingRule::Values),
    ),
];

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[post("/rest/config")
    .reads_with(ReadBody::SettingNames)
    .shape(Shape::Object)
    .known_by(&[("vars", MemberKind::List)])
    .states(&[State::new(states::SETTING, Pick::Each(settings))])
    .poll(Class::Slow)
    .commands(&[
        Command::new(
            "config/get",
            "Answers with the values of settings of the device's own configuration, by their \
             names; passwords are left out.",
        )
        .kind(TopicKind::Query)
        .fields(Some("names"), NAMES)
        .map_answer(settings_read),
        Command::new(
            "config/set",
            "Changes settings of the device's own configuration, and answers with what became of \
             each and whether a reboot is needed.",
        )
        .guarded()
        .fields(None, SET)
        .plan(Plan::Split(as_list))
        .refresh(&[states::SETTING])
        .map_answer(settings_written),
    ])];
