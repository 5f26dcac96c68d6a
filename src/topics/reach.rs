//! Which topics a filter can match, as far as rights need to know: whether any of them lies in a
//! region that is closed to somebody.
//!
//! Pure. A [`Region`] says which topics are meant, level by level. Whom it is closed to is decided
//! elsewhere.

use std::sync::Arc;

use super::discovery::{CONFIG, DEVICE};
use super::{GATEWAY, Prefix, RESPONSE, ROOM, SHARE, check_wildcards, encode_level, split_shared};

/// One level of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LevelRule {
    /// This level.
    Is(String),
    /// Any level except these.
    Not(Vec<String>),
    /// A level that begins like this, except these.
    BeginsWith {
        /// The beginning.
        start: String,
        /// The levels that are not meant.
        except: Vec<String>,
    },
}

impl LevelRule {
    /// Every rule accepts some level, so that a `+` always reaches one.
    fn accepts(&self, level: &str) -> bool {
        let none_of = |levels: &[String]| levels.iter().all(|known| known != level);
        match self {
            Self::Is(known) => known == level,
            Self::Not(levels) => none_of(levels),
            Self::BeginsWith { start, except } => level.starts_with(start) && none_of(except),
        }
    }
}

/// A set of topics: those whose levels follow these rules, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    levels: Vec<LevelRule>,
    /// Topics with more levels are in it too.
    and_below: bool,
}

impl Region {
    /// The topics with exactly as many levels as there are rules.
    pub fn exactly(levels: Vec<LevelRule>) -> Self {
        Self {
            levels,
            and_below: false,
        }
    }

    /// The topics that begin with these levels.
    pub fn below(levels: Vec<LevelRule>) -> Self {
        Self {
            levels,
            and_below: true,
        }
    }

    /// Everything of the rooms except these.
    pub fn of_other_rooms(prefix: &Prefix, rooms: &[Arc<str>]) -> Self {
        let known = rooms.iter().map(|room| room.to_string()).collect();
        Self::below(under(prefix, ROOM, LevelRule::Not(known)))
    }

    /// What is below `gateway/`, except these topics.
    pub fn of_gateway_except(prefix: &Prefix, topics: &[&str]) -> Self {
        let names = topics
            .iter()
            .filter_map(|topic| topic.strip_prefix(GATEWAY));
        let names = names.map(str::to_owned).collect();
        Self::below(under(prefix, GATEWAY, LevelRule::Not(names)))
    }

    /// The response topics of all users but this one.
    pub fn of_other_responses(prefix: &Prefix, user: &str) -> Self {
        let own = vec![encode_level(user)];
        Self::below(under(prefix, RESPONSE, LevelRule::Not(own)))
    }

    /// The documents of Home Assistant's devices whose ids follow a rule.
    pub fn of_documents(discovery_prefix: &str, device: LevelRule) -> Self {
        let mut levels = literal(discovery_prefix);
        levels.extend([
            LevelRule::Is(DEVICE.into()),
            device,
            LevelRule::Is(CONFIG.into()),
        ]);
        Self::exactly(levels)
    }

    /// Whether a topic lies in it.
    pub fn contains(&self, topic: &str) -> bool {
        let mut levels = topic.split('/');
        let follows = |rule: &LevelRule| levels.next().is_some_and(|level| rule.accepts(level));
        self.levels.iter().all(follows) && (self.and_below || levels.next().is_none())
    }

    /// Whether a filter without `$share` can match a topic that lies in it.
    fn is_reached_by(&self, filter: &str) -> bool {
        // A wildcard at the beginning matches no topic with $ (MQTT 5, section 4.7.2).
        let system =
            matches!(self.levels.first(), Some(LevelRule::Is(level)) if level.starts_with('$'));
        if system && filter.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = filter.split('/');
        for rule in &self.levels {
            match levels.next() {
                Some("#") => return true,
                Some("+") => {}
                Some(level) if rule.accepts(level) => {}
                _ => return false,
            }
        }
        // `a/#` matches `a` too.
        self.and_below || matches!(levels.next(), None | Some("#"))
    }
}

/// The levels of a tree of the gateway, then one that follows a rule.
fn under(prefix: &Prefix, tree: &str, rule: LevelRule) -> Vec<LevelRule> {
    let tree = prefix.add(tree.trim_end_matches('/'));
    let mut levels = literal(&tree);
    levels.push(rule);
    levels
}

fn literal(levels: &str) -> Vec<LevelRule> {
    let level = |level: &str| LevelRule::Is(level.to_owned());
    levels.split('/').map(level).collect()
}

/// Whether a subscription can match a topic in one of these regions. One that is no valid filter
/// counts as one that can.
pub fn reaches(filter: &str, regions: &[Region]) -> bool {
    let filter = match split_shared(filter) {
        Some((group, filter)) if !group.is_empty() => filter,
        None if filter != "$share" && !filter.starts_with(SHARE) => filter,
        _ => return true,
    };
    let is_valid = !filter.is_empty() && check_wildcards(filter).is_ok();
    !is_valid || regions.iter().any(|region| region.is_reached_by(filter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_reaches_a_region_if_one_topic_is_in_both() {
        let below = [Region::below(literal("a/b"))];
        let exactly = [Region::exactly(literal("a/b"))];
        for (filter, reaches_below, reaches_exactly) in [
            ("#", true, true),
            ("a/#", true, true),
            ("a/b/#", true, true),
            ("a/b/c/#", true, false),
            ("+/b", true, true),
            ("+/+/c", true, false),
            ("a", false, false),
            ("+", false, false),
            ("a/b/", true, false),
            ("/a/b", false, false),
            ("$share/g/+/b", true, true),
            ("$share/g/a/c", false, false),
            // No filters.
            ("$share/g", true, true),
            ("$share//a/c", true, true),
            ("c/#/d", true, true),
            ("c#", true, true),
        ] {
            assert_eq!(reaches(filter, &below), reaches_below, "{filter}");
            assert_eq!(reaches(filter, &exactly), reaches_exactly, "{filter}");
        }
    }

    #[test]
    fn a_wildcard_at_the_beginning_reaches_no_topic_with_a_dollar_sign() {
        let region = [Region::below(literal("$x"))];
        assert!(!reaches("#", &region) && !reaches("+/a", &region));
        assert!(reaches("$x/#", &region) && reaches("$x", &region));
    }

    #[test]
    fn rules_accept_levels() {
        let not = Region::below(vec![LevelRule::Not(vec!["1".into()])]);
        assert!(not.contains("2") && not.contains("") && not.contains("2/x"));
        assert!(!not.contains("1") && !not.contains("1/x"));
        let begins = LevelRule::BeginsWith {
            start: "poly_".into(),
            except: vec!["poly_1".into()],
        };
        let begins = Region::exactly(vec![begins]);
        assert!(begins.contains("poly_2") && begins.contains("poly_11"));
        assert!(
            !begins.contains("poly_1") && !begins.contains("x") && !begins.contains("poly_2/x")
        );
    }
}
