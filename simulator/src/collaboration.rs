//! The guide's section Collaboration: saved content and the room's pin.

use serde_json::{Value, json};

use super::check::{DeviceReply, DeviceRequest, Handled, bad, done, not_found, ok};
use super::profile::{Feature, Profile};
use super::routes::{Route, get, post};

pub const ROUTES: &[Route] = &[
    get("collaboration", |world, _| world.collaboration.session()),
    post("collaboration", |world, request| {
        world.collaboration.end(request)
    }),
    post("collaboration/content", |world, request| {
        world.collaboration.start_save(request)
    }),
    get("collaboration/content", |world, request| {
        world.collaboration.saved(request)
    })
    .with_input(),
    get("collaboration/content/all", |_, request| {
        request.no_body()?;
        request.only(&["pin"])?;
        check_pin(request)?;
        Ok(DeviceReply::new(200, "application/zip", ZIP))
    })
    .with_input(),
    // The words differ with the spelling of the path.
    get("collaboration/contentssavestatus", |world, request| {
        world.collaboration.set_saving(request, "true", "false")
    })
    .with_input(),
    get("collaboration/contentsavestatus", |world, request| {
        world.collaboration.set_saving(request, "True", "False")
    })
    .with_input(),
];

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

    fn session(&self) -> Handled {
        let (id, state) = match self.active {
            true => ("c1", "ACTIVE"),
            false if self.profile.has(Feature::IdleCollaboration) => ("Local Session", "INACTIVE"),
            false => return Err(not_found()),
        };
        ok(&if self.profile.has(Feature::ShortCollaboration) {
            json!({"id": id, "state": state})
        } else {
            json!({"sessionId": id, "sessionState": state})
        })
    }

    fn end(&mut self, request: &DeviceRequest) -> Handled {
        if request.object(&["action"])?.text("action")? != "END" {
            return Err(bad("action is none of its words"));
        }
        self.active = false;
        done()
    }

    fn start_save(&mut self, request: &DeviceRequest) -> Handled {
        request.no_body()?;
        request.only(&["pin"])?;
        check_pin(request)?;
        self.saves += 1;
        let context = format!("157236218745{}", self.saves);
        self.save = Some((context.clone(), 0));
        ok(&json!({"context_id": context}))
    }

    fn saved(&mut self, request: &DeviceRequest) -> Handled {
        request.no_body()?;
        request.only(&["pin", "context-id"])?;
        check_pin(request)?;
        let wanted = request.param("context-id");
        let wanted = wanted.ok_or_else(|| bad("context-id is missing"))?;
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

    fn set_saving(&mut self, request: &DeviceRequest, on: &str, off: &str) -> Handled {
        request.no_body()?;
        request.only(&["pin", "status"])?;
        check_pin(request)?;
        self.saving = match request.param("status") {
            Some(word) if word == on => true,
            Some(word) if word == off => false,
            _ => return Err(bad("status is none of its words")),
        };
        done()
    }
}

/// "403 Forbidden: authentication denied, pin invalid".
fn check_pin(request: &DeviceRequest) -> Result<(), DeviceReply> {
    match request.param("pin") {
        None | Some(PIN) => Ok(()),
        Some(_) => Err(DeviceReply::reason(403, "pin invalid")),
    }
}
