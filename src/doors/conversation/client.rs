//! What the gateway keeps of one client while it is there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, Weak};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Notify;

use super::clients::Clients;
use super::frame::{Answer, Refused};
use super::{Format, Sent, json, plain};
use crate::command::{DoorKind, ErrorCode, Failure, Outcome, Reply};
use crate::doors::access::Grant;
use crate::state::{Change, Item, Outbox, Subscriber};
use crate::topics::{Filter, Filters};

/// Answers above so many times the commands in flight, and no more frames are taken until some of
/// them were.
const BACKLOG: usize = 4;

type Addressed = (Option<Value>, Answer);

/// One client.
#[derive(Debug)]
pub struct Client {
    clients: Arc<Clients>,
    grant: Grant,
    door: DoorKind,
    format: Format,
    filters: RwLock<Filters>,
    outbox: Outbox<Addressed>,
    /// Answers that are due or wait to be sent.
    pending: AtomicUsize,
    answered: Notify,
    /// Bytes of files that wait to be sent.
    held: AtomicUsize,
}

impl Client {
    /// A client that is told nothing yet.
    pub fn new(clients: Arc<Clients>, grant: Grant, door: DoorKind, format: Format) -> Arc<Self> {
        let client = Arc::new(Self {
            grant,
            door,
            format,
            filters: RwLock::default(),
            outbox: Outbox::default(),
            pending: AtomicUsize::new(0),
            answered: Notify::new(),
            held: AtomicUsize::new(0),
            clients,
        });
        let subscriber: Arc<dyn Subscriber> = client.clone();
        let subscriber: Weak<dyn Subscriber> = Arc::downgrade(&subscriber);
        client.clients.store.subscribe(subscriber);
        client
    }

    /// What it may see and do.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// How it writes and is written to.
    pub fn format(&self) -> Format {
        self.format
    }

