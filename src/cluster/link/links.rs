//! The links to all other members: each is kept connected by a task of its own, so that a slow member delays
//! nobody else.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use parking_lot::{Mutex, MutexGuard, RwLock};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::connect::{Dialer, OpenedLink};
use super::elsewhere::RoomsElsewhere;
use super::frame::{FrameHead, LinkFrame, NoFrame};
use super::passed::PassedCommand;
use super::peer::{Link, UnansweredCommands};
use super::pieces::ReceivedPieces;
use super::router::Router;
use super::{LONGEST_SILENCE, Member, PING_INTERVAL, RoomHolders};
use crate::command::Submission;
use crate::net::{Stream, turn};
use crate::sleep::ticks;
use crate::state::StateValue;
use crate::telemetry::Telemetry;

/// The delay before a link is connected again, after the first failure.
const FIRST_RECONNECT_DELAY: Duration = Duration::from_millis(50);
/// After many failures. A member that is back is in use again this soon.
const LONGEST_RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// A link that has ended sooner counts as one that could not be connected: what has ended it may end the next one too,
/// and the log is not told each time.
const LASTING: Duration = Duration::from_secs(10);
/// How often is looked whether something was received.
const LISTEN_INTERVAL: Duration = Duration::from_millis(250);
/// How often the end of a stop is looked for.
const STOP_LOOK_INTERVAL: Duration = Duration::from_millis(10);

type Socket = WebSocketStream<Box<dyn Stream>>;

/// Who gets what comes over the links.
#[derive(Debug)]
struct Receivers {
    elsewhere: Weak<RoomsElsewhere>,
    router: Weak<Router>,
}

/// The links of this gateway.
#[derive(Debug)]
pub struct Links {
    dialer: Arc<Dialer>,
    telemetry: Arc<Telemetry>,
    links: RwLock<BTreeMap<Arc<str>, RunningLink>>,
    /// Changes each time a link comes or goes.
    changed: tokio::sync::watch::Sender<()>,
    receivers: OnceLock<Receivers>,
}

#[derive(Debug)]
struct RunningLink {
    link: Arc<Link>,
    task: JoinHandle<()>,
}

impl Links {
    /// No links yet; [`Links::follow`] makes them.
    pub fn new(dialer: Arc<Dialer>, telemetry: Arc<Telemetry>) -> Arc<Self> {
        Arc::new(Self {
            dialer,
            telemetry,
            links: RwLock::default(),
            changed: tokio::sync::watch::Sender::new(()),
            receivers: OnceLock::new(),
        })
    }

    /// Says where what comes over the links goes. Only the first call counts.
    pub fn deliver_to(&self, elsewhere: Arc<RoomsElsewhere>, router: Arc<Router>) {
        let _ = self.receivers.set(Receivers {
            elsewhere: Arc::downgrade(&elsewhere),
            router: Arc::downgrade(&router),
        });
    }

    fn elsewhere(&self) -> Option<Arc<RoomsElsewhere>> {
        self.receivers.get()?.elsewhere.upgrade()
    }

    fn router(&self) -> Option<Arc<Router>> {
        self.receivers.get()?.router.upgrade()
    }

    /// The link to a member, if it is one.
    pub fn get(&self, member: &str) -> Option<Arc<Link>> {
        let links = self.links.read();
        links.get(member).map(|running| running.link.clone())
    }

    /// Every link by the name of the other member, and why it is not connected, if it is not.
    pub fn status(&self) -> BTreeMap<Arc<str>, Option<String>> {
        let links = self.links.read();
        let status = |(name, running): (&Arc<str>, &RunningLink)| {
            (name.clone(), running.link.why_not_connected())
        };
        links.iter().map(status).collect()
    }

    /// Changes each time a link comes or goes.
    pub fn changed(&self) -> tokio::sync::watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn tell_change(&self) {
        self.changed.send_replace(());
    }

