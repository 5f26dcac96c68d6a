//! How long after a failed log-in the next one may be tried, so that the gateway never locks people out.
//!
//! Pure, but for random ids of refusals: the caller passes the time.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::problem::{Problem, ProblemCode};
use super::timings::DeviceTimings;
use crate::secret::{SecretDigest, random_bytes};

/// The longest wait after refused passwords, unless the first wait is longer.
pub const LONGEST_LOGIN_WAIT: Duration = Duration::from_secs(3600);
/// How many passwords a device may refuse within an hour, however often its room starts anew. By default devices lock
/// everybody out after ten, but fewer can be set, and other clients use them up too.
const MOST_REFUSALS: usize = 4;
/// That hour, as a multiple of the first wait: tests shorten it.
const REFUSALS_WINDOW: u32 = 6;
/// How many refusals of several passwords, those of several rooms, hold back a password that the device has not
/// refused.
const MOST_REFUSALS_OF_ALL: usize = 8;
/// How many passwords are known of a device before those that it never refused are forgotten.
const MOST_KNOWN: usize = 16;
/// The longest message that is taken from a store, in characters: anything can stand there.
const LONGEST_MESSAGE: usize = 300;

/// A user and a password, recognised without keeping them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Credential(u64);

impl Credential {
    pub fn of(user: &str, password: &str) -> Self {
        Self(SecretDigest::of_login(user, password.as_bytes()).prefix())
    }

    /// What is stored of it. Eight bits tell a corrected password from the one before, and help nobody who guesses.
    fn tag(self) -> u8 {
        self.0.to_le_bytes()[0]
    }

    /// One of which nothing but its tag is known: of an earlier run.
    fn with_tag(tag: u8) -> Self {
        Self(Self::KNOWN_BY_TAG | u64::from(tag))
    }

    fn is_known_by_tag(self) -> bool {
        self == Self::with_tag(self.tag())
    }

    const KNOWN_BY_TAG: u64 = !0xff;
}

/// The digest of a weak password could be guessed.
impl Debug for Credential {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

/// How long log-ins to one device have to wait after a failed one.
///
/// Two rooms may have one device. What a refused password means holds for that password alone; a device that locks
/// everybody out, or has no session left, does so to all.
#[derive(Debug, Default)]
pub struct LoginBackoff {
    /// What the device refused, the oldest first, but for what was before a success with the same password.
    refused: Vec<RefusedLogin>,
    /// What is known of each password.
    known: BTreeMap<Credential, KnownCredential>,
    /// Until when nobody logs in, and why.
    blocked: Option<(Instant, Problem)>,
}

/// A password that the device refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct RefusedLogin {
    at: Instant,
    who: Credential,
    /// Random. By it a refusal that was stored is recognised, whatever the password is by now: two rooms may be refused
    /// in the same moment.
    id: u64,
}

/// What is known of one password at one device.
#[derive(Debug, Default)]
struct KnownCredential {
    /// How many of its refusals count for the next wait.
    refusals: u32,
    /// The device took the password, or still had a session of this user.
    was_right: bool,
    /// Until when it is not tried, and why.
    blocked: Option<(Instant, Problem)>,
}

impl LoginBackoff {
    /// The problem of the last log-in with this password, while it is too early for another.
    pub fn blocked(&self, who: Credential, now: Instant) -> Option<&Problem> {
        self.newest_block(who, now).map(|(_, problem)| problem)
    }

    /// When a log-in with this password may be tried again, if it is too early now.
    pub fn blocked_until(&self, who: Credential, now: Instant) -> Option<Instant> {
        self.newest_block(who, now).map(|(until, _)| *until)
    }

    /// The block that ends last.
    fn newest_block(&self, who: Credential, now: Instant) -> Option<&(Instant, Problem)> {
        let own = self.known.get(&who);
        let own = own.and_then(|known| known.blocked.as_ref());
        let blocks = [own, self.blocked.as_ref()].into_iter().flatten();
        let blocks = blocks.filter(|(until, _)| now < *until);
        blocks.max_by_key(|(until, _)| *until)
    }

    /// Whether it still limits log-ins, now or after the next refusal.
    pub fn limits(&self, now: Instant) -> bool {
        let newest = self.refused.last();
        let own = self.known.values().map(|known| &known.blocked);
        let mut blocks = own.chain([&self.blocked]).flatten();
        newest.is_some_and(|refused| now < refused.at + LONGEST_LOGIN_WAIT)
            || blocks.any(|(until, _)| now < *until)
    }

    fn known(&mut self, who: Credential) -> &mut KnownCredential {
        if self.known.len() >= MOST_KNOWN && !self.known.contains_key(&who) {
            let refused = &self.refused;
            let is_refused = |who| refused.iter().any(|refused| refused.who == who);
            self.known.retain(|who, _| is_refused(*who));
        }
        self.known.entry(who).or_default()
    }

