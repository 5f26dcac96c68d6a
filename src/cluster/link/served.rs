//! One other member at the door of this gateway: its commands for the rooms here, and what it wants of their states.
//!
//! Owns the order of states, events and results towards it: one outbox, so the states that a command led to go
//! before its result. Knows no WebSocket: the door brings a stream and a sink.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};

use super::frame::{Depth, FrameHead, LinkFrame, NoFrame};
use super::member_door::MemberDoor;
use super::wire::{CommandHead, OutcomeHead};
use super::{HOLDERS_LOOK_INTERVAL, Holder, LONGEST_SILENCE, MOST_UNANSWERED};
use crate::command::{Outcome, Transfer};
use crate::net::{FlushRule, turn};
use crate::state::{Change, Item, Outbox, RoomStatus, Subscriber};
use crate::topics::{AVAILABILITY, PROBLEM, RoomTopics, Topic};

/// How long a member may take to take what is sent. It has given the link up long before.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of files that wait for one member. Above this a result goes without its file, and says where it is.
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
    outbox: Outbox<LinkFrame>,
    /// Bytes of files that wait.
    file_bytes: AtomicUsize,
    /// Commands whose answers were not sent yet.
    unanswered: AtomicUsize,
}

#[derive(Debug, Default)]
struct Watched {
    rooms: HashMap<Arc<str>, Depth>,
    /// Those of them whose states were sent, since this gateway has them.
    served: HashSet<Arc<str>>,
}

/// Serves a member until its link ends.
pub async fn serve<S, K>(door: Arc<MemberDoor>, source: S, sink: K)
where
    S: Stream<Item = MemberMessage> + Unpin,
    K: Sink<Bytes> + Unpin,
{
    let member = Arc::new(ServedMember {
        door: door.clone(),
        watched: Mutex::default(),
        outbox: Outbox::default(),
        file_bytes: AtomicUsize::new(0),
        unanswered: AtomicUsize::new(0),
    });
    let subscriber: Arc<dyn Subscriber> = member.clone();
    let subscriber: Weak<dyn Subscriber> = Arc::downgrade(&subscriber);
    door.store().subscribe(subscriber);
    tokio::select! {
        () = receive(&member, source) => {}
        () = send(&member, sink) => {}
    }
    // A command that still runs keeps the member, which wants nothing more.
    *member.lock() = Watched::default();
}

async fn receive<S>(member: &Arc<ServedMember>, mut source: S)
where
    S: Stream<Item = MemberMessage> + Unpin,
{
    // It pings, so its silence means that it is gone. It notices first that it hears nothing.
    while let Ok(Some(message)) = timeout(2 * LONGEST_SILENCE, source.next()).await {
        turn().await;
        let handled = match message {
            MemberMessage::Ping => Ok(()),
            MemberMessage::Frame(bytes) => member.handle(bytes).await,
        };
        if let Err(error) = handled {
            member.door.telemetry().member_misspoke(&error);
            return;
        }
    }
}

