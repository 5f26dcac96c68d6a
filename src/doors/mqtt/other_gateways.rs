//! The other gateways that publish at the same topics of the same broker.
//!
//! A gateway tells of itself by `gateway/info`, with its id, its start and its rooms, and that it is
//! still there by `gateway/health`. What the broker has retained may be of one that is gone, so only
//! a live message is proof; a retained one is believed for a moment, until its gateway has answered.
//!
//! Pure. Knows who is there; warns nobody and publishes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// A gateway that was not heard of for this long is gone: two of its `gateway/health` are missing.
const GONE_AFTER: Duration = Duration::from_secs(150);
/// How long a retained `gateway/info` is believed. A gateway that is there answers at once.
const RETAINED_BELIEVED: Duration = Duration::from_secs(5);
/// At most this many are remembered: any client with the rights can invent more of them.
const REMEMBERED_GATEWAYS: usize = 64;
/// A longer `gateway/info` is nobody's: that of ten thousand rooms is shorter.
const LONGEST_INFO: usize = 1 << 20;
/// No gateway has more rooms.
const MOST_ROOMS: usize = 10_000;
/// An id or a time of start is shorter.
const LONGEST_TEXT: usize = 64;
/// The id of a room is part of topics, which people type; it is shorter.
const LONGEST_ROOM: usize = 256;

/// What a `gateway/info` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayInfo {
    /// The gateway's id; empty in versions that had none.
    pub id: String,
    /// When it was started, which tells its runs apart.
    pub started: String,
    /// The ids of its rooms.
    pub rooms: BTreeSet<String>,
}

impl GatewayInfo {
    /// Reads the payload; `None` if it is not what a gateway says. What is too large is not: it is
    /// kept in memory, and any client with the rights can publish it.
    pub fn read(payload: &[u8]) -> Option<Self> {
        if payload.len() > LONGEST_INFO {
            return None;
        }
        let info: Value = serde_json::from_slice(payload).ok()?;
        let text = |name: &str| {
            let text = info[name].as_str().unwrap_or_default();
            (text.len() <= LONGEST_TEXT).then(|| text.to_owned())
        };
        let rooms = info["rooms"].as_object()?;
        let is_too_long = |room: &String| room.len() > LONGEST_ROOM;
        if rooms.len() > MOST_ROOMS || rooms.keys().any(is_too_long) {
            return None;
        }
        Some(Self {
            id: text("id")?,
            started: text("started")?,
            rooms: rooms.keys().cloned().collect(),
        })
    }
}

/// One other gateway.
#[derive(Debug)]
struct OtherGateway {
    info: GatewayInfo,
    /// A live message of it has arrived.
    is_certain: bool,
    heard: Instant,
    stopped: bool,
}

impl OtherGateway {
    fn is_there(&self, now: Instant) -> bool {
        let believed = if self.is_certain {
            GONE_AFTER
        } else {
            RETAINED_BELIEVED
        };
        !self.stopped && now.duration_since(self.heard) < believed
    }
}

/// The other gateways by their ids. One with this gateway's own id is a second process that uses it.
#[derive(Debug, Default)]
pub struct OtherGateways {
    known: BTreeMap<String, OtherGateway>,
    /// What was warned of: a gateway's id, with the rooms that both have.
    warned: BTreeSet<(String, Vec<String>)>,
}

impl OtherGateways {
    /// A `gateway/info` arrived that is not this run's. `is_live`: not one that the broker had
    /// retained. True if this run of that gateway was not known to be there.
    pub fn info_received(&mut self, info: GatewayInfo, is_live: bool, now: Instant) -> bool {
        let known = self.known.get(&info.id);
        let certain = known.filter(|known| known.is_certain && known.is_there(now));
        let same_run = certain.is_some_and(|known| known.info.started == info.started);
        // A retained message that comes again proves nothing new.
        let is_repeated =
            !is_live && known.is_some_and(|known| !known.is_certain && known.info == info);
        let is_news = is_live || certain.is_none() && !is_repeated;
        let is_known = known.is_some();
        if !is_news || !is_known && !self.has_room_for_one(now) {
            return false;
        }
        let gateway = OtherGateway {
            is_certain: is_live,
            heard: now,
            stopped: false,
            info,
        };
        self.known.insert(gateway.info.id.clone(), gateway);
        is_live && !same_run
    }

