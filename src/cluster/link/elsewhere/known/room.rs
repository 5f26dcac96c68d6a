//! One room elsewhere: where its states are, who wants them, and what its owner was asked for.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use crate::cluster::link::Member;
use crate::cluster::link::frame::Depth;
use crate::cluster::link::links::Links;
use crate::cluster::link::peer::Link;

#[derive(Debug)]
pub(super) struct KnownRoom {
    pub(super) source: RoomSource,
    /// How many want its states.
    pub(super) wanted: usize,
    pub(super) unwanted_since: Option<Instant>,
    pub(super) asked: Option<Asked>,
    /// All that was asked for has come, or will not come.
    pub(super) arrived: bool,
    /// The owner has read all states of the room, and they have come.
    pub(super) is_complete: bool,
    /// The topics that have come since it was asked for all of them, until they are complete.
    pub(super) received: Option<Box<ReceivedTopics>>,
    /// It is said to be away, since its owner cannot be reached.
    pub(super) is_cut_off: bool,
}

/// What the owner of a room was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) link: Arc<Link>,
    pub(super) depth: Depth,
    /// Answers to earlier questions have lower numbers.
    pub(super) number: u64,
}

/// Topics that have come from another gateway. Boxed where it is used: few of thousands of rooms have any.
#[derive(Debug, Default)]
pub(super) struct ReceivedTopics(pub(super) HashSet<Box<str>>);

/// Topics that this gateway has read. Boxed as the others.
#[derive(Debug, Default)]
pub(super) struct ChangedTopics(pub(super) HashSet<Arc<str>>);

/// Where the states of a room are.
#[derive(Debug)]
pub(super) enum RoomSource {
    /// At this gateway.
    Own,
    /// At this gateway, which has not read them all yet. These have changed since the room came.
    Coming(Box<ChangedTopics>),
    /// At another member.
    Member { member: Member, since: Instant },
    /// At none.
    Nobody,
}

/// A room that nobody has heard of elsewhere, and nobody wants yet.
impl Default for KnownRoom {
    fn default() -> Self {
        Self {
            source: RoomSource::Own,
            wanted: 0,
            unwanted_since: None,
            asked: None,
            arrived: false,
            is_complete: false,
            received: None,
            is_cut_off: false,
        }
    }
}

impl KnownRoom {
    pub(super) fn is_own(&self) -> bool {
        matches!(self.source, RoomSource::Own | RoomSource::Coming(_))
    }

    /// Asks the owner for what is wanted, if that has changed.
    pub(super) fn ask(&mut self, room: &Arc<str>, want_all: bool, links: &Links) {
        let link = match &self.source {
            RoomSource::Member { member, .. } => links.get(&member.name),
            _ => None,
        };
        let is_wanted = want_all || self.wanted > 0 || self.unwanted_since.is_some();
        let depth = if is_wanted {
            Depth::All
        } else {
            Depth::Availability
        };
        let is_same_link = match (&self.asked, &link) {
            (Some(asked), Some(link)) => Arc::ptr_eq(&asked.link, link),
            (None, None) => true,
            _ => false,
        };
        if is_same_link && self.asked.as_ref().is_none_or(|asked| asked.depth == depth) {
            return;
        }
        if !is_same_link {
            self.ask_no_more(room);
        }
        self.expect_all();
        self.asked = link.map(|link| Asked {
            number: link.watch(room, Some(depth)),
            link,
            depth,
        });
    }

    pub(super) fn ask_no_more(&mut self, room: &Arc<str>) {
        if let Some(asked) = self.asked.take() {
            asked.link.watch(room, None);
        }
    }

    /// All that was asked for has come, as far as it will.
    pub(super) fn has_arrived(&self) -> bool {
        match self.source {
            RoomSource::Member { .. } => self.arrived,
            _ => true,
        }
    }

    pub(super) fn expect_all(&mut self) {
        self.arrived = false;
        self.is_complete = false;
        self.received = None;
    }

    /// Its owner was asked for all states, and they have not all come.
    pub(super) fn wants_completion(&self) -> bool {
        !self.is_complete && self.was_asked_for_all()
    }

    pub(super) fn was_asked_for_all(&self) -> bool {
        let asked = self.asked.as_ref();
        asked.is_some_and(|asked| asked.depth == Depth::All)
    }

    pub(super) fn was_asked(&self, link: &Arc<Link>) -> bool {
        let asked = self.asked.as_ref();
        asked.is_some_and(|asked| Arc::ptr_eq(&asked.link, link))
    }

    /// Whether an answer of this link is one to the newest question. Versions that number none answer each.
    pub(super) fn is_answer(&self, link: &Arc<Link>, number: Option<u64>) -> bool {
        let asked = self.asked.as_ref();
        asked.is_some_and(|asked| {
            Arc::ptr_eq(&asked.link, link) && number.is_none_or(|number| number >= asked.number)
        })
    }
}
