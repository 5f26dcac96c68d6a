//! Video mute, near and far, and the content's media statistics.

use crate::catalogue::entity::Entity;
use crate::catalogue::payload::{Field, Rule};
use crate::catalogue::state::{Context, Shape, State};
use crate::catalogue::{Call, Class, Command, Operation, Plan, When, get, post};
use crate::command::Failure;

const MUTE: &[Field] = &[Field::body("mute", "mute", Rule::Switch).required()];

pub(in crate::catalogue) const OPERATIONS: &[Operation] = &[
    get("103", "/rest/mediastats")
        .states(&[State::whole("content/media_stats")])
        .poll(Class::Normal),
    get("104", "/rest/video/local/mute")
        .shape(Shape::Result)
        .states(&[State::whole("video/muted")])
        .poll(Class::Fast),
    post("105", "/rest/video/local/mute").commands(&[
        Command::new("video/muted/set")
            .fields(Some("mute"), MUTE)
            .toggles("video/muted")
            .refresh(&["video/muted"])
            .sets("video/muted")
            .entities(&[Entity::switch("video_mute", "Video mute").icon("mdi:video-off")]),
        Command::new("video/mute")
            .plan(Plan::Split(mute))
            .refresh(&["video/muted"])
            .sets("video/muted"),
        Command::new("video/unmute")
            .plan(Plan::Split(unmute))
            .refresh(&["video/muted"])
            .sets("video/muted"),
    ]),
    get("106", "/rest/video/remote/{conf_id}/mute")
        .shape(Shape::Result)
        .states(&[State::whole("call/remote_video_muted")])
        .poll_when(Class::Normal, When::InCall)
        .or_none()
        .commands(&[Command::new("call/{conf_id}/remote_video_muted/get")]),
    get("107", "/rest/video/remote/{conf_id}/mutelock")
        .shape(Shape::Result)
        .states(&[State::whole("call/remote_video_mute_locked")])
        .poll_when(Class::Normal, When::InCall)
        .or_none()
        .commands(&[Command::new("call/{conf_id}/remote_video_mute_locked/get")]),
];

fn mute(_: Call, _: &Context) -> Result<Vec<Call>, Failure> {
    Ok(vec![
        Call::to("video/muted/set", Vec::new())?.with("mute", true),
    ])
}

fn unmute(_: Call, _: &Context) -> Result<Vec<Call>, Failure> {
    Ok(vec![
        Call::to("video/muted/set", Vec::new())?.with("mute", false),
    ])
}
