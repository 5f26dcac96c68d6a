//! The order in which an outbox gives what waits, and what it drops.

use super::queue::KEPT_CAPACITY;
use super::*;
use crate::state::{StateStore, StateValue};

impl OutboxReply for u32 {
    fn size(&self) -> usize {
        1
    }
}

#[tokio::test]
async fn a_state_that_changes_twice_is_sent_once_and_newest() {
    let store = StateStore::new();
    let outbox: Arc<Outbox<()>> = Arc::default();
    let subscriber: Arc<dyn Subscriber> = outbox.clone();
    store.subscribe(Arc::downgrade(&subscriber));
    store.set("room/1/audio/volume", StateValue::text("1"));
    store.set("room/1/audio/volume", StateValue::text("2"));
    store.set("room/1/audio/volume", StateValue::text("2"));
    let Item::State(topic) = outbox.next().await else {
        unreachable!()
    };
    assert_eq!(store.get(&topic), Some(StateValue::text("2")));
    assert!(outbox.is_empty());
}

#[test]
fn the_room_that_a_start_took_is_given_back() {
    let outbox: Outbox<()> = Outbox::default();
    let topics = 2 * KEPT_CAPACITY;
    for n in 0..topics {
        outbox.push_state(&n.to_string().into());
    }
    let sent = std::iter::from_fn(|| outbox.try_next()).count();
    assert_eq!(sent, topics);
    let queue = outbox.queue.lock();
    assert_eq!(queue.rooms.capacity() + queue.waiting_states.capacity(), 0);
}

#[test]
fn what_is_put_back_comes_first_and_in_order() {
    let outbox: Outbox<u32> = Outbox::default();
    outbox.push_state(&"a".into());
    let state = outbox.try_next().unwrap();
    outbox.push_reply(1);
    outbox.push_state(&"b".into());
    outbox.push_state(&"a".into());
    outbox.put_back(vec![state, Item::Reply(0)]);
    let order = std::iter::from_fn(|| outbox.try_next()).map(|item| match item {
        Item::State(topic) => topic.to_string(),
        Item::Event(..) => "event".into(),
        Item::Reply(number) => number.to_string(),
    });
    assert_eq!(order.collect::<Vec<_>>(), ["a", "0", "1", "b"]);
}

#[test]
fn the_oldest_of_too_many_results_can_be_taken() {
    let outbox: Outbox<u32> = Outbox::default();
    outbox.push_state(&"a".into());
    for number in 0..5 {
        outbox.push_reply(number);
    }
    assert_eq!(outbox.take_replies_above(3), [0, 1]);
    assert!(outbox.try_next().is_some(), "the state");
    outbox.put_back(vec![Item::Reply(9)]);
    assert_eq!(outbox.take_replies_above(3), [9]);
    assert!(outbox.take_replies_above(3).is_empty());
    assert_eq!(outbox.len(), 3);
    assert_eq!(outbox.take_replies_above(0), [2, 3, 4]);
    assert!(outbox.is_empty() && outbox.take_replies_above(0).is_empty());
}

#[test]
fn too_many_events_drop_the_oldest_and_are_counted() {
    let outbox: Outbox<()> = Outbox::default();
    for n in 0..=Outbox::<()>::MOST_EVENTS {
        let dropped = outbox.push_event(&"e".into(), &Bytes::from(n.to_string()));
        assert_eq!(dropped, n == Outbox::<()>::MOST_EVENTS);
    }
    let Some(Item::Event(_, first)) = outbox.try_next() else {
        unreachable!()
    };
    assert_eq!(first, "1");
}

