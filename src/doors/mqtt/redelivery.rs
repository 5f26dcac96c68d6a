//! Which publishes of the broker repeat a command that was taken before.
//!
//! A broker repeats what it has no acknowledgement for, and then the flag DUP tells little: some
//! brokers repeat without it, and with it comes what never arrived (MQTT 5, section 3.3.1.1). Packet
//! ids are used again at once. So this remembers the commands whose acknowledgement the broker may
//! not have, and forgets them when the broker shows that it read further: it answers something that
//! was sent after the acknowledgement.
//!
//! Pure. Knows nothing of topics or of what a command does.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Publish;
use tokio::time::Instant;

/// The gateway's Receive Maximum: the publishes that the broker may send before it has read an
/// acknowledgement. Enough for a control system that switches all rooms at once.
pub const RECEIVE_MAXIMUM: u16 = 64;
/// Commands that are remembered. A broker repeats at most a Receive Maximum of them; some do not
/// keep to it and have 1000 under way.
const REMEMBERED_COMMANDS: usize = 1024;
/// This long after a session was taken up again, repeats of what came before may arrive. Brokers
/// repeat at once, or when an acknowledgement is overdue, which takes 20 or 30 s.
const REPEATS_FOR: Duration = Duration::from_secs(120);

/// A command that was taken and acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TakenCommand {
    packet_id: u16,
    /// A hash of what was sent.
    content: u64,
    /// Commands are numbered in the order of their acknowledgements.
    number: u64,
}

/// The commands that the broker may repeat.
#[derive(Debug, Default)]
pub struct Redeliveries {
    /// The commands of this connection, in the order of their numbers.
    taken: VecDeque<TakenCommand>,
    /// Commands of earlier connections whose acknowledgement the broker may not have.
    doubtful: VecDeque<TakenCommand>,
    doubtful_until: Option<Instant>,
    /// The number of the newest command.
    last: u64,
    /// The broker has read the acknowledgements of all commands up to this number.
    read: u64,
}

impl Redeliveries {
    /// A connection came up. Without the session of the last one the broker repeats nothing.
    pub fn connected(&mut self, is_resumed: bool, now: Instant) {
        let read = self.read;
        let unread = self.taken.drain(..).filter(|command| command.number > read);
        self.doubtful.extend(unread);
        if !is_resumed {
            self.doubtful.clear();
        }
        while self.doubtful.len() > REMEMBERED_COMMANDS {
            self.doubtful.pop_front();
        }
        self.doubtful_until = Some(now + REPEATS_FOR);
    }

    /// A publish came, a command or not. True if it repeats a command. If it does not, what had its
    /// packet id before will not be repeated: the broker gives an id to one message at a time.
    pub fn is_repeated(&mut self, publish: &Publish, now: Instant) -> bool {
        if publish.qos == QoS::AtMostOnce {
            return false;
        }
        if self.doubtful_until.is_some_and(|until| until <= now) {
            self.doubtful.clear();
        }
        let id = publish.pkid;
        let is_repeated = if let Some(before) = take(&mut self.doubtful, id) {
            // Of the session that was taken up again, this is the first with its id.
            before.content == content(publish)
        } else if let Some(before) = take(&mut self.taken, id) {
            // Within one connection only the flag tells a repeat from the next message.
            publish.dup && before.content == content(publish)
        } else {
            false
        };
        if is_repeated {
            // It is acknowledged again, and that may get lost as well.
            self.take(publish);
        }
        is_repeated
    }

    /// A publish is taken as a command and acknowledged now.
    pub fn take(&mut self, publish: &Publish) {
        if publish.qos == QoS::AtMostOnce {
            return;
        }
        if self.taken.len() >= REMEMBERED_COMMANDS {
            self.taken.pop_front();
        }
        self.last += 1;
        self.taken.push_back(TakenCommand {
            packet_id: publish.pkid,
            content: content(publish),
            number: self.last,
        });
    }

    /// The broker goes on with an exchange of QoS 2: it will not send this publish again.
    pub fn released(&mut self, packet_id: u16) {
        take(&mut self.doubtful, packet_id);
        take(&mut self.taken, packet_id);
    }

    /// The number of the newest command. What is sent now comes after its acknowledgement.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The broker has answered something that was sent when this was the number of the newest
    /// command. It reads in order, so it has read the acknowledgements before.
    pub fn read_up_to(&mut self, number: u64) {
        self.read = self.read.max(number);
    }

    /// Whether the broker may not have read an acknowledgement of this connection.
    pub fn is_in_doubt(&self) -> bool {
        self.last > self.read && !self.taken.is_empty()
    }
}

fn take(commands: &mut VecDeque<TakenCommand>, packet_id: u16) -> Option<TakenCommand> {
    let position = commands
        .iter()
        .position(|command| command.packet_id == packet_id)?;
    commands.remove(position)
}

/// What tells one request from another: a client that repeats a press on purpose may only change
/// its correlation data.
fn content(publish: &Publish) -> u64 {
    let mut hasher = DefaultHasher::new();
    let properties = publish.properties.as_ref();
    let response = properties.and_then(|it| it.response_topic.as_ref());
    let correlation = properties.and_then(|it| it.correlation_data.as_ref());
    (&publish.topic, &publish.payload, response, correlation).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
