//! Reads what a broker holds from before, so that what is left over is cleared: what earlier runs have left there, or
//! what a broker has come back with.
//!
//! By a connection of its own, and by QoS 0: what the broker retains of many rooms would fill the queue of the door's
//! connection, where commands come, and Mosquitto drops what is above a thousand messages for one client. So of many
//! rooms the door's own subscription brings only a part at the start.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::time::{Instant, sleep, timeout};

use super::DoorContext;
use super::incoming::IncomingPublish;
use super::leftovers::Retained;
use super::survey::{ROOMS_AT_A_TIME, Survey, UNANSWERED};
use crate::gateway_id::MessageOwner;
use crate::state::StateStore;
use crate::topics::{Below, ROOM, RoomTopics, Topic};

/// Up to so many retained messages of rooms come over the door's connection for certain: Mosquitto has 20 under way and
/// a thousand that wait, and some brokers are set to less.
pub const CERTAINLY_TOLD: usize = 100;
/// How long all of it may take.
const LONGEST_TIME: Duration = Duration::from_secs(300);
/// After a failure it is read again after this time.
const RETRY_DELAY: Duration = Duration::from_secs(600);
/// At most so many rooms are read: any client may publish as if it were this gateway.
const MOST_ROOMS: usize = 1 << 14;
/// What follows the gateway's client id in that of this connection.
const CLIENT: &str = ".retained";

/// Why it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The first connection of this run: what others have left is counted too, and then leftovers may be cleared.
    Start,
    /// The broker may have come back with something older.
    CameBack,
}

/// Reads it, unless the door stops; after a failure, which the log is told of once, again.
pub async fn read_older(context: Arc<DoorContext>, occasion: Occasion) {
    let stopping = context.stopping.clone();
    let reading = async {
        let mut is_failure_told = false;
        loop {
            let read = timeout(LONGEST_TIME, read(&context, occasion)).await;
            if occasion == Occasion::Start {
                // What was told until then is cleared all the same.
                context.subscriber.settle(&context.store, Instant::now());
            }
            match read.unwrap_or_else(|_| Err(UNANSWERED.into())) {
                Ok(topics) => {
                    if occasion == Occasion::CameBack && topics > 0 {
                        context.telemetry.broker_held_older(topics);
                    }
                    return;
                }
                Err(reason) if !std::mem::replace(&mut is_failure_told, true) => {
                    context.telemetry.older_not_read(&reason);
                }
                Err(_) => {}
            }
            sleep(RETRY_DELAY).await;
        }
    };
    stopping.run_until_cancelled(reading).await;
}

/// Returns how many topics are left over. Nothing else is kept of what the broker tells: it may be any amount.
async fn read(context: &DoorContext, occasion: Occasion) -> Result<usize, String> {
    let prefix = &context.settings.prefix;
    let mut survey = Survey::connect_as(CLIENT, &context.settings).await?;
    // A room that was taken out is only known by what the broker holds.
    let mut rooms = rooms(&context.store);
    if occasion == Occasion::Start {
        rooms.append(&mut context.subscriber.count_unclaimed_anew());
    }
    let availability = [prefix.add(&RoomTopics::ANY.availability())];
    let take_room = |publish: &Publish| {
        let message = told(context, occasion, publish);
        let room = message.as_ref().and_then(IncomingPublish::room);
        if let Some(room) = room.filter(|_| rooms.len() < MOST_ROOMS) {
            rooms.insert(room.to_owned());
        }
    };
    survey.retained_now(&availability, take_room).await?;
    let rooms: Vec<String> = rooms.into_iter().collect();
    let mut left_over = 0;
    for rooms in rooms.chunks(ROOMS_AT_A_TIME) {
        let filters: Vec<_> = (rooms.iter())
            .map(|room| prefix.add(&RoomTopics::new(room).all()))
            .collect();
        let take_message = |publish: &Publish| {
            if let Some(message) = told(context, occasion, publish) {
                left_over += usize::from(is_left_over(&context.store, &message));
                (context.subscriber).retained_arrived(&context.store, &message);
            }
        };
        survey.retained_now(&filters, take_message).await?;
    }
    survey.close().await;
    Ok(left_over)
}

/// The message, if it matters: one with this gateway's mark, and at the start those of others.
fn told<'a>(
    context: &DoorContext,
    occasion: Occasion,
    publish: &'a Publish,
) -> Option<IncomingPublish<'a>> {
    let incoming = IncomingPublish::parse(publish, &context.settings).ok()?;
    let matters = occasion == Occasion::Start || incoming.owner == MessageOwner::ThisGateway;
    (matters && !incoming.payload.is_empty()).then_some(incoming)
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