/// A result that overtakes what waits of other rooms: its room, and a number, which is its size too.
pub(super) struct RoomReply(pub &'static str, pub usize);

impl OutboxReply for RoomReply {
    const OVERTAKES: bool = true;

    fn room(&self) -> &str {
        self.0
    }

    fn size(&self) -> usize {
        self.1
    }
}

#[test]
fn the_room_with_the_most_results_pays_for_too_many() {
    let outbox: Outbox<RoomReply> = Outbox::default();
    outbox.push_reply(RoomReply("2", 3));
    for _ in 0..1000 {
        outbox.push_reply(RoomReply("1", 1));
        outbox.push_state(&"room/1/audio/volume".into());
        for RoomReply(room, _) in outbox.take_replies_above(100) {
            assert_eq!(room, "1");
        }
    }
    outbox.push_reply(RoomReply("3", 30));
    assert!(
        outbox
            .take_replies_above(100)
            .iter()
            .all(|taken| taken.0 == "1")
    );
    // One that is larger than all others together goes first.
    outbox.push_reply(RoomReply("4", 101));
    assert_eq!(outbox.take_replies_above(100)[0].0, "4");
    let left = std::iter::from_fn(|| outbox.try_next());
    let (mut bytes, mut states, mut rooms) = (0, 0, std::collections::BTreeSet::new());
    for item in left {
        match item {
            Item::Reply(reply) => {
                bytes += reply.1;
                rooms.insert(reply.0);
            }
            _ => states += 1,
        }
    }
    assert_eq!((bytes, states), (100, 1));
    assert!(rooms.contains("1") && rooms.contains("2") && rooms.contains("3"));
    assert_eq!(outbox.queue.lock().reply_bytes, 0);
}

fn order(outbox: &Outbox<RoomReply>) -> Vec<String> {
    let items = std::iter::from_fn(|| outbox.try_next());
    let words = items.map(|item| match item {
        Item::State(topic) => topic.to_string(),
        Item::Event(topic, _) => format!("event {topic}"),
        Item::Reply(RoomReply(room, number)) => format!("{room} {number}"),
    });
    words.collect()
}

#[test]
fn a_result_waits_for_the_states_of_its_own_room_only() {
    let outbox = Outbox::default();
    for room in 0..3 {
        for state in ["a", "b"] {
            outbox.push_state(&format!("room/{room}/{state}").into());
        }
    }
    outbox.push_state(&"gateway/health".into());
    outbox.push_event(&"room/2/event".into(), &Bytes::new());
    outbox.push_reply(RoomReply("1", 7));
    outbox.push_state(&"room/1/c".into());
    outbox.push_reply(RoomReply("1", 8));
    let expected = [
        "room/2/a",
        "room/2/b",
        "event room/2/event",
        "room/1/a",
        "room/1/b",
        "1 7",
        "room/1/c",
        "1 8",
        "room/0/a",
        "room/0/b",
        "gateway/health",
    ];
    assert_eq!(outbox.len(), expected.len());
    assert_eq!(order(&outbox), expected);
    assert!(outbox.is_empty() && outbox.queue.lock().rooms.is_empty());
}

#[test]
fn whether_a_room_can_be_used_overtakes_the_states_of_others() {
    let outbox = Outbox::default();
    for topic in [
        "room/1/a",
        "room/1/b",
        "room/2/problem",
        "room/2/availability",
    ] {
        outbox.push_state(&topic.into());
    }
    outbox.push_state(&"room/2/a".into());
    // One that cannot be sent, and has changed since.
    let first = outbox.try_next().unwrap();
    outbox.push_state(&"room/2/problem".into());
    outbox.put_back(vec![first]);
    // Its turn is the first now, so its other states follow.
    let expected = [
        "room/2/problem",
        "room/2/availability",
        "room/2/a",
        "room/1/a",
        "room/1/b",
    ];
    assert_eq!(order(&outbox), expected);
    assert!(outbox.is_empty() && outbox.queue.lock().rooms.is_empty());
}

#[test]
fn results_of_a_flooded_room_take_turns_with_others() {
    let outbox = Outbox::default();
    for number in 0..3 {
        outbox.push_reply(RoomReply("1", number));
    }
    outbox.push_reply(RoomReply("2", 9));
    assert_eq!(order(&outbox), ["1 0", "2 9", "1 1", "1 2"]);
}

#[test]
fn what_is_put_back_comes_before_what_waits_of_its_room() {
    let outbox = Outbox::default();
    for topic in ["room/1/a", "room/2/a", "room/2/b"] {
        outbox.push_state(&topic.into());
    }
    let first = outbox.try_next().unwrap();
    outbox.push_state(&"room/1/b".into());
    outbox.push_reply(RoomReply("2", 2));
    let states = [first, Item::State("room/2/b".into())];
    outbox.put_back(
        states
            .into_iter()
            .chain([Item::Reply(RoomReply("1", 1))])
            .collect(),
    );
    let expected = ["room/1/a", "1 1", "room/2/b", "room/2/a", "2 2", "room/1/b"];
    assert_eq!(order(&outbox), expected);
}

#[test]
fn every_item_comes_once_and_each_room_in_order() {
    let outbox = Outbox::default();
    let mut pushed = Vec::<String>::new();
    let mut got = Vec::new();
    let rooms = ["1", "2", "3"];
    for number in 0_u32..3000 {
        let room = rooms[usize::try_from(number.wrapping_mul(2_654_435_761) >> 7).unwrap() % 3];
        match number.wrapping_mul(40_503) >> 3 & 7 {
            0 => outbox.push_reply(RoomReply(room, usize::try_from(number).unwrap())),
            1 => {
                outbox.push_event(&format!("room/{room}/e{number}").into(), &Bytes::new());
            }
            2 => outbox.push_state(&format!("gateway/{number}").into()),
            3..6 => outbox.push_state(&format!("room/{room}/s{number}").into()),
            _ => {
                if let Some(item) = outbox.try_next() {
                    // Half of them cannot be sent, and come again.
                    match number % 2 {
                        0 => outbox.put_back(vec![item]),
                        _ => got.push(item),
                    }
                }
                continue;
            }
        }
        pushed.push(number.to_string());
    }
    got.extend(std::iter::from_fn(|| outbox.try_next()));
    let number = |item: &Item<RoomReply>| match item {
        Item::State(topic) | Item::Event(topic, _) => {
            topic.rsplit(['/', 's', 'e']).next().unwrap().to_owned()
        }
        Item::Reply(reply) => reply.1.to_string(),
    };
    let mut numbers: Vec<_> = got.iter().map(number).collect();
    for room in ["", "1", "2", "3"] {
        let of_room = got.iter().filter(|item| item.room() == room).map(number);
        let of_room: Vec<u32> = of_room.map(|text| text.parse().unwrap()).collect();
        assert!(of_room.is_sorted() && !of_room.is_empty(), "{room}");
    }
    numbers.sort();
    pushed.sort();
    assert_eq!(numbers, pushed);
}

#[test]
fn what_may_not_go_now_keeps_its_place_and_others_go() {
    let outbox = Outbox::default();
    for room in ["1", "2"] {
        outbox.push_reply(RoomReply(room, 1));
        outbox.push_state(&format!("room/{room}/audio/volume").into());
        outbox.push_reply(RoomReply(room, 2));
    }
    let name = |item: Item<RoomReply>| match item {
        Item::Reply(RoomReply(room, number)) => format!("{room}: {number}"),
        Item::State(topic) => topic.to_string(),
        Item::Event(..) => unreachable!(),
    };
    let is_first_of_1 = |item: &Item<RoomReply>| matches!(item, Item::Reply(RoomReply("1", 1)));
    let next = || outbox.try_next_of(|item| !is_first_of_1(item));
    let went: Vec<_> = std::iter::from_fn(next).map(name).collect();
    let of = |room: &str| {
        let is_of = |name: &&String| {
            name.starts_with(&format!("{room}:")) || name.starts_with(&format!("room/{room}/"))
        };
        went.iter().filter(is_of).cloned().collect::<Vec<_>>()
    };
    assert_eq!(of("1"), ["room/1/audio/volume", "1: 2"]);
    assert_eq!(of("2"), ["2: 1", "room/2/audio/volume", "2: 2"]);
    assert_eq!(outbox.try_next().map(name), Some("1: 1".into()));
    assert!(outbox.is_empty() && outbox.try_next().is_none());
}
