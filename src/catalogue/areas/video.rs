//! Video mute, near and far, and the content's media statistics.

use crate::catalogue::command::{Command, Plan};
use crate::catalogue::entity::Entity;
use crate::catalogue::field::{Field, Rule};
use crate::catalogue::operation::{Class, Operation, When, get, post};
use crate::catalogue::state::{Context, Shape, State};
use crate::catalogue::step::Step;
use crate::command::Failure;

/// The states of this area.
pub(in crate::catalogue) mod states {
    use crate::catalogue::references::{StateTopic, ValueKind};

    pub const CONTENT_MEDIA_STATS: StateTopic = StateTopic::new(
        "content/media_stats",
        "The content that is shared in the room at the moment, as the list `vars`: `sourceType`, \
         `width` and `height` in pixels, `framerate`, `bitrate`.",
    );
    pub const MUTED: StateTopic = StateTopic::new(
        "video/muted",
        "Whether the room's own video is hidden, so that the others in a call do not see the room.",
    )
    .of(ValueKind::Flag);
    pub const CALL_REMOTE_VIDEO_MUTED: StateTopic = StateTopic::new(
        "call/remote_video_muted",
        "Whether the video of the call's other end is hidden. It is there during a call only.",
    )
    .of(ValueKind::Flag);
    pub const CALL_REMOTE_VIDEO_MUTE_LOCKED: StateTopic = StateTopic::new(
        "call/remote_video_mute_locked",
        "Whether the video of the call's other end is hidden with a lock, so that it stays so. It \
         is there during a call only.",
    )
    .of(ValueKind::Flag);
}

/// The commands of this area that plans refer to.
pub(in crate::catalogue) mod commands {
    use crate::catalogue::references::CommandTopic;

    pub const SET_MUTED: CommandTopic = CommandTopic::new("video/muted/set");
}

const MUTE: &[Field] = &[Field::body(
    "mute",
    "mute",
    "Whether the room's own video is hidden.",
    Rule::Switch,
)
.required()];

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("/rest/mediastats")
        .shape(Shape::Object)
        .one_of(&["vars"])
        .states(&[State::whole(states::CONTENT_MEDIA_STATS)])
        .poll(Class::Normal),
    get("/rest/video/local/mute")
        .shape(Shape::Flag)
        .states(&[State::whole(states::MUTED)])
        .poll(Class::Fast),
    post("/rest/video/local/mute").commands(&[
        Command::new(
            commands::SET_MUTED.as_str(),
            "Hides the room's own video in calls (true) or shows it again (false).",
        )
        .fields(Some("mute"), MUTE)
        .toggles(states::MUTED)
        .refresh(&[states::MUTED])
        .sets(states::MUTED)
        .entities(&[Entity::switch("video_mute", "Video mute").icon("mdi:video-off")]),
        Command::new(
            "video/mute",
            "Hides the room's own video from the others in a call.",
        )
        .plan(Plan::Split(mute))
        .refresh(&[states::MUTED])
        .sets(states::MUTED),
        Command::new(
            "video/unmute",
            "Shows the room's own video to the others in a call again.",
        )
        .plan(Plan::Split(unmute))
        .refresh(&[states::MUTED])
        .sets(states::MUTED),
    ]),
    get("/rest/video/remote/{conf_id}/mute")
        .shape(Shape::Flag)
        .states(&[State::whole(states::CALL_REMOTE_VIDEO_MUTED)])
        .poll_when(Class::Normal, When::InCall)
        .or_none()
        .commands(&[Command::new(
            "call/{conf_id}/remote_video_muted/get",
            "Answers with whether the video of a conference's other end is hidden: true or false.",
        )]),
    get("/rest/video/remote/{conf_id}/mutelock")
        .shape(Shape::Flag)
        .states(&[State::whole(states::CALL_REMOTE_VIDEO_MUTE_LOCKED)])
        .poll_when(Class::Normal, When::InCall)
        .or_none()
        .commands(&[Command::new(
            "call/{conf_id}/remote_video_mute_locked/get",
            "Answers with whether the video of a conference's other end is hidden with a lock: \
             true or false.",
        )]),
];

fn mute(_: Step, _: &Context) -> Result<Vec<Step>, Failure> {
    Ok(vec![Step::to(commands::SET_MUTED).with("mute", true)])
}

fn unmute(_: Step, _: &Context) -> Result<Vec<Step>, Failure> {
    Ok(vec![Step::to(commands::SET_MUTED).with("mute", false)])
}
