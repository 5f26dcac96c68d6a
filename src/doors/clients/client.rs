//! One client: its subscriptions, its commands in flight, and what waits to be sent to it.
//!
//! Everything that a client can make the gateway keep for it is counted here: answers by number and
//! by size, files by size. While too much waits, no more of its frames are read.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::task::yield_now;

use super::frame::{FrameAnswer, FrameError};
use super::unsent::{NextFrames, SMALL_ANSWER, UNCOUNTED_BYTES, UnsentAnswer, refused, size};
use super::{ClientFrame, Clients, FrameFormat, help, json, plain};
use crate::cluster::link::{Wanted, WantedRooms};
use crate::command::{DoorKind, ErrorCode, Failure, Outcome, Reply, Transfer};
use crate::doors::access::Grant;
use crate::doors::payers::{Admitted, Payer, WaitingBytes};
use crate::json::JsonText;
use crate::state::{Change, Item, Outbox, StateValue, Subscriber};
use crate::topics::{Below, Filter, FilteredRooms, Filters, Topic, split_room};
use crate::visible::quoted_start;

/// A client's frames are not read while this many times `max_in_flight` answers are unsent. Above 1,
/// so that a client that sends too many commands gets `busy` for each instead of silence.
pub const MOST_UNSENT_ANSWERS_FACTOR: usize = 4;

/// A client's frames are not read while its unsent answers have more bytes than this. An answer can
/// be as large as the frame that it answers, because it repeats the filters.
pub const PAUSE_READING_BYTES: usize = 1 << 20;
/// With more than this, results of commands that were already in flight are not kept any more, and
/// the client is closed: it asked for large results and does not read them.
const MOST_UNSENT_BYTES: usize = 32 << 20;
/// Room for one pong, the largest that a ping can ask for.
const PONG_BYTES: usize = 128;

/// What sending a state that is queued for a subscription costs: about so much, whoever it is sent to.
const SENDING_A_STATE: Duration = Duration::from_micros(2);
/// While the states for a subscription are looked up, others run after this many topics.
const TOPICS_AT_ONCE: usize = 1024;

/// One connected client.
#[derive(Debug)]
pub struct Client {
    clients: Arc<Clients>,
    grant: Grant,
    payer: Arc<Payer>,
    door: DoorKind,
    format: FrameFormat,
    filters: RwLock<Filters>,
    /// Keeps the states of rooms that other gateways have coming.
    wanted: Mutex<Option<Wanted>>,
    outbox: Outbox<UnsentAnswer>,
    /// Answers that were not sent yet, including those of commands that still run.
    unsent_answers: AtomicUsize,
    /// The size of the answers that wait to be sent.
    unsent_bytes: AtomicUsize,
    /// Of these, what is not counted among those of all clients.
    uncounted_bytes: AtomicUsize,
    /// An answer was dropped, so the client must be closed.
    lost_an_answer: AtomicBool,
    /// It has been closed; results of its commands are of no use.
    left: AtomicBool,
    /// Told each time an answer is taken out to be sent.
    answer_taken: Notify,
    /// Bytes of files that wait to be sent.
    file_bytes: AtomicUsize,
}

impl Client {
    /// A client without subscriptions.
    pub fn new(
        clients: Arc<Clients>,
        grant: Grant,
        payer: Arc<Payer>,
        door: DoorKind,
        format: FrameFormat,
    ) -> Arc<Self> {
        let client = Arc::new(Self {
            grant,
            payer,
            door,
            format,
            filters: RwLock::default(),
            wanted: Mutex::default(),
            outbox: Outbox::default(),
            unsent_answers: AtomicUsize::new(0),
            unsent_bytes: AtomicUsize::new(0),
            uncounted_bytes: AtomicUsize::new(0),
            lost_an_answer: AtomicBool::new(false),
            left: AtomicBool::new(false),
            answer_taken: Notify::new(),
            file_bytes: AtomicUsize::new(0),
            clients,
        });
        let subscriber: Arc<dyn Subscriber> = client.clone();
        let subscriber: Weak<dyn Subscriber> = Arc::downgrade(&subscriber);
        client.clients.states.subscribe(subscriber);
        client
    }

    /// What it may see and do.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Who pays for what it costs.
    pub fn payer(&self) -> &Arc<Payer> {
        &self.payer
    }