async fn send<K: Sink<Bytes> + Unpin>(member: &ServedMember, mut sink: K) {
    let mut holders = member.door.holders().changed();
    let mut flush_rule = FlushRule::default();
    let (mut next_look, mut look) = (Instant::now(), 0);
    loop {
        let changed = async {
            sleep_until(next_look).await;
            holders.changed().await
        };
        let frame = tokio::select! {
            biased;
            changed = changed => {
                if changed.is_err() {
                    return;
                }
                look = member.serve_new_rooms(look).await;
                next_look = Instant::now() + HOLDERS_LOOK_INTERVAL;
                continue;
            }
            item = member.outbox.next() => member.frame(item),
            // Last, so that what waits is still sent.
            () = member.door.stopping() => {
                let _ = timeout(SEND_TIMEOUT, sink.close()).await;
                return;
            }
        };
        if let Some(frame) = frame {
            let sent = timeout(SEND_TIMEOUT, sink.feed(frame.encode())).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
        if member.outbox.is_empty() && flush_rule.should_yield(false) {
            yield_now().await;
        }
        if member.outbox.is_empty() {
            flush_rule.written();
            let flushed = timeout(SEND_TIMEOUT, sink.flush()).await;
            if !matches!(flushed, Ok(Ok(()))) {
                return;
            }
        }
    }
}

impl ServedMember {
    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_here(&self, room: &str) -> bool {
        self.door.holders().holder(room) == Holder::Me
    }

    async fn handle(self: &Arc<Self>, bytes: Bytes) -> Result<(), NoFrame> {
        let LinkFrame { head, body } = LinkFrame::decode(bytes)?;
        match head {
            // A member counts them too, and answers `busy` itself. One that does not would fill the memory.
            FrameHead::Command { .. }
                if self.unanswered.load(Ordering::Relaxed) >= MOST_UNANSWERED =>
            {
                return Err(NoFrame);
            }
            FrameHead::Command { id, command } => self.command(id, command, body),
            FrameHead::Watch { rooms, .. }
                if self.lock().rooms.len() + rooms.len() > MOST_WATCHED =>
            {
                return Err(NoFrame);
            }
            FrameHead::Watch { rooms, depth } => {
                for room in rooms {
                    self.watch(room.into(), depth);
                    turn().await;
                }
            }
            FrameHead::Unwatch(rooms) => {
                let mut watched = self.lock();
                for room in &rooms {
                    watched.rooms.remove(&**room);
                    watched.served.remove(&**room);
                }
            }
            FrameHead::Result { .. }
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
            let not_here = LinkFrame::head(FrameHead::NotHere(id));
            return self.outbox.push_reply(not_here);
        }
        self.door.telemetry().command_from_member();
        let member = self.clone();
        let deliver = move |outcome| member.result(id, outcome);
        let passed = command.received(payload, Transfer::None, Instant::now(), deliver);
        passed.submit_to(self.door.rooms());
    }

    fn result(&self, id: u64, mut outcome: Outcome) {
        if let Ok(success) = &mut outcome.result
            && let Some(file) = &mut success.file
        {
            let size = file.bytes.as_ref().map_or(0, Bytes::len);
            let waiting = self.file_bytes.fetch_add(size, Ordering::Relaxed);
            if waiting + size > MOST_FILE_BYTES {
                self.file_bytes.fetch_sub(size, Ordering::Relaxed);
                file.bytes = None;
            }
        }
        let (outcome, body) = OutcomeHead::new(outcome);
        let head = FrameHead::Result { id, outcome };
        self.outbox.push_reply(LinkFrame { head, body });
    }

    fn watch(&self, room: Arc<str>, depth: Depth) {
        let is_here = self.is_here(&room);
        let mut watched = self.lock();
        watched.rooms.insert(room.clone(), depth);
        if is_here {
            watched.served.insert(room.clone());
        } else {
            watched.served.remove(&room);
        }
        drop(watched);
        if is_here {
            self.send_states(&room, depth);
        }
    }

    fn send_states(&self, room: &Arc<str>, depth: Depth) {
        let topics = RoomTopics::new(room);
        match depth {
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
        let status = self.door.store().room(room);
        self.all_sent(room, status.is_some_and(|status| status.complete));
    }

    fn all_sent(&self, room: &str, complete: bool) {
        let room = room.to_owned();
        let all_sent = FrameHead::AllSent { room, complete };
        self.outbox.push_reply(LinkFrame::head(all_sent));
    }

    /// Rooms have come here or left since the look with this number: the states of those that came are sent to a member
    /// that wants them. Gives the number of this look.
    async fn serve_new_rooms(&self, look: u64) -> u64 {
        let changed = self.door.holders().changed_since(look);
        for room in changed.rooms {
            if let Some(depth) = self.has_come(&room) {
                self.send_states(&room, depth);
                turn().await;
            }
        }
        changed.look
    }

    /// What is wanted of a room that has come here since its states were sent last.
    fn has_come(&self, room: &Arc<str>) -> Option<Depth> {
        let is_here = self.is_here(room);
        let mut watched = self.lock();
        let depth = watched.rooms.get(room).copied().filter(|_| is_here);
        if depth.is_none() {
            watched.served.remove(room);
        }
        depth.filter(|_| watched.served.insert(room.clone()))
    }

    fn wants(&self, topic: &str) -> bool {
        let Some(Topic::Room { room, below }) = Topic::parse(topic) else {
            return false;
        };
        let watched = self.lock();
        match watched.rooms.get(room) {
            Some(Depth::All) => true,
            Some(Depth::Availability) => {
                let below = below.to_string();
                below == AVAILABILITY || below == PROBLEM
            }
            None => false,
        }
    }

    /// The frame that says an item.
    fn frame(&self, item: Item<LinkFrame>) -> Option<LinkFrame> {
        match item {
            Item::Reply(frame) => {
                if let FrameHead::Result { outcome, .. } = &frame.head {
                    let size = outcome.file_bytes(&frame.body);
                    self.file_bytes.fetch_sub(size, Ordering::Relaxed);
                }
                if matches!(frame.head, FrameHead::Result { .. } | FrameHead::NotHere(_)) {
                    self.unanswered.fetch_sub(1, Ordering::Relaxed);
                }
                Some(frame)
            }
            Item::Event(topic, body) => {
                let head = FrameHead::Event(topic.to_string());
                Some(LinkFrame { head, body })
            }
            Item::State(topic) => {
                let room = Topic::parse(&topic)?.room()?;
                // What is stored of a room that has left is old.
                if !self.wants(&topic) || !self.is_here(room) {
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
                Some(LinkFrame { head, body })
            }
        }
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
        let is_complete = status.is_some_and(|status| status.complete);
        if is_complete && self.lock().served.contains(room) {
            self.all_sent(room, true);
        }
    }
}
