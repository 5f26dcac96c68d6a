//! What a packet means where several gateways share the rooms: whose a command is, what another gateway
//! says by it, and which results a deputy sees.

use std::sync::Arc;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::time::Instant;

use super::{CameRetained, ReceivedCommand, Receiver};
use crate::catalogue::Call;
use crate::command::{DoorKind, ErrorCode, Failure, Outcome, ROOM_QUEUE_CAPACITY};
use crate::doors::mqtt::mark::Mark;
use crate::doors::mqtt::shared::SharedRooms;
use crate::doors::mqtt::shared::arbiter::{CommandAction, QosLane, Term};
use crate::doors::mqtt::shared::memory::RoomCommand;
use crate::doors::mqtt::shared::messages::{
    CommandId, DONE, MOVED, command_of, read_done, read_marker,
};
use crate::gateway_id::MessageOwner;
use crate::standstill::received_now;
use crate::topics::{Below, GATEWAY_INFO, Topic, is_gateway_topic};

/// The answer of a deputy to what its owner may have carried out.
const OWNER_ENDED: &str = "the gateway that had the room ended before it had an answer; whether the device \
                           carried the command out is unknown";
/// The answer where nobody has the room.
const NO_OWNER: &str = "no gateway of the cluster can reach the room's device safely now";

/// Where the result of such a command comes from, which decides whether this gateway publishes it.
#[derive(Debug, Clone, Copy)]
pub enum ResultOrigin {
    /// From the room, in this term of the gateway's ownership.
    Owned(Term),
    /// From another gateway that it was passed on to, or from a room that this gateway carried it out in for
    /// another one.
    Other,
    /// From this gateway, which did not hand it in. Always published.
    Refused,
}

/// Whose result it is, for a command that this gateway receives as one of several.
#[derive(Debug, Clone)]
pub struct SharedReply {
    pub shared: Arc<SharedRooms>,
    pub origin: ResultOrigin,
    pub id: CommandId,
    /// A dead owner may have carried it out before.
    pub is_repeated: bool,
}

impl SharedReply {
    /// What its sender is told. That this gateway could not repeat it does not mean that nobody carried it out.
    pub fn told(&self, mut outcome: Outcome) -> Outcome {
        if self.is_repeated
            && let Err(failure) = &mut outcome.result
            && failure.code.is_before_device()
        {
            let message = format!("{OWNER_ENDED}. It was not repeated: {}", failure.message);
            *failure = Failure::new(ErrorCode::OutcomeUnknown, message);
        }
        outcome
    }
}

/// A command that several gateways receive.
#[derive(Debug)]
pub struct SharedCommand {
    command: ReceivedCommand,
    came_retained: CameRetained,
    id: CommandId,
    is_shortened: bool,
}

impl RoomCommand for SharedCommand {
    type Id = CommandId;

    fn id(&self) -> CommandId {
        self.id
    }

    fn size(&self) -> usize {
        self.command.publish.payload.len()
    }

    /// The request id, which the answer needs, goes with the payload: the sender has its correlation data.
    fn shorten(&mut self) {
        self.command.publish.payload = Bytes::new();
        self.is_shortened = true;
    }
}

