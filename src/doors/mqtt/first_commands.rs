//! Commands that arrive while the broker sends what it retains.
//!
//! A retained command is never carried out. Some brokers and bridges send retained messages without the
//! flag that says so. What they retain arrives right after the subscription, once a run. So commands
//! without the flag are held in that moment, until a message shows whether the broker sets it: every
//! retained message of a gateway bears a mark.
//!
//! Pure. Does not know what a command is.

use std::time::Duration;

use tokio::time::Instant;

use super::settings::SUBACK_TIMEOUT;

/// After the SUBACK, or the last retained message, commands are held for so long: nobody notices it,
/// and a broker that has something to send is at it.
const QUIET_TIME: Duration = Duration::from_millis(250);
/// After the SUBACK commands are held no longer than this. Some brokers send a gateway its own live
/// messages, which look like retained ones here.
const LONGEST_TIME: Duration = Duration::from_secs(2);
/// At most this many bytes are held. Without any limit a flood in that moment would cost memory.
const HELD_BYTES: usize = 16 << 20;
/// What a held command takes beside its payload.
const HELD_OVERHEAD: usize = 512;

/// The moment after the subscription, and the commands that were held in it.
#[derive(Debug)]
pub struct FirstCommands<T> {
    /// When the moment ends; `None` if there is none.
    until: Option<Instant>,
    /// When it ends at the latest.
    at_latest: Option<Instant>,
    /// A message that must be retained came without the flag.
    lacks_flag: bool,
    held: Vec<T>,
    held_bytes: usize,
}

/// The commands of a moment that is over.
#[derive(Debug, PartialEq, Eq)]
pub struct HeldCommands<T> {
    /// In their order.
    pub commands: Vec<T>,
    /// Each may be a retained one.
    pub may_be_retained: bool,
}

impl<T> Default for FirstCommands<T> {
    fn default() -> Self {
        Self {
            until: None,
            at_latest: None,
            lacks_flag: false,
            held: Vec::new(),
            held_bytes: 0,
        }
    }
}

impl<T> FirstCommands<T> {
    /// The broker is asked for what it retains.
    pub fn asked(&mut self, now: Instant) {
        self.until = Some(now + SUBACK_TIMEOUT);
        self.at_latest = None;
        self.lacks_flag = false;
    }

    /// The broker has answered the subscription.
    pub fn answered(&mut self, now: Instant) {
        if self.until.is_some() {
            self.until = Some(now + QUIET_TIME);
            self.at_latest = Some(now + LONGEST_TIME);
        }
    }

    /// When the moment ends, if it is one.
    pub fn until(&self) -> Option<Instant> {
        self.until
    }

    /// A message that must be retained came without the flag. True if it is the first.
    pub fn lacks_flag(&mut self, now: Instant) -> bool {
        let Some(until) = self.until else {
            return false;
        };
        let later = until.max(now + QUIET_TIME);
        self.until = Some(self.at_latest.map_or(later, |latest| later.min(latest)));
        !std::mem::replace(&mut self.lacks_flag, true)
    }

    /// Whether such a message has come in this moment.
    pub fn is_flag_lacking(&self) -> bool {
        self.until.is_some() && self.lacks_flag
    }

    /// Holds a command with a payload of this size, if it has to be held.
    ///
    /// # Errors
    /// Gives it back when it is not that moment, or too much is held.
    pub fn hold(&mut self, command: T, size: usize) -> Result<(), T> {
        let bytes = self.held_bytes + size + HELD_OVERHEAD;
        if self.until.is_none() || bytes > HELD_BYTES {
            return Err(command);
        }
        self.held_bytes = bytes;
        self.held.push(command);
        Ok(())
    }

    /// The moment is over: it has lasted, or a message with the flag has come.
    pub fn over(&mut self) -> HeldCommands<T> {
        self.until = None;
        self.held_bytes = 0;
        HeldCommands {
            commands: std::mem::take(&mut self.held),
            may_be_retained: self.lacks_flag,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(first: &mut FirstCommands<u8>) -> (Vec<u8>, bool) {
        let held = first.over();
        (held.commands, held.may_be_retained)
    }

    #[test]
    fn commands_are_held_until_it_is_known_whether_the_flag_is_set() {
        let began = Instant::now();
        let mut first = FirstCommands::default();
        assert_eq!(first.hold(1, 0), Err(1));
        first.asked(began);
        assert_eq!(first.until(), Some(began + SUBACK_TIMEOUT));
        assert_eq!(first.hold(1, 0), Ok(()));
        let now = began + Duration::from_secs(1);
        first.answered(now);
        assert_eq!(first.until(), Some(now + QUIET_TIME));
        assert_eq!(first.hold(2, 0), Ok(()));
        assert_eq!(over(&mut first), (vec![1, 2], false));
        assert_eq!(first.hold(3, 0), Err(3));
        assert!(!first.lacks_flag(now) && first.until().is_none());
        first.answered(now);
        assert!(first.until().is_none());
    }

    #[test]
    fn each_retained_message_without_the_flag_makes_the_moment_longer() {
        let mut now = Instant::now();
        let mut first = FirstCommands::default();
        first.asked(now);
        assert!(first.lacks_flag(now));
        assert_eq!(first.until(), Some(now + SUBACK_TIMEOUT));
        first.answered(now);
        let answered = now;
        for _ in 0..100 {
            now += QUIET_TIME / 2;
            assert!(!first.lacks_flag(now));
            let until = (now + QUIET_TIME).min(answered + LONGEST_TIME);
            assert_eq!(first.until(), Some(until));
        }
        assert_eq!(first.hold(1, 0), Ok(()));
        assert_eq!(over(&mut first), (vec![1], true));
        // The next connection may be to another broker.
        first.asked(now);
        assert_eq!(over(&mut first), (Vec::new(), false));
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut first = FirstCommands::default();
        first.asked(Instant::now());
        assert_eq!(first.hold(1, HELD_BYTES), Err(1));
        let mut held = 0;
        while first.hold(1, 1 << 20).is_ok() {
            held += 1;
        }
        assert_eq!(held, 15);
        first.over();
        first.asked(Instant::now());
        assert_eq!(first.hold(1, 1 << 20), Ok(()));
    }
}
