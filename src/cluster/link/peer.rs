//! One link: what waits for its WebSocket, and what was sent and has no answer yet.
//!
//! Owns the promise that every command it took gets a result: from the owner, or, when the link breaks,
//! `outcome_unknown` for those that were sent, while the others go back to the router. Does not open the
//! WebSocket, and decides nothing about rooms.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::frame::{Depth, FrameHead, LinkFrame, NoFrame};
use super::passed::PassedCommand;
use super::pieces::{Content, OutgoingFrame, OutgoingPieces};
use super::wire::{CommandHead, OutcomeHead};
use super::{MOST_UNANSWERED, Member};
use crate::command::Submission;

/// The longest that a command may take at its owner, which answers every command by itself: a check of a room
/// takes minutes. Only an owner with a fault lets this pass.
pub(super) const RESULT_TIMEOUT: Duration = Duration::from_secs(900);

/// A link to another member, whether or not it is connected.
#[derive(Debug)]
pub struct Link {
    member: Member,
    state: Mutex<LinkState>,
    /// Something is to be written.
    to_write: Notify,
    connected: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct LinkState {
    connected: bool,
    /// The member is gone, and the link with it.
    closed: bool,
    /// Why it is not connected, for messages.
    why_not: String,
    down_since: Option<Instant>,
    next_id: u64,
    /// Commands without a result.
    unanswered: HashMap<u64, Unanswered>,
    /// Those of them that are not written yet.
    unsent: VecDeque<u64>,
    /// Which states are wanted.
    watched: BTreeMap<Arc<str>, Depth>,
    /// What the other end has not been told of that.
    watch_changes: BTreeMap<Arc<str>, Option<Depth>>,
    /// How it is told.
    watch_frames: VecDeque<FrameHead>,
    /// The number of the next that says what is wanted.
    next_watch: u64,
    /// Large frames on their way.
    pieces: OutgoingPieces,
    /// Pieces that have come, which the other end has not been told of.
    pieces_came: u32,
}

#[derive(Debug)]
struct Unanswered {
    passed: PassedCommand,
    sent: bool,
    until: Instant,
}

/// Why a link takes no command.
#[derive(Debug)]
pub enum NotTaken {
    /// It is not connected.
    NotConnected(Box<PassedCommand>),
    /// Too many commands have no result.
    Full(Box<PassedCommand>),
}

/// The commands without a result of a link that has ended.
#[derive(Debug, Default)]
pub struct UnansweredCommands {
    /// They were sent: whether they were carried out is unknown.
    pub sent: Vec<PassedCommand>,
    /// They were not sent.
    pub unsent: Vec<PassedCommand>,
}

impl Link {
    /// A link that is not connected yet.
    pub fn new(member: Member) -> Arc<Self> {
        Arc::new(Self {
            member,
            state: Mutex::new(LinkState {
                why_not: "the link is not connected yet".into(),
                down_since: Some(Instant::now()),
                ..LinkState::default()
            }),
            to_write: Notify::new(),
            connected: watch::Sender::new(false),
        })
    }

    /// The other end.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Why it is not connected, if it is not.
    pub fn why_not_connected(&self) -> Option<String> {
        let state = self.state.lock();
        (!state.connected).then(|| state.why_not.clone())
    }

    /// How long it has not been connected.
    pub fn down_for(&self, now: Instant) -> Option<Duration> {
        let since = self.state.lock().down_since?;
        Some(now.saturating_duration_since(since))
    }

    /// Waits until it is not connected.
    pub async fn disconnected(&self) {
        let mut connected = self.connected.subscribe();
        // The sender lives as long as the link.
        let _ = connected.wait_for(|connected| !connected).await;
    }

    /// How many commands have no result.
    pub fn unanswered(&self) -> usize {
        self.state.lock().unanswered.len()
    }

    /// Passes a command on, if it is connected.
    ///
    /// # Errors
    /// It takes no command now.
    pub fn pass(&self, passed: PassedCommand) -> Result<(), NotTaken> {
        let mut state = self.state.lock();
        if !state.connected {
            return Err(NotTaken::NotConnected(Box::new(passed)));
        }
        if state.unanswered.len() >= MOST_UNANSWERED {
            return Err(NotTaken::Full(Box::new(passed)));
        }
        let id = state.next_id;
        state.next_id += 1;
        let unanswered = Unanswered {
            passed,
            sent: false,
            until: Instant::now() + RESULT_TIMEOUT,
        };
        state.unanswered.insert(id, unanswered);
        state.unsent.push_back(id);
        drop(state);
        self.to_write.notify_one();
        Ok(())
    }

    /// From now on these states of a room are wanted. Answers to this have the number that it gives, or a higher one.
    pub fn watch(&self, room: &Arc<str>, depth: Option<Depth>) -> u64 {
        let mut state = self.state.lock();
        let number = state.next_watch;
        match depth {
            Some(depth) => state.watched.insert(room.clone(), depth),
            None => state.watched.remove(room),
        };
        if state.connected {
            state.watch_changes.insert(room.clone(), depth);
            drop(state);
            self.to_write.notify_one();
        }
        number
    }

    /// The link is connected, to a member that does or does not take pieces: what is wanted is asked for anew.
    pub fn connected(&self, takes_pieces: bool) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.connected = true;
        state.down_since = None;
        let watched = state.watched.iter();
        let watched = watched.map(|(room, depth)| (room.clone(), Some(*depth)));
        state.watch_changes = watched.collect();
        state.watch_frames.clear();
        state.pieces = OutgoingPieces::new(takes_pieces);
        state.pieces_came = 0;
        drop(state);
        self.connected.send_replace(true);
        self.to_write.notify_one();
    }