    /// The form of its frames.
    pub fn format(&self) -> FrameFormat {
        self.format
    }

    fn change_filters<T>(&self, change: impl FnOnce(&mut Filters) -> T) -> T {
        change(&mut self.filters.write())
    }

    fn wants(&self, topic: &str) -> bool {
        self.filters.read().matches(topic) && self.grant.sees_topic(topic)
    }

    /// Queues all states that match, at the cost of what was `admitted`, and from now on every change. An answer given
    /// after this comes after those states.
    ///
    /// # Errors
    /// The client has too many filters; none of these was added.
    pub async fn subscribe(
        &self,
        filters: &[Filter],
        admitted: &Admitted,
    ) -> Result<(), FrameError> {
        let most = self.clients.limits.max_subscriptions;
        if self.filters.read().len() + filters.len() > most {
            let message = format!("a client may subscribe to {most} filters; use + and #");
            return Err(FrameError {
                code: ErrorCode::TooLarge,
                message,
            });
        }
        // Before the filters count, so that each state is sent once.
        self.want_rooms(filters).await;
        self.change_filters(|known| filters.iter().cloned().for_each(|filter| known.add(filter)));
        let mut added = Filters::default();
        filters.iter().cloned().for_each(|filter| added.add(filter));
        let states = &self.clients.states;
        for start in added.starts() {
            for topics in states.topics_below(start).chunks(TOPICS_AT_ONCE) {
                let mut queued = 0;
                for topic in topics {
                    if added.matches(topic) && self.grant.sees_topic(topic) {
                        self.outbox.push_state(topic);
                        queued += 1;
                    }
                }
                admitted.charge(SENDING_A_STATE * queued);
                yield_now().await;
            }
        }
        Ok(())
    }

    /// What a person can send, with the rooms that this client may see.
    pub fn help(&self) -> Vec<String> {
        let topics = self.clients.states.topics_below("");
        let room = |topic: &Arc<str>| match Topic::parse(topic)? {
            Topic::Room {
                room,
                below: Below::Availability,
            } if self.grant.sees(room) => Some(room.to_owned()),
            _ => None,
        };
        let rooms: Vec<String> = topics.iter().filter_map(room).collect();
        let rooms: Vec<&str> = rooms.iter().map(String::as_str).collect();
        help::lines(&rooms)
    }

    /// Sends nothing more for these filters.
    pub async fn unsubscribe(&self, filters: &[Filter]) {
        self.change_filters(|known| filters.iter().for_each(|filter| known.remove(filter)));
        self.want_rooms(&[]).await;
    }

    /// Wants the states of the rooms that its filters and these are about, also if another gateway has them, and
    /// waits until they have come.
    async fn want_rooms(&self, added: &[Filter]) {
        if !self.clients.states.may_be_elsewhere() {
            return;
        }
        let mut filters = Filters::default();
        added.iter().cloned().for_each(|filter| filters.add(filter));
        let rooms = match (
            self.filters.read().rooms().and(filters.rooms()),
            self.grant.rooms(),
        ) {
            (FilteredRooms::Any, None) => WantedRooms::All,
            (FilteredRooms::Any, Some(own)) => WantedRooms::These(own.clone()),
            (FilteredRooms::Some(rooms), _) => {
                let seen = rooms.into_iter().filter(|room| self.grant.sees(room));
                WantedRooms::These(seen.map(Arc::from).collect())
            }
        };
        let wanted = self.clients.states.want(rooms).await;
        *self.wanted.lock() = wanted;
    }

    /// Hands a command in; its result becomes the answer to the frame with this id.
    pub fn command(self: &Arc<Self>, id: Option<JsonText>, topic: &str, payload: Bytes) {
        let Some((room, command)) = split_room(topic) else {
            let error = FrameError {
                code: ErrorCode::UnknownCommand,
                message: format!(
                    "a command is room/<room>/<command>, not \"{}\"",
                    quoted_start(topic)
                ),
            };
            return self.answer(id, FrameAnswer::Error(error));
        };
        let most = self.clients.limits.max_in_flight;
        let unsent_before = self.unsent_answers.fetch_add(1, Ordering::Relaxed);
        let client = self.clone();
        let reply = Reply::new(room.into(), command, move |outcome| {
            client.result(id, outcome);
        });
        if unsent_before >= most {
            let message = format!("{most} commands of this client have no result yet");
            let failure = Failure::new(ErrorCode::Busy, message);
            return self.clients.refuse(self.door, reply, &payload, failure);
        }
        self.clients
            .submit(&self.grant, self.door, payload, Transfer::None, reply);
    }

