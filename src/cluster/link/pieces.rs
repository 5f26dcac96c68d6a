//! Large frames go over a link in pieces, and what is small goes between them.
//!
//! Without that, the results of all rooms would wait until the file of one has passed, and a member that hears nothing
//! but the middle of a file for too long would give the link up. Owns how much is on its way, and which frames of a
//! room may not overtake a large one. Pure.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::LARGEST_MESSAGE;
use super::frame::{FrameHead, LinkFrame, NoFrame, encode};

/// A frame with more bytes goes in pieces of so many. On a line with 100 kbit/s one takes less than the silence after
/// which a link is given up.
pub const PIECE_BYTES: usize = 16 << 10;
/// Pieces that the other end has not taken yet. Everything else waits behind them in the buffers of both systems: 256
/// KiB are 50 ms at 40 Mbit/s, and enough for 100 Mbit/s over 20 ms.
const MOST_UNTAKEN_PIECES: usize = 16;
/// Frames whose pieces alternate. Of more than this the later ones wait: the other end keeps what has come of each.
const MOST_ALTERNATING: usize = 16;

/// A frame that is to be sent.
#[derive(Debug)]
pub struct OutgoingFrame {
    /// The room that it is of; empty: none.
    pub room: Arc<str>,
    /// What it is.
    pub content: Content,
    /// The frame.
    pub frame: LinkFrame,
}

impl OutgoingFrame {
    /// Of no room.
    pub fn of_none(head: FrameHead) -> Self {
        Self {
            room: Arc::default(),
            content: Content::Other,
            frame: LinkFrame::head(head),
        }
    }
}

/// What a frame of a room is, as far as its order matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// The state of this topic.
    State(Arc<str>),
    /// The result of this command.
    Result(Arc<str>),
    /// Commands, events, and what is said about states.
    Other,
}

impl Content {
    /// Whether it may not arrive before this large one, which was to be sent earlier. States that a command led to go
    /// before its result, and those that are all before it is said that they are all. A result may take its time: other
    /// commands, and what they lead to, do not wait for the file that one of them has fetched.
    fn waits_for(&self, large: &Self) -> bool {
        match (large, self) {
            (Self::State(large), Self::State(topic)) => large == topic,
            (Self::Result(large), Self::Result(command)) => large == command,
            (Self::Result(_), _) => false,
            (Self::State(_) | Self::Other, _) => true,
        }
    }
}

/// What is on its way in pieces to one member.
#[derive(Debug, Default)]
pub struct OutgoingPieces {
    /// The member puts pieces together. One of an earlier version does not.
    takes_pieces: bool,
    /// Those whose pieces alternate; the first is next.
    alternating: VecDeque<LargeFrame>,
    /// Those after them.
    waiting: VecDeque<LargeFrame>,
    /// The whole size of those that alternate.
    alternating_bytes: usize,
    /// What they are, by their rooms.
    large: HashMap<Arc<str>, Vec<Content>>,
    next_number: u64,
    untaken: usize,
}

#[derive(Debug)]
struct LargeFrame {
    room: Arc<str>,
    content: Content,
    number: u64,
    size: usize,
    /// What is left of the head, with its length.
    head: Bytes,
    /// What is left of the body.
    body: Bytes,
}

impl LargeFrame {
    /// Takes the next piece.
    fn cut(&mut self) -> Bytes {
        let rest = if self.head.is_empty() {
            &mut self.body
        } else {
            &mut self.head
        };
        let bytes = rest.split_to(rest.len().min(PIECE_BYTES));
        let head = FrameHead::Piece {
            of: self.number,
            last: self.head.is_empty() && self.body.is_empty(),
        };
        encode(&head, &bytes)
    }

    fn is_over(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }
}

impl OutgoingPieces {
    /// To a member that does or does not put pieces together.
    pub fn new(takes_pieces: bool) -> Self {
        Self {
            takes_pieces,
            ..Self::default()
        }
    }

    /// Whether nothing large is on its way.
    pub fn is_empty(&self) -> bool {
        self.large.is_empty()
    }

    /// Whether a frame of this room need not wait for a large one. Otherwise it may not be handed to
    /// [`OutgoingPieces::frame`].
    pub fn may_go(&self, room: &str, content: &Content) -> bool {
        let large = self.large.get(room);
        large.is_none_or(|all| !all.iter().any(|large| content.waits_for(large)))
    }

    /// Whether a command with a body of so many bytes would go at once, as a whole or with its first piece.
    pub fn goes_at_once(&self, body: usize) -> bool {
        // Its head is far below the other half.
        let is_whole = !self.takes_pieces || body <= PIECE_BYTES / 2;
        let may_begin = self.untaken < MOST_UNTAKEN_PIECES && self.waiting.is_empty();
        is_whole || may_begin && self.has_place(PIECE_BYTES + body)
    }

