//! The guide's sections System and SysTracker.

use serde_json::{Value, json};

use super::check::{DeviceReply, DeviceRequest, Handled, bad, done, ok, success};
use super::condition::{Condition, Conditions};
use super::profile::{Feature, Profile};
use super::routes::{Route, delete, get, post};
use super::status;

pub const ROUTES: &[Route] = &[
    get("system/apps/environment", |world, _| {
        ok(&json!([{
            "macAddress": "00e0db54d243",
            "environmentControlAppActive": world.system.environment,
        }]))
    }),
    post("system/apps/environment", |world, _| {
        world.system.environment = true;
        ok(&json!({"result": true}))
    })
    .without_input(),
    delete("system/apps/environment", |world, _| {
        world.system.environment = false;
        ok(&json!({"result": true}))
    }),
    get("system/mode/device", |world, _| {
        ok(&json!({"result": world.system.device}))
    }),
    post("system/mode/device", |world, _| {
        world.system.device = true;
        success()
    })
    .without_input(),
    delete("system/mode/device", |world, _| {
        world.system.device = false;
        success()
    }),
    get("system/mode/signage", |world, _| {
        ok(&json!({"result": world.system.signage}))
    }),
    post("system/mode/signage", |world, _| {
        world.system.signage = true;
        success()
    })
    .without_input(),
    delete("system/mode/signage", |world, _| {
        world.system.signage = false;
        success()
    }),
    get("system/h323gatekeepers", |world, _| {
        let server = world.system.server(&world.conditions);
        ok(&json!([server]))
    }),
    get("system/sipservers", |world, _| {
        let server = world.system.server(&world.conditions);
        // The guide's sample is one object; devices send a list.
        ok(&if world.profile.has(Feature::Lists) {
            json!([server])
        } else {
            server
        })
    }),
    get("system/logs", |_, _| {
        Ok(DeviceReply::new(
            200,
            "application/octet-stream",
            TAR.to_vec(),
        ))
    }),
    post("system/network/ping", |_, request| {
        request.object(&["destination"])?.text("destination")?;
        ok(&json!({
            "icmpReachable": true, "responseTime": 1, "h323Reachable": false,
            "sipReachable": true,
        }))
    }),
    // The only GET with a body in the guide.
    get("system/network/traceroute", |_, request| {
        let to = request.object(&["destination"])?.text("destination")?;
        ok(&json!({"success": true, "totalHops": 1, "hops": [
            {"hopNumber": 1, "address": to, "dnsName": "", "responseTimes": [1]},
        ]}))
    })
    .with_input(),
    post("system/reboot", |world, request| {
        reboot(world.profile, request)
    }),
    post("system/resetsettings", |world, request| {
        world.system.reset_settings(request)
    }),
    get("system/status", |world, _| {
        ok(&status::list(world.profile, &world.conditions))
    }),
    get("system/time", |world, _| {
        ok(&json!({"time": world.system.time, "tzOffset": world.system.zone}))
    }),
    post("system/time", |world, request| {
        world.system.set_time(request)
    }),
    get("system/time/local", |_, _| {
        ok(&json!({"time": "2018-08-10T15:00:59.000-0700"}))
    }),
    get("mediastats", |_, _| ok(&json!({"vars": []}))),
];

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

    /// A SIP server or a gatekeeper.
    fn server(&self, now: &Conditions) -> Value {
        let newer = self.profile.has(Feature::Lists);
        let state = match (newer, now.has(Condition::RegistrationsDown)) {
            (true, false) => "UP",
            (true, true) => "DOWN",
            (false, false) => "ON",
            (false, true) => "OFF",
        };
        json!({"state": state, "address": "192.0.2.1", "version": "", "model": ""})
    }

    fn reset_settings(&mut self, request: &DeviceRequest) -> Handled {
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

    fn set_time(&mut self, request: &DeviceRequest) -> Handled {
        let fields = request.object(&["time", "tzOffset"])?;
        self.time = fields.integer("time", 0, i64::MAX)?;
        if fields.has("tzOffset") {
            self.zone = fields.integer("tzOffset", -840, 840)?;
        }
        done()
    }
}

fn reboot(profile: Profile, request: &DeviceRequest) -> Handled {
    let spellings = [
        (Feature::RebootAction, "action"),
        (Feature::RestartAll, "restartAll"),
    ];
    let known = spellings.into_iter();
    let known = known.filter(|(feature, _)| profile.has(*feature));
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
