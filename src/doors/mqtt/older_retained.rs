//! Reads what a broker holds that may have come back with something older, so that what is left over is cleared.
//!
//! By a connection of its own, and by QoS 0: what the broker retains of many rooms would fill the queue of the door's
//! connection, where commands come, and Mosquitto drops what is above a thousand messages for one client.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::time::timeout;

use super::DoorContext;
use super::incoming::IncomingPublish;
use super::leftovers::Retained;
use super::survey::{Survey, UNANSWERED};
use crate::gateway_id::MessageOwner;
use crate::state::StateStore;
use crate::topics::{Below, ROOM, RoomTopics, Topic};

/// Rooms that are read at a time. Each has some sixty messages.
const ROOMS_AT_A_TIME: usize = 15;
/// How long the broker may take for them, or for the availability of all.
const TELL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long all of it may take: shorter than the time until it may be read again.
const LONGEST_TIME: Duration = Duration::from_secs(300);
/// At most so many rooms are read: any client may publish as if it were this gateway.
const MOST_ROOMS: usize = 1 << 14;
/// What follows the gateway's client id in that of this connection.
const CLIENT: &str = ".retained";

/// Reads it once, unless the door stops. The log is told of a failure if `is_failure_told` does not say that it was.
pub async fn read_older(context: Arc<DoorContext>, is_failure_told: Arc<AtomicBool>) {
    let stopping = context.stopping.clone();
    let reading = timeout(LONGEST_TIME, read(&context));
    let Some(read) = stopping.run_until_cancelled(reading).await else {
        return;
    };
    match read.unwrap_or_else(|_| Err(UNANSWERED.into())) {
        Ok(topics) => {
            is_failure_told.store(false, Ordering::Relaxed);
            if topics > 0 {
                context.telemetry.broker_held_older(topics);
            }
        }
        Err(reason) if !is_failure_told.swap(true, Ordering::Relaxed) => {
            context.telemetry.older_not_read(&reason);
        }
        Err(_) => {}
    }
}

/// Returns how many topics are left over. Nothing else is kept of what the broker tells: it may be any amount.
async fn read(context: &DoorContext) -> Result<usize, String> {
    let prefix = &context.settings.prefix;
    let mut survey = Survey::connect_as(CLIENT, &context.settings).await?;
    // A room that was taken out is only known by what the broker holds.
    let mut rooms = rooms(&context.store);
    let availability = [prefix.add(&RoomTopics::ANY.availability())];
    let told = survey.retained_now(&availability, |publish| {
        let message = own(context, publish);
        let room = message.as_ref().and_then(IncomingPublish::room);
        if let Some(room) = room.filter(|_| rooms.len() < MOST_ROOMS) {
            rooms.insert(room.to_owned());
        }
    });
    timeout(TELL_TIMEOUT, told)
        .await
        .map_err(|_| UNANSWERED)??;
    let rooms: Vec<String> = rooms.into_iter().collect();
    let mut left_over = 0;
    for rooms in rooms.chunks(ROOMS_AT_A_TIME) {
        let filters: Vec<_> = (rooms.iter())
            .map(|room| prefix.add(&RoomTopics::new(room).all()))
            .collect();
        let told = survey.retained_now(&filters, |publish| {
            if let Some(message) = own(context, publish) {
                left_over += usize::from(is_left_over(&context.store, &message));
                (context.subscriber).retained_arrived(&context.store, &message);
            }
        });
        timeout(TELL_TIMEOUT, told)
            .await
            .map_err(|_| UNANSWERED)??;
    }
    survey.close().await;
    Ok(left_over)
}

/// The message, if it has this gateway's mark.
fn own<'a>(context: &DoorContext, publish: &'a Publish) -> Option<IncomingPublish<'a>> {
    let incoming = IncomingPublish::parse(publish, &context.settings).ok()?;
    let is_own = incoming.owner == MessageOwner::ThisGateway && !incoming.payload.is_empty();
    is_own.then_some(incoming)
}

fn is_left_over(store: &StateStore, message: &IncomingPublish<'_>) -> bool {
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
