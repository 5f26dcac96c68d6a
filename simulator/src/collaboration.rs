//! Guide, section Collaboration.

use serde_json::{Value, json};

use super::check::{Ask, Handled, Reply, bad, done, not_allowed, not_found, ok};

/// The room's pin.
const PIN: &str = "1234";
/// The smallest ZIP file: the end of an empty directory.
const ZIP: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

#[derive(Debug)]
pub struct Collaboration {
    newer: bool,
    active: bool,
    saving: bool,
    /// The context of the save that runs, and how often it was asked for.
    save: Option<(String, u32)>,
    saves: u64,
}

impl Collaboration {
    pub fn new(newer: bool) -> Self {
        Self {
            newer,
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
    fn pin(&self, ask: &Ask) -> Result<(), Reply> {
        match ask.param("pin") {
            None | Some(PIN) => Ok(()),
            Some(_) => Err(Reply::reason(403, "pin invalid")),
        }
    }

    pub fn handle(&mut self, ask: &Ask, path: &[&str]) -> Handled {
        match (path, ask.method.as_str()) {
            ([], "GET") => {
                ask.plain()?;
                if !self.active {
                    return Err(not_found());
                }
                ok(&if self.newer {
                    json!({"id": "c1", "state": "ACTIVE"})
                } else {
                    json!({"sessionId": "c1", "sessionState": "ACTIVE"})
                })
            }
            ([], "POST") => {
                let fields = ask.object(&["action"])?;
                if fields.text("action")? != "END" {
                    return Err(bad("action is none of its words"));
                }
                self.active = false;
                done()
            }
            (["content"], "POST") => {
                self.body_free(ask)?;
                ask.only(&["pin"])?;
                self.pin(ask)?;
                self.saves += 1;
                let context = format!("157236218745{}", self.saves);
                self.save = Some((context.clone(), 0));
                ok(&json!({"context_id": context}))
            }
            (["content"], "GET") => {
                self.body_free(ask)?;
                ask.only(&["pin", "context-id"])?;
                self.pin(ask)?;
                let wanted = ask
                    .param("context-id")
                    .ok_or_else(|| bad("context-id is missing"))?;
                match &mut self.save {
                    // The first question comes too early.
                    Some((context, asked)) if context == wanted => {
                        *asked += 1;
                        if *asked == 1 {
                            return Ok(Reply::empty(204));
                        }
                        Ok(Reply::new(200, "application/zip", ZIP))
                    }
                    _ => Err(not_found()),
                }
            }
            (["contentssavestatus"], "GET") => {
                self.body_free(ask)?;
                ask.only(&["pin", "status"])?;
                self.pin(ask)?;
                self.saving = match ask.param("status") {
                    Some("true") => true,
                    Some("false") => false,
                    _ => return Err(bad("status is true or false")),
                };
                done()
            }
            (["content", "all"], "GET") => {
                self.body_free(ask)?;
                ask.only(&["pin"])?;
                self.pin(ask)?;
                Ok(Reply::new(200, "application/zip", ZIP))
            }
            ([] | ["content" | "contentssavestatus"] | ["content", "all"], _) => not_allowed(),
            _ => Err(not_found()),
        }
    }

    fn body_free(&self, ask: &Ask) -> Result<(), Reply> {
        if ask.body.is_empty() {
            Ok(())
        } else {
            Err(bad("no body is expected"))
        }
    }
}