    /// Queues the result of a command.
    pub fn result(&self, id: Option<JsonText>, mut outcome: Outcome) {
        let waiting = self.unsent_bytes.load(Ordering::Relaxed);
        if waiting > MOST_UNSENT_BYTES || self.left.load(Ordering::Relaxed) {
            self.lost_an_answer.store(true, Ordering::Relaxed);
            return;
        }
        let mut held = None;
        if let Ok(success) = &mut outcome.result
            && let Some(file) = &mut success.file
        {
            // Files do not pile up for slow readers: without its bytes the result still has its URL.
            held = file
                .bytes
                .as_ref()
                .and_then(|bytes| self.hold_file(bytes.len()));
            if held.is_none() {
                file.bytes = None;
            }
        }
        self.queue(id.as_ref(), FrameAnswer::Result(Box::new(outcome)), held);
    }

    /// Reserves the bytes of a file; `None` if too many wait already.
    fn hold_file(&self, size: usize) -> Option<WaitingBytes> {
        let waiting = self.file_bytes.load(Ordering::Relaxed);
        if self.format == FrameFormat::Plain || waiting + size > self.clients.limits.max_file_bytes
        {
            return None;
        }
        let held = self.payer.reserve(size)?;
        self.file_bytes.fetch_add(size, Ordering::Relaxed);
        Some(held)
    }

    /// Queues an answer that is not a command's result.
    pub fn answer(&self, id: Option<JsonText>, answer: FrameAnswer) {
        self.unsent_answers.fetch_add(1, Ordering::Relaxed);
        self.queue(id.as_ref(), answer, None);
    }

    /// The transport has a pong to send. It counts as an answer, so that a client that reads no
    /// pongs cannot send pings for ever.
    pub fn pong_waits(&self) {
        self.unsent_answers.fetch_add(1, Ordering::Relaxed);
        self.push(UnsentAnswer {
            bytes: PONG_BYTES,
            ..UnsentAnswer::default()
        });
    }

    /// Queues an answer. `file` is what its file takes.
    fn queue(&self, id: Option<&JsonText>, mut answer: FrameAnswer, file: Option<WaitingBytes>) {
        let mut texts = self.texts(id, &answer);
        let mut held: Vec<_> = file.into_iter().collect();
        let mut uncounted_bytes = size(&texts);
        let uncounted_before = self.uncounted_bytes.load(Ordering::Relaxed);
        if uncounted_before + uncounted_bytes > UNCOUNTED_BYTES {
            if let Some(text) = self.payer.reserve(uncounted_bytes) {
                held.push(text);
                uncounted_bytes = 0;
            } else if uncounted_before > UNCOUNTED_BYTES {
                // It reads not even what is small.
                self.lost_an_answer.store(true, Ordering::Relaxed);
                // Wakes whoever sends, and closes the client then.
                return self.push(UnsentAnswer::default());
            } else if uncounted_bytes > SMALL_ANSWER {
                // Others have what there is, and it reads well: it is told.
                answer = refused(&answer);
                texts = self.texts(id, &answer);
                uncounted_bytes = size(&texts);
            }
        }
        let bytes = size(&texts);
        let mut file_bytes = 0;
        let mut frames: Vec<ClientFrame> = texts
            .into_iter()
            .map(|text| ClientFrame::Text(text.into()))
            .collect();
        if let FrameAnswer::Result(outcome) = answer
            && let Ok(success) = outcome.result
            && let Some(bytes) = success.file.and_then(|file| file.bytes)
        {
            file_bytes = bytes.len();
            frames.push(ClientFrame::Binary(bytes));
        }
        self.push(UnsentAnswer {
            frames,
            bytes,
            uncounted_bytes,
            file_bytes,
            held,
        });
    }

    fn texts(&self, id: Option<&JsonText>, answer: &FrameAnswer) -> Vec<String> {
        match self.format {
            FrameFormat::Json => vec![json::write_answer(id, answer)],
            FrameFormat::Plain => plain::write_answer(answer),
        }
    }