    /// A room starts: its password may have been put right at the device. A log-in is tried at once, unless the device
    /// has locked out all or has refused too many.
    pub fn room_starts(&mut self, who: Credential, timings: &DeviceTimings, now: Instant) {
        if let Some((_, problem)) = &self.blocked
            && problem.code != ProblemCode::LockedOut
        {
            self.blocked = None;
        }
        let known = self.known(who);
        (known.was_right, known.blocked) = (false, None);
        self.hold_back(timings, now);
    }

    /// Holds each password back that may be wrong, if the device has refused too many.
    fn hold_back(&mut self, timings: &DeviceTimings, now: Instant) {
        let is_free = |known: &KnownCredential| {
            let blocked = known.blocked.as_ref();
            blocked.is_none_or(|(until, _)| *until <= now)
        };
        let known = self.known.iter();
        let uncertain = known.filter(|(_, known)| !known.was_right && is_free(known));
        let held_back: Vec<_> = uncertain
            .filter_map(|(who, _)| Some((*who, self.refused_too_often(*who, timings, now)?)))
            .collect();
        for (who, until) in held_back {
            let message = format!(
                "the device has refused {MOST_REFUSALS} log-ins within an hour, and may lock everybody out after more; \
                 the gateway tries again when the hour is over"
            );
            let problem = Problem::new(ProblemCode::Unauthorized, message);
            self.known(who).blocked = Some((until, problem));
        }
    }

