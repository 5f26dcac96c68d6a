//! The commands of one room that a deputy has received, and of which it has seen no result.
//!
//! Pure. What is remembered is bounded for each room, by what its queue takes, and in all; above that a command is
//! kept without its payload, so that it can be answered, and above that it is counted.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::subscribed_room::QosLane;
use crate::command::ROOM_QUEUE_CAPACITY;

/// Remembered commands of all rooms.
const ALL_COMMANDS: usize = 10_000;
/// Bytes of their payloads.
const ALL_BYTES: usize = 32 << 20;
/// How many more are kept without their payload, of one room and of all rooms: as many again.
const SHORTENED: [usize; 2] = [ROOM_QUEUE_CAPACITY, ALL_COMMANDS];
/// A command takes three and a half minutes at most, and has waited some seconds before. Its owner has answered it by
/// then.
pub const LONGEST_COMMAND: Duration = Duration::from_secs(240);
/// How long a result that came before its command is remembered. A message of QoS 0 may overtake one of QoS 1.
const EARLY_RESULT: Duration = Duration::from_secs(5);
/// How many such results are remembered of one room.
const EARLY_RESULTS: usize = 64;

/// A command, as far as it matters here.
pub trait RoomCommand {
    /// The same for the same message at each gateway.
    type Id: Copy + Eq + std::fmt::Debug;
    /// Its id.
    fn id(&self) -> Self::Id;
    /// How many bytes it takes in memory.
    fn size(&self) -> usize;
    /// Forgets the payload: it can be answered then, and not be carried out.
    fn shorten(&mut self);
}

/// A command that was received.
#[derive(Debug)]
pub struct RememberedCommand<C> {
    lane: QosLane,
    /// The command; without payload if there were too many.
    pub command: C,
    /// When it was received.
    pub received: Instant,
    size: usize,
    is_shortened: bool,
    /// Its owner is gone, and whoever came after it has perhaps not received the command.
    is_orphan: bool,
    /// The connection to the broker was lost since: its result may have come meanwhile.
    was_cut_off: bool,
}

/// What all rooms together take.
#[derive(Debug, Default)]
pub struct MemoryUse {
    whole: usize,
    bytes: usize,
    shortened: usize,
    /// How many were not even kept without payload.
    pub forgotten: u64,
}

impl MemoryUse {
    /// How many are remembered.
    pub fn commands(&self) -> usize {
        self.whole + self.shortened
    }

    fn freed<C>(&mut self, command: &RememberedCommand<C>) {
        if command.is_shortened {
            self.shortened -= 1
        } else {
            self.whole -= 1;
            self.bytes -= command.size;
        }
    }
}

/// The commands of one room.
#[derive(Debug)]
pub struct Memory<C: RoomCommand> {
    commands: VecDeque<RememberedCommand<C>>,
    early: VecDeque<(C::Id, Instant)>,
}

impl<C: RoomCommand> Default for Memory<C> {
    fn default() -> Self {
        Self {
            commands: VecDeque::new(),
            early: VecDeque::new(),
        }
    }
}

impl<C: RoomCommand> Memory<C> {
    /// Whether no command is remembered.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Remembers a command, unless its result came before.
    pub fn remember(&mut self, lane: QosLane, mut command: C, usage: &mut MemoryUse, now: Instant) {
        if self.take_early(command.id()) {
            return;
        }
        let size = command.size();
        let is_whole = self.commands.len() < ROOM_QUEUE_CAPACITY
            && usage.whole < ALL_COMMANDS
            && usage.bytes + size <= ALL_BYTES;
        let [of_room, of_all] = SHORTENED;
        if is_whole {
            usage.whole += 1;
            usage.bytes += size;
        } else if self.commands.len() < ROOM_QUEUE_CAPACITY + of_room && usage.shortened < of_all {
            command.shorten();
            usage.shortened += 1;
        } else {
            usage.forgotten += 1;
            return;
        }
        self.commands.push_back(RememberedCommand {
            lane,
            command,
            received: now,
            size,
            is_shortened: !is_whole,
            is_orphan: false,
            was_cut_off: false,
        });
    }

    /// The owner of these is dead, and another one has the room from here on.
    pub fn orphan(&mut self, lane: QosLane) {
        let of_lane = self.commands.iter_mut().filter(|it| it.lane == lane);
        of_lane.for_each(|it| it.is_orphan = true);
    }

    /// Forgets the others: their owner answers.
    pub fn keep_orphans(&mut self, usage: &mut MemoryUse) {
        self.commands.retain(|command| {
            if !command.is_orphan {
                usage.freed(command);
            }
            command.is_orphan
        });
    }

    /// The connection to the broker is lost.
    pub fn cut_off(&mut self) {
        self.commands
            .iter_mut()
            .for_each(|it| it.was_cut_off = true);
    }

    /// Whether a result of this command was seen that belongs to no remembered one. It counts once.
    pub fn take_early(&mut self, id: C::Id) -> bool {
        let position = self.early.iter().position(|(early, _)| *early == id);
        position.is_some_and(|position| self.early.remove(position).is_some())
    }

