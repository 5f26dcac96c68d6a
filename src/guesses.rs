//! Slows down guessing of tokens and passwords, at all doors together.
//!
//! A door that was shown a token or a password says whether it is right, and does what [`Guesses::check`]
//! answers. Wrong guesses at one door count at the others. Owns the penalties of addresses (`penalties`),
//! the secrets that were right before (`known`), and how many answers wait. What counts as one address is
//! [`Network`]'s. Knows no transport, and keeps no secret: only digests.
//!
//! Waiting alone slows nobody who hangs up and tries again. So the penalty of an address runs on
//! without its client, and an address that guesses faster than its penalties run off is not told
//! whether a short secret is right. A right secret is admitted at once all the same, beside any number
//! of wrong ones, if it is too long to be guessed, or was right before at this address: a password, if its client
//! has the same name as then.

mod known;
mod penalties;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::command::DoorKind;
use crate::network::Network;
use crate::secret::{SecretDigest, UNGUESSABLE_TOKEN_LENGTH};
use crate::telemetry::{FloodKind, Telemetry};
use known::KnownSecrets;
use penalties::{Counted, Penalties};

/// Answers that may wait for one address at a time. Each holds a connection; a person with some panels
/// behind one address has fewer.
const MOST_WAITING_OF_ADDRESS: usize = 8;
/// Answers that may wait for all addresses together: a quarter of the connections that the HTTP door
/// has, so that guesses leave the rest to others.
const MOST_WAITING: usize = 256;
/// No guessing finds a password of this length, also one that a person has made of words.
const UNGUESSABLE_PASSWORD: usize = 32;

/// A token or password that a client showed.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The door that the client uses.
    pub door: DoorKind,
    /// The client's address.
    pub address: IpAddr,
    /// The user whose password it is; empty for a token.
    pub user: &'a str,
    /// The name by which the client can be told from others at its address, if it has one: the client id of MQTT.
    pub client: &'a str,
    /// The token or password.
    pub secret: &'a [u8],
    /// Whether it is right.
    pub right: bool,
}

impl Attempt<'_> {
    fn is_token(&self) -> bool {
        self.user.is_empty()
    }

    /// Who is remembered to have shown a right secret. A password counts only together with the name of its client,
    /// which who guesses does not know; `None` for a client without one.
    fn identity(&self, digest: u64) -> Option<u64> {
        match (self.is_token(), self.client) {
            (true, _) => Some(digest),
            (false, "") => None,
            (false, client) => Some(SecretDigest::of_login(self.user, client.as_bytes()).prefix()),
        }
    }

    /// Whose secret it is: of a token nobody's but its own.
    fn owner(&self, identity: u64) -> u64 {
        if self.is_token() {
            identity
        } else {
            SecretDigest::of_login(self.user, b"").prefix()
        }
    }

    fn is_unguessable(&self) -> bool {
        let is_token = self.is_token();
        let least = if is_token {
            UNGUESSABLE_TOKEN_LENGTH
        } else {
            UNGUESSABLE_PASSWORD
        };
        self.secret.len() >= least
    }
}

impl std::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("door", &self.door)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What a door does with an [`Attempt`].
#[derive(Debug)]
pub enum Verdict {
    /// Let the client in, at once.
    Admit,
    /// Say that the secret is wrong, after the delay.
    Wrong(Delay),
    /// Say at once that too many wrong ones came from this address. This tells nothing about the secret.
    TooOften {
        /// How long the client should wait before it tries again.
        retry_after: Duration,
    },
}

/// The penalties of all addresses. All doors share one.
#[derive(Debug)]
pub struct Guesses {
    telemetry: Arc<Telemetry>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    penalties: Penalties,
    known: KnownSecrets,
    /// Answers that wait, by address.
    waiting: HashMap<Network, usize>,
}

impl Guesses {
    /// No wrong guesses yet.
    pub fn new(telemetry: Arc<Telemetry>) -> Arc<Self> {
        Arc::new(Self {
            telemetry,
            state: Mutex::default(),
        })
    }

