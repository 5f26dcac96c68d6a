//! One other member at the door of this gateway: its commands for the rooms here, and what it wants of their states.
//!
//! Owns the order of states, events and results towards it: one outbox, so the states that a command led to go
//! before its result. Knows no WebSocket: the door brings a stream and a sink.

mod sending;

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::frame::{Depth, FrameHead, LinkFrame, NoFrame};
use super::member_door::MemberDoor;
use super::pieces::{Content, OutgoingFrame, OutgoingPieces, ReceivedPieces};
use super::wire::{CommandHead, OutcomeHead};
use super::{Holder, LONGEST_SILENCE, MOST_UNANSWERED};
use crate::byte_budget::ByteBudget;
use crate::command::{Outcome, Transfer};
use crate::net::turn;
use crate::standstill::received_now;
use crate::state::{Change, Item, Outbox, OutboxReply, RoomStatus, Subscriber};
use crate::topics::{AVAILABILITY, PROBLEM, RoomTopics, Topic};
use sending::{SendEnd, send};

/// How long a member may take to take what is sent. It has given the link up long before.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of files in results that wait for one member. Above this a result goes without its file, and says where it is.
const MOST_FILE_BYTES: usize = 64 << 20;
/// Rooms that a member may want states of: many more than a cluster has.
const MOST_WATCHED: usize = 200_000;

/// What a member sends.
#[derive(Debug)]
pub enum MemberMessage {
    /// A frame.
    Frame(Bytes),
    /// It shows that it lives.
    Ping,
}

/// A member that has opened a link.
#[derive(Debug)]
struct ServedMember {
    door: Arc<MemberDoor>,
    watched: Mutex<Watched>,
    outbox: Outbox<OutgoingFrame>,
    /// Large frames on their way.
    /// Locked before the store; whoever holds the store's lock does not take this one.
    pieces: Mutex<OutgoingPieces>,
    /// More of their pieces may be sent.
    pieces_taken: Notify,
    /// Bytes of files that wait.
    files: ByteBudget,
    /// Commands whose answers were not sent yet.
    unanswered: AtomicUsize,
}

#[derive(Debug, Default)]
struct Watched {
    rooms: HashMap<Arc<str>, Watch>,
    /// Watched rooms whose states were sent since this gateway has them.
    served: HashSet<Arc<str>>,
}

/// What a member wants of a room.
#[derive(Debug, Clone, Copy)]
struct Watch {
    depth: Depth,
    /// The number of the question.
    number: Option<u64>,
}

impl OutboxReply for OutgoingFrame {
    /// No room waits for the states of others.
    const OVERTAKES: bool = true;

    fn room(&self) -> &str {
        &self.room
    }
}

/// Serves a member until its link ends.
pub async fn serve<S, K>(door: Arc<MemberDoor>, source: S, sink: K, takes_pieces: bool)
where
    S: Stream<Item = MemberMessage> + Unpin,
    K: Sink<Bytes> + Unpin,
{
    let member = Arc::new(ServedMember {
        door: door.clone(),
        watched: Mutex::default(),
        outbox: Outbox::default(),
        pieces: Mutex::new(OutgoingPieces::new(takes_pieces)),
        pieces_taken: Notify::new(),
        files: ByteBudget::new(MOST_FILE_BYTES),
        unanswered: AtomicUsize::new(0),
    });
    let subscriber: Arc<dyn Subscriber> = member.clone();
    let subscriber: Weak<dyn Subscriber> = Arc::downgrade(&subscriber);
    door.store().subscribe(subscriber);
    let mut receiving = pin!(receive(&member, source));
    let ended = tokio::select! {
        () = &mut receiving => SendEnd::Broken,
        ended = send(&member, sink) => ended,
    };
    if ended == SendEnd::Closed {
        // A connection that is dropped with something unread in it takes back what is still on its way to the member.
        let _ = timeout(SEND_TIMEOUT, receiving).await;
    }
    // A command that still runs keeps the member, which wants nothing more.
    *member.watched.lock() = Watched::default();
}

async fn receive<S>(member: &Arc<ServedMember>, mut source: S)
where
    S: Stream<Item = MemberMessage> + Unpin,
{
    let mut pieces = ReceivedPieces::default();
    // It pings, so its silence means that it is gone. It notices first that it hears nothing.
    while let Ok(Some(message)) = timeout(2 * LONGEST_SILENCE, source.next()).await {
        turn().await;
        let handled = match message {
            MemberMessage::Ping => Ok(()),
            MemberMessage::Frame(bytes) => member.message(&mut pieces, bytes).await,
        };
        if let Err(error) = handled {
            member.door.telemetry().member_misspoke(&error);
            return;
        }
    }
}

impl ServedMember {
    fn is_here(&self, room: &str) -> bool {
        self.door.holders().holder(room) == Holder::Me
    }

