//! A broker that comes back with older retained messages: those of a room that stays with its gateway are read again.

use super::*;

/// A state that the room had, and that the broker has again after the connection ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_back_of_a_room_that_stays_is_cleared() {
    const GONE: &str = "room/1/audio/muted";
    const STAYS: &str = "room/1/audio/volume";
    let broker = ScriptedBroker::start(Script {
        tells_retained: Box::new(|_, _| true),
        ..Script::default()
    })
    .await;
    let member = Member::start(broker.port, "gw-1");
    member.connected().await;
    let one = rooms(&["1"]);
    member.shared.arrive(&one, Arrival::New, next_revision());
    soon("the room is granted", member.shared.granted(&one)).await;
    let complete = RoomStatus {
        online: true,
        known: true,
        complete: true,
    };
    member.store.set_room(&one[0], complete);
    for topic in [GONE, STAYS] {
        member.store.set(topic, StateValue::text("5"));
        broker.holds(topic, "5").await;
    }
    let older = broker.messages(GONE).remove(0);
    member.store.clear(GONE);
    broker.holds(GONE, "").await;
    broker.retain_copy(older);
    // The server shuts down, and the next one is this again. What reads may still be connected too.
    broker.send_to_first(packet(0xE0, &[0x8B]));
    broker.holds(GONE, "").await;
    assert_eq!(broker.retained(STAYS).as_deref(), Some("5"));
    member.kill();
}