    /// The link has ended and will not be connected again.
    pub fn close(&self, why: &str) -> UnansweredCommands {
        self.state.lock().closed = true;
        self.ended(why)
    }

    /// The link has ended, or could not be connected.
    pub fn ended(&self, why: &str) -> UnansweredCommands {
        let mut state = self.state.lock();
        state.connected = false;
        state.why_not = why.to_owned();
        state.down_since.get_or_insert_with(Instant::now);
        state.unsent.clear();
        state.pieces = OutgoingPieces::default();
        let mut unanswered: Vec<_> = std::mem::take(&mut state.unanswered).into_iter().collect();
        drop(state);
        self.connected.send_replace(false);
        unanswered.sort_unstable_by_key(|(id, _)| *id);
        let mut ended = UnansweredCommands::default();
        for (_, Unanswered { passed, sent, .. }) in unanswered {
            if sent {
                ended.sent.push(passed)
            } else {
                ended.unsent.push(passed)
            }
        }
        ended
    }

    /// Waits until there is something to write.
    pub async fn to_write(&self) {
        self.to_write.notified().await;
    }

    /// The next message to write. A command counts as sent from its first byte on.
    pub fn next_message(&self) -> Option<Bytes> {
        let mut state = self.state.lock();
        let came = std::mem::take(&mut state.pieces_came);
        if came > 0 {
            return Some(LinkFrame::head(FrameHead::Taken(came)).encode());
        }
        while let Some(outgoing) = state.next_frame() {
            let whole = state.pieces.frame(outgoing);
            let next = whole.or_else(|| state.pieces.next());
            if next.is_some() {
                return next;
            }
        }
        state.pieces.next()
    }

    /// A piece of a frame has come.
    pub fn piece_came(&self) {
        let mut state = self.state.lock();
        state.pieces_came = state.pieces_came.saturating_add(1);
        drop(state);
        self.to_write.notify_one();
    }

    /// The other end has taken so many pieces.
    pub fn pieces_taken(&self, pieces: u32) {
        self.state.lock().pieces.taken(pieces);
        self.to_write.notify_one();
    }

    /// The owner has answered a command.
    ///
    /// # Errors
    /// The answer cannot be read. The command is answered all the same, since its reply is dropped.
    pub fn answered(&self, id: u64, outcome: OutcomeHead, body: Bytes) -> Result<(), NoFrame> {
        let Some(unanswered) = self.state.lock().unanswered.remove(&id) else {
            return Ok(());
        };
        let mut reply = unanswered.passed.submission.reply;
        let (request_id, result) = outcome.into_result(body)?;
        reply.request_id = request_id;
        reply.answer(result);
        Ok(())
    }

    /// The other member has not begun a command.
    pub fn take_back(&self, id: u64) -> Option<PassedCommand> {
        let unanswered = self.state.lock().unanswered.remove(&id)?;
        Some(unanswered.passed)
    }

    /// Takes the commands that had no result for too long.
    pub fn overdue(&self, now: Instant) -> Vec<PassedCommand> {
        let mut state = self.state.lock();
        let overdue = state.unanswered.iter();
        let overdue = overdue.filter(|(_, unanswered)| unanswered.until <= now);
        let overdue: Vec<u64> = overdue.map(|(id, _)| *id).collect();
        let taken = overdue.iter().filter_map(|id| state.unanswered.remove(id));
        taken.map(|unanswered| unanswered.passed).collect()
    }
}

impl LinkState {
    /// The next frame that goes now, as a whole or in part: of no room that has a large one on its way.
    fn next_frame(&mut self) -> Option<OutgoingFrame> {
        if self.pieces.may_go("", &Content::Other)
            && let Some(head) = self.next_watch_frame()
        {
            return Some(OutgoingFrame::of_none(head));
        }
        loop {
            let pieces = &self.pieces;
            let may_go = |id: &u64| {
                let Some(unanswered) = self.unanswered.get(id) else {
                    return true;
                };
                let Submission { room, payload, .. } = &unanswered.passed.submission;
                pieces.may_go(room, &Content::Other) && pieces.goes_at_once(payload.len())
            };
            let position = self.unsent.iter().position(may_go)?;
            let id = self.unsent.remove(position)?;
            if let Some(unanswered) = self.unanswered.get_mut(&id) {
                unanswered.sent = true;
                let command = CommandHead::new(&unanswered.passed, Instant::now());
                let submission = &unanswered.passed.submission;
                return Some(OutgoingFrame {
                    room: submission.room.clone(),
                    content: Content::Other,
                    frame: LinkFrame {
                        head: FrameHead::Command { id, command },
                        body: submission.payload.clone(),
                    },
                });
            }
        }
    }

    /// Says the next of what has changed about which states are wanted.
    fn next_watch_frame(&mut self) -> Option<FrameHead> {
        if self.watch_frames.is_empty() && !self.watch_changes.is_empty() {
            // All of one number at once: what is wanted from here on gets the next one.
            let number = Some(self.next_watch);
            self.next_watch += 1;
            let mut rooms = BTreeMap::<_, Vec<String>>::new();
            for (room, depth) in std::mem::take(&mut self.watch_changes) {
                rooms.entry(depth).or_default().push(room.to_string());
            }
            let frames = rooms.into_iter().map(|(depth, rooms)| match depth {
                Some(depth) => FrameHead::Watch {
                    rooms,
                    depth,
                    number,
                },
                None => FrameHead::Unwatch(rooms),
            });
            self.watch_frames.extend(frames);
        }
        self.watch_frames.pop_front()
    }
}

#[cfg(test)]
mod tests;
