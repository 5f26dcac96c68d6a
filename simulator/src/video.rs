//! The guide's section Video.

use serde_json::json;

use super::check::{Handled, ok, success};
use super::routes::{Route, RoutedRequest, get, post};
use super::world::World;

pub const ROUTES: &[Route] = &[
    get("video/local/mute", |world, _| {
        ok(&json!({"result": world.video.muted}))
    }),
    post("video/local/mute", |world, request| {
        world.video.muted = request.object(&["mute"])?.bool("mute")?;
        success()
    }),
    get("video/remote/<conference>/mute", remote_mute),
    get("video/remote/<conference>/mutelock", remote_mute),
];

#[derive(Debug)]
pub struct Video {
    pub muted: bool,
}

impl Video {
    pub fn new() -> Self {
        Self { muted: false }
    }
}

fn remote_mute(world: &mut World, request: &RoutedRequest<'_>) -> Handled {
    world.calls.has(request.segment("conference"))?;
    ok(&json!({"result": false}))
}