    /// The bytes of a frame, if it is to go as a whole. Otherwise its pieces come from [`OutgoingPieces::next`].
    pub fn frame(&mut self, outgoing: OutgoingFrame) -> Option<Bytes> {
        let OutgoingFrame {
            room,
            content,
            frame: LinkFrame { head, body },
        } = outgoing;
        if !self.takes_pieces {
            return Some(encode(&head, &body));
        }
        let head = encode(&head, b"");
        let size = head.len() + body.len();
        if size <= PIECE_BYTES {
            let mut whole = BytesMut::from(head);
            whole.extend_from_slice(&body);
            return Some(whole.freeze());
        }
        let large = self.large.entry(room.clone()).or_default();
        large.push(content.clone());
        self.waiting.push_back(LargeFrame {
            room,
            content,
            number: self.next_number,
            size,
            head,
            body,
        });
        self.next_number += 1;
        self.begin();
        None
    }

    /// Lets those that wait alternate too, as far as the other end keeps them. Each begins at once.
    fn begin(&mut self) {
        let has_place = |it: &Self| {
            let next = it.waiting.front();
            next.is_some_and(|next| it.has_place(next.size))
        };
        while has_place(self)
            && let Some(next) = self.waiting.pop_front()
        {
            self.alternating_bytes += next.size;
            self.alternating.push_front(next);
        }
    }

    fn has_place(&self, bytes: usize) -> bool {
        let is_full = self.alternating.len() >= MOST_ALTERNATING
            || self.alternating_bytes + bytes > LARGEST_MESSAGE;
        // One alone goes at any size.
        !is_full || self.alternating.is_empty()
    }

    /// The next piece, if one may be sent now.
    pub fn next(&mut self) -> Option<Bytes> {
        if self.untaken >= MOST_UNTAKEN_PIECES {
            return None;
        }
        let mut large = self.alternating.pop_front()?;
        self.untaken += 1;
        let piece = large.cut();
        if large.is_over() {
            self.alternating_bytes -= large.size;
            self.ended(&large);
            self.begin();
        } else {
            self.alternating.push_back(large);
        }
        Some(piece)
    }

    fn ended(&mut self, ended: &LargeFrame) {
        if let Some(of_room) = self.large.get_mut(&ended.room) {
            let position = of_room.iter().position(|large| *large == ended.content);
            position.map(|position| of_room.remove(position));
            if of_room.is_empty() {
                self.large.remove(&ended.room);
            }
        }
    }

    /// The other end has taken so many pieces.
    pub fn taken(&mut self, pieces: u32) {
        let pieces = usize::try_from(pieces).unwrap_or(usize::MAX);
        self.untaken = self.untaken.saturating_sub(pieces);
    }
}

/// What has come in pieces from one member.
#[derive(Debug, Default)]
pub struct ReceivedPieces {
    begun: HashMap<u64, BytesMut>,
    bytes: usize,
}

impl ReceivedPieces {
    /// Takes a message of the link: a frame, or a piece of one, for which it calls `piece_came`. Gives the frame that
    /// is whole with it.
    ///
    /// # Errors
    /// The member has begun more frames than it may, or this is no frame.
    pub fn receive(
        &mut self,
        message: Bytes,
        piece_came: impl FnOnce(),
    ) -> Result<Option<LinkFrame>, NoFrame> {
        let frame = LinkFrame::decode(message)?;
        let FrameHead::Piece { of, last } = frame.head else {
            return Ok(Some(frame));
        };
        piece_came();
        self.add(of, last, &frame.body)
    }

