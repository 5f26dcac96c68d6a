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
    pub const SETTING: StateTopic = StateTopic::new("config");
}

const NAMES: &[Field] =
    &[Field::body("names", "names", Rule::Setting(SettingRule::Names)).required()];
const SET: &[Field] = &[
    Field::gateway("name", Rule::Setting(SettingRule::Name)),
    Field::gateway("value", Rule::Setting(SettingRule::Value)),
    Field::body("vars", "vars", Rule::Setting(SettingRule::Values)),
];

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[post("/rest/config")
    .reads_with(ReadBody::SettingNames)
    .shape(Shape::Object)
    .known_by(&[("vars", MemberKind::List)])
    .states(&[State::new(states::SETTING, Pick::Each(settings))])
    .poll(Class::Slow)
    .commands(&[
        Command::new("config/get")
            .kind(TopicKind::Query)
            .fields(Some("names"), NAMES)
            .answered(settings_read),
        Command::new("config/set")
            .fields(None, SET)
            .plan(Plan::Split(as_list))
            .refresh(&[states::SETTING])
            .answered(settings_written),
    ])];
