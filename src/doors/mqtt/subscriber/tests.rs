use std::time::Duration;

use super::super::incoming::tests::incoming;
use super::*;
use crate::state::{Item, StateValue};

fn setup() -> (Arc<StateStore>, Arc<MqttSubscriber>) {
    let store = StateStore::new();
    let door = Arc::new(MqttSubscriber::new(
        GatewayId::of_client("poly2mqtt"),
        Arc::default(),
    ));
    let subscriber: Arc<dyn Subscriber> = door.clone();
    store.subscribe(Arc::downgrade(&subscriber));
    (store, door)
}

fn waiting(door: &MqttSubscriber) -> Vec<String> {
    let items = std::iter::from_fn(|| door.outbox.try_next());
    items
        .map(|item| match item {
            Item::State(topic) => topic.to_string(),
            other => panic!("{other:?}"),
        })
        .collect()
}

const VOLUME: &str = "room/1/audio/volume";
const COMPLETE: RoomStatus = RoomStatus {
    online: true,
    known: true,
    complete: true,
};

/// The broker sends a retained message with this gateway's mark.
fn own(door: &MqttSubscriber, store: &StateStore, topic: &str) -> bool {
    let message = incoming(topic, b"5", MessageOwner::ThisGateway, Some("own"));
    door.retained_arrived(store, &message)
}

/// Somebody else has the broker retain this.
fn not_own(
    door: &MqttSubscriber,
    store: &StateStore,
    topic: &str,
    payload: &[u8],
    owner: MessageOwner,
) -> bool {
    let id = (owner == MessageOwner::AnotherGateway).then_some("other");
    door.retained_arrived(store, &incoming(topic, payload, owner, id))
}

#[test]
fn a_state_that_is_taken_away_quietly_is_not_cleared() {
    let (store, door) = setup();
    for topic in [VOLUME, "room/1/audio/muted", "room/2/audio/volume", "other"] {
        store.set(topic, StateValue::text("5"));
    }
    store.take_room_quietly("1");
    store.remove_quietly("other");
    assert_eq!(waiting(&door), ["room/2/audio/volume"]);
    store.set(VOLUME, StateValue::text("5"));
    assert_eq!(waiting(&door), [VOLUME]);
}

#[test]
fn a_leftover_is_cleared_when_its_room_has_been_read() {
    let (store, door) = setup();
    let room: Arc<str> = "1".into();
    store.set_room(&room, RoomStatus::default());
    assert!(own(&door, &store, VOLUME));
    assert!(own(&door, &store, "room/1/audio/muted"));
    assert!(own(&door, &store, "room/1/availability"));
    door.settle(&store, Instant::now());
    assert!(waiting(&door).is_empty());
    store.set("room/1/audio/muted", StateValue::text("true"));
    assert_eq!(waiting(&door), ["room/1/audio/muted"]);
    store.set_room(&room, COMPLETE);
    assert_eq!(waiting(&door), [VOLUME]);
    // One that arrives later is cleared at once; one that is set stays.
    assert!(own(&door, &store, VOLUME));
    assert!(own(&door, &store, "room/1/audio/muted"));
    assert_eq!(waiting(&door), [VOLUME]);
}

#[test]
fn a_removed_room_leaves_nothing() {
    let (store, door) = setup();
    door.settle(&store, Instant::now());
    store.set_room(&"1".into(), RoomStatus::default());
    assert!(own(&door, &store, VOLUME));
    store.remove_room("1");
    assert_eq!(waiting(&door), [VOLUME]);
}

#[test]
fn a_picture_of_an_earlier_run_stays_as_long_as_its_room() {
    const PICTURE: &str = "room/1/camera/snapshot/near";
    for settles_first in [true, false] {
        let (store, door) = setup();
        store.set_room(&"1".into(), COMPLETE);
        if settles_first {
            door.settle(&store, Instant::now());
        }
        assert!(own(&door, &store, PICTURE));
        assert!(own(&door, &store, "room/1/readiness"));
        store.set("room/1/readiness", StateValue::text("{}"));
        assert_eq!(waiting(&door), ["room/1/readiness"]);
        store.remove_room("1");
        if !settles_first {
            assert_eq!(waiting(&door), ["room/1/readiness"]);
            door.settle(&store, Instant::now());
        }
        assert!(waiting(&door).contains(&PICTURE.to_owned()));
    }
}

#[test]
fn nothing_is_cleared_before_the_broker_has_told_what_it_holds() {
    let (store, door) = setup();
    let room: Arc<str> = "1".into();
    store.set_room(&room, RoomStatus::default());
    assert!(own(&door, &store, VOLUME));
    assert!(own(&door, &store, "room/7/audio/volume"));
    store.set_room(&room, COMPLETE);
    assert!(waiting(&door).is_empty() && !*door.may_clear().borrow());
    door.settle(&store, Instant::now());
    assert_eq!(waiting(&door), [VOLUME, "room/7/audio/volume"]);
    assert!(*door.may_clear().borrow());
    assert!(own(&door, &store, "room/7/availability"));
    assert_eq!(waiting(&door), ["room/7/availability"]);
}