    async fn message(
        self: &Arc<Self>,
        pieces: &mut ReceivedPieces,
        bytes: Bytes,
    ) -> Result<(), NoFrame> {
        let piece_came = || {
            let taken = OutgoingFrame::of_none(FrameHead::Taken(1));
            self.outbox.push_reply(taken);
        };
        match pieces.receive(bytes, piece_came)? {
            Some(frame) => self.handle(frame).await,
            None => Ok(()),
        }
    }

    async fn handle(self: &Arc<Self>, frame: LinkFrame) -> Result<(), NoFrame> {
        let LinkFrame { head, body } = frame;
        match head {
            // A member counts them too, and answers `busy` itself. One that does not would fill the memory.
            FrameHead::Command { .. }
                if self.unanswered.load(Ordering::Relaxed) >= MOST_UNANSWERED =>
            {
                return Err(NoFrame);
            }
            FrameHead::Command { id, command } => self.command(id, command, body),
            FrameHead::Watch { rooms, .. }
                if self.watched.lock().rooms.len() + rooms.len() > MOST_WATCHED =>
            {
                return Err(NoFrame);
            }
            FrameHead::Watch {
                rooms,
                depth,
                number,
            } => {
                for room in rooms {
                    self.watch(room.into(), Watch { depth, number });
                    turn().await;
                }
            }
            FrameHead::Unwatch(rooms) => {
                let mut watched = self.watched.lock();
                for room in &rooms {
                    watched.rooms.remove(&**room);
                    watched.served.remove(&**room);
                }
            }
            FrameHead::Taken(pieces) => {
                self.pieces.lock().taken(pieces);
                self.pieces_taken.notify_one();
            }
            FrameHead::Result { .. }
            | FrameHead::Piece { .. }
            | FrameHead::NotHere(_)
            | FrameHead::State { .. }
            | FrameHead::Event(_)
            | FrameHead::AllSent { .. } => return Err(NoFrame),
        }
        Ok(())
    }

    /// Hands a command to the room, if it is here. It goes nowhere else.
    fn command(self: &Arc<Self>, id: u64, command: CommandHead, payload: Bytes) {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        if !self.is_here(command.room()) {
            let room = command.room().into();
            return self.reply(
                room,
                Content::Other,
                LinkFrame::head(FrameHead::NotHere(id)),
            );
        }
        self.door.telemetry().command_from_member();
        let member = self.clone();
        let deliver = move |outcome| member.result(id, outcome);
        let passed = command.received(payload, Transfer::None, received_now(), deliver);
        passed.submit_to(self.door.rooms());
    }

    fn result(&self, id: u64, mut outcome: Outcome) {
        if let Ok(success) = &mut outcome.result
            && let Some(file) = &mut success.file
        {
            let bytes = file.bytes.take();
            file.bytes = bytes.and_then(|bytes| self.files.counted(bytes));
        }
        let room = outcome.room.clone();
        let content = Content::Result(outcome.command.as_str().into());
        let (outcome, body) = OutcomeHead::new(outcome);
        let head = FrameHead::Result { id, outcome };
        self.reply(room, content, LinkFrame { head, body });
    }

    fn reply(&self, room: Arc<str>, content: Content, frame: LinkFrame) {
        self.outbox.push_reply(OutgoingFrame {
            room,
            content,
            frame,
        });
    }

    fn watch(&self, room: Arc<str>, watch: Watch) {
        let is_here = self.is_here(&room);
        let mut watched = self.watched.lock();
        watched.rooms.insert(room.clone(), watch);
        // Until its states wait to be sent, nobody says that all were sent.
        watched.served.remove(&room);
        drop(watched);
        if is_here {
            self.send_states(&room, watch);
        }
    }

    fn send_states(&self, room: &Arc<str>, watch: Watch) {
        let topics = RoomTopics::new(room);
        match watch.depth {
            Depth::All => {
                for topic in self.door.store().topics_below(&topics.start()) {
                    self.outbox.push_state(&topic);
                }
            }
            Depth::Availability => {
                for topic in [topics.problem(), topics.availability()] {
                    self.outbox.push_state(&topic.into());
                }
            }
        }
        let mut watched = self.watched.lock();
        if watched.rooms.contains_key(room) {
            watched.served.insert(room.clone());
        }
        drop(watched);
        // Looked up from here on only: what changes later is told by `room_changed`.
        let status = self.door.store().room(room);
        let is_complete = status.is_some_and(|status| status.complete);
        self.all_sent(room, is_complete, watch.number);
    }

    fn all_sent(&self, room: &str, complete: bool, number: Option<u64>) {
        let all_sent = FrameHead::AllSent {
            room: room.to_owned(),
            complete,
            number,
        };
        self.reply(room.into(), Content::Other, LinkFrame::head(all_sent));
    }

