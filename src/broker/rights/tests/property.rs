//! Over random prefixes, rooms, filters and topics: what a client's subscriptions let through is what
//! it may see, and no more is refused than must be.

use proptest::prelude::*;
use proptest::sample::select;

use super::super::*;
use super::user;
use crate::gateway_id::prefix_in_id;

/// The matching of MQTT, level by level from both lists; nothing of the program is used.
fn matches(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => matches(filter, topic),
        ([part, filter @ ..], [level, topic @ ..]) => part == level && matches(filter, topic),
        _ => false,
    }
}

/// A situation of the property test.
#[derive(Debug, Clone)]
struct Site {
    prefix: String,
    discovery: String,
    rooms: Vec<&'static str>,
}

impl Site {
    fn rights(&self) -> BrokerRights {
        let users = vec![user("panel", Some(&self.rooms), true)];
        let discovery = DiscoveryTopics {
            prefix: self.discovery.clone(),
            status: format!("{}/status", self.discovery),
            room_devices: None,
        };
        BrokerRights::new(users, Prefix::new(self.prefix.as_str()), discovery)
    }

    fn ids(&self) -> String {
        match self.prefix.as_str() {
            "" => "poly2mqtt_".to_owned(),
            prefix => format!("poly2mqtt-{}_", prefix_in_id(prefix, |c| c != '/')),
        }
    }

    /// What the user may see, said once more in other words.
    fn shows(&self, topic: &str) -> bool {
        let documents = format!("{}/device/", self.discovery);
        let document = topic
            .strip_prefix(&documents)
            .and_then(|below| below.strip_suffix("/config"))
            .filter(|device| !device.contains('/'))
            .and_then(|device| device.strip_prefix(&self.ids()));
        if document.is_some_and(|room| !self.rooms.contains(&room)) {
            return false;
        }
        let below = match self.prefix.as_str() {
            "" => Some(topic),
            prefix => topic.strip_prefix(&format!("{prefix}/")),
        };
        let mut levels = below.unwrap_or_default().split('/');
        match (levels.next(), levels.next()) {
            (Some("room"), Some(room)) => self.rooms.contains(&room),
            (Some("gateway"), Some(name)) => name == "availability",
            (Some("response"), Some(user)) => user == "panel",
            _ => true,
        }
    }

    /// A topic of each kind that is closed to the user.
    fn closed(&self) -> Vec<String> {
        let prefix = match self.prefix.as_str() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        vec![
            format!("{prefix}room/9"),
            format!("{prefix}gateway/info"),
            format!("{prefix}response/other"),
            format!("{}/device/{}9/config", self.discovery, self.ids()),
        ]
    }
}

const WORDS: [&str; 19] = [
    "",
    "a",
    "b",
    "av",
    "site",
    "room",
    "gateway",
    "response",
    "device",
    "config",
    "info",
    "health",
    "availability",
    "panel",
    "1",
    "2",
    "poly2mqtt_1",
    "poly2mqtt_2",
    "poly2mqtt-av_1",
];

fn site() -> impl Strategy<Value = Site> {
    let rooms = select(vec![vec!["1"], vec!["1", "2"], vec!["2", "a"]]);
    let prefix = select(vec!["", "av", "a/b", "room", "av/site/a", "device"]);
    let discovery = select(vec!["ha", "a", "a/b", "av", "av/site"]);
    (prefix, discovery, rooms).prop_map(|(prefix, discovery, rooms)| Site {
        prefix: prefix.into(),
        discovery: discovery.into(),
        rooms,
    })
}

fn levels(words: Vec<&'static str>) -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(select(words), 1..7)
}

fn filter() -> impl Strategy<Value = String> {
    let plus = std::iter::repeat_n("+", WORDS.len() / 2);
    let words = WORDS.into_iter().chain(plus).collect();
    let group = select(vec!["", "$share/g/", "$share/room/"]);
    (levels(words), any::<bool>(), group).prop_map(|(mut levels, hash, group)| {
        if hash {
            levels.push("#");
        }
        match levels.as_slice() {
            // An empty text is no filter.
            [""] => "a".to_owned(),
            levels => format!("{group}{}", levels.join("/")),
        }
    })
}

/// A topic that the filter matches and that is like another topic where the filter leaves it open.
fn like(filter: &[&str], topic: &str) -> String {
    let topic: Vec<&str> = topic.split('/').collect();
    let length = match filter.last() {
        Some(&"#") => topic.len().max(filter.len() - 1),
        _ => filter.len(),
    };
    let level = |n: usize| match filter.get(n) {
        Some(&"+" | &"#") | None => topic.get(n).copied().unwrap_or("x"),
        Some(level) => level,
    };
    (0..length).map(level).collect::<Vec<_>>().join("/")
}

fn without_group(filter: &str) -> Vec<&str> {
    let filter = match filter.strip_prefix("$share/") {
        Some(rest) => rest.split_once('/').unwrap().1,
        None => filter,
    };
    filter.split('/').collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// What arrives is what may: a granted filter matches no topic that is closed.
    #[test]
    fn nothing_closed_arrives(
        site in site(),
        filter in filter(),
        topic in levels(WORDS.to_vec()),
    ) {
        let topic = topic.join("/");
        let rights = site.rights();
        prop_assert_eq!(rights.users[0].may_read(&topic), site.shows(&topic), "{}", topic);
        if rights.subscribe(Some("panel"), &filter).is_ok() {
            let levels = without_group(&filter);
            let likely = site.closed().into_iter().map(|closed| like(&levels, &closed));
            for topic in likely.chain([topic]) {
                let arrives = matches(&levels, &topic.split('/').collect::<Vec<_>>());
                prop_assert!(!arrives || site.shows(&topic), "{} {}", filter, topic);
            }
        }
    }

    /// No more is refused than must be: a refused filter matches a topic that is closed.
    #[test]
    fn what_is_refused_reaches_something_closed(site in site(), filter in filter()) {
        if site.rights().subscribe(Some("panel"), &filter).is_err() {
            let levels = without_group(&filter);
            let mut likely = site.closed().into_iter().map(|closed| like(&levels, &closed));
            let closed = likely.any(|topic| {
                let topic_levels: Vec<&str> = topic.split('/').collect();
                matches(&levels, &topic_levels) && !site.shows(&topic)
            });
            prop_assert!(closed, "{}", filter);
        }
    }

    /// Publishing, and the topic as a filter: no text is taken for more than it is.
    #[test]
    fn no_text_gives_more_rights(site in site(), topic in "\\PC{0,30}") {
        let rights = site.rights();
        let _ = rights.subscribe(Some("panel"), &topic);
        let published = rights.publish(Some("panel"), &PublishAttempt::plain(&topic));
        if let Some(below) = Prefix::new(site.prefix.as_str()).strip(&topic) && below.starts_with("room/") {
            let own = site.rooms.iter().any(|room| below.starts_with(&format!("room/{room}/")));
            prop_assert!(own || published.is_err(), "{}", topic);
        }
    }
}