    /// Decides about a secret that was shown. A wrong one is counted and logged.
    pub fn check(self: &Arc<Self>, attempt: &Attempt<'_>) -> Verdict {
        let network = Network::of(attempt.address);
        let digest = SecretDigest::of_login(attempt.user, attempt.secret).prefix();
        let identity = attempt.identity(digest);
        let now = Instant::now();
        let mut state = self.state.lock();
        if attempt.right {
            let is_known = |identity| state.known.contains(network, identity, digest);
            let admitted = attempt.is_unguessable() || identity.is_some_and(is_known);
            if !admitted && let Some(retry_after) = state.penalties.blocked(network, now) {
                drop(state);
                return self.blocked(attempt, network, retry_after);
            }
            if let Some(identity) = identity {
                state
                    .known
                    .insert(network, attempt.owner(identity), identity, digest);
            }
            return Verdict::Admit;
        }
        // Who knows the name of a client has one guess, not one after the other.
        if let Some(identity) = identity.filter(|_| !attempt.is_token()) {
            state.known.forget(network, identity);
        }
        let counted = state.penalties.count(network, digest, now);
        let wait = match counted {
            Counted::Blocked { retry_after } => {
                drop(state);
                return self.blocked(attempt, network, retry_after);
            }
            Counted::First { wait, .. } | Counted::Repeated { wait } => wait,
        };
        let waits = state.wait(network);
        drop(state);
        if let Counted::First { failures, .. } = counted {
            self.telemetry
                .wrong_secret(attempt.door, attempt.address, failures);
        }
        if !waits {
            return Verdict::TooOften { retry_after: wait };
        }
        Verdict::Wrong(Delay {
            guesses: self.clone(),
            network,
            until: now + wait,
        })
    }
}

impl Guesses {
    /// A secret is not looked at. Counted: a guesser can cause any number of these.
    fn blocked(&self, attempt: &Attempt<'_>, network: Network, retry_after: Duration) -> Verdict {
        let kind = FloodKind::BlockedGuesses;
        self.telemetry.flood(attempt.door, kind, network, "");
        Verdict::TooOften { retry_after }
    }
}

impl State {
    /// Reserves the place of one more answer that waits, if there is one.
    fn wait(&mut self, network: Network) -> bool {
        if self.waiting.values().sum::<usize>() >= MOST_WAITING {
            return false;
        }
        let waiting = self.waiting.entry(network).or_default();
        let free = *waiting < MOST_WAITING_OF_ADDRESS;
        *waiting += usize::from(free);
        free
    }

    fn waited(&mut self, network: Network) {
        if let Some(waiting) = self.waiting.get_mut(&network) {
            *waiting -= 1;
            if *waiting == 0 {
                self.waiting.remove(&network);
            }
        }
    }
}

/// The time before a wrong secret may be answered. It counts as a waiting answer until it is dropped.
#[derive(Debug)]
pub struct Delay {
    guesses: Arc<Guesses>,
    network: Network,
    until: Instant,
}