    /// One more piece of the frame with this number. Gives the frame with the last one.
    fn add(&mut self, of: u64, last: bool, bytes: &Bytes) -> Result<Option<LinkFrame>, NoFrame> {
        self.bytes += bytes.len();
        if self.bytes > LARGEST_MESSAGE {
            return Err(NoFrame);
        }
        self.begun.entry(of).or_default().extend_from_slice(bytes);
        if !last {
            return if self.begun.len() > MOST_ALTERNATING {
                Err(NoFrame)
            } else {
                Ok(None)
            };
        }
        let whole = self.begun.remove(&of).unwrap_or_default();
        self.bytes -= whole.len();
        let frame = LinkFrame::decode(whole.freeze())?;
        // Pieces have no pieces.
        match frame.head {
            FrameHead::Piece { .. } => Err(NoFrame),
            _ => Ok(Some(frame)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(room: &str, bytes: usize) -> OutgoingFrame {
        OutgoingFrame {
            room: room.into(),
            content: Content::Other,
            frame: LinkFrame {
                head: FrameHead::Event(format!("room/{room}/event/x")),
                body: vec![b'x'; bytes].into(),
            },
        }
    }

    fn piece(bytes: Bytes) -> (u64, bool, Bytes) {
        let frame = LinkFrame::decode(bytes).unwrap();
        match frame.head {
            FrameHead::Piece { of, last } => (of, last, frame.body),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn large_frames_arrive_as_they_were_and_alternate() {
        let mut pieces = OutgoingPieces::new(true);
        let mut received = ReceivedPieces::default();
        assert!(pieces.frame(outgoing("1", 1000)).is_some());
        assert!(pieces.frame(outgoing("1", 100_000)).is_none());
        assert!(pieces.frame(outgoing("2", 40_000)).is_none());
        assert!(!pieces.may_go("1", &Content::Other) && !pieces.may_go("2", &Content::Other));
        let mut came = Vec::new();
        while let Some(next) = pieces.next() {
            assert!(next.len() < PIECE_BYTES + 100);
            let (of, last, bytes) = piece(next);
            came.extend(received.add(of, last, &bytes).unwrap());
            pieces.taken(1);
        }
        // The smaller one does not wait for the larger one.
        assert_eq!(
            came,
            [outgoing("2", 40_000).frame, outgoing("1", 100_000).frame]
        );
        assert!(pieces.is_empty());
        assert_eq!((received.begun.len(), received.bytes), (0, 0));
    }

    #[test]
    fn no_more_pieces_are_on_their_way_than_the_other_end_takes() {
        let mut pieces = OutgoingPieces::new(true);
        pieces.frame(outgoing("1", 10 << 20));
        let sent = std::iter::from_fn(|| pieces.next()).count();
        assert_eq!(sent, MOST_UNTAKEN_PIECES);
        pieces.taken(3);
        let sent = std::iter::from_fn(|| pieces.next()).count();
        assert_eq!(sent, 3);
    }

    #[test]
    fn what_alternates_is_bounded_and_the_rest_follows() {
        let mut pieces = OutgoingPieces::new(true);
        let mut received = ReceivedPieces::default();
        for room in 0..3 * MOST_ALTERNATING {
            pieces.frame(outgoing(&room.to_string(), 40_000));
        }
        let mut came = 0;
        while let Some(next) = pieces.next() {
            let (of, last, bytes) = piece(next);
            came += usize::from(received.add(of, last, &bytes).unwrap().is_some());
            assert!(received.begun.len() <= MOST_ALTERNATING);
            pieces.taken(1);
        }
        assert_eq!(came, 3 * MOST_ALTERNATING);
    }

    #[test]
    fn a_member_of_a_version_without_pieces_gets_whole_frames() {
        let mut pieces = OutgoingPieces::new(false);
        let large = outgoing("1", 100_000).frame;
        let whole = pieces.frame(outgoing("1", 100_000)).unwrap();
        assert_eq!(LinkFrame::decode(whole), Ok(large));
        assert!(pieces.is_empty());
    }

    #[test]
    fn pieces_that_never_end_are_refused() {
        let mut received = ReceivedPieces::default();
        for of in 0..MOST_ALTERNATING as u64 {
            assert_eq!(received.add(of, false, &Bytes::from_static(b"x")), Ok(None));
        }
        let more = received.add(u64::MAX, false, &Bytes::new());
        assert_eq!(more, Err(NoFrame));
        let mut received = ReceivedPieces::default();
        let half = Bytes::from(vec![0; LARGEST_MESSAGE / 2 + 1]);
        assert_eq!(received.add(0, false, &half), Ok(None));
        assert_eq!(received.add(1, false, &half), Err(NoFrame));
        let inner = encode(&FrameHead::Piece { of: 0, last: true }, b"");
        let nested = ReceivedPieces::default().add(0, true, &inner);
        assert_eq!(nested, Err(NoFrame));
    }

    #[test]
    fn a_large_frame_keeps_back_what_may_not_arrive_before_it() {
        let state = |topic: &str| Content::State(topic.into());
        let result = |command: &str| Content::Result(command.into());
        for (large, overtake, wait) in [
            (
                result("system/logs/get"),
                vec![
                    state("room/1/audio/volume"),
                    result("audio/volume/set"),
                    Content::Other,
                ],
                vec![result("system/logs/get")],
            ),
            (
                state("room/1/camera/snapshot/near"),
                vec![state("room/1/audio/volume")],
                vec![
                    state("room/1/camera/snapshot/near"),
                    result("audio/volume/set"),
                    Content::Other,
                ],
            ),
            (
                Content::Other,
                vec![],
                vec![state("room/1/audio/volume"), result("a/b"), Content::Other],
            ),
        ] {
            let mut pieces = OutgoingPieces::new(true);
            pieces.frame(OutgoingFrame {
                content: large.clone(),
                ..outgoing("1", 100_000)
            });
            for next in &overtake {
                assert!(pieces.may_go("1", next), "{large:?} {next:?}");
            }
            for next in &wait {
                assert!(!pieces.may_go("1", next), "{large:?} {next:?}");
                assert!(pieces.may_go("2", next));
            }
            while pieces.next().is_some() {}
            assert!(pieces.is_empty() && wait.iter().all(|next| pieces.may_go("1", next)));
        }
    }
}