impl Receiver {
    /// A publish arrived. Returns how many results will be in the outbox because of it.
    pub fn shared_publish(&mut self, shared: &Arc<SharedRooms>, publish: Publish) -> usize {
        let now = Instant::now();
        let is_repeated = self.redeliveries.is_repeated(&publish, now);
        let prefix = &self.context.settings.prefix;
        let Ok(full_topic) = std::str::from_utf8(&publish.topic) else {
            return 0;
        };
        let Some(topic) = prefix.strip(full_topic).filter(|it| is_gateway_topic(it)) else {
            self.hand_over(full_topic, &publish);
            return 0;
        };
        match Topic::parse(topic) {
            Some(Topic::Gateway(_)) => {
                self.gateway_told(topic, &publish);
                return self.act(shared);
            }
            Some(Topic::Member { name, below }) => {
                self.member_told(shared, name, below, &publish, now);
                return self.act(shared);
            }
            Some(Topic::Room {
                room,
                below: Below::Result(_),
            }) => {
                if let Some(id) = command_of(&publish) {
                    shared.lock().arbiter.result_seen(room, id, now);
                }
                return 0;
            }
            _ => {}
        }
        let mark = Mark::of(&publish);
        let is_marked = mark.is_of_gateway();
        let room = Topic::parse(topic).and_then(|topic| topic.room());
        if (is_marked || publish.retain)
            && let Some(room) = room
        {
            let context = &self.context;
            shared.retained().overwritten(topic);
            let owner = mark.owner(&context.settings);
            let is_state = shared.owns(room)
                && (context.subscriber).retained_arrived(
                    &context.store,
                    topic,
                    &publish.payload,
                    owner,
                    mark.id,
                );
            // The former owner may have been slow with it. It is not what the device says now.
            let known = context.store.get(topic);
            let is_wrong = known.is_some_and(|known| known.payload != publish.payload);
            if is_state && owner == MessageOwner::ThisGateway && is_wrong {
                context.subscriber.lost(topic);
            }
            if is_state || is_marked {
                return 0;
            }
        }
        if !is_marked
            && !publish.retain
            && let Some(room) = room
            && shared.owns(room)
        {
            let context = &self.context;
            (context.subscriber).unretained_arrived(&context.store, topic, &publish.payload);
        }
        let Some((room, command)) = prefix.command(full_topic) else {
            return 0;
        };
        if is_repeated {
            return 0;
        }
        let (room, command) = (Arc::<str>::from(room), command.to_owned());
        self.redeliveries.take(&publish);
        let lane = lane(publish.qos);
        let shared_command = SharedCommand {
            id: CommandId::of(&publish),
            came_retained: match publish.retain {
                true => CameRetained::Yes,
                false => CameRetained::No,
            },
            is_shortened: false,
            command: ReceivedCommand {
                room: room.clone(),
                command,
                publish,
                received: received_now(),
            },
        };
        let is_open = shared.rules().may_act();
        let mut inner = shared.lock();
        inner
            .arbiter
            .command(&room, lane, shared_command, is_open, now);
        drop(inner);
        self.act(shared)
    }

    /// Does what the shared rooms ask for. Returns how many results will be in the outbox because of it.
    pub fn act(&mut self, shared: &Arc<SharedRooms>) -> usize {
        let mut answers = 0;
        loop {
            let action = shared.lock().arbiter.next_action();
            let (command, origin) = match action {
                None => return answers,
                Some(CommandAction::Publish(result)) => {
                    self.context.subscriber.outbox.push_reply(result);
                    continue;
                }
                Some(CommandAction::CarryOut(command, term)) => {
                    (command, ResultOrigin::Owned(term))
                }
                Some(CommandAction::Settle(command, term)) => {
                    answers += 1;
                    self.settle(shared, command, ResultOrigin::Owned(term));
                    continue;
                }
                Some(CommandAction::SettleForOther(command)) => {
                    answers += 1;
                    self.settle(shared, command, ResultOrigin::Other);
                    continue;
                }
                Some(CommandAction::PassOn(command)) => (command, ResultOrigin::Other),
                Some(CommandAction::TooMany(command)) => {
                    answers += 1;
                    let message = format!(
                        "the room moves to another gateway, and {ROOM_QUEUE_CAPACITY} commands wait for that already"
                    );
                    self.refuse_shared(shared, command, ErrorCode::Busy, &message);
                    continue;
                }
                Some(CommandAction::Unanswered(command)) => {
                    answers += 1;
                    self.refuse_shared(shared, command, ErrorCode::OutcomeUnknown, OWNER_ENDED);
                    continue;
                }
                Some(CommandAction::NoOwner(command)) => {
                    answers += 1;
                    self.refuse_shared(shared, command, ErrorCode::Offline, NO_OWNER);
                    continue;
                }
            };
            answers += 1;
            self.context.telemetry.command_received();
            self.carry_out(shared, command, origin, false);
        }
    }

