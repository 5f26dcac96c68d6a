//! Sessions: log-in, log-out, their maximum number, and the lock-out after failed log-ins.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::check::{DeviceReply, DeviceRequest, Handled, bad, ok};
use super::{Firmware, Options};

/// All sessions of a device.
#[derive(Debug)]
pub struct Sessions {
    firmware: Firmware,
    user: String,
    password: String,
    maximum: usize,
    lockout_after: u32,
    lockout: Duration,
    live: HashMap<String, String>,
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
    pub fn new(options: &Options) -> Self {
        Self {
            firmware: options.firmware,
            user: options.user.clone(),
            password: options.password.clone(),
            maximum: options.max_sessions,
            lockout_after: options.lockout_after,
            lockout: options.lockout,
            live: HashMap::new(),
            failed: 0,
            locked_until: None,
            made: 0,
        }
    }

    pub fn count(&self) -> usize {
        self.live.len()
    }

    pub fn ids(&self) -> Vec<String> {
        self.live.keys().cloned().collect()
    }

    pub fn end(&mut self, id: &str) {
        self.live.remove(id);
    }

    pub fn expire(&mut self) {
        self.live.clear();
    }

    pub fn set_password(&mut self, password: &str) {
        self.password = password.to_owned();
    }

    /// Lets other clients take all sessions that are left, or free theirs.
    pub fn occupy(&mut self, all: bool) {
        let others = (0..self.maximum).map(|n| (format!("other {n}"), String::new()));
        for (id, token) in others {
            self.live.remove(&id);
            if all && self.live.len() < self.maximum {
                self.live.insert(id, token);
            }
        }
    }

    /// Whether a request may pass: it needs a valid session, and the session's token if it changes
    /// something.
    pub fn admits(&self, method: &str, credentials: &Credentials) -> bool {
        let token = credentials
            .session
            .as_ref()
            .and_then(|id| self.live.get(id));
        match token {
            None => false,
            Some(_) if method == "GET" || self.firmware == Firmware::V4_0 => true,
            Some(token) => credentials.token.as_ref() == Some(token),
        }
    }

    /// `POST` and `DELETE /rest/session`.
    pub fn handle(&mut self, request: &DeviceRequest, credentials: &Credentials) -> Handled {
        match request.method.as_str() {
            "POST" => self.log_in(request, credentials),
            "DELETE" => self.log_out(request, credentials),
            _ => super::check::not_allowed(),
        }
    }

    fn log_in(&mut self, request: &DeviceRequest, credentials: &Credentials) -> Handled {
        let live = credentials
            .session
            .as_ref()
            .is_some_and(|id| self.live.contains_key(id));
        if live {
            return Err(bad("SessionAlreadyActive"));
        }
        let now = Instant::now();
        if self.locked_until.is_some_and(|until| until > now) {
            return Err(bad("SessionPortLockout"));
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
        let mut reply = DeviceReply::json(&json!({
            "success": true,
            "loginStatus": {
                "loginResult": "NOLOCKOUT",
                "lastLoginClient": "127.0.0.1",
                "lastLoginTime": 1,
                "lastLoginClientType": "WEB",
                "failedLogins": 0,
                "ispasswordAgeLimitReached": false,
            },
            "session": {
                "sessionId": id,
                "role": "ADMIN",
                "clientType": "WEB",
                "location": "127.0.0.1",
                "userId": user,
                "creationTime": 1,
                "isAuthenticated": true,
                "isStale": false,
            },
        }));
        reply
            .cookies
            .push(format!("session_id={id}; Path=/; Secure; HttpOnly"));
        if self.firmware == Firmware::V4_6_2 {
            reply
                .cookies
                .push(format!("XSRF-TOKEN={token}; Path=/; Secure"));
        }
        self.live.insert(id, token);
        Ok(reply)
    }

    fn log_out(&mut self, request: &DeviceRequest, credentials: &Credentials) -> Handled {
        request.plain()?;
        let ended = credentials
            .session
            .as_ref()
            .and_then(|id| self.live.remove(id));
        match ended {
            Some(_) => ok(&json!({"success": true})),
            None => Err(bad("SessionNoActiveSession")),
        }
    }
}
