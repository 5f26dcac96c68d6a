//! The guide's section Collaboration: saved content and the room's pin.

use serde_json::{Value, json};

use super::check::{DeviceReply, DeviceRequest, Handled, bad, done, not_allowed, not_found, ok};
use super::profile::{Feature, Profile};

/// The room's pin, which protects saved content.
const PIN: &str = "1234";
/// The smallest ZIP file: the end of a directory without entries.
const ZIP: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[derive(Debug)]
pub struct Collaboration {
    profile: Profile,
    active: bool,
    saving: bool,
    /// The id of the save that is under way, and how often a client has asked for it.
    save: Option<(String, u32)>,
    saves: u64,
}

impl Collaboration {
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            active: true,
            saving: false,
            save: None,
            saves: 0,
        }
    }

    pub fn describe(&self) -> Value {
        json!({"active": self.active, "saving": self.saving})
    }

    /// "403 Forbidden: authentication denied, pin invalid".
    fn pin(&self, request: &DeviceRequest) -> Result<(), DeviceReply> {
        match request.param("pin") {
            None | Some(PIN) => Ok(()),
            Some(_) => Err(DeviceReply::reason(403, "pin invalid")),
        }
    }

    pub fn handle(&mut self, request: &DeviceRequest, path: &[&str]) -> Handled {
        match (path, request.method.as_str()) {
            ([], "GET") => {
                request.plain()?;
                let (id, state) = match self.active {
                    true => ("c1", "ACTIVE"),
                    false if self.profile.has(Feature::IdleCollaboration) => {
                        ("Local Session", "INACTIVE")
                    }
                    false => return Err(not_found()),
                };
                ok(&if self.profile.has(Feature::ShortCollaboration) {
                    json!({"id": id, "state": state})
                } else {
                    json!({"sessionId": id, "sessionState": state})
                })
            }
            ([], "POST") => {
                let fields = request.object(&["action"])?;
                if fields.text("action")? != "END" {
                    return Err(bad("action is none of its words"));
                }
                self.active = false;
                done()
            }
            (["content"], "POST") => {
                request.no_body()?;
                request.only(&["pin"])?;
                self.pin(request)?;
                self.saves += 1;
                let context = format!("157236218745{}", self.saves);
                self.save = Some((context.clone(), 0));
                ok(&json!({"context_id": context}))
            }
            (["content"], "GET") => {
                request.no_body()?;
                request.only(&["pin", "context-id"])?;
                self.pin(request)?;
                let wanted = request
                    .param("context-id")
                    .ok_or_else(|| bad("context-id is missing"))?;
                match &mut self.save {
                    // At the first request the save is still under way.
                    Some((context, asked)) if context == wanted => {
                        *asked += 1;
                        if *asked == 1 {
                            return Ok(DeviceReply::empty(204));
                        }
                        Ok(DeviceReply::new(200, "application/zip", ZIP))
                    }
                    _ => Err(not_found()),
                }
            }
            ([spelling @ ("contentssavestatus" | "contentsavestatus")], "GET") => {
                request.no_body()?;
                request.only(&["pin", "status"])?;
                self.pin(request)?;
                // The words differ with the spelling of the path.
                self.saving = match (*spelling, request.param("status")) {
                    ("contentssavestatus", Some("true")) | ("contentsavestatus", Some("True")) => {
                        true
                    }
                    ("contentssavestatus", Some("false"))
                    | ("contentsavestatus", Some("False")) => false,
                    _ => return Err(bad("status is none of its words")),
                };
                done()
            }
            (["content", "all"], "GET") => {
                request.no_body()?;
                request.only(&["pin"])?;
                self.pin(request)?;
                Ok(DeviceReply::new(200, "application/zip", ZIP))
            }
            (
                [] | ["content" | "contentssavestatus" | "contentsavestatus"] | ["content", "all"],
                _,
            ) => not_allowed(),
            _ => Err(not_found()),
        }
    }
}
