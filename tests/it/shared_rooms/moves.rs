//! Rooms move between gateways: each command has one result, and the next owner publishes only what is new.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_rooms_move_each_command_is_carried_out_and_answered_once() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let members = ["gw-1", "gw-2"].map(|name| Member::start(broker.port, name));
    let both = rooms(&["1", "2"]);
    for member in &members {
        member.connected().await;
    }
    members[0].take_over(&both).await;
    let client = Client::connect(broker.port).await;
    let count = AtomicUsize::new(0);
    let moving = async {
        for n in 0..10 {
            hand_over(&members[n % 2], &members[(n + 1) % 2], &both).await;
            let enough = count.load(Ordering::Relaxed) + 20;
            until(
                || "commands between two moves".into(),
                async || count.load(Ordering::Relaxed) >= enough,
            )
            .await;
        }
    };
    let done = AtomicBool::new(false);
    let commands = async {
        let mut number = 0;
        while !done.load(Ordering::Relaxed) {
            let room = 1 + number % 2;
            let topic = format!("room/{room}/audio/volume/set");
            let response = (number % 3 == 0).then_some("answers/here");
            let (payload, properties) = (number.to_string(), numbered(number, response));
            if number % 4 < 2 {
                client
                    .publish_at_most_once(&topic, payload, properties)
                    .await;
                sleep(Duration::from_micros(500)).await;
            } else {
                client
                    .publish_with(&topic, payload, false, properties)
                    .await;
            }
            number += 1;
            count.store(number, Ordering::Relaxed);
        }
        number
    };
    let moves = async {
        moving.await;
        done.store(true, Ordering::Relaxed);
    };
    let (sent, ()) = tokio::join!(commands, moves);
    client
        .until("an answer for each", |client| answers(client).len() == sent)
        .await;
    // A second one would come by now.
    sleep(Duration::from_millis(300)).await;
    let twice = answers(&client)
        .into_iter()
        .filter(|(_, times)| *times != 1);
    assert_eq!(twice.collect::<Vec<_>>(), []);
    let mut carried_out = BTreeMap::<String, u32>::new();
    for member in &members {
        for (what, times) in &*member.devices.carried_out.lock().unwrap() {
            *carried_out.entry(what.clone()).or_default() += times;
        }
    }
    assert_eq!(carried_out.len(), sent);
    assert!(carried_out.values().all(|times| *times == 1));
    // Both have had a part in it, and no deputy waits for anything.
    for member in &members {
        assert!(!member.devices.carried_out.lock().unwrap().is_empty());
        until(
            || format!("remembered: {:?}", member.shared.remembered()),
            async || member.shared.remembered().0 == 0,
        )
        .await;
    }
    for member in members {
        member.kill();
    }
}

/// The next owner of a room publishes what differs from what the broker holds, and nothing else. A result takes the
/// states of its room along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_owner_publishes_only_what_the_broker_does_not_hold() {
    if mosquitto().is_none() {
        return;
    }
    let broker = Mosquitto::start(0, "");
    let [old, new] = ["gw-1", "gw-2"].map(|name| Member::start(broker.port, name));
    let some: Vec<Arc<str>> = (0..40).map(|n| format!("{n}").into()).collect();
    let topic = |room: &str, state: &str| format!("room/{room}/{state}");
    let states = ["audio/volume", "audio/muted", "audio/mute_locked"];
    old.connected().await;
    old.take_over(&some).await;
    let client = Client::connect(broker.port).await;
    for room in &some {
        for state in states {
            old.store.set(&topic(room, state), StateValue::text("5"));
        }
        client.expect(&topic(room, states[2]), "5").await;
    }
    new.connected().await;
    new.deputize(&some).await;
    old.kill();
    client.clear();
    new.take_over(&some).await;
    for room in &some {
        for (state, value) in states.iter().zip(["5", "6", "5"]) {
            new.store.set(&topic(room, state), StateValue::text(value));
        }
    }
    for room in &some {
        client.expect(&topic(room, "audio/muted"), "6").await;
    }
    // What comes later is published, also if it is what the broker held first.
    for (value, room) in [("7", &some[0]), ("5", &some[0])] {
        let volume = topic(room, "audio/volume");
        new.store.set(&volume, StateValue::text(value));
        client.expect(&volume, value).await;
    }
    let same = ["audio/volume", "audio/mute_locked"];
    let same = same.map(|state| some[1..].iter().map(move |room| topic(room, state)));
    let again = same.into_iter().flatten();
    let again: Vec<_> = again
        .filter(|topic| !client.messages(topic).is_empty())
        .collect();
    // A broker that is late with something costs messages only.
    assert!(again.len() < some.len() / 4, "{again:?}");
    new.kill();
}