    fn push(&self, answer: UnsentAnswer) {
        self.unsent_bytes.fetch_add(answer.bytes, Ordering::Relaxed);
        let uncounted = answer.uncounted_bytes;
        self.uncounted_bytes.fetch_add(uncounted, Ordering::Relaxed);
        self.outbox.push_reply(answer);
        if self.left.load(Ordering::Relaxed) {
            self.outbox.clear();
        }
    }

    /// Waits while too many answers are unsent, or too large ones: the client sends faster than it reads.
    pub async fn wait_for_backlog(&self) {
        let most = MOST_UNSENT_ANSWERS_FACTOR * self.clients.limits.max_in_flight;
        loop {
            let answer_taken = self.answer_taken.notified();
            let few = self.unsent_answers.load(Ordering::Relaxed) < most;
            if few && self.unsent_bytes.load(Ordering::Relaxed) < PAUSE_READING_BYTES {
                return;
            }
            answer_taken.await;
        }
    }

    /// Waits for the next thing to send.
    pub async fn next(&self) -> Item<UnsentAnswer> {
        self.outbox.next().await
    }

    /// Whether nothing waits to be sent.
    pub fn is_idle(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether nothing waits to be sent and every request has its answer.
    pub fn has_all_answers(&self) -> bool {
        self.unsent_answers.load(Ordering::Relaxed) == 0 && self.is_idle()
    }

    /// What says an item.
    pub fn outgoing(&self, item: Item<UnsentAnswer>) -> NextFrames {
        match item {
            // It may have unsubscribed meanwhile.
            Item::State(topic) if !self.wants(&topic) => Vec::new().into(),
            Item::State(topic) => {
                let state = self.clients.states.get(&topic);
                vec![ClientFrame::Text(self.state_frame(&topic, state.as_ref()))].into()
            }
            Item::Event(topic, payload) => {
                let text = match self.format {
                    FrameFormat::Json => json::write_event(&topic, &payload),
                    FrameFormat::Plain => plain::write_event(&topic, &payload),
                };
                vec![ClientFrame::Text(text.into())].into()
            }
            Item::Reply(answer) => {
                self.unsent_answers.fetch_sub(1, Ordering::Relaxed);
                self.unsent_bytes.fetch_sub(answer.bytes, Ordering::Relaxed);
                let uncounted = answer.uncounted_bytes;
                self.uncounted_bytes.fetch_sub(uncounted, Ordering::Relaxed);
                self.file_bytes
                    .fetch_sub(answer.file_bytes, Ordering::Relaxed);
                self.answer_taken.notify_one();
                NextFrames {
                    frames: answer.frames,
                    held: answer.held,
                }
            }
        }
    }

    fn state_frame(&self, topic: &Arc<str>, state: Option<&StateValue>) -> Arc<str> {
        let own = state.and_then(|state| self.grant.own_view(topic, state));
        match (self.format, &own) {
            // States of rooms elsewhere come and go: their frames would stay.
            (FrameFormat::Json, None) if self.clients.states.is_here(topic) => {
                self.clients.frame_cache.state(topic, state)
            }
            (FrameFormat::Json, own) => json::write_state(topic, own.as_ref().or(state)).into(),
            (FrameFormat::Plain, own) => plain::write_state(topic, own.as_ref().or(state)).into(),
        }
    }

    /// Whether an answer was dropped because too much waits: the client must be closed.
    pub fn lost_an_answer(&self) -> bool {
        self.lost_an_answer.load(Ordering::Relaxed)
    }

    /// Ends its subscriptions, and drops what waits for it: nothing is kept for a client that left, though one of its
    /// commands may still run, and keeps the client until it ends.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
        self.change_filters(|filters| *filters = Filters::default());
        self.outbox.clear();
        *self.wanted.lock() = None;
    }
}

impl Subscriber for Client {
    fn state_changed(&self, topic: &Arc<str>, _: Change) {
        if self.wants(topic) {
            self.outbox.push_state(topic);
        }
    }

    fn event(&self, topic: &Arc<str>, payload: &Bytes) {
        let is_seen = self.wants(topic) && self.grant.sees_event(topic, payload);
        if is_seen && self.outbox.push_event(topic, payload) {
            self.clients.telemetry.event_dropped(self.door);
        }
    }
}