    fn carry_out(
        &self,
        shared: &Arc<SharedRooms>,
        shared_command: SharedCommand,
        origin: ResultOrigin,
        is_repeated: bool,
    ) {
        let reply = SharedReply {
            shared: shared.clone(),
            origin,
            id: shared_command.id,
            is_repeated,
        };
        self.command(
            shared_command.command,
            shared_command.came_retained,
            Some(reply),
        );
    }

    /// A dead owner may have carried the command out.
    fn settle(
        &self,
        shared: &Arc<SharedRooms>,
        shared_command: SharedCommand,
        origin: ResultOrigin,
    ) {
        let command = &shared_command.command;
        let age = Instant::now().saturating_duration_since(command.received);
        let is_young = age <= shared.rules().max_command_age(&command.room);
        let can_repeat = !shared_command.is_shortened
            && is_young
            && Call::is_safe_to_repeat(&command.command, &command.publish.payload);
        self.context.telemetry.command_received();
        if can_repeat || shared_command.came_retained != CameRetained::No {
            return self.carry_out(shared, shared_command, origin, true);
        }
        self.refuse_shared(
            shared,
            shared_command,
            ErrorCode::OutcomeUnknown,
            OWNER_ENDED,
        );
    }

    /// Answers a command that is not handed in.
    fn refuse_shared(
        &self,
        shared: &Arc<SharedRooms>,
        shared_command: SharedCommand,
        code: ErrorCode,
        message: &str,
    ) {
        let reply = SharedReply {
            shared: shared.clone(),
            origin: ResultOrigin::Refused,
            id: shared_command.id,
            is_repeated: false,
        };
        let (reply, publish, _) = self.reply(shared_command.command, Some(reply));
        let failure = Failure::new(code, message);
        self.context
            .gateway
            .refuse(DoorKind::Mqtt, reply, &publish.payload, failure);
    }

    /// A message at `gateway/…` came. The members of a cluster publish there over the presence session only. But a
    /// gateway outside of the cluster may publish its own.
    fn gateway_told(&self, topic: &str, publish: &Publish) {
        if topic == GATEWAY_INFO {
            let context = &self.context;
            let mark = Mark::of(publish);
            (context.subscriber).gateway_told(
                &context.store,
                topic,
                &publish.payload,
                mark,
                !publish.retain,
            );
        }
    }

    /// A message at `gateway/<name>/…` came, perhaps this gateway's own.
    fn member_told(
        &self,
        shared: &Arc<SharedRooms>,
        name: &str,
        below: &str,
        publish: &Publish,
        now: Instant,
    ) {
        let is_own = name == shared.name();
        match below {
            MOVED => {
                let Some(marker) = read_marker(&publish.payload) else {
                    return;
                };
                let says = (marker.arrival, marker.revision);
                let lane = lane(publish.qos);
                let mut inner = shared.lock();
                for room in marker.rooms {
                    match is_own {
                        true => inner.arbiter.own_marker(&room, lane),
                        false => inner.arbiter.others_marker(&room, lane, says, now),
                    }
                    shared.follow(&mut inner, &Arc::from(room));
                }
                drop(inner);
                shared.grants_changed();
            }
            DONE if !is_own => {
                let done = read_done(&publish.payload).unwrap_or_default();
                let mut inner = shared.lock();
                for (room, id) in done {
                    inner.arbiter.result_seen(&room, id, now);
                }
            }
            _ => {}
        }
    }
}

fn lane(qos: QoS) -> QosLane {
    match qos {
        QoS::AtMostOnce => QosLane::AtMostOnce,
        QoS::AtLeastOnce | QoS::ExactlyOnce => QosLane::AtLeastOnce,
    }
}