impl Delay {
    /// Waits until the answer may be sent.
    pub async fn over(self) {
        sleep_until(self.until).await;
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.guesses.state.lock().waited(self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn token(secret: &str, right: bool) -> Attempt<'_> {
        Attempt {
            door: DoorKind::Http,
            address: ADDRESS,
            user: "",
            client: "",
            secret: secret.as_bytes(),
            right,
        }
    }

    /// Guesses until the address is blocked.
    fn block(guesses: &Arc<Guesses>) {
        let blocks = |n: u32| {
            let verdict = guesses.check(&token(&format!("guess {n}"), false));
            matches!(verdict, Verdict::TooOften { .. })
        };
        assert!((0..100).any(blocks));
    }

    fn is_admitted(guesses: &Arc<Guesses>, attempt: &Attempt<'_>) -> bool {
        matches!(guesses.check(attempt), Verdict::Admit)
    }

    #[test]
    fn a_right_secret_is_let_in_beside_wrong_ones() {
        let guesses = Guesses::new(Arc::default());
        assert!(is_admitted(&guesses, &token("known", true)));
        block(&guesses);
        // It was right before; it cannot be guessed; it comes from elsewhere.
        assert!(is_admitted(&guesses, &token("known", true)));
        assert!(is_admitted(&guesses, &token("sixteen letters.", true)));
        let elsewhere = Attempt {
            address: [192, 0, 2, 2].into(),
            ..token("short", true)
        };
        assert!(is_admitted(&guesses, &elsewhere));
        // Otherwise nobody could tell it from a guess, at no door.
        for door in [DoorKind::Http, DoorKind::Tcp, DoorKind::Mqtt] {
            let short = Attempt {
                door,
                ..token("short", true)
            };
            assert!(!is_admitted(&guesses, &short));
        }
        let password = Attempt {
            user: "panel",
            ..token("sixteen letters.", true)
        };
        assert!(!is_admitted(&guesses, &password));
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_is_let_in_beside_guesses_only_to_the_client_that_showed_it_before() {
        let guesses = Guesses::new(Arc::default());
        let password = |client, secret, right| Attempt {
            user: "panel",
            client,
            ..token(secret, right)
        };
        for client in ["wall-1", ""] {
            assert!(is_admitted(&guesses, &password(client, "pan4711", true)));
        }
        block(&guesses);
        // Who guesses right is not told.
        for client in ["", "guesser"] {
            assert!(!is_admitted(&guesses, &password(client, "pan4711", true)));
        }
        assert!(is_admitted(&guesses, &password("wall-1", "pan4711", true)));
        // With the name of a client there is one guess.
        assert!(!is_admitted(
            &guesses,
            &password("wall-1", "pan4712", false)
        ));
        assert!(!is_admitted(&guesses, &password("wall-1", "pan4711", true)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_penalty_runs_on_without_the_client() {
        let guesses = Guesses::new(Arc::default());
        // Every delay is dropped at once, as when the client hangs up.
        block(&guesses);
        let begun = Instant::now();
        let Verdict::TooOften { retry_after } = guesses.check(&token("short", true)) else {
            panic!("not blocked")
        };
        tokio::time::advance(retry_after).await;
        assert!(is_admitted(&guesses, &token("short", true)));
        assert!(begun.elapsed() >= Duration::from_secs(1), "{retry_after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn few_answers_wait_at_a_time() {
        let guesses = Guesses::new(Arc::default());
        let mut delays = Vec::new();
        for network in 0..100 {
            for _ in 0..20 {
                let attempt = Attempt {
                    address: [192, 0, 2, network].into(),
                    ..token("old token", false)
                };
                if let Verdict::Wrong(delay) = guesses.check(&attempt) {
                    delays.push(delay);
                }
            }
            let most = MOST_WAITING_OF_ADDRESS * (usize::from(network) + 1);
            assert_eq!(delays.len(), most.min(MOST_WAITING));
        }
        for delay in delays {
            delay.over().await;
        }
        assert!(guesses.state.lock().waiting.is_empty());
        let again = guesses.check(&token("old token", false));
        assert!(matches!(again, Verdict::Wrong(_)));
    }

    #[test]
    fn the_page_says_these_limits() {
        let page = include_str!("../docs/http.md");
        for wanted in [
            format!("| {MOST_WAITING_OF_ADDRESS} of an address, {MOST_WAITING} together;"),
            format!("if it has {UNGUESSABLE_TOKEN_LENGTH} characters or more"),
            format!("from addresses beyond {}", penalties::MOST_PENALTIES),
            format!(
                "More than {} of these from one /48",
                penalties::MOST_NETWORKS_OF_SITE
            ),
            format!("more than {} s of", penalties::ALLOWANCE.as_secs()),
        ] {
            assert!(page.contains(&wanted), "{wanted}");
        }
    }
}
