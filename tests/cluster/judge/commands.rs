//! Whether every command was answered once and carried out at most once.

use crate::clock::SECOND;
use crate::ledger::{Door, Kind, Reached, Sent};
use crate::record::Request;
use crate::timeline::Act;

/// Errors that say that nothing was carried out, also of commands that are safe to repeat: such a command may have been
/// carried out before its device or its gateway was lost.
const NOT_CARRIED_OUT: &[&str] = &[
    "busy",
    "expired",
    "invalid_payload",
    "superseded",
    "unauthorized",
    "unknown_command",
    "unknown_room",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It has two results.
    TwoResults,
    /// It is not safe to repeat, and was carried out twice.
    Twice,
    /// Its result is `ok`, and the device has not carried it out.
    NotDone,
    /// Its result says that it was not carried out, and it was.
    Done,
    /// It has no result, and a gateway could have received it.
    Silence,
}

impl Fault {
    pub fn words(self) -> &'static str {
        match self {
            Self::TwoResults => "has two results",
            Self::Twice => "was carried out twice",
            Self::NotDone => "is ok and was not carried out",
            Self::Done => "was carried out, although its result says it was not",
            Self::Silence => "has no result",
        }
    }
}

/// What is wrong with a command. `done`: its requests at the device.
pub fn faults(sent: &Sent, done: &[Request], acts: &[Act]) -> Vec<Fault> {
    let carried = done.iter().filter(|request| request.carried()).count();
    let shows = sent.kind != Kind::Volume;
    let mut faults = Vec::new();
    // A gateway repeats to the broker what was not acknowledged when their connection broke.
    let repeated = sent.door == Door::Broker && of_broker(sent, acts);
    if sent.results.len() > 1 && !repeated {
        faults.push(Fault::TwoResults);
    }
    if sent.kind == Kind::Entry && carried > 1 {
        faults.push(Fault::Twice);
    }
    match sent.code() {
        Some("ok") if shows && carried == 0 => faults.push(Fault::NotDone),
        Some("ok" | "outcome_unknown") => {}
        Some(code)
            if shows
                && carried > 0
                && (sent.kind == Kind::Entry || NOT_CARRIED_OUT.contains(&code)) =>
        {
            faults.push(Fault::Done);
        }
        None if sent.reached == Reached::Yes && !may_be_silent(sent, acts) => {
            faults.push(Fault::Silence);
        }
        _ => {}
    }
    faults
}

/// Something was wrong with the broker or a path to it while the command was under way.
fn of_broker(sent: &Sent, acts: &[Act]) -> bool {
    let until = sent.at + 10 * SECOND;
    acts.iter().any(|act| {
        act.kind.is_of_broker() && act.touches(sent.at.saturating_sub(5 * SECOND), until)
    })
}

