//! `config`: the device's own configuration, read and written by name. Not in the guide.
//!
//! The words of the errors are made up: no driver knows more than that they are not `NOERROR`.

use serde_json::{Value, json};

use super::audio::Audio;
use super::check::{DeviceReply, DeviceRequest, Fields, Handled, bad, ok};
use super::condition::{Condition, Conditions};
use super::nameplate::Nameplate;
use super::routes::{Route, post};

pub const ROUTES: &[Route] = &[post("config", |world, request| {
    let mut reach = Reach {
        nameplate: &mut world.nameplate,
        audio: &mut world.audio,
        conditions: &mut world.conditions,
    };
    world.config.act(request, &mut reach)
})];

const SYSTEM_NAME: &str = "system.info.systemname";
const VOLUME: &str = "audio.volume.speakervolume";
/// The longest text that a setting takes, in bytes.
const LONGEST_TEXT: usize = 256;

/// The values that a setting takes.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Flag,
    Number(i64, i64),
    Word(&'static [&'static str]),
}

impl Kind {
    /// The value as the device keeps it. Flags and numbers may come as texts, as drivers send them.
    fn read(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Text, Value::String(text)) if text.len() <= LONGEST_TEXT => Some(value.clone()),
            (Self::Word(words), Value::String(text)) if words.contains(&text.as_str()) => {
                Some(value.clone())
            }
            (Self::Flag, Value::Bool(_)) => Some(value.clone()),
            (Self::Flag, Value::String(text)) => match text.as_str() {
                "True" | "true" => Some(json!(true)),
                "False" | "false" => Some(json!(false)),
                _ => None,
            },
            (Self::Number(least, most), value) => {
                let number = match value {
                    Value::String(text) => text.parse().ok(),
                    value => value.as_i64(),
                };
                let number = number.filter(|number| (least..=most).contains(number));
                number.map(|number| json!(number))
            }
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Setting {
    name: &'static str,
    kind: Kind,
    value: Value,
    editable: bool,
    hidden: bool,
    secure: bool,
    /// A change takes effect after a reboot.
    reboot: bool,
}

impl Setting {
    fn new(name: &'static str, kind: Kind, value: Value) -> Self {
        Self {
            name,
            kind,
            value,
            editable: true,
            hidden: false,
            secure: false,
            reboot: false,
        }
    }
}

#[derive(Debug)]
pub struct DeviceConfig {
    settings: Vec<Setting>,
}

/// What lies outside the configuration and is named in it.
struct Reach<'a> {
    nameplate: &'a mut Nameplate,
    audio: &'a mut Audio,
    conditions: &'a mut Conditions,
}

impl DeviceConfig {
    pub fn new() -> Self {
        let text = |name, value: &str| Setting::new(name, Kind::Text, json!(value));
        let flag = |name, value: bool| Setting::new(name, Kind::Flag, json!(value));
        let number =
            |name, value: i64, most| Setting::new(name, Kind::Number(0, most), json!(value));
        let fixed = |setting| Setting {
            editable: false,
            ..setting
        };
        Self {
            settings: vec![
                flag(
                    "comm.callsetting.callfeatures.autoanswer.answersinglecall",
                    false,
                ),
                flag(
                    "comm.callsetting.callfeatures.autoanswer.muteautoanswer",
                    true,
                ),
                number("comm.callsetting.callfeatures.maxtimeincall", 480, 2880),
                text("comm.nics.sipnic.sipusername", "room@example.com"),
                Setting {
                    secure: true,
                    ..text("comm.nics.sipnic.sippassword", "sip-secret-4711")
                },
                text("comm.nics.h323nic.h323name", "StudioX30-000001"),
                text("comm.nics.h323nic.h323extension", "5550100"),
                flag("uicontrol.display.showpip", true),
                Setting::new(
                    "system.screensavermode",
                    Kind::Word(&["Black", "NoSignal"]),
                    json!("NoSignal"),
                ),
                flag("audio.qualityprocess.enableacousticfence", false),
                text(SYSTEM_NAME, ""),
                number(VOLUME, 0, 100),
                fixed(text("system.network.wired.ipv4nic.address", "192.0.2.179")),
                Setting {
                    reboot: true,
                    ..text("system.network.hostname", "studio-000001")
                },
                Setting {
                    reboot: true,
                    ..flag("management.provisioning.enabled", false)
                },
                number("sec.access.maxSessions", 50, 100),
                Setting {
                    hidden: true,
                    ..text("system.internal.supportkey", "hidden-support-key")
                },
                text("sourceman.camera1.name", "Main"),
                fixed(text("sourceman.camera1.model", "BUILT_IN_1.0")),
                Setting::new(
                    "sourceman.camera1.role",
                    Kind::Word(&["People", "Content"]),
                    json!("People"),
                ),
            ],
        }
    }