    /// Keeps a link to each member that lives.
    pub async fn follow(self: Arc<Self>, holders: Arc<dyn RoomHolders>) {
        let mut changed = holders.changed();
        loop {
            self.set_members(holders.members());
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn set_members(self: &Arc<Self>, members: Vec<Member>) {
        let mut gone = Vec::new();
        let mut links = self.links.write();
        let before = links.len();
        links.retain(|_, running| {
            let stays = members.contains(running.link.member());
            if !stays {
                running.task.abort();
                gone.push(running.link.clone());
            }
            stays
        });
        let mut is_new = before != links.len();
        for member in members {
            if let Entry::Vacant(place) = links.entry(member.name.clone()) {
                let link = Link::new(member);
                let task = tokio::spawn(self.clone().keep_connected(link.clone()));
                place.insert(RunningLink { link, task });
                is_new = true;
            }
        }
        drop(links);
        for link in gone {
            let why = "it is no member of the cluster any more";
            self.give_back(&link, link.close(why));
        }
        if is_new {
            self.tell_change();
        }
    }

    async fn keep_connected(self: Arc<Self>, link: Arc<Link>) {
        let member = link.member().name.clone();
        let mut delay = FIRST_RECONNECT_DELAY;
        let mut told = String::new();
        // It has ended soon after it was connected.
        let mut is_unsteady = false;
        loop {
            let why = match self.dialer.websocket(link.member()).await {
                Ok(OpenedLink {
                    socket,
                    takes_pieces,
                }) => {
                    self.telemetry.link_connected();
                    if !is_unsteady {
                        self.telemetry.link_up(&member);
                    }
                    if let Some(elsewhere) = self.elsewhere() {
                        elsewhere.link_up(&link);
                    }
                    link.connected(takes_pieces);
                    self.tell_change();
                    let mut exchange = pin!(self.exchange(&link, socket));
                    let ended = timeout(LASTING, exchange.as_mut()).await;
                    let was_unsteady = std::mem::replace(&mut is_unsteady, ended.is_ok());
                    match ended {
                        Ok(why) => why,
                        Err(_) => {
                            if was_unsteady {
                                self.telemetry.link_up(&member);
                            }
                            told.clear();
                            delay = FIRST_RECONNECT_DELAY;
                            exchange.await
                        }
                    }
                }
                Err(why) => why,
            };
            self.end(&link, &why);
            if why != told {
                self.telemetry.link_down(&member, &why);
                told = why;
            }
            sleep(delay).await;
            delay = (delay * 2).min(LONGEST_RECONNECT_DELAY);
        }
    }

    /// Gives back what the link can answer no more.
    fn end(&self, link: &Link, why: &str) {
        let was_connected = link.why_not_connected().is_none();
        self.give_back(link, link.ended(why));
        if was_connected {
            self.tell_change();
        }
    }

    fn give_back(&self, link: &Link, ended: UnansweredCommands) {
        if let Some(router) = self.router() {
            for passed in ended.sent {
                router.lost(passed, &link.member().name);
            }
            for passed in ended.unsent {
                router.again(passed, None);
            }
        }
    }

    /// Sends and receives until the link breaks; returns why.
    async fn exchange(&self, link: &Arc<Link>, socket: Socket) -> String {
        let (sink, source) = socket.split();
        let received = Mutex::new(false);
        tokio::select! {
            why = self.receive(link, source, &received) => why,
            why = self.send(link, sink) => why,
            why = silence(&received) => why,
        }
    }

    async fn receive(
        &self,
        link: &Arc<Link>,
        mut source: SplitStream<Socket>,
        received: &Mutex<bool>,
    ) -> String {
        let mut pieces = ReceivedPieces::default();
        loop {
            let message = match source.next().await {
                None => return CLOSED.into(),
                Some(Err(error)) => return ended_by(&error),
                Some(Ok(message)) => message,
            };
            *lock(received) = true;
            turn().await;
            let handled = match message {
                Message::Binary(bytes) => self.message(link, &mut pieces, bytes),
                _ => Ok(()),
            };
            if let Err(error) = handled {
                return error.to_string();
            }
        }
    }

    fn message(
        &self,
        link: &Arc<Link>,
        pieces: &mut ReceivedPieces,
        bytes: bytes::Bytes,
    ) -> Result<(), NoFrame> {
        match pieces.receive(bytes, || link.piece_came())? {
            Some(frame) => self.handle(link, frame),
            None => Ok(()),
        }
    }

    fn handle(&self, link: &Arc<Link>, frame: LinkFrame) -> Result<(), NoFrame> {
        let LinkFrame { head, body } = frame;
        let elsewhere = self.elsewhere();
        match head {
            FrameHead::Result { id, outcome } => link.answered(id, outcome, body)?,
            FrameHead::NotHere(id) => {
                if let (Some(router), Some(passed)) = (self.router(), link.take_back(id)) {
                    router.again(passed, Some(&link.member().name));
                }
            }
            FrameHead::State {
                topic,
                content_type,
                cleared,
            } => {
                let value = (!cleared).then(|| StateValue {
                    payload: body,
                    content_type: content_type.map(Into::into),
                });
                if let Some(elsewhere) = elsewhere {
                    elsewhere.state(link, &topic, value);
                }
            }
            FrameHead::Event(topic) => {
                if let Some(elsewhere) = elsewhere {
                    elsewhere.event(link, &topic, body);
                }
            }
            FrameHead::AllSent {
                room,
                complete,
                number,
            } => {
                if let Some(elsewhere) = elsewhere {
                    elsewhere.all_sent(link, &room, complete, number);
                }
            }
            FrameHead::Taken(pieces) => link.pieces_taken(pieces),
            FrameHead::Command { .. }
            | FrameHead::Watch { .. }
            | FrameHead::Unwatch(_)
            | FrameHead::Piece { .. } => return Err(NoFrame),
        }
        Ok(())
    }

    /// See [`super::ClusterLinks::receive_bytes`].
    pub fn receive_bytes(
        self: &Arc<Self>,
        elsewhere: &Arc<RoomsElsewhere>,
        member: Member,
        sent: Vec<Submission>,
        bytes: bytes::Bytes,
    ) -> Result<(), NoFrame> {
        let name = member.name.clone();
        self.set_members(vec![member]);
        let link = self.get(&name).ok_or(NoFrame)?;
        elsewhere.link_up(&link);
        link.connected(true);
        elsewhere.refresh();
        for submission in sent {
            // One that it does not take is answered by that.
            let _ = link.pass(PassedCommand::command(submission));
        }
        while link.next_message().is_some() {}
        self.message(&link, &mut ReceivedPieces::default(), bytes)
    }

    async fn send(&self, link: &Link, mut sink: SplitSink<Socket, Message>) -> String {
        let mut pings = ticks(PING_INTERVAL);
        loop {
            let ping = tokio::select! {
                () = link.to_write() => false,
                _ = pings.tick() => true,
            };
            if ping {
                for passed in link.overdue(Instant::now()) {
                    if let Some(router) = self.router() {
                        router.lost(passed, &link.member().name);
                    }
                }
                if let Err(error) = sink.feed(Message::Ping(bytes::Bytes::new())).await {
                    return ended_by(&error);
                }
            }
            while let Some(message) = link.next_message() {
                if let Err(error) = sink.feed(Message::Binary(message)).await {
                    return ended_by(&error);
                }
            }
            if let Err(error) = sink.flush().await {
                return ended_by(&error);
            }
        }
    }

    /// Waits until every command has its result, until `deadline` at the latest.
    pub async fn answered(&self, deadline: Instant) {
        let unanswered = || -> usize {
            let links = self.links.read();
            links
                .values()
                .map(|running| running.link.unanswered())
                .sum()
        };
        while unanswered() > 0 && Instant::now() < deadline {
            sleep(STOP_LOOK_INTERVAL).await;
        }
    }

    /// Ends all links.
    pub fn close(self: &Arc<Self>) {
        self.set_members(Vec::new());
    }
}

/// The other end has closed a link in good order, or its connection has ended.
const CLOSED: &str = "it closed the link";

/// Why a link has ended, for the log.
fn ended_by(error: &Error) -> String {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(
            ProtocolError::SendAfterClosing | ProtocolError::ResetWithoutClosingHandshake,
        ) => CLOSED.into(),
        error => error.to_string(),
    }
}

fn lock(received: &Mutex<bool>) -> MutexGuard<'_, bool> {
    received.lock()
}

/// Waits until nothing was received for too long. Only time in which this gateway runs counts: one that had no
/// processor for a while has not listened.
async fn silence(received: &Mutex<bool>) -> String {
    let mut looks = ticks(LISTEN_INTERVAL);
    let mut silent = Duration::ZERO;
    while silent < LONGEST_SILENCE {
        looks.tick().await;
        if std::mem::take(&mut *lock(received)) {
            silent = Duration::ZERO
        } else {
            silent += LISTEN_INTERVAL
        }
    }
    "it has not answered a ping".into()
}
