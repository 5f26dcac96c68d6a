//! Sessions: log-in, log-out, their list and maximum number, the lock-out after failed log-ins, and the
//! administrator's password.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Options;
use super::check::{DeviceReply, DeviceRequest, Handled, bad, not_found, ok};
use super::nameplate::now_ms;
use super::profile::{Feature, Profile};
use super::routes::{Route, RoutedRequest, delete, get, post};
use super::world::World;

pub const ROUTES: &[Route] = &[
    post("session", log_in),
    post("current/session", log_in),
    delete("session", |world, request| {
        world.sessions.log_out(request.credentials)
    }),
    delete("current/session", |world, request| {
        world.sessions.log_out(request.credentials)
    }),
    get("session/sessions", |world, _| world.sessions.list()),
    get("current/session/sessions", |world, _| world.sessions.list()),
    post("security/password/<role>", |world, request| {
        match request.segment("role") {
            "ADMIN" => world.sessions.change_password(request),
            _ => Err(not_found()),
        }
    }),
];

fn log_in(world: &mut World, request: &RoutedRequest<'_>) -> Handled {
    let uptime = world.nameplate.uptime();
    world.sessions.log_in(request, request.credentials, uptime)
}

/// Where the simulator's clients come from.
const LOCATION: &str = "127.0.0.1";

/// A session that is open.
#[derive(Debug)]
struct Session {
    id: String,
    token: String,
    user: String,
    location: &'static str,
    /// `WEB` or `SSH`.
    client: &'static str,
    /// The device's uptime in seconds when it was created.
    created: i64,
}

impl Session {
    /// As log-in and the list of sessions give it.
    fn describe(&self) -> Value {
        json!({
            "clientType": self.client, "creationTime": self.created, "isAuthenticated": true,
            "isConnected": false, "isNew": true, "isStale": false, "location": self.location,
            "role": "ADMIN", "sessionId": self.id, "userId": self.user,
        })
    }
}

/// All sessions of a device.
#[derive(Debug)]
pub struct Sessions {
    profile: Profile,
    /// A change must bring the session's token.
    wants_token: bool,
    user: String,
    password: String,
    maximum: usize,
    lockout_after: u32,
    lockout: Duration,
    live: Vec<Session>,
    failed: u32,
    locked_until: Option<Instant>,
    made: u64,
}

/// The cookie and token of a request.
#[derive(Debug, Default)]
pub struct Credentials {
    pub session: Option<String>,
    pub token: Option<String>,
}

impl Credentials {
    pub fn new(cookie: Option<&str>, token: Option<&str>) -> Self {
        let pairs = cookie.unwrap_or_default().split(';');
        let mut session = pairs.filter_map(|pair| pair.trim().strip_prefix("session_id="));
        Self {
            session: session.next().map(str::to_owned),
            token: token.map(str::to_owned),
        }
    }
}

impl Sessions {
    pub fn new(profile: Profile, options: &Options) -> Self {
        Self {
            profile,
            wants_token: profile.has(Feature::XsrfToken),
            user: options.user.clone(),
            password: options.password.clone(),
            maximum: options.max_sessions,
            lockout_after: options.lockout_after,
            lockout: options.lockout,
            live: Vec::new(),
            failed: 0,
            locked_until: None,
            made: 0,
        }
    }

    pub fn count(&self) -> usize {
        self.live.len()
    }

    pub fn ids(&self) -> Vec<String> {
        self.live.iter().map(|session| session.id.clone()).collect()
    }

    fn live(&self, credentials: &Credentials) -> Option<&Session> {
        let id = credentials.session.as_ref()?;
        self.live.iter().find(|session| session.id == *id)
    }

    pub fn end(&mut self, id: &str) {
        self.live.retain(|session| session.id != id);
    }

    pub fn expire(&mut self) {
        self.live.clear();
    }

    pub fn set_password(&mut self, password: &str) {
        self.password = password.to_owned();
    }

    /// From now on, changes need the token of the session; sessions without one stay valid.
    pub fn require_token(&mut self) {
        self.wants_token = true;
    }

    pub fn unlock(&mut self) {
        self.locked_until = None;
    }

    /// Lets other clients take all sessions that are left, or free theirs.
    pub fn occupy(&mut self, all: bool) {
        for n in 0..self.maximum {
            let id = format!("other {n}");
            self.end(&id);
            if all && self.live.len() < self.maximum {
                self.live.push(Session {
                    id,
                    token: String::new(),
                    user: "controller".into(),
                    location: "192.0.2.206",
                    client: if n % 2 == 0 { "WEB" } else { "SSH" },
                    // As recorded: not every device counts from its start.
                    created: -1_299_656,
                });
            }
        }
    }

