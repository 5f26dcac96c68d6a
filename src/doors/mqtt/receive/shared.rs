//! What a packet means where several gateways share the rooms: whose a command is, what another gateway
//! says by it, and which results a deputy sees.

use std::sync::Arc;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::time::Instant;

use super::{ReceivedCommand, Receiver, RetainFlag};
use crate::catalogue::Call;
use crate::command::{DoorKind, ErrorCode, Failure, Outcome, ROOM_QUEUE_CAPACITY};
use crate::doors::mqtt::incoming::IncomingPublish;
use crate::doors::mqtt::shared::SharedRooms;
use crate::doors::mqtt::shared::arbiter::{CommandAction, QosLane, Term};
use crate::doors::mqtt::shared::memory::RoomCommand;
use crate::doors::mqtt::shared::messages::{
    CommandId, DONE, MOVED, command_of, read_done, read_marker,
};
use crate::gateway_id::MessageOwner;
use crate::topics::{Below, GATEWAY_INFO, Topic};

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
    pub fn with_outcome_unknown(&self, mut outcome: Outcome) -> Outcome {
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
    retain_flag: RetainFlag,
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
        let Some(incoming) = self.parse(&publish) else {
            return 0;
        };
        match incoming.parsed {
            Some(Topic::Gateway(_)) => {
                // The members of a cluster publish at these over the presence session only. But a gateway outside of
                // the cluster may publish its own.
                if incoming.topic == GATEWAY_INFO {
                    let context = &self.context;
                    (context.subscriber).gateway_message(&context.store, &incoming);
                }
                return self.act(shared);
            }
            Some(Topic::Member { name, below }) => {
                self.member_message(shared, name, below, &publish, now);
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
        if let Some(room) = incoming.room() {
            let is_state = self.note_shared_state(shared, room, &incoming);
            if is_state || incoming.mark.is_of_gateway() {
                return 0;
            }
        }
        let prefix = &self.context.settings.prefix;
        let Some((room, command)) = prefix.command(incoming.full_topic) else {
            return 0;
        };
        if is_repeated {
            return 0;
        }
        let (room, command) = (Arc::<str>::from(room), command.to_owned());
        let lane = lane(publish.qos);
        let shared_command = SharedCommand {
            id: CommandId::of(&publish),
            retain_flag: RetainFlag::of(&publish),
            is_shortened: false,
            command: self.take_command(room.clone(), command, publish),
        };
        let is_open = shared.rules().may_act();
        let mut inner = shared.lock();
        inner
            .arbiter
            .command(&room, lane, shared_command, is_open, now);
        drop(inner);
        self.act(shared)
    }

    /// As [`Receiver::note_state`], where another gateway may have the room.
    fn note_shared_state(
        &self,
        shared: &SharedRooms,
        room: &str,
        incoming: &IncomingPublish<'_>,
    ) -> bool {
        let (store, subscriber) = (&self.context.store, &self.context.subscriber);
        let (topic, payload) = (incoming.topic, incoming.payload);
        let is_own_room = shared.owns(room);
        if !incoming.is_retained() {
            if is_own_room {
                subscriber.unretained_arrived(store, topic, payload);
            }
            return false;
        }
        shared.retained().overwritten(topic);
        let is_state = is_own_room && subscriber.retained_arrived(store, incoming);
        // The former owner may have been slow with it. It is not what the device says now.
        let known = store.get(topic);
        let is_wrong = known.is_some_and(|known| known.payload != payload);
        if is_state && incoming.owner == MessageOwner::ThisGateway && is_wrong {
            subscriber.lost(topic);
        }
        is_state
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
            shared_command.retain_flag,
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
        if can_repeat || shared_command.retain_flag != RetainFlag::Live {
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

    /// A message at `gateway/<name>/…` came, perhaps this gateway's own.
    fn member_message(
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
                    if is_own {
                        inner.arbiter.own_marker(&room, lane)
                    } else {
                        inner.arbiter.others_marker(&room, lane, says, now)
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