    /// Whether one more can be remembered. Those that are gone are forgotten if not.
    fn has_room_for_one(&mut self, now: Instant) -> bool {
        if self.known.len() >= REMEMBERED_GATEWAYS {
            self.known.retain(|_, gateway| gateway.is_there(now));
        }
        self.known.len() < REMEMBERED_GATEWAYS
    }

    /// Whether this gateway, with these rooms in common, was not warned of yet.
    pub fn is_first_warning(&mut self, info: &GatewayInfo, shared: &[String]) -> bool {
        if self.warned.len() >= REMEMBERED_GATEWAYS {
            self.warned.retain(|(id, _)| self.known.contains_key(id));
        }
        self.warned.len() < REMEMBERED_GATEWAYS
            && self.warned.insert((info.id.clone(), shared.to_vec()))
    }

    /// A live message of this gateway arrived.
    pub fn live_message(&mut self, id: &str, now: Instant) {
        if let Some(gateway) = self.known.get_mut(id) {
            gateway.heard = now;
            gateway.is_certain = true;
            gateway.stopped = false;
        }
    }

    /// This gateway stops, or its connection to the broker has broken.
    pub fn stopped(&mut self, id: &str) {
        if let Some(gateway) = self.known.get_mut(id) {
            gateway.stopped = true;
        }
    }

    /// The gateways that are certainly there.
    pub fn there(&self, now: Instant) -> impl Iterator<Item = &GatewayInfo> {
        let known = self.known.values();
        known
            .filter(move |gateway| gateway.is_certain && gateway.is_there(now))
            .map(|gateway| &gateway.info)
    }

    /// Whether this gateway is certainly there.
    pub fn is_there(&self, id: &str, now: Instant) -> bool {
        self.there(now).any(|info| info.id == id)
    }

    /// Whether the gateway may still be there that has published something at `published`. One of which nothing is
    /// known has a moment to tell of itself.
    pub fn may_be_there(&self, id: &str, published: Instant, now: Instant) -> bool {
        match self.known.get(id) {
            Some(gateway) => gateway.is_there(now),
            None => now.duration_since(published) < RETAINED_BELIEVED,
        }
    }