    /// Whether a request may pass: it needs a valid session, and the session's token if it changes
    /// something.
    pub fn admits(&self, method: &str, credentials: &Credentials) -> bool {
        match self.live(credentials) {
            None => false,
            Some(_) if method == "GET" || !self.wants_token => true,
            Some(session) => credentials.token.as_ref() == Some(&session.token),
        }
    }

    /// Who holds sessions.
    fn list(&self) -> Handled {
        let sessions: Vec<_> = self.live.iter().map(Session::describe).collect();
        ok(&json!({"sessionList": sessions}))
    }

    /// Sessions stay valid.
    fn change_password(&mut self, request: &DeviceRequest) -> Handled {
        let fields = request.object(&["oldPassword", "newPassword"])?;
        let (old, new) = (fields.text("oldPassword")?, fields.text("newPassword")?);
        if old != self.password {
            return ok(&json!({"reason": "oldPassword is wrong", "success": false}));
        }
        self.password = new;
        ok(&json!({"reason": "", "success": true}))
    }

    /// An error of access: with 400, and with 403 from firmware that has no other.
    fn access_error(&self, reason: &str) -> DeviceReply {
        let one = self.profile.has(Feature::OneAccessError);
        DeviceReply::reason(if one { 403 } else { 400 }, reason)
    }

    fn log_in(
        &mut self,
        request: &DeviceRequest,
        credentials: &Credentials,
        uptime: f64,
    ) -> Handled {
        if self.live(credentials).is_some() {
            let other = self.profile.has(Feature::AlreadyActive412);
            return Err(if other {
                DeviceReply::reason(412, "SessionAlreadyActive")
            } else {
                self.access_error("SessionAlreadyActive")
            });
        }
        let now = Instant::now();
        if self.locked_until.is_some_and(|until| until > now) {
            return Err(self.access_error("SessionPortLockout"));
        }
        let fields = request
            .object(&["user", "password"])
            .map_err(|_| bad("SessionRequestInvalid"))?;
        let (Ok(user), Ok(password)) = (fields.text("user"), fields.text("password")) else {
            return Err(bad("SessionRequestInvalid"));
        };
        if user != self.user || password != self.password {
            self.failed += 1;
            if self.failed >= self.lockout_after {
                self.failed = 0;
                self.locked_until = Some(now + self.lockout);
            }
            return Err(DeviceReply::reason(403, "SessionInvalidUserNamePassword"));
        }
        self.failed = 0;
        if self.live.len() >= self.maximum {
            return Err(DeviceReply::reason(403, "SessionMaxActiveSessionsReached"));
        }
        self.made += 1;
        // Real ids contain "+" and "/", which must come back unchanged.
        let id = format!(
            "PO+{:08x}/Y4yy+MhOo0==",
            self.made.wrapping_mul(2_654_435_761)
        );
        let token = format!("xsrf-{:x}", self.made.wrapping_mul(40_503));
        let session = Session {
            id: id.clone(),
            token: token.clone(),
            user,
            location: LOCATION,
            client: "WEB",
            created: uptime as i64,
        };
        let aged = if self.profile.has(Feature::Lists) {
            "isPasswordAgeLimitReached"
        } else {
            "ispasswordAgeLimitReached"
        };
        let mut reply = DeviceReply::json(&json!({
            "success": true,
            "loginStatus": {
                "loginResult": "NOLOCKOUT",
                "lastLoginClient": LOCATION,
                "lastLoginTime": now_ms(),
                "lastLoginClientType": "WEB",
                "failedLogins": 0,
                aged: false,
            },
            "session": session.describe(),
        }));
        reply
            .cookies
            .push(format!("session_id={id}; Path=/; Secure; HttpOnly"));
        if self.wants_token {
            reply
                .cookies
                .push(format!("XSRF-TOKEN={token}; Path=/; Secure"));
        }
        self.live.push(session);
        Ok(reply)
    }

    fn log_out(&mut self, credentials: &Credentials) -> Handled {
        match self.live(credentials).map(|session| session.id.clone()) {
            Some(id) => {
                self.end(&id);
                ok(&json!({"success": true}))
            }
            None => Err(self.access_error("SessionNoActiveSession")),
        }
    }
}
