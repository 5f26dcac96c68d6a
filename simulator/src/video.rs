//! Guide, section Video.

use serde_json::json;

use super::calls::Calls;
use super::check::{Ask, Handled, not_allowed, not_found, ok, success};

#[derive(Debug)]
pub struct Video {
    pub muted: bool,
}

impl Video {
    pub fn new() -> Self {
        Self { muted: false }
    }

    pub fn handle(&mut self, ask: &Ask, path: &[&str], calls: &Calls) -> Handled {
        match (path, ask.method.as_str()) {
            (["local", "mute"], "GET") => {
                ask.plain()?;
                ok(&json!({"result": self.muted}))
            }
            (["local", "mute"], "POST") => {
                self.muted = ask.object(&["mute"])?.bool("mute")?;
                success()
            }
            (["remote", id, "mute" | "mutelock"], "GET") => {
                ask.plain()?;
                calls.has(id)?;
                ok(&json!({"result": false}))
            }
            (["local", "mute"] | ["remote", _, "mute" | "mutelock"], _) => not_allowed(),
            _ => Err(not_found()),
        }
    }
}
