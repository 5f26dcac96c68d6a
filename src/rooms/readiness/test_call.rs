//! The test call, from the dial to the hang-up.
//!
//! Pure: gets the calls that are up and the time, returns what to do next. Whatever happens, it ends only
//! when none of its connections is up any more, or when hanging up failed again and again. It never hangs
//! up the call of somebody else.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::{Check, Interruption};
use crate::catalogue::{CallConnection, CallPhase};
use crate::command::{ErrorCode, Failure};

/// The wait between two looks at the calls: people wait for the result, and a device takes some seconds to
/// connect.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often a hang-up that does not work is tried (ten seconds), as long as a device may be busy.
const MOST_HANG_UPS: u32 = 20;
/// How often the calls are looked at after a dial whose answer is not known (two seconds): the device may
/// still begin the call.
const LOOKS_AFTER_UNKNOWN_DIAL: u32 = 4;
const NAME: &str = "call";

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum CallStep {
    /// Look at the calls again after this time.
    Look(Duration),
    /// Hang these up: the conference and the connection of each. Then look again after a moment.
    HangUp(Vec<(String, String)>),
    /// Nothing of it is left.
    End,
}

/// How the call has ended.
#[derive(Debug)]
enum Ending {
    Checked(Check),
    Interrupted(Interruption),
}

/// A test call.
#[derive(Debug)]
pub struct TestCall {
    address: String,
    /// The conference and the connection, as the answer to the dial named them.
    link: Option<(String, String)>,
    /// The call must be connected by then.
    deadline: Instant,
    timeout: Duration,
    /// Whether the device may begin the call although nothing of it is seen.
    is_unsure: bool,
    was_seen: bool,
    ending: Option<Ending>,
    hang_ups: u32,
    clear_looks: u32,
}

impl TestCall {
    /// A call that is about to be dialled, while no other is up.
    pub fn new(address: &str, timeout: Duration, now: Instant) -> Self {
        Self {
            address: address.to_owned(),
            link: None,
            deadline: now + timeout,
            timeout,
            is_unsure: true,
            was_seen: false,
            ending: None,
            hang_ups: 0,
            clear_looks: 0,
        }
    }

    /// The dial was answered.
    pub fn dialled(&mut self, answer: &Value) {
        self.link = link(answer);
        self.is_unsure = self.link.is_none();
    }

    /// The dial failed, or its answer was lost.
    pub fn dial_failed(&mut self, failure: &Failure) {
        self.is_unsure = failure.code.is_unsure();
        let check = match failure.code {
            ErrorCode::Unsupported | ErrorCode::ModeLocked => Check::passed(
                NAME,
                format!("this device places no calls now: {}", failure.message),
            ),
            _ => Check::failed(
                NAME,
                format!(
                    "{} could not be called: {}; check the address and the registrations",
                    self.address, failure.message
                ),
            ),
        };
        self.ending.get_or_insert(Ending::Checked(check));
    }

    /// The run is to end now.
    pub fn interrupt(&mut self, why: Interruption) {
        self.ending.get_or_insert(Ending::Interrupted(why));
    }

    /// Whether it still waits to be connected.
    pub fn is_waiting(&self) -> bool {
        self.ending.is_none()
    }

    /// What to do, after a look at the calls. An error: why they could not be read.
    pub fn next(&mut self, calls: Result<&[CallConnection], &str>, now: Instant) -> CallStep {
        let own: Option<Vec<_>> = calls.ok().map(|calls| {
            let own = calls.iter().filter(|call| self.is_own(call));
            own.collect()
        });
        if self.ending.is_none() {
            self.ending = self.judge(own.as_deref(), calls.err(), now);
        }
        self.was_seen |= own.as_ref().is_some_and(|own| !own.is_empty());
        if self.ending.is_none() {
            return CallStep::Look(LOOK_INTERVAL);
        }
        if !self.is_unsure && self.link.is_none() {
            // The device refused to dial: there is no call.
            return CallStep::End;
        }
        let left: Vec<_> = match own {
            Some(own) => {
                let ids = |call: &CallConnection| (call.conference.clone(), call.id.clone());
                own.into_iter().map(ids).collect()
            }
            None => self.link.iter().cloned().collect(),
        };
        if left.is_empty() && calls.is_ok() {
            self.clear_looks += 1;
            let wanted = if self.is_unsure {
                LOOKS_AFTER_UNKNOWN_DIAL
            } else {
                1
            };
            return if self.clear_looks >= wanted {
                CallStep::End
            } else {
                CallStep::Look(LOOK_INTERVAL)
            };
        }
        self.hang_ups += 1;
        if self.hang_ups > MOST_HANG_UPS {
            let message = format!(
                "the test call to {} could not be hung up; hang it up in the room, then restart \
                 the device",
                self.address
            );
            self.ending = Some(Ending::Checked(Check::failed(NAME, message)));
            return CallStep::End;
        }
        if left.is_empty() {
            CallStep::Look(LOOK_INTERVAL)
        } else {
            CallStep::HangUp(left)
        }
    }

