//! Reads what a broker holds that may have come back with something older, so that what is left over is cleared.
//!
//! By a connection of its own, and by QoS 0: what the broker retains of many rooms would fill the queue of the door's
//! connection, where commands come, and Mosquitto drops what is above a thousand messages for one client.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::time::timeout;

use super::DoorContext;
use super::incoming::Incoming;
use super::leftovers::Retained;
use super::survey::{Survey, UNANSWERED};
use crate::gateway_id::MessageOwner;
use crate::state::StateStore;
use crate::topics::{Below, ROOM, RoomTopics, Topic};

/// So many rooms are read at a time. Each has some sixty messages.
const ROOMS_AT_A_TIME: usize = 15;
/// How long the broker may take for them, or for the availability of all.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
/// What follows the gateway's client id in that of this connection.
const CLIENT: &str = ".retained";

/// Reads it once, unless the door stops.
pub async fn read_older(context: Arc<DoorContext>) {
    let stopping = context.stopping.clone();
    match stopping.run_until_cancelled(read(&context)).await {
        Some(Ok(0)) | None => {}
        Some(Ok(topics)) => context.telemetry.broker_held_older(topics),
        Some(Err(reason)) => context.telemetry.older_not_read(&reason),
    }
}

/// Returns how many topics are left over.
async fn read(context: &DoorContext) -> Result<usize, String> {
    let prefix = &context.settings.prefix;
    let mut survey = Survey::connect_as(CLIENT, &context.settings).await?;
    let availability = prefix.add(&RoomTopics::ANY.availability());
    let found = tell(&mut survey, &[availability]).await?;
    // A room that was taken out is only known by what the broker holds.
    let mut rooms = rooms(&context.store);
    rooms.extend(own(context, &found).filter_map(|it| it.room().map(str::to_owned)));
    let rooms: Vec<String> = rooms.into_iter().collect();
    let mut left_over = 0;
    for rooms in rooms.chunks(ROOMS_AT_A_TIME) {
        let filters: Vec<_> = (rooms.iter())
            .map(|room| prefix.add(&RoomTopics::new(room).all()))
            .collect();
        let messages = tell(&mut survey, &filters).await?;
        for message in own(context, &messages) {
            left_over += usize::from(is_left_over(&context.store, &message));
            (context.subscriber).retained_arrived(&context.store, &message);
        }
    }
    survey.close().await;
    Ok(left_over)
}

async fn tell(survey: &mut Survey, filters: &[String]) -> Result<Vec<Publish>, String> {
    let told = timeout(TELL_TIMEOUT, survey.retained_now(filters)).await;
    told.map_err(|_| UNANSWERED)?
}

/// Those that have this gateway's mark.
fn own<'a>(
    context: &'a DoorContext,
    messages: &'a [Publish],
) -> impl Iterator<Item = Incoming<'a>> {
    let incoming = (messages.iter()).filter_map(|it| Incoming::parse(it, &context.settings).ok());
    incoming.filter(|it| it.owner == MessageOwner::ThisGateway && !it.payload.is_empty())
}

fn is_left_over(store: &StateStore, message: &Incoming<'_>) -> bool {
    let Retained::State { room, is_read } = Retained::of(message.topic) else {
        return false;
    };
    let is_cleared = match store.room(room) {
        Some(status) => is_read && status.complete,
        None => true,
    };
    is_cleared && store.get(message.topic).is_none()
}

/// The rooms whose availability is in the store.
pub(super) fn rooms(store: &StateStore) -> BTreeSet<String> {
    let topics = store.topics_below(ROOM);
    let room = |topic: &Arc<str>| match Topic::parse(topic) {
        Some(Topic::Room {
            room,
            below: Below::Availability,
        }) => Some(room.to_owned()),
        _ => None,
    };
    topics.iter().filter_map(room).collect()
}
