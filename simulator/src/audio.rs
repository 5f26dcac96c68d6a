//! The guide's section Audio: volume, mute, DTMF, test tones, microphones.

use serde_json::{Value, json};

use super::check::{DeviceRequest, Handled, bad, done, ok};
use super::condition::{Condition, Conditions};
use super::profile::{Feature, Profile};
use super::routes::{Route, get, post};

pub const ROUTES: &[Route] = &[
    get("audio", |world, _| world.audio.summary(&world.conditions)),
    post("audio", |world, request| world.audio.act(request, "")),
    post("audio/acousticfence", |world, request| {
        world.audio.act(request, "fence ")
    }),
    // Not in the guide; known from newer devices.
    post("audio/playdtmf", |world, request| {
        world.audio.play_dtmf(request)
    }),
    get("audio/audiometers", |_, _| audio_meters()),
    get("audio/microphones", |world, _| {
        world.audio.microphones(&world.conditions)
    }),
    get("audio/muted", |world, _| ok(&json!(world.audio.muted))),
    post("audio/muted", |world, request| world.audio.mute(request)),
    get("audio/volume", |world, _| ok(&json!(world.audio.volume))),
    post("audio/volume", |world, request| {
        world.audio.set_volume(request)
    }),
];

#[derive(Debug)]
pub struct Audio {
    profile: Profile,
    pub muted: bool,
    pub volume: i64,
    /// Every tone that was played and every action that was started, in order.
    pub played: Vec<String>,
}

impl Audio {
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            muted: false,
            volume: 62,
            played: Vec::new(),
        }
    }

    pub fn describe(&self) -> Value {
        json!({"muted": self.muted, "volume": self.volume, "played": self.played})
    }

    fn summary(&self, now: &Conditions) -> Handled {
        ok(&json!({
            "muteLocked": false,
            "muted": self.muted,
            "numOfMicsConnected": i64::from(!now.has(Condition::NoMicrophones)),
            "volume": self.volume,
        }))
    }

    fn play_dtmf(&mut self, request: &DeviceRequest) -> Handled {
        let key = request.object(&["dtmfChar"])?.text("dtmfChar")?;
        self.played.push(key_of(&key)?);
        done()
    }

    fn microphones(&self, now: &Conditions) -> Handled {
        if now.has(Condition::NoMicrophones) {
            return ok(&json!([]));
        }
        let newer = self.profile.has(Feature::Lists);
        let mute = if newer {
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
        ok(&if newer {
            json!([microphone])
        } else {
            microphone
        })
    }

    fn mute(&mut self, request: &DeviceRequest) -> Handled {
        request.no_query()?;
        let Value::Bool(muted) = request.json()? else {
            return Err(bad("the body is not a boolean"));
        };
        self.muted = muted;
        done()
    }

    fn set_volume(&mut self, request: &DeviceRequest) -> Handled {
        request.no_query()?;
        let body = request.json()?;
        let limits = self.profile.has(Feature::VolumeWithoutRange);
        let volume = body.as_i64();
        let volume = volume.filter(|volume| limits || (0..=100).contains(volume));
        let volume = volume.ok_or_else(|| bad("the body is not a volume"))?;
        self.volume = volume.clamp(0, 100);
        done()
    }

    /// `POST /rest/audio` and `POST /rest/audio/acousticfence`: both take the same body.
    fn act(&mut self, request: &DeviceRequest, on: &str) -> Handled {
        let fields = request.object(&["action", "dtmfChar", "speaker"])?;
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

fn audio_meters() -> Handled {
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

/// Reads `dtmfChar`. The guide allows one key in a request.
fn key_of(text: &str) -> Result<String, super::check::DeviceReply> {
    let known = text.len() == 1
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || c == '*' || c == '#');
    known
        .then(|| text.to_owned())
        .ok_or_else(|| bad("dtmfChar is not one key"))
}
