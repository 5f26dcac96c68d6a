//! The guide's section Video.

use serde_json::json;

use super::calls::Calls;
use super::check::{DeviceRequest, Handled, not_allowed, not_found, ok, success};

#[derive(Debug)]
pub struct Video {
    pub muted: bool,
}

impl Video {
    pub fn new() -> Self {
        Self { muted: false }
    }

    pub fn handle(&mut self, request: &DeviceRequest, path: &[&str], calls: &Calls) -> Handled {
        match (path, request.method.as_str()) {
            (["local", "mute"], "GET") => {
                request.plain()?;
                ok(&json!({"result": self.muted}))
            }
            (["local", "mute"], "POST") => {
                self.muted = request.object(&["mute"])?.bool("mute")?;
                success()
            }
            (["remote", id, "mute" | "mutelock"], "GET") => {
                request.plain()?;
                calls.has(id)?;
                ok(&json!({"result": false}))
            }
            (["local", "mute"] | ["remote", _, "mute" | "mutelock"], _) => not_allowed(),
            _ => Err(not_found()),
        }
    }
}