    /// `POST config`: with `names` it reads, with `vars` it writes.
    fn act(&mut self, request: &DeviceRequest, reach: &mut Reach<'_>) -> Handled {
        let fields = request.object(&["names", "vars"])?;
        match (list(&fields, "names")?, list(&fields, "vars")?) {
            (Some(names), None) => self.read(&names, reach),
            (None, Some(vars)) => self.write(&vars, reach),
            (None, None) => Err(DeviceReply::reason(415, "names is missing")),
            (Some(_), Some(_)) => Err(bad("names and vars do not go together")),
        }
    }

    fn read(&self, names: &[Value], reach: &Reach<'_>) -> Handled {
        let var = |name: &Value| {
            let name = name.as_str().ok_or_else(|| bad("a name is not a string"))?;
            let found = self.settings.iter().find(|setting| setting.name == name);
            let Some(setting) = found else {
                return Ok(json!({"name": name, "result": "INVALIDNAME"}));
            };
            let value = match name {
                SYSTEM_NAME => json!(reach.nameplate.name),
                VOLUME => json!(reach.audio.volume),
                _ => setting.value.clone(),
            };
            Ok(json!({
                "name": name, "result": "NOERROR", "value": value,
                "isEditable": setting.editable, "isHidden": setting.hidden,
                "isSecure": setting.secure,
            }))
        };
        let vars: Result<Vec<Value>, DeviceReply> = names.iter().map(var).collect();
        ok(&json!({"vars": vars?}))
    }

    fn write(&mut self, vars: &[Value], reach: &mut Reach<'_>) -> Handled {
        // All of it is read before anything changes.
        let wanted: Vec<(String, Value)> =
            vars.iter().map(name_and_value).collect::<Result<_, _>>()?;
        let mut reboot = false;
        let mut results = Vec::new();
        for (name, requested) in wanted {
            let found = self
                .settings
                .iter_mut()
                .find(|setting| setting.name == name);
            let value = found
                .as_ref()
                .and_then(|setting| setting.kind.read(&requested));
            let result = match (found, value) {
                (None, _) => "INVALIDNAME",
                (Some(setting), _) if !setting.editable => "NOTEDITABLE",
                (Some(_), None) => "INVALIDVALUE",
                (Some(setting), Some(value)) => {
                    reboot |= setting.reboot && setting.value != value;
                    match (name.as_str(), &value) {
                        (SYSTEM_NAME, Value::String(text)) => reach.nameplate.name.clone_from(text),
                        (VOLUME, value) => reach.audio.volume = value.as_i64().unwrap_or(0),
                        _ => setting.value = value,
                    }
                    "NOERROR"
                }
            };
            results.push(json!({"name": name, "requestedValue": requested, "result": result}));
        }
        if reboot {
            reach.conditions.set(Condition::RebootNeeded, true);
        }
        ok(&json!({"vars": results, "rebootNeeded": reboot}))
    }
}

/// A list that is there and not empty.
fn list(fields: &Fields, name: &str) -> Result<Option<Vec<Value>>, DeviceReply> {
    match fields.0.get(name) {
        None => Ok(None),
        Some(Value::Array(list)) if !list.is_empty() => Ok(Some(list.clone())),
        Some(_) => Err(bad(&format!("{name} is not a list"))),
    }
}

fn name_and_value(var: &Value) -> Result<(String, Value), DeviceReply> {
    let Value::Object(fields) = var else {
        return Err(bad("vars holds objects"));
    };
    match (fields.get("name"), fields.get("value")) {
        (Some(Value::String(name)), Some(value)) if fields.len() == 2 => {
            Ok((name.clone(), value.clone()))
        }
        _ => Err(bad("vars holds objects of name and value")),
    }
}
