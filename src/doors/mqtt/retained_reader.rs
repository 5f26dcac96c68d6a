//! Reads what the broker holds of own rooms, for [`RetainedStates`](super::shared::retained_states::RetainedStates).
//!
//! By a connection of its own: what the broker retains of a room would stand before the commands in the queue of the
//! door's connection, of which Mosquitto has twenty messages under way at a time. There is one only while rooms wait. A
//! broker that does not tell costs nothing but messages: then everything is published.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::time::{sleep, timeout};

use super::DoorContext;
use super::incoming::IncomingPublish;
use super::shared::SharedRooms;
use super::shared::retained_states::StateDigest;
use super::survey::{ROOMS_AT_A_TIME, Survey};
use crate::gateway_id::MessageOwner;
use crate::topics::RoomTopics;

/// A connection that nothing is to be read with ends after this time.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// The delay after a failure. So long the states of a room that is taken meanwhile wait for nothing.
const RETRY_DELAY: Duration = Duration::from_secs(2);
/// What follows the gateway's client id in that of this connection. No gateway's name has a dot.
const CLIENT: &str = ".retained";

/// Reads until the door stops.
pub async fn read_retained(context: Arc<DoorContext>, shared: Arc<SharedRooms>) {
    let reading = async {
        let mut is_new = true;
        loop {
            let rooms = next_rooms(&shared).await;
            let Err(reason) = read(&context, &shared, rooms).await else {
                is_new = true;
                continue;
            };
            if std::mem::replace(&mut is_new, false) {
                context.telemetry.retained_not_read(&reason);
            }
            publish(&context, shared.retained().give_up());
            sleep(RETRY_DELAY).await;
        }
    };
    context.stopping.run_until_cancelled(reading).await;
}

/// Reads these rooms, and others while there are some.
async fn read(
    context: &DoorContext,
    shared: &SharedRooms,
    mut rooms: Vec<Arc<str>>,
) -> Result<(), String> {
    let mut survey = Survey::connect_as(CLIENT, &context.settings).await?;
    loop {
        let prefix = &context.settings.prefix;
        let filters: Vec<_> = (rooms.iter())
            .map(|room| prefix.add(&RoomTopics::new(room).all()))
            .collect();
        let mut messages = Vec::new();
        let take_one = |publish: &Publish| messages.push(publish.clone());
        survey.retained_now(&filters, take_one).await?;
        take(context, shared, &rooms, messages);
        match timeout(IDLE_TIMEOUT, next_rooms(shared)).await {
            Ok(next) => rooms = next,
            Err(_) => break,
        }
    }
    survey.close().await;
    Ok(())
}

async fn next_rooms(shared: &SharedRooms) -> Vec<Arc<str>> {
    loop {
        let rooms = shared.next_untold_rooms(ROOMS_AT_A_TIME);
        if !rooms.is_empty() {
            return rooms;
        }
        shared.states_wait.notified().await;
    }
}

/// The broker has sent what it retains of these rooms.
fn take(context: &DoorContext, shared: &SharedRooms, rooms: &[Arc<str>], messages: Vec<Publish>) {
    let mut states = BTreeMap::<&str, BTreeMap<Arc<str>, StateDigest>>::new();
    let mut others = Vec::new();
    for publish in &messages {
        let Ok(incoming) = IncomingPublish::parse(publish, &context.settings) else {
            continue;
        };
        let Some(room) = incoming.room() else {
            continue;
        };
        let is_own = incoming.owner == MessageOwner::ThisGateway;
        // Something of a room that was asked for before may be late.
        if is_own && rooms.iter().any(|asked| **asked == *room) {
            let content_type = publish.properties.as_ref();
            let content_type = content_type.and_then(|it| it.content_type.as_deref());
            let digest = StateDigest::of(&publish.payload, content_type);
            let states = states.entry(room).or_default();
            states.insert(incoming.topic.into(), digest);
        }
        let is_state =
            shared.owns(room) && (context.subscriber).retained_arrived(&context.store, &incoming);
        if !is_state && !incoming.mark.is_of_gateway() {
            others.push(publish.clone());
        }
    }
    for room in rooms {
        let states = states.remove(&**room).unwrap_or_default();
        publish(context, shared.retained().told(room, states));
    }
    shared.found_retained(others);
}

fn publish(context: &DoorContext, topics: impl IntoIterator<Item = Arc<str>>) {
    for topic in topics {
        context.subscriber.outbox.push_state(&topic);
    }
}