    fn judge(
        &self,
        own: Option<&[&CallConnection]>,
        unread: Option<&str>,
        now: Instant,
    ) -> Option<Ending> {
        let address = &self.address;
        let is_connected = |call: &&CallConnection| call.phase == CallPhase::Connected;
        let check = match own {
            Some(own) if own.iter().any(is_connected) => Check::passed(
                NAME,
                format!("a call to {address} was connected and hung up"),
            ),
            Some([]) if self.was_seen => Check::failed(
                NAME,
                format!(
                    "the call to {address} ended before it was connected; check whether the other \
                     end answers"
                ),
            ),
            _ if now >= self.deadline => {
                let seconds = self.timeout.as_secs();
                let why = unread.map_or(String::new(), |why| format!(" ({why})"));
                Check::failed(
                    NAME,
                    format!(
                        "the call to {address} was not connected within {seconds} s{why}; check \
                         whether the other end answers"
                    ),
                )
            }
            _ => return None,
        };
        Some(Ending::Checked(check))
    }

    /// Whether this is the test call. The answer to the dial names the connection; without it the address
    /// tells, and while nobody else dials, any new call that goes out.
    fn is_own(&self, call: &CallConnection) -> bool {
        if call.incoming {
            return false;
        }
        if let Some((_, id)) = &self.link {
            return *id == call.id;
        }
        let is_alone = !matches!(self.ending, Some(Ending::Interrupted(_)));
        let same = |address: &String| address.eq_ignore_ascii_case(&self.address);
        is_alone || call.address.as_ref().is_some_and(same)
    }

    /// What the call has shown.
    ///
    /// # Errors
    /// It was interrupted.
    pub fn check(self) -> Result<Check, Interruption> {
        match self.ending {
            Some(Ending::Checked(check)) => Ok(check),
            Some(Ending::Interrupted(why)) => Err(why),
            None => Ok(Check::failed(NAME, "the call was not watched to its end")),
        }
    }
}

