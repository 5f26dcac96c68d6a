//! What people in and around the room do, for tests and the control port.

use std::io;
use std::time::Duration;

use super::condition::Condition;
use super::identity::Identity;
use super::{SimulatedDevice, lock};

impl SimulatedDevice {
    /// A person mutes or unmutes the microphones.
    pub fn person_mutes(&self, muted: bool) {
        self.change(|world| world.audio.muted = muted);
    }

    /// Somebody calls. Gives the connection's id.
    pub fn person_calls_in(&self, from: &str) -> String {
        self.change(|world| world.calls.ring(from))
    }

    /// A person in the room answers the call.
    pub fn person_answers(&self) {
        self.change(|world| world.calls.answer_any());
    }

    /// A person in the room ends all calls.
    pub fn person_hangs_up(&self) {
        self.change(|world| world.calls.end_all());
    }

    /// A person switches to another provider, such as `Teams`; `Poly` switches back.
    pub fn person_sets_mode(&self, mode: &str) {
        self.change(|world| world.providers.set(mode));
    }

    /// An administrator switches the protection against cross-site requests on, which 4.7 leaves to them.
    pub fn person_requires_token(&self) {
        self.change(|world| world.sessions.require_token());
    }

    /// An administrator sets another password. Sessions stay valid.
    pub fn person_sets_password(&self, password: &str) {
        self.change(|world| world.sessions.set_password(password));
    }

    /// An administrator ends the lock-out after failed log-ins.
    pub fn person_unlocks(&self) {
        self.change(|world| world.sessions.unlock());
    }

    /// Other clients take all sessions that are left, or free theirs again.
    pub fn others_log_in(&self, all: bool) {
        self.change(|world| world.sessions.occupy(all));
    }

    /// Somebody joins or leaves a meeting of `Teams` or `Zoom`. False if there is no such provider.
    pub fn person_meets(&self, provider: &str, joins: bool) -> bool {
        self.change(|world| world.providers.meeting(provider, joins))
    }

    /// Something about the room becomes so, or ends.
    pub fn set_condition(&self, condition: Condition, on: bool) {
        self.change(|world| world.conditions.set(condition, on));
    }

    /// An administrator ends one session.
    pub fn end_session(&self, id: &str) {
        self.change(|world| world.sessions.end(id));
    }

    /// Makes all sessions stale.
    pub fn expire_sessions(&self) {
        self.change(|world| world.sessions.expire());
    }

    /// Replaces the certificate and ends all connections.
    ///
    /// # Errors
    /// No certificate can be created.
    pub fn new_certificate(&self) -> io::Result<()> {
        *lock(&self.shared.identity) = Identity::new()?;
        self.shared.end_connections();
        Ok(())
    }

    /// Restarts, which takes this long. Sessions and calls are gone afterwards.
    pub fn reboot(&self, takes: Duration) {
        self.shared.reboot(takes);
    }
}