/// Perhaps nobody has received it: over the broker, what it had under way is lost with it, and two gateways that fail
/// at the same time may be the owner and its deputy.
fn may_be_silent(sent: &Sent, acts: &[Act]) -> bool {
    if sent.door != Door::Broker {
        return false;
    }
    if of_broker(sent, acts) {
        return true;
    }
    let (from, until) = (sent.at.saturating_sub(5 * SECOND), sent.at + 6 * SECOND);
    let near = acts
        .iter()
        .filter(|act| act.kind.is_of_gateway() && act.touches(from, until));
    let mut gateways: Vec<_> = near.flat_map(|act| act.gateways.iter()).collect();
    gateways.sort_unstable();
    gateways.dedup();
    gateways.len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acts::Kind as ActKind;

    fn sent(kind: Kind, code: &[&str]) -> Sent {
        let at = 100 * SECOND;
        let results = code.iter().map(|code| (at + SECOND, (*code).to_owned()));
        Sent {
            id: 1,
            room: 0,
            kind,
            door: Door::Broker,
            at,
            reached: Reached::Yes,
            results: results.collect(),
        }
    }

    fn done(acted: u16) -> Request {
        Request {
            gateway: Some(0),
            came: 100 * SECOND,
            answered: 100 * SECOND,
            acted,
            session: false,
        }
    }

    fn act(kind: ActKind, gateways: &[usize], began: u64) -> Act {
        Act {
            kind,
            gateways: gateways.to_vec(),
            began,
            ended: began + SECOND,
            about: String::new(),
        }
    }

    #[test]
    fn lost_and_doubled_commands_are_found() {
        for (kind, codes, done, expected) in [
            (Kind::Entry, &["ok"][..], vec![done(200)], None),
            (Kind::Entry, &["ok"], vec![done(403), done(200)], None),
            (Kind::Entry, &["outcome_unknown"], vec![done(200)], None),
            (Kind::Entry, &["outcome_unknown"], vec![], None),
            (Kind::Entry, &["offline"], vec![], None),
            (Kind::Volume, &["ok"], vec![], None),
            (Kind::Time, &["ok"], vec![done(200), done(200)], None),
            (
                Kind::Entry,
                &["ok"],
                vec![done(200), done(200)],
                Some(Fault::Twice),
            ),
            (
                Kind::Entry,
                &["outcome_unknown"],
                vec![done(200), done(201)],
                Some(Fault::Twice),
            ),
            (Kind::Entry, &["ok"], vec![], Some(Fault::NotDone)),
            (Kind::Time, &["ok"], vec![done(403)], Some(Fault::NotDone)),
            (
                Kind::Entry,
                &["offline"],
                vec![done(200)],
                Some(Fault::Done),
            ),
            (Kind::Time, &["offline"], vec![done(200)], None),
            (Kind::Time, &["expired"], vec![done(200)], Some(Fault::Done)),
            (
                Kind::Entry,
                &["ok", "ok"],
                vec![done(200)],
                Some(Fault::TwoResults),
            ),
            (
                Kind::Volume,
                &["ok", "offline"],
                vec![],
                Some(Fault::TwoResults),
            ),
            (Kind::Volume, &[], vec![], Some(Fault::Silence)),
        ] {
            let found = faults(&sent(kind, codes), &done, &[]);
            assert_eq!(
                found,
                Vec::from_iter(expected),
                "{kind:?} {codes:?} {done:?}"
            );
        }
    }

    #[test]
    fn a_command_that_did_not_arrive_may_be_silent() {
        for reached in [Reached::No, Reached::Maybe] {
            let sent = Sent {
                reached,
                ..sent(Kind::Entry, &[])
            };
            assert!(faults(&sent, &[], &[]).is_empty(), "{reached:?}");
        }
    }

    #[test]
    fn silence_is_excused_only_where_nobody_may_have_heard() {
        let at = 100 * SECOND;
        let kill = |gateway, began| act(ActKind::Kill, &[gateway], began);
        for (acts, excused) in [
            (vec![kill(0, at)], false),
            (vec![kill(0, at), kill(0, at + SECOND)], false),
            (vec![kill(0, at), kill(1, at + SECOND)], true),
            (vec![kill(0, at), kill(1, at + 50 * SECOND)], false),
            (vec![act(ActKind::Broker, &[], at - SECOND)], true),
            (vec![act(ActKind::Broker, &[], at - 50 * SECOND)], false),
            (vec![kill(0, at), act(ActKind::EtcdLeader, &[], at)], false),
        ] {
            let found = faults(&sent(Kind::Entry, &[]), &[], &acts);
            assert_eq!(found.is_empty(), excused, "{acts:?}");
        }
        // Over a connection that lasts, nothing excuses it.
        let direct = Sent {
            door: Door::WebSocket(0),
            ..sent(Kind::Entry, &[])
        };
        let acts = [kill(0, at), kill(1, at)];
        assert_eq!(faults(&direct, &[], &acts), [Fault::Silence]);
    }
}