    fn filters(&self) -> RwLockReadGuard<'_, Filters> {
        self.filters.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Filters) -> T) -> T {
        change(&mut self.filters.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn wants(&self, topic: &str) -> bool {
        self.filters().matches(topic) && self.grant.sees_topic(topic)
    }

    /// Tells it all that matches, then every change. `id` is there where an answer is wanted.
    pub fn subscribe(&self, id: Option<Option<Value>>, filters: Vec<Filter>) {
        let most = self.clients.limits.subscriptions;
        let added = self.change(|known| {
            let room = known.len() + filters.len() <= most;
            if room {
                filters.iter().cloned().for_each(|filter| known.add(filter));
            }
            room
        });
        if !added {
            let message = format!("a client may subscribe to {most} filters; use + and #");
            let refused = Refused {
                code: ErrorCode::TooLarge,
                message,
            };
            return self.answer(id.flatten(), Answer::Refused(refused));
        }
        for topic in self.clients.store.topics_below("") {
            let meant = filters.iter().any(|filter| filter.matches(&topic));
            if meant && self.grant.sees_topic(&topic) {
                self.outbox.push_state(&topic);
            }
        }
        // After the states: who has the answer has seen them all.
        if let Some(id) = id {
            self.answer(id, Answer::Subscribed(filters));
        }
    }

    /// Tells it no more of these.
    pub fn unsubscribe(&self, id: Option<Value>, filters: Vec<Filter>) {
        self.change(|known| filters.iter().for_each(|filter| known.remove(filter)));
        self.answer(id, Answer::Unsubscribed(filters));
    }

    /// Hands a command in.
    pub fn command(self: &Arc<Self>, id: Option<Value>, topic: &str, payload: Bytes) {
        let below = topic.strip_prefix("room/").and_then(|t| t.split_once('/'));
        let Some((room, command)) = below else {
            let refused = Refused {
                code: ErrorCode::UnknownCommand,
                message: format!("a command is room/<room>/<command>, not \"{topic:.64}\""),
            };
            return self.answer(id, Answer::Refused(refused));
        };
        let busy = self.pending.load(Ordering::Relaxed) >= self.clients.limits.in_flight;
        self.pending.fetch_add(1, Ordering::Relaxed);
        let client = self.clone();
        let reply = Reply::new(room.into(), command, move |outcome| {
            client.result(id, outcome)
        });
        if busy {
            let most = self.clients.limits.in_flight;
            let message = format!("{most} commands of this client have no result yet");
            let failure = Failure::new(ErrorCode::Busy, message);
            return self.clients.gateway.refuse(self.door, reply, failure);
        }
        self.clients.submit(
            &self.grant,
            self.door,
            payload,
            crate::command::Transfer::None,
            reply,
        );
    }

    fn result(&self, id: Option<Value>, mut outcome: Outcome) {
        if let Ok(success) = &mut outcome.result
            && let Some(file) = &mut success.file
        {
            // A slow reader's files do not pile up: the result names the URL in any case.
            let size = file.bytes.as_ref().map_or(0, Bytes::len);
            let held = self.held.load(Ordering::Relaxed);
            if self.format == Format::Plain || held + size > self.clients.limits.files {
                file.bytes = None;
            } else {
                self.held.fetch_add(size, Ordering::Relaxed);
            }
        }
        self.outbox
            .push_reply((id, Answer::Result(Box::new(outcome))));
    }

    /// Gives an answer that is no result.
    pub fn answer(&self, id: Option<Value>, answer: Answer) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.outbox.push_reply((id, answer));
    }

    /// Waits while too many of its answers wait: it asks faster than it reads.
    pub async fn caught_up(&self) {
        loop {
            let answered = self.answered.notified();
            if self.pending.load(Ordering::Relaxed) < BACKLOG * self.clients.limits.in_flight {
                return;
            }
            answered.await;
        }
    }

    /// Waits for the next thing to tell it.
    pub async fn next(&self) -> Item<Addressed> {
        self.outbox.next().await
    }

    /// Nothing waits.
    pub fn is_idle(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Nothing waits, and nothing is still to come of what it asked for.
    pub fn is_answered(&self) -> bool {
        self.pending.load(Ordering::Relaxed) == 0 && self.is_idle()
    }

    /// The frames of an item.
    pub fn frames(&self, item: Item<Addressed>) -> Vec<Sent> {
        match item {
            Item::State(topic) if !self.wants(&topic) => Vec::new(),
            Item::State(topic) => {
                let state = self.clients.store.get(&topic);
                vec![Sent::Text(match self.format {
                    Format::Json => self.clients.written.state(&topic, state.as_ref()),
                    Format::Plain => plain::state(&topic, state.as_ref()).into(),
                })]
            }
            Item::Event(topic, payload) => {
                let text = match self.format {
                    Format::Json => json::event(&topic, &payload),
                    Format::Plain => plain::event(&topic, &payload),
                };
                vec![Sent::Text(text.into())]
            }
            Item::Reply((id, answer)) => {
                self.pending.fetch_sub(1, Ordering::Relaxed);
                self.answered.notify_one();
                self.answer_frames(id.as_ref(), answer)
            }
        }
    }

    fn answer_frames(&self, id: Option<&Value>, answer: Answer) -> Vec<Sent> {
        let text = match self.format {
            Format::Json => Some(json::answer(id, &answer)),
            Format::Plain => plain::answer(&answer),
        };
        let mut frames: Vec<Sent> = text
            .map(|text| Sent::Text(text.into()))
            .into_iter()
            .collect();
        if let Answer::Result(outcome) = answer
            && let Ok(success) = outcome.result
            && let Some(bytes) = success.file.and_then(|file| file.bytes)
        {
            self.held.fetch_sub(bytes.len(), Ordering::Relaxed);
            frames.push(Sent::Binary(bytes));
        }
        frames
    }

    /// It is gone: nothing is kept for it any more, though a command of its may still run.
    pub fn leave(&self) {
        self.change(|filters| *filters = Filters::default());
    }
}

impl Subscriber for Client {
    fn state_changed(&self, topic: &Arc<str>, _: Change) {
        if self.wants(topic) {
            self.outbox.push_state(topic);
        }
    }

    fn event(&self, topic: &Arc<str>, payload: &Bytes) {
        if self.wants(topic) && self.outbox.push_event(topic, payload) {
            self.clients.telemetry.event_dropped(self.door);
        }
    }
}