    /// Until when the device must not be shown this password, which may be wrong. One that the device has not refused
    /// may be tried beside others that it has, until all together come near the number at which it locks out everybody.
    fn refused_too_often(
        &self,
        who: Credential,
        timings: &DeviceTimings,
        now: Instant,
    ) -> Option<Instant> {
        let nth_newest = |mut refused: Box<dyn Iterator<Item = Instant> + '_>, n: usize| {
            let until = refused.nth(n - 1)? + window(timings);
            (now < until).then_some(until)
        };
        let newest = || self.refused.iter().rev();
        let own = newest()
            .filter(|refused| refused.who == who)
            .map(|refused| refused.at);
        let all = newest().map(|refused| refused.at);
        nth_newest(Box::new(own), MOST_REFUSALS)
            .max(nth_newest(Box::new(all), MOST_REFUSALS_OF_ALL))
    }

    /// A log-in succeeded: the device locks out nobody, and this password is right. What it refused of others stays so.
    pub fn succeeded(&mut self, who: Credential) {
        self.refused.retain(|refused| refused.who != who);
        self.blocked = None;
        *self.known(who) = KnownCredential {
            was_right: true,
            ..KnownCredential::default()
        };
    }

    /// The device takes a session that an earlier log-in made.
    pub fn session_taken(&mut self, who: Credential) {
        // Once it has refused the password since, the session says nothing of that.
        let is_refused = self.refused.iter().any(|refused| refused.who == who);
        self.known(who).was_right |= !is_refused;
    }

    /// A log-in failed for this reason.
    pub fn failed(
        &mut self,
        who: Credential,
        problem: &Problem,
        timings: &DeviceTimings,
        now: Instant,
    ) {
        let block = |wait: Duration| Some((now + wait, problem.clone()));
        self.known(who).blocked = None;
        match problem.code {
            ProblemCode::Unauthorized => {
                let wait = self.refused(who, timings, now);
                self.known(who).blocked = block(wait);
                self.hold_back(timings, now);
            }
            ProblemCode::LockedOut => self.blocked = block(timings.retry_after_lockout),
            ProblemCode::TooManySessions => {
                self.blocked = block(timings.retry_after_too_many_sessions);
            }
            // The room has its own waits before it tries an unreachable device again.
            ProblemCode::Offline
            | ProblemCode::CertificateUnknown
            | ProblemCode::CertificateChanged
            | ProblemCode::NotUnderstood
            | ProblemCode::NoCluster
            | ProblemCode::NoOwner => self.blocked = None,
        }
    }

    /// The wait after a refused password.
    fn refused(&mut self, who: Credential, timings: &DeviceTimings, now: Instant) -> Duration {
        let id = random_id();
        self.refused.push(RefusedLogin { at: now, who, id });
        self.drop_oldest();
        let first = timings.retry_after_refused_login;
        let known = self.known(who);
        let wait = if std::mem::take(&mut known.was_right) {
            timings.retry_after_doubtful_refusal.min(first)
        } else {
            let doubled = first.saturating_mul(2_u32.saturating_pow(known.refusals));
            known.refusals = known.refusals.saturating_add(1);
            doubled.min(first.max(LONGEST_LOGIN_WAIT))
        };
        let too_often = self.refused_too_often(who, timings, now);
        wait.max(too_often.map_or(Duration::ZERO, |until| until - now))
    }

    fn drop_oldest(&mut self) {
        let surplus = self.refused.len().saturating_sub(MOST_REFUSALS_OF_ALL);
        self.refused.drain(..surplus);
    }

    /// What the next gateway must know of this password, with times in seconds since 1970. Nothing if the device has
    /// not refused it. Besides those of passwords that an earlier run had: they count for the device.
    pub fn to_json(&self, who: Credential, now: Instant, unix_now: u64) -> Option<Value> {
        let locked_out = self
            .blocked
            .as_ref()
            .filter(|(until, problem)| problem.code == ProblemCode::LockedOut && now < *until);
        let ago = |at: Instant| unix_now.saturating_sub((now - at).as_secs());
        let refused = self.refused.iter();
        let own = refused.filter(|refused| refused.who == who || refused.who.is_known_by_tag());
        let own: Vec<_> = own.collect();
        // Lists beside each other: gateways of an earlier version read the first one.
        let refused: Vec<_> = own.iter().map(|refused| ago(refused.at)).collect();
        let ids: Vec<_> = own.iter().map(|refused| refused.id).collect();
        let tags: Vec<_> = own.iter().map(|refused| refused.who.tag()).collect();
        if refused.is_empty() && locked_out.is_none() {
            return None;
        }
        let locked_out = locked_out.map(|(until, problem)| {
            json!({"until": unix_now + (*until - now).as_secs(), "message": problem.message})
        });
        Some(json!({"refused": refused, "ids": ids, "tags": tags, "locked_out": locked_out}))
    }

    /// Takes over what an earlier run or another gateway has stored, where it is newer.
    pub fn restore(
        &mut self,
        who: Credential,
        stored: &Value,
        timings: &DeviceTimings,
        now: Instant,
        unix_now: u64,
    ) {
        let window = window(timings);
        let about = |n: usize, what: &str| stored[what].get(n)?.as_u64();
        let stored_refusal = |(n, at): (usize, &Value)| {
            // A clock that was put back makes it no younger than now.
            let age = Duration::from_secs(unix_now.saturating_sub(at.as_u64()?));
            // One that does not count any more may be from before the machine started.
            let at = now.checked_sub(age).filter(|_| age < window)?;
            let tag = about(n, "tags").and_then(|tag| u8::try_from(tag).ok());
            let other = tag.filter(|tag| *tag != who.tag());
            Some(RefusedLogin {
                at,
                who: other.map_or(who, Credential::with_tag),
                id: about(n, "ids").unwrap_or_else(random_id),
            })
        };
        let refused = stored["refused"].as_array().into_iter().flatten();
        let mut recent: Vec<_> = refused.enumerate().filter_map(stored_refusal).collect();
        recent.sort_unstable();
        recent.drain(..recent.len().saturating_sub(MOST_REFUSALS_OF_ALL));
        // A reload has not forgotten them: they may be those of the password before.
        recent.retain(|refused| self.refused.iter().all(|known| known.id != refused.id));
        if !recent.is_empty() {
            let own = recent.iter().filter(|refused| refused.who == who);
            let count = u32::try_from(own.count()).unwrap_or(u32::MAX);
            let known = self.known(who);
            known.refusals = known.refusals.saturating_add(count);
            self.refused.extend(recent);
            self.refused.sort_unstable();
            self.drop_oldest();
            self.hold_back(timings, now);
        }
        let locked_out = &stored["locked_out"];
        let wait = locked_out["until"].as_u64().unwrap_or_default();
        let wait =
            Duration::from_secs(wait.saturating_sub(unix_now)).min(timings.retry_after_lockout);
        let until = now + wait;
        if !wait.is_zero() && self.blocked_until(who, now).is_none_or(|own| own < until) {
            let message = locked_out["message"].as_str().unwrap_or_default();
            let message: String = message.chars().take(LONGEST_MESSAGE).collect();
            self.blocked = Some((until, Problem::new(ProblemCode::LockedOut, message)));
        }
    }
}

/// One that no other refusal has.
fn random_id() -> u64 {
    // Without random numbers no log-in gets as far as a refusal: TLS needs them.
    random_bytes().map_or(0, u64::from_ne_bytes)
}

/// How long a refused password counts.
fn window(timings: &DeviceTimings) -> Duration {
    let window = timings.retry_after_refused_login * REFUSALS_WINDOW;
    window.min(LONGEST_LOGIN_WAIT)
}

#[cfg(test)]
mod tests;