    /// The result of this command was seen. Of equal ones the oldest has it.
    pub fn forget(&mut self, id: C::Id, usage: &mut MemoryUse, now: Instant) {
        let mut commands = self.commands.iter();
        match commands.position(|remembered| remembered.command.id() == id) {
            Some(position) => {
                if let Some(removed) = self.commands.remove(position) {
                    usage.freed(&removed);
                }
            }
            None => {
                if self.early.len() >= EARLY_RESULTS {
                    self.early.pop_front();
                }
                self.early.push_back((id, now));
            }
        }
    }

    /// Forgets what its owner has answered by now, whatever was seen of it. Gives those that nobody has answered: whose
    /// owner is gone, or, with `is_owner`, all.
    pub fn expire(&mut self, is_owner: bool, usage: &mut MemoryUse, now: Instant) -> Vec<C> {
        let over = self.take_older(LONGEST_COMMAND, usage, now).into_iter();
        let unanswered = over
            .filter(|it| (is_owner || it.is_orphan) && !it.was_cut_off)
            .map(|it| it.command)
            .collect();
        while (self.early.front()).is_some_and(|(_, at)| now.duration_since(*at) >= EARLY_RESULT) {
            self.early.pop_front();
        }
        unanswered
    }

    /// Takes those that are at least so old.
    pub fn take_older(
        &mut self,
        age: Duration,
        usage: &mut MemoryUse,
        now: Instant,
    ) -> Vec<RememberedCommand<C>> {
        let is_older = |it: &RememberedCommand<C>| now.duration_since(it.received) >= age;
        let older = self.commands.iter().take_while(|it| is_older(it)).count();
        let taken: Vec<_> = self.commands.drain(..older).collect();
        for command in &taken {
            usage.freed(command);
        }
        taken
    }

    /// Takes all, in order.
    pub fn take(&mut self, usage: &mut MemoryUse) -> Vec<RememberedCommand<C>> {
        let taken: Vec<_> = self.commands.drain(..).collect();
        for command in &taken {
            usage.freed(command);
        }
        self.early.clear();
        taken
    }

    /// Takes those of one lane.
    pub fn take_lane(
        &mut self,
        lane: QosLane,
        usage: &mut MemoryUse,
    ) -> VecDeque<RememberedCommand<C>> {
        let all = std::mem::take(&mut self.commands);
        let (taken, rest): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(|it| it.lane == lane);
        self.commands = rest;
        for command in &taken {
            usage.freed(command);
        }
        taken
    }

    /// Forgets all.
    pub fn clear(&mut self, usage: &mut MemoryUse) {
        self.take(usage);
    }

    /// The ids, in order.
    #[cfg(test)]
    pub fn ids(&self) -> Vec<C::Id> {
        let commands = self.commands.iter();
        commands.map(|it| it.command.id()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Numbered(u32, Option<usize>);

    impl RoomCommand for Numbered {
        type Id = u32;
        fn id(&self) -> u32 {
            self.0
        }
        fn size(&self) -> usize {
            self.1.unwrap_or_default()
        }
        fn shorten(&mut self) {
            self.1 = None;
        }
    }

    #[test]
    fn a_result_ends_the_oldest_of_equal_commands() {
        let (mut memory, mut usage, now) =
            (Memory::default(), MemoryUse::default(), Instant::now());
        for number in [1, 2, 1, 3] {
            memory.remember(
                QosLane::AtLeastOnce,
                Numbered(number, Some(10)),
                &mut usage,
                now,
            );
        }
        memory.forget(1, &mut usage, now);
        assert_eq!(memory.ids(), [2, 1, 3]);
        assert_eq!((usage.commands(), usage.bytes), (3, 30));
        memory.clear(&mut usage);
        assert_eq!((usage.commands(), usage.bytes), (0, 0));
    }

    #[test]
    fn a_result_that_overtook_its_command_ends_it_within_seconds() {
        let (mut memory, mut usage, now) =
            (Memory::default(), MemoryUse::default(), Instant::now());
        memory.forget(1, &mut usage, now);
        memory.remember(QosLane::AtLeastOnce, Numbered(1, Some(1)), &mut usage, now);
        assert!(memory.ids().is_empty());
        memory.forget(2, &mut usage, now);
        memory.expire(false, &mut usage, now + EARLY_RESULT);
        memory.remember(
            QosLane::AtLeastOnce,
            Numbered(2, Some(1)),
            &mut usage,
            now + EARLY_RESULT,
        );
        assert_eq!(memory.ids(), [2]);
        memory.expire(false, &mut usage, now + EARLY_RESULT + LONGEST_COMMAND);
        assert!(memory.ids().is_empty() && usage.commands() == 0);
    }

    #[test]
    fn above_the_limits_the_payload_goes_first_and_then_the_command_is_counted() {
        let (mut memory, mut usage, now) =
            (Memory::default(), MemoryUse::default(), Instant::now());
        for number in 0..200 {
            memory.remember(
                QosLane::AtLeastOnce,
                Numbered(number, Some(1)),
                &mut usage,
                now,
            );
        }
        let kept = memory.take(&mut usage);
        let whole = kept.iter().filter(|it| it.command.1.is_some()).count();
        assert_eq!((whole, kept.len(), usage.forgotten), (64, 128, 72));
        assert_eq!(usage.commands(), 0);
        // A payload that is too large for all together.
        memory.remember(
            QosLane::AtLeastOnce,
            Numbered(1, Some(ALL_BYTES + 1)),
            &mut usage,
            now,
        );
        assert_eq!(memory.take(&mut usage)[0].command.1, None);
    }
}
