//! Guide, section Audio.

use serde_json::{Value, json};

use super::check::{Ask, Handled, bad, done, not_allowed, not_found, ok};

#[derive(Debug)]
pub struct Audio {
    newer: bool,
    pub muted: bool,
    pub volume: i64,
    /// What was played and started, in order.
    pub played: Vec<String>,
}

impl Audio {
    pub fn new(newer: bool) -> Self {
        Self {
            newer,
            muted: false,
            volume: 62,
            played: Vec::new(),
        }
    }

    pub fn describe(&self) -> Value {
        json!({"muted": self.muted, "volume": self.volume, "played": self.played})
    }

    pub fn handle(&mut self, ask: &Ask, path: &[&str]) -> Handled {
        let method = ask.method.as_str();
        match (path, method) {
            ([], "GET") => {
                ask.plain()?;
                ok(&json!({
                    "muteLocked": false,
                    "muted": self.muted,
                    "numOfMicsConnected": 1,
                    "volume": self.volume,
                }))
            }
            ([], "POST") => self.act(ask, ""),
            (["acousticfence"], "POST") => self.act(ask, "fence "),
            // Not in the guide; known from newer devices.
            (["playdtmf"], "POST") if self.newer => {
                let fields = ask.object(&["dtmfChar"])?;
                let key = fields.text("dtmfChar")?;
                self.played.push(key_of(&key)?);
                done()
            }
            (["audiometers"], "GET") => {
                ask.plain()?;
                let meter = |port: i64, direction: &str, name: &str| {
                    json!({
                        "isValid": true, "levelBack": -20, "levelCenter": -20, "levelLeft": -20,
                        "levelRight": -20, "meterIndex": -1, "nameInstance": -1,
                        "portDirection": direction, "portInstance": port, "portName": name,
                        "validChanMode": "left_and_right",
                    })
                };
                ok(&json!([
                    meter(0, "IN", "FAR_IN"),
                    meter(0, "OUT", "LINE_OUT")
                ]))
            }
            (["microphones"], "GET") => {
                ask.plain()?;
                let mute = if self.newer {
                    json!(i64::from(self.muted))
                } else {
                    json!(self.muted)
                };
                let microphone = json!({
                    "number": 0, "mute": mute, "type": 0,
                    "typeInString": "Polycom IP Table Microphone", "hwVersion": "1",
                    "swVersion": "1", "parentID": 0, "state": "MIC_STATE_GREEN",
                });
                // The guide's sample is one object; devices send a list.
                ok(&if self.newer {
                    json!([microphone])
                } else {
                    microphone
                })
            }
            (["muted"], "GET") => {
                ask.plain()?;
                ok(&json!(self.muted))
            }
            (["muted"], "POST") => {
                ask.no_query()?;
                let Value::Bool(muted) = ask.json()? else {
                    return Err(bad("the body is not a boolean"));
                };
                self.muted = muted;
                done()
            }
            (["volume"], "GET") => {
                ask.plain()?;
                ok(&json!(self.volume))
            }
            (["volume"], "POST") => {
                ask.no_query()?;
                let body = ask.json()?;
                let volume = body.as_i64().filter(|volume| (0..=100).contains(volume));
                self.volume = volume.ok_or_else(|| bad("the body is not a volume"))?;
                done()
            }
            ([] | ["acousticfence" | "audiometers" | "microphones" | "muted" | "volume"], _) => {
                not_allowed()
            }
            _ => Err(not_found()),
        }
    }

    /// `POST /rest/audio` and `/rest/audio/acousticfence`, which take the same.
    fn act(&mut self, ask: &Ask, on: &str) -> Handled {
        let fields = ask.object(&["action", "dtmfChar", "speaker"])?;
        let action = fields.text("action")?;
        let speakers = ["SPEAKER_LEFT", "SPEAKER_RIGHT", "SPEAKER_BOTH"];
        let (key, speaker) = match action.as_str() {
            "playDTMF" => (Some(key_of(&fields.text("dtmfChar")?)?), None),
            "playTestTone" => {
                fields.text("speaker")?;
                (None, fields.word("speaker", &speakers)?)
            }
            "start" | "stopPlayingTestTone" | "itpSegmentDetection" => (None, None),
            _ => return Err(bad("action is none of its words")),
        };
        if (key.is_none() && fields.has("dtmfChar")) || (speaker.is_none() && fields.has("speaker"))
        {
            return Err(bad("a field does not belong to this action"));
        }
        let what = match key.or(speaker) {
            Some(what) => format!("{action} {what}"),
            None => action,
        };
        self.played.push(format!("{on}{what}"));
        done()
    }
}

/// The guide's `dtmfChar` is one key.
fn key_of(text: &str) -> Result<String, super::check::Reply> {
    let known = text.len() == 1
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || c == '*' || c == '#');
    known
        .then(|| text.to_owned())
        .ok_or_else(|| bad("dtmfChar is not one key"))
}