#[test]
fn what_has_another_mark_or_none_is_left_alone() {
    let (store, door) = setup();
    door.settle(&store, Instant::now());
    store.set_room(&"1".into(), COMPLETE);
    for owner in [MessageOwner::AnotherGateway, MessageOwner::Unknown] {
        for topic in [VOLUME, "room/7/audio/volume", "room/7/availability"] {
            assert!(not_own(&door, &store, topic, b"5", owner));
        }
    }
    assert!(waiting(&door).is_empty());
    // The newest message counts: what was this gateway's is another's now.
    let (store, door) = setup();
    assert!(own(&door, &store, "room/7/audio/volume"));
    let taken = not_own(
        &door,
        &store,
        "room/7/audio/volume",
        b"5",
        MessageOwner::AnotherGateway,
    );
    door.settle(&store, Instant::now());
    assert!(taken && waiting(&door).is_empty());
}

#[test]
fn a_state_that_another_gateway_has_published_is_not_cleared() {
    let (store, door) = setup();
    store.set_room(&"1".into(), COMPLETE);
    store.set(VOLUME, StateValue::text("5"));
    assert!(door.may_clear_topic(VOLUME));
    assert!(not_own(
        &door,
        &store,
        VOLUME,
        b"5",
        MessageOwner::AnotherGateway
    ));
    assert!(!door.may_clear_topic(VOLUME));
    door.published(VOLUME);
    assert!(door.may_clear_topic(VOLUME));
}

#[test]
fn a_state_that_somebody_clears_or_overwrites_is_published_again() {
    let others = [MessageOwner::AnotherGateway, MessageOwner::Unknown];
    for (payload, owners, settled) in [
        (&b""[..], &others[..], false),
        // What a person writes; what another gateway with the same room writes stays.
        (b"99", &others[1..], true),
    ] {
        for owner in [
            MessageOwner::ThisGateway,
            MessageOwner::AnotherGateway,
            MessageOwner::Unknown,
        ] {
            let (store, door) = setup();
            store.set_room(&"1".into(), COMPLETE);
            store.set(VOLUME, StateValue::text("5"));
            if settled {
                door.settle(&store, Instant::now());
            }
            assert_eq!(waiting(&door), [VOLUME]);
            assert!(not_own(&door, &store, VOLUME, payload, owner));
            let restored = waiting(&door) == [VOLUME];
            assert_eq!(restored, owners.contains(&owner), "{payload:?} {owner:?}");
            // Again within the minute: later.
            not_own(&door, &store, VOLUME, payload, owner);
            assert!(waiting(&door).is_empty());
            door.restore_due(Instant::now() + Duration::from_secs(60));
            assert_eq!(waiting(&door) == [VOLUME], restored);
        }
    }
}

#[test]
fn what_only_subscribers_got_is_made_good_too() {
    let (store, door) = setup();
    store.set(VOLUME, StateValue::text("5"));
    assert_eq!(waiting(&door), [VOLUME]);
    // The broker still tells what it holds, perhaps without the flag.
    door.unretained_arrived(&store, VOLUME, b"99");
    assert!(waiting(&door).is_empty());
    door.settle(&store, Instant::now());
    door.unretained_arrived(&store, VOLUME, b"5");
    assert!(waiting(&door).is_empty());
    door.unretained_arrived(&store, VOLUME, b"99");
    assert_eq!(waiting(&door), [VOLUME]);
    // Retained or not, it is the same topic, and has the same minute.
    door.unretained_arrived(&store, VOLUME, b"99");
    not_own(&door, &store, VOLUME, b"99", MessageOwner::Unknown);
    assert!(waiting(&door).is_empty());
    door.restore_due(Instant::now() + Duration::from_secs(60));
    assert_eq!(waiting(&door), [VOLUME]);
}

#[test]
fn what_is_no_state_of_this_gateway_is_not_restored() {
    let (store, door) = setup();
    door.settle(&store, Instant::now());
    store.set(VOLUME, StateValue::text("5"));
    assert_eq!(waiting(&door), [VOLUME]);
    for (topic, payload) in [
        ("room/7/audio/volume", &b""[..]),
        ("room/1/audio/muted", b""),
        ("room/1/audio/volume/set", b""),
        // The same as its own.
        (VOLUME, b"5"),
    ] {
        not_own(&door, &store, topic, payload, MessageOwner::Unknown);
        door.unretained_arrived(&store, topic, payload);
        assert!(waiting(&door).is_empty(), "{topic}");
    }
}

#[test]
fn a_state_that_is_cleared_is_no_leftover() {
    let (store, door) = setup();
    store.set_room(&"1".into(), COMPLETE);
    door.settle(&store, Instant::now());
    assert!(not_own(&door, &store, VOLUME, b"", MessageOwner::Unknown));
    assert!(waiting(&door).is_empty());
}

#[test]
fn a_command_is_no_leftover() {
    let (store, door) = setup();
    assert!(!own(&door, &store, "room/1/audio/mute"));
    assert!(!own(&door, &store, "room/1/audio/volume/set"));
    assert!(!own(&door, &store, "room/1/no/such/state"));
}
