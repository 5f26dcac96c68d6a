//! Which provider runs the room: Poly, Teams, Zoom or none; and the switch from one to another.
//!
//! Not in the guide. A switch takes a while, and the device does little else until it has ended.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::check::{DeviceReply, DeviceRequest, Handled, bad, not_allowed, ok};
use super::profile::{Feature, Profile};
use super::routes::{Route, get, post};

/// Devices have each path in two spellings.
pub const ROUTES: &[Route] = &[
    get("system/apps", |world, _| world.providers.list()),
    get("current/system/apps", |world, _| world.providers.list()),
    get("system/apps/state", |world, _| {
        world.providers.app_states(world.calls.up())
    }),
    get("current/system/apps/state", |world, _| {
        world.providers.app_states(world.calls.up())
    }),
    get("system/mode", |world, _| world.providers.mode()),
    get("current/system/mode", |world, _| world.providers.mode()),
    // Known of the other spelling only, unless the device lacks that one.
    post("system/mode", |world, request| {
        if world.lacks("/rest/current/system/mode") {
            world.providers.switch(request)
        } else {
            Err(not_allowed())
        }
    }),
    post("current/system/mode", |world, request| {
        world.providers.switch(request)
    }),
];

/// An app that can run the room.
struct App {
    name: &'static str,
    package: &'static str,
    persona: &'static str,
    size: u32,
    poly_calls: bool,
}

const POLY: App = App {
    name: "Poly",
    package: "com.poly.polylauncher",
    persona: "Poly",
    size: 2_105_179,
    poly_calls: true,
};
const TEAMS: App = App {
    name: "Teams",
    package: "com.microsoft.skype.teams.ipphone",
    persona: "Teams",
    size: 88_080_384,
    poly_calls: false,
};
const ZOOM: App = App {
    name: "Zoom",
    package: "us.zoom.zoompresence",
    persona: "Zoom",
    size: 91_226_112,
    poly_calls: false,
};
const DEVICE_MODE: App = App {
    name: "Device Mode",
    package: "com.polycom.camuvc",
    persona: "camuvc",
    size: 27_089_127,
    poly_calls: false,
};

#[derive(Debug)]
pub struct Providers {
    profile: Profile,
    /// The `appName` of the provider that runs: `Poly`, `Teams`, `Zoom`.
    active: String,
    /// The provider that is being switched to, and when that ends.
    switching: Option<(String, Instant)>,
    switch_takes: Duration,
    /// The switch under way does not succeed.
    fails: bool,
    /// The packages of Teams and Zoom that are in a meeting.
    meetings: BTreeSet<&'static str>,
}

impl Providers {
    pub fn new(profile: Profile, switch_takes: Duration) -> Self {
        let first = if profile.has(Feature::PolyCalls) {
            &POLY
        } else {
            &TEAMS
        };
        Self {
            profile,
            active: first.name.to_owned(),
            switching: None,
            switch_takes,
            fails: false,
            meetings: BTreeSet::new(),
        }
    }

    pub fn describe(&self) -> Value {
        json!({"active": self.active, "switching": self.switching.as_ref().map(|(to, _)| to)})
    }

    /// A person has switched already. The name need not be one of the apps.
    pub fn set(&mut self, name: &str) {
        self.active = name.to_owned();
        self.switching = None;
    }

    /// Ends a switch whose time is over. `fails` applies to the switch under way.
    pub fn advance(&mut self, fails: bool) {
        self.fails = fails;
        let over = |(_, ends): &mut (String, Instant)| *ends <= Instant::now();
        if let Some((name, _)) = self.switching.take_if(over)
            && !self.fails
        {
            self.active = name;
        }
    }

    /// Whether a switch is under way.
    pub fn switching(&self) -> bool {
        self.switching.is_some()
    }

    /// Whether changes are refused because another provider than Poly runs.
    pub fn locked(&self) -> bool {
        self.active != POLY.name && self.profile.has(Feature::ProviderLock)
    }

    /// Somebody joins or leaves a meeting of Teams or Zoom. False if there is no such provider.
    pub fn meeting(&mut self, provider: &str, joins: bool) -> bool {
        let known = [TEAMS, ZOOM].into_iter().find(|app| app.name == provider);
        if let Some(app) = &known {
            if joins {
                self.meetings.insert(app.package);
            } else {
                self.meetings.remove(app.package);
            }
        }
        known.is_some()
    }

    fn apps(&self) -> Vec<App> {
        match (
            self.profile.has(Feature::PolyCalls),
            self.profile.has(Feature::SystemMode),
        ) {
            (true, true) => vec![POLY, TEAMS, ZOOM, DEVICE_MODE],
            // As recorded.
            (true, false) => vec![POLY, DEVICE_MODE],
            (false, _) => vec![TEAMS, DEVICE_MODE],
        }
    }

    fn list(&self) -> Handled {
        let app = |app: &App| {
            json!({
                "appName": app.name, "appSize": app.size, "ecoMode": true,
                "lastUpdatedOn": 1_655_177_675_000_i64, "packageName": app.package,
                "personaName": app.persona, "polyCallFeaturesEnabled": app.poly_calls,
                "versionInfo": "1.0",
            })
        };
        ok(&self.apps().iter().map(app).collect())
    }

    fn app_states(&self, in_call: bool) -> Handled {
        let poly = ("com.poly.video", in_call);
        let others = self.meetings.iter().map(|package| (*package, true));
        let states = std::iter::once(poly).chain(others).map(
            |(package, in_meeting)| json!({"appPackageName": package, "inMeeting": in_meeting}),
        );
        ok(&states.collect())
    }

    fn mode(&self) -> Handled {
        ok(&json!({"activePersona": self.active, "app": self.active, "mode": "APP"}))
    }

    /// `POST current/system/mode` with `{"enabledapps":["Teams"]}`.
    fn switch(&mut self, request: &DeviceRequest) -> Handled {
        let fields = request.object(&["enabledapps"])?;
        let missing = || DeviceReply::reason(415, "enabledapps is missing");
        let list = fields.0.get("enabledapps").and_then(Value::as_array);
        let [name] = list.ok_or_else(missing)?.as_slice() else {
            return Err(bad("enabledapps names one app"));
        };
        let apps = self.apps();
        let Some(app) = apps.iter().find(|app| *name == app.name) else {
            return ok(&json!({"error": "INVALIDAPP"}));
        };
        if app.name != self.active {
            self.switching = Some((app.name.to_owned(), Instant::now() + self.switch_takes));
        }
        ok(&json!({"error": "NOERROR"}))
    }
}
