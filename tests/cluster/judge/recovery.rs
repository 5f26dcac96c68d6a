//! How long it took until the cluster was whole again after an act, and what the act moved.

use std::collections::BTreeMap;

use crate::history::History;
use crate::ledger::{Door, Reached, Sent};
use crate::record::Record;

/// How long it took until each of these shards belonged to one of `able`, at most; `None` if one does not.
pub fn owned_again(history: &History, shards: &[usize], since: u64, able: &[&str]) -> Option<u64> {
    let times = shards
        .iter()
        .map(|shard| history.owned_again(*shard, since, able));
    times.collect::<Option<Vec<_>>>()?.into_iter().max()
}

/// How long it took until each of these rooms was read by its gateway and online; those that are not yet, are left
/// out.
pub fn online_again(
    record: &Record,
    said: &BTreeMap<usize, (bool, u64)>,
    rooms: &[usize],
    since: u64,
) -> Vec<u64> {
    let online = rooms.iter().filter_map(|room| {
        let (_, read) = *record.first_read.get(room)?;
        let (online, told) = *said.get(room)?;
        // Where it was never called offline, the last word is older than the act.
        online.then(|| read.max(told).saturating_sub(since))
    });
    online.collect()
}

/// How long commands to these rooms took from being sent to their result, if they were sent at the broker or at one
/// of the `able` gateways and arrived.
pub fn answered(sent: &[Sent], rooms: &[usize], able: impl Fn(usize) -> bool) -> Vec<u64> {
    let concerned = sent.iter().filter(|sent| {
        let door = match sent.door {
            Door::Broker => true,
            Door::WebSocket(gateway) | Door::Http(gateway) => able(gateway),
        };
        door && sent.reached == Reached::Yes && rooms.contains(&sent.room)
    });
    concerned.filter_map(Sent::took).collect()
}

/// Which part of all rooms has another owner than before.
#[allow(clippy::cast_precision_loss)]
pub fn moved(
    before: &BTreeMap<usize, String>,
    after: &BTreeMap<usize, String>,
    counts: impl Fn(&str) -> bool,
) -> f64 {
    let moved = before
        .iter()
        .filter(|(room, owner)| counts(owner) && after.get(room) != Some(owner));
    moved.count() as f64 / before.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::{a_take_over, table};
    use crate::ledger::Kind;
    use crate::record::Request;

    #[test]
    fn the_slowest_shard_counts() {
        let mut history = a_take_over();
        history.hear(&[table(6, 72, &[(7, "b"), (8, "b")])]);
        assert_eq!(owned_again(&history, &[7], 20, &["b"]), Some(30));
        assert_eq!(owned_again(&history, &[7, 8], 20, &["b"]), Some(52));
        assert_eq!(owned_again(&history, &[7, 9], 20, &["b"]), None);
        assert_eq!(owned_again(&history, &[7], 20, &["c"]), None);
    }

    #[test]
    fn a_room_is_online_when_it_was_read_and_is_called_online() {
        let mut record = Record::default();
        let request = Request {
            gateway: Some(1),
            came: 40,
            answered: 42,
            acted: 200,
            session: false,
        };
        record.note(3, request, None);
        record.note(4, request, None);
        record.note(5, request, None);
        let said = BTreeMap::from([(3, (true, 5)), (4, (true, 60)), (5, (false, 50))]);
        assert_eq!(online_again(&record, &said, &[3, 4, 5, 6], 30), [12, 30]);
    }

    #[test]
    fn only_commands_that_arrived_at_the_living_are_measured() {
        let sent = |room, door, reached| Sent {
            id: 1,
            room,
            kind: Kind::Entry,
            door,
            at: 10,
            reached,
            results: vec![(15, "ok".into())],
        };
        let all = [
            sent(1, Door::Broker, Reached::Yes),
            sent(1, Door::Http(0), Reached::Yes),
            sent(1, Door::Http(1), Reached::Yes),
            sent(1, Door::Broker, Reached::Maybe),
            sent(2, Door::Broker, Reached::Yes),
        ];
        assert_eq!(answered(&all, &[1], |gateway| gateway != 0), [5, 5]);
    }

    #[test]
    fn moved_rooms_are_counted() {
        let owners = |all: &[(usize, &str)]| -> BTreeMap<usize, String> {
            let all = all.iter().map(|(room, owner)| (*room, (*owner).to_owned()));
            all.collect()
        };
        let before = owners(&[(1, "a"), (2, "b"), (3, "a"), (4, "b")]);
        let after = owners(&[(1, "a"), (2, "c"), (3, "c"), (4, "b")]);
        assert!((moved(&before, &after, |_| true) - 0.5).abs() < 1e-9);
        assert!((moved(&before, &after, |owner| owner != "b") - 0.25).abs() < 1e-9);
    }
}