    /// Rooms have come here or left since the look with this number: the states of those that came are sent to a member
    /// that wants them. Gives the number of this look.
    async fn serve_new_rooms(&self, look: u64) -> u64 {
        let changed = self.door.holders().changed_since(look);
        for room in changed.rooms {
            if let Some(watch) = self.has_come(&room) {
                self.send_states(&room, watch);
                turn().await;
            }
        }
        changed.look
    }

    /// What is wanted of a room that has come here since its states were sent last.
    fn has_come(&self, room: &Arc<str>) -> Option<Watch> {
        let is_here = self.is_here(room);
        let mut watched = self.watched.lock();
        let watch = watched.rooms.get(room).copied().filter(|_| is_here);
        if watch.is_none() {
            watched.served.remove(room);
        }
        watch.filter(|_| !watched.served.contains(room))
    }

    fn wants(&self, topic: &str) -> bool {
        let Some(Topic::Room { room, below }) = Topic::parse(topic) else {
            return false;
        };
        let watched = self.watched.lock();
        match watched.rooms.get(room).map(|watch| watch.depth) {
            Some(Depth::All) => true,
            Some(Depth::Availability) => {
                let below = below.to_string();
                below == AVAILABILITY || below == PROBLEM
            }
            None => false,
        }
    }

    /// Waits for what is sent next.
    async fn next_message(&self) -> Bytes {
        loop {
            let (added, taken) = (self.outbox.added(), self.pieces_taken.notified());
            if let Some(message) = self.try_next_message() {
                return message;
            }
            tokio::select! {
                () = added => {}
                () = taken => {}
            }
        }
    }

    /// What is sent next, if there is something: what is small first.
    fn try_next_message(&self) -> Option<Bytes> {
        let mut pieces = self.pieces.lock();
        let next = |pieces: &OutgoingPieces| {
            if pieces.is_empty() {
                self.outbox.try_next()
            } else {
                let may_go = |item: &Item<_>| pieces.may_go(item.room(), &content(item));
                self.outbox.try_next_of(may_go)
            }
        };
        while let Some(item) = next(&pieces) {
            let whole = self.frame(item).and_then(|frame| pieces.frame(frame));
            if whole.is_some() {
                return whole;
            }
        }
        pieces.next()
    }

    /// The frame that says an item.
    fn frame(&self, item: Item<OutgoingFrame>) -> Option<OutgoingFrame> {
        let (room, content): (Arc<str>, _) = (item.room().into(), content(&item));
        let frame = match item {
            Item::Reply(outgoing) => {
                let head = &outgoing.frame.head;
                if matches!(head, FrameHead::Result { .. } | FrameHead::NotHere(_)) {
                    self.unanswered.fetch_sub(1, Ordering::Relaxed);
                }
                return Some(outgoing);
            }
            Item::Event(topic, body) => {
                let head = FrameHead::Event(topic.to_string());
                LinkFrame { head, body }
            }
            Item::State(topic) => {
                // What is stored of a room that has left is old.
                if !self.wants(&topic) || !self.is_here(&room) {
                    return None;
                }
                let value = self.door.store().get(&topic);
                let head = FrameHead::State {
                    topic: topic.to_string(),
                    content_type: value
                        .as_ref()
                        .and_then(|value| value.content_type.as_deref().map(str::to_owned)),
                    cleared: value.is_none(),
                };
                let body = value.map(|value| value.payload).unwrap_or_default();
                LinkFrame { head, body }
            }
        };
        Some(OutgoingFrame {
            room,
            content,
            frame,
        })
    }

    /// Whether everything that there is to send has been sent. Nothing to send now is less: large frames wait until the
    /// other end has taken earlier pieces.
    fn has_sent_all(&self) -> bool {
        self.outbox.is_empty() && self.pieces.lock().is_empty()
    }
}

/// What an item is, as far as its order matters.
fn content(item: &Item<OutgoingFrame>) -> Content {
    match item {
        Item::State(topic) => Content::State(topic.clone()),
        Item::Event(..) => Content::Other,
        Item::Reply(frame) => frame.content.clone(),
    }
}

impl Subscriber for ServedMember {
    fn state_changed(&self, topic: &Arc<str>, _: Change) {
        if self.wants(topic) {
            self.outbox.push_state(topic);
        }
    }

    fn event(&self, topic: &Arc<str>, payload: &Bytes) {
        if self.wants(topic) {
            self.outbox.push_event(topic, payload);
        }
    }

    fn room_changed(&self, room: &str, status: Option<RoomStatus>) {
        if !status.is_some_and(|status| status.complete) {
            return;
        }
        let watched = self.watched.lock();
        let is_served = watched.served.contains(room);
        let watch = watched.rooms.get(room).copied().filter(|_| is_served);
        drop(watched);
        if let Some(watch) = watch {
            self.all_sent(room, true, watch.number);
        }
    }
}