    /// Whether another gateway has this room, as far as is known.
    pub fn has_room(&self, room: &str, now: Instant) -> bool {
        let mut known = self.known.values();
        known.any(|gateway| gateway.info.rooms.contains(room) && gateway.is_there(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn info(id: &str, started: &str, rooms: &[&str]) -> GatewayInfo {
        GatewayInfo {
            id: id.into(),
            started: started.into(),
            rooms: rooms.iter().map(|room| (*room).to_owned()).collect(),
        }
    }

    #[test]
    fn an_info_is_read_and_nonsense_is_none() {
        let payload = br#"{"id":"a","started":"now","rooms":{"1":null,"2":"Hall"},"more":1}"#;
        assert_eq!(
            GatewayInfo::read(payload),
            Some(info("a", "now", &["1", "2"]))
        );
        let of_old = GatewayInfo::read(br#"{"rooms":{},"version":"0.0.1"}"#);
        assert_eq!(of_old, Some(info("", "", &[])));
        for nonsense in [&b""[..], b"[]", b"{\"rooms\": 1}", b"\xff", b"{}"] {
            assert_eq!(GatewayInfo::read(nonsense), None);
        }
    }

    #[test]
    fn an_info_that_is_too_large_is_nonsense() {
        let text = |id: &str, started: &str, rooms: &[String]| {
            let rooms: Vec<String> = rooms.iter().map(|room| format!("{room:?}:0")).collect();
            let rooms = rooms.join(",");
            format!(r#"{{"id":"{id}","started":"{started}","rooms":{{{rooms}}}}}"#)
        };
        let numbered =
            |count: usize| -> Vec<String> { (0..count).map(|n| n.to_string()).collect() };
        let long = |length: usize| "x".repeat(length);
        let most = text(&long(LONGEST_TEXT), "now", &numbered(MOST_ROOMS));
        assert_eq!(
            GatewayInfo::read(most.as_bytes()).unwrap().rooms.len(),
            MOST_ROOMS
        );
        let padding = " ".repeat(LONGEST_INFO);
        for (large, why) in [
            (text("a", "now", &numbered(MOST_ROOMS + 1)), "rooms"),
            (text(&long(LONGEST_TEXT + 1), "now", &[]), "id"),
            (text("a", &long(LONGEST_TEXT + 1), &[]), "started"),
            (text("a", "now", &[long(LONGEST_ROOM + 1)]), "room"),
            (text("a", "now", &[]) + &padding, "payload"),
        ] {
            assert_eq!(GatewayInfo::read(large.as_bytes()), None, "{why}");
        }
    }

    #[test]
    fn only_a_live_message_is_proof_and_a_retained_one_is_believed_for_a_moment() {
        let (mut others, now) = (OtherGateways::default(), Instant::now());
        assert!(!others.info_received(info("a", "1", &["7"]), false, now));
        assert!(others.has_room("7", now) && !others.is_there("a", now));
        assert!(!others.has_room("7", now + RETAINED_BELIEVED));
        assert!(others.info_received(info("a", "1", &["7"]), true, now + SECOND));
        assert!(others.is_there("a", now + SECOND));
        assert!(others.has_room("7", now + 100 * SECOND) && !others.has_room("8", now));
    }

    #[test]
    fn each_run_is_new_once() {
        let (mut others, now) = (OtherGateways::default(), Instant::now());
        assert!(others.info_received(info("a", "1", &[]), true, now));
        assert!(!others.info_received(info("a", "1", &["2"]), true, now));
        assert!(others.has_room("2", now), "its rooms have changed");
        // The broker's old message takes nothing back.
        assert!(!others.info_received(info("a", "1", &[]), false, now));
        assert!(others.has_room("2", now));
        assert!(
            others.info_received(info("a", "2", &[]), true, now),
            "it was restarted"
        );
    }

    #[test]
    fn a_gateway_goes_by_its_word_or_its_silence() {
        let (mut others, now) = (OtherGateways::default(), Instant::now());
        for id in ["a", "b"] {
            others.info_received(info(id, "1", &[id]), true, now);
        }
        others.stopped("a");
        assert!(!others.is_there("a", now) && !others.has_room("a", now));
        others.live_message("b", now + 100 * SECOND);
        assert!(others.is_there("b", now + 200 * SECOND));
        assert!(!others.is_there("b", now + 250 * SECOND));
        others.live_message("a", now + SECOND);
        assert!(others.is_there("a", now + SECOND), "it is heard again");
        others.live_message("c", now);
        assert!(!others.is_there("c", now), "nothing is known of it");
    }

    #[test]
    fn each_gateway_is_warned_of_once_and_again_for_other_common_rooms() {
        let mut others = OtherGateways::default();
        let (one, room) = (info("a", "1", &["7"]), ["7".to_owned()]);
        assert!(others.is_first_warning(&one, &[]));
        assert!(!others.is_first_warning(&info("a", "2", &[]), &[]));
        assert!(others.is_first_warning(&one, &room));
        assert!(others.is_first_warning(&info("b", "1", &[]), &[]));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut others, now) = (OtherGateways::default(), Instant::now());
        for n in 0..=REMEMBERED_GATEWAYS {
            others.info_received(info(&n.to_string(), "1", &[]), true, now);
        }
        assert_eq!(others.there(now).count(), REMEMBERED_GATEWAYS);
    }

    #[test]
    fn gateways_that_are_gone_make_room_for_new_ones() {
        let (mut others, now) = (OtherGateways::default(), Instant::now());
        let room = ["7".to_owned()];
        for n in 0..REMEMBERED_GATEWAYS {
            let info = info(&n.to_string(), "1", &["7"]);
            others.info_received(info.clone(), true, now);
            assert!(others.is_first_warning(&info, &room));
        }
        let (new, later) = (info("new", "1", &["7"]), now + GONE_AFTER);
        others.live_message("0", later);
        assert!(others.info_received(new.clone(), true, later));
        assert!(others.is_there("new", later) && others.is_there("0", later));
        assert!(others.is_first_warning(&new, &room));
        assert!(!others.is_first_warning(&info("0", "1", &["7"]), &room));
    }
}