/// The conference and the connection in the answer to a dial:
/// `[{"rel":"self","href":"/rest/conferences/0/connections/3"}]`.
fn link(answer: &Value) -> Option<(String, String)> {
    let link = answer.as_array().and_then(|links| links.first());
    let href = link.unwrap_or(answer)["href"].as_str()?;
    let (_, rest) = href.split_once("/conferences/")?;
    let (conference, connection) = rest.split_once("/connections/")?;
    let is_id = |id: &str| !id.is_empty() && !id.contains('/');
    (is_id(conference) && is_id(connection)).then(|| (conference.to_owned(), connection.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn call(id: &str, phase: CallPhase, address: &str) -> CallConnection {
        CallConnection {
            id: id.into(),
            conference: "0".into(),
            address: Some(address.into()),
            incoming: false,
            phase,
        }
    }

    fn up(id: &str) -> Vec<CallConnection> {
        vec![call(id, CallPhase::Connected, "echo@example.com")]
    }

    fn dialing(id: &str) -> Vec<CallConnection> {
        vec![call(id, CallPhase::Dialing, "echo@example.com")]
    }

    fn hang_up(id: &str) -> CallStep {
        CallStep::HangUp(vec![("0".into(), id.into())])
    }

    fn look() -> CallStep {
        CallStep::Look(LOOK_INTERVAL)
    }

    fn start(now: Instant) -> TestCall {
        TestCall::new("echo@example.com", TIMEOUT, now)
    }

    fn dialled(now: Instant) -> TestCall {
        let mut test = start(now);
        test.dialled(&json!([{"rel": "self", "href": "/rest/conferences/0/connections/3"}]));
        test
    }

    fn command() -> Interruption {
        Interruption::Command {
            topic: "call/dial".into(),
            takes_camera: false,
        }
    }

    #[test]
    fn a_call_is_hung_up_as_soon_as_it_is_connected() {
        let now = Instant::now();
        let mut test = dialled(now);
        assert_eq!(test.next(Ok(&dialing("3")), now), look());
        assert_eq!(test.next(Ok(&up("3")), now), hang_up("3"));
        // The device is slow, and then cannot be read.
        assert_eq!(test.next(Ok(&up("3")), now), hang_up("3"));
        assert_eq!(test.next(Err("why"), now), hang_up("3"));
        assert_eq!(test.next(Ok(&[]), now), CallStep::End);
        assert!(test.check().unwrap().ok);
    }

    #[test]
    fn a_call_that_never_connects_is_hung_up_at_the_deadline() {
        let now = Instant::now();
        let mut test = dialled(now);
        assert_eq!(test.next(Ok(&dialing("3")), now), look());
        assert_eq!(test.next(Ok(&dialing("3")), now + TIMEOUT), hang_up("3"));
        assert_eq!(test.next(Ok(&[]), now + TIMEOUT), CallStep::End);
        let check = test.check().unwrap();
        assert!(
            !check.ok && check.message.contains("within 60 s"),
            "{check:?}"
        );
    }

    #[test]
    fn a_call_that_ends_by_itself_was_not_answered() {
        let now = Instant::now();
        let mut test = dialled(now);
        test.next(Ok(&dialing("3")), now);
        assert_eq!(test.next(Ok(&[]), now), CallStep::End);
        let check = test.check().unwrap();
        assert!(
            !check.ok && check.message.contains("ended before"),
            "{check:?}"
        );
    }

    #[test]
    fn a_refused_dial_leaves_nothing_and_a_lost_answer_may_leave_a_call() {
        let now = Instant::now();
        let mut refused = start(now);
        refused.dial_failed(&Failure::new(
            ErrorCode::DeviceError,
            "the device answered 400",
        ));
        assert_eq!(
            refused.next(Ok(&up("1")), now),
            CallStep::End,
            "somebody else's"
        );
        assert!(!refused.check().unwrap().ok);
        let mut lost = start(now);
        lost.dial_failed(&Failure::new(ErrorCode::OutcomeUnknown, "why"));
        // It comes late, and its connection is not known.
        assert_eq!(lost.next(Ok(&[]), now), look());
        assert_eq!(lost.next(Ok(&dialing("7")), now), hang_up("7"));
        for _ in 2..LOOKS_AFTER_UNKNOWN_DIAL {
            assert_eq!(lost.next(Ok(&[]), now), look());
        }
        assert_eq!(lost.next(Ok(&[]), now), CallStep::End);
        assert!(!lost.check().unwrap().ok);
    }

    #[test]
    fn an_interrupted_call_is_hung_up_and_those_of_others_are_not() {
        let now = Instant::now();
        let others = call("9", CallPhase::Connected, "alice@example.com");
        let mut test = dialled(now);
        test.interrupt(command());
        let calls = [dialing("3"), vec![others.clone()]].concat();
        assert_eq!(test.next(Ok(&calls), now), hang_up("3"));
        assert_eq!(
            test.next(Ok(std::slice::from_ref(&others)), now),
            CallStep::End
        );
        assert_eq!(test.check(), Err(command()));
        // Before the dial was answered.
        let mut test = start(now);
        test.interrupt(command());
        assert_eq!(test.next(Ok(&calls), now), hang_up("3"));
        let mut incoming = others;
        incoming.incoming = true;
        for _ in 1..LOOKS_AFTER_UNKNOWN_DIAL {
            assert_eq!(test.next(Ok(std::slice::from_ref(&incoming)), now), look());
        }
        assert_eq!(test.next(Ok(&[]), now), CallStep::End);
    }

    #[test]
    fn a_call_that_cannot_be_hung_up_is_told() {
        let now = Instant::now();
        let mut test = dialled(now);
        for _ in 0..MOST_HANG_UPS {
            assert_eq!(test.next(Ok(&up("3")), now), hang_up("3"));
        }
        assert_eq!(test.next(Ok(&up("3")), now), CallStep::End);
        let check = test.check().unwrap();
        assert!(
            !check.ok && check.message.contains("could not be hung up"),
            "{check:?}"
        );
    }

    #[test]
    fn only_a_link_to_a_connection_is_one() {
        for href in [
            "/rest/conferences/0",
            "/rest/conferences/0/connections/",
            "x",
            "/conferences/a/b/connections/1",
        ] {
            assert_eq!(link(&json!([{"href": href}])), None, "{href}");
        }
        assert_eq!(link(&Value::Null), None);
        let one = json!({"href": "/rest/conferences/0/connections/3"});
        assert_eq!(link(&one), Some(("0".into(), "3".into())));
    }
}
