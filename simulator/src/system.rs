//! The guide's sections System and SysTracker.

use serde_json::{Value, json};

use super::check::{
    DeviceReply, DeviceRequest, Handled, bad, done, not_allowed, not_found, ok, success,
};
use super::condition::{Condition, Conditions};
use super::profile::{Feature, Profile};
use super::status;

/// A TAR file without entries: two empty blocks.
const TAR: [u8; 1024] = [0; 1024];

#[derive(Debug)]
pub struct System {
    profile: Profile,
    environment: bool,
    device: bool,
    signage: bool,
    /// The time in milliseconds, as it was set last.
    time: i64,
    zone: i64,
    resets: u32,
}

impl System {
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            environment: false,
            device: false,
            signage: false,
            time: 1_487_369_530_000,
            zone: -300,
            resets: 0,
        }
    }

    pub fn describe(&self) -> Value {
        json!({
            "environment_app": self.environment, "device_mode": self.device,
            "signage": self.signage, "time": self.time, "zone": self.zone, "resets": self.resets,
        })
    }

    pub fn media_stats(&self, request: &DeviceRequest) -> Handled {
        if request.method != "GET" {
            return not_allowed();
        }
        request.plain()?;
        ok(&json!({"vars": []}))
    }

    pub fn handle(&mut self, request: &DeviceRequest, path: &[&str], now: &Conditions) -> Handled {
        let method = request.method.as_str();
        if let ["mode" | "apps", ..] = path {
            request.plain()?;
        }
        match (path, method) {
            (["apps", "environment"], "GET") => ok(&json!([
                {"macAddress": "00e0db54d243", "environmentControlAppActive": self.environment},
            ])),
            (["apps", "environment"], "POST" | "DELETE") => {
                self.environment = method == "POST";
                ok(&json!({"result": true}))
            }
            (["mode", "device"], "GET") => ok(&json!({"result": self.device})),
            (["mode", "device"], "POST" | "DELETE") => {
                self.device = method == "POST";
                success()
            }
            (["mode", "signage"], "GET") => ok(&json!({"result": self.signage})),
            (["mode", "signage"], "POST" | "DELETE") => {
                self.signage = method == "POST";
                success()
            }
            (["h323gatekeepers" | "sipservers"], "GET") => {
                request.plain()?;
                let newer = self.profile.has(Feature::Lists);
                let state = match (newer, now.has(Condition::RegistrationsDown)) {
                    (true, false) => "UP",
                    (true, true) => "DOWN",
                    (false, false) => "ON",
                    (false, true) => "OFF",
                };
                let server = json!({
                    "state": state, "address": "192.0.2.1", "version": "", "model": "",
                });
                // The guide's sample of the SIP servers is one object; devices send a list.
                let list = newer || path[0] == "h323gatekeepers";
                ok(&if list { json!([server]) } else { server })
            }
            (["logs"], "GET") => {
                request.plain()?;
                Ok(DeviceReply::new(
                    200,
                    "application/octet-stream",
                    TAR.to_vec(),
                ))
            }
            (["network", "ping"], "POST") => {
                request.object(&["destination"])?.text("destination")?;
                ok(&json!({
                    "icmpReachable": true, "responseTime": 1, "h323Reachable": false,
                    "sipReachable": true,
                }))
            }
            // The only GET with a body in the guide.
            (["network", "traceroute"], "GET") => {
                let to = request.object(&["destination"])?.text("destination")?;
                ok(&json!({"success": true, "totalHops": 1, "hops": [
                    {"hopNumber": 1, "address": to, "dnsName": "", "responseTimes": [1]},
                ]}))
            }
            (["reboot"], "POST") => {
                let spellings = [
                    (Feature::RebootAction, "action"),
                    (Feature::RestartAll, "restartAll"),
                ];
                let known = spellings.into_iter();
                let known = known.filter(|(feature, _)| self.profile.has(*feature));
                let known: Vec<_> = known.map(|(_, field)| field).collect();
                let fields = request.object(&known)?;
                let restarts = fields.has("restartAll") && fields.bool("restartAll")?;
                if !restarts && fields.text("action")? != "reboot" {
                    return Err(bad("action is none of its words"));
                }
                let mut reply = DeviceReply::empty(200);
                reply.reboots = true;
                Ok(reply)
            }
            (["resetsettings"], "POST") => {
                let keep = ["keepCertificates", "keepCdr", "keepDirectory", "keepLogs"];
                let known: Vec<&str> = keep.into_iter().chain(["action"]).collect();
                let fields = request.object(&known)?;
                if fields.text("action")? != "resetsettings" {
                    return Err(bad("action is none of its words"));
                }
                for name in keep {
                    fields.bool(name)?;
                }
                self.resets += 1;
                done()
            }
            (["status"], "GET") => {
                request.plain()?;
                ok(&status::list(self.profile, now))
            }
            (["time"], "GET") => {
                request.plain()?;
                ok(&json!({"time": self.time, "tzOffset": self.zone}))
            }
            (["time"], "POST") => {
                let fields = request.object(&["time", "tzOffset"])?;
                self.time = fields.integer("time", 0, i64::MAX)?;
                if fields.has("tzOffset") {
                    self.zone = fields.integer("tzOffset", -840, 840)?;
                }
                done()
            }
            (["time", "local"], "GET") => {
                request.plain()?;
                ok(&json!({"time": "2018-08-10T15:00:59.000-0700"}))
            }
            (
                [
                    "h323gatekeepers" | "sipservers" | "logs" | "reboot" | "resetsettings"
                    | "status" | "time",
                ]
                | ["apps", "environment"]
                | ["mode", "device" | "signage"]
                | ["network", "ping" | "traceroute"]
                | ["time", "local"],
                _,
            ) => not_allowed(),
            _ => Err(not_found()),
        }
    }
}
