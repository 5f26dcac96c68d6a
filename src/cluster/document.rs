//! `gateway/cluster`: the cluster as one document, for people and for monitoring.
//!
//! Pure: made from what the keeper shows and from the configured rooms. Names no secret. The speaker's document
//! is the one at the broker; each gateway shows its own over HTTP and WebSocket.

use serde_json::{Value, json};

use super::placement::{SHARDS, Shard, shard_of};
use super::view::{ClusterState, ClusterView};
use crate::clock::rfc3339_of_unix;
use crate::digest::hex_digest;

/// How many digits of a digest are shown: enough to see whether two are the same.
const SHOWN_DIGEST: usize = 12;

/// How many rooms are named whose device has another name at another member: more are a matter of the whole file.
const SHOWN_CONFLICTS: usize = 100;

/// How many configured rooms each shard has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardRooms(Vec<u32>);

impl ShardRooms {
    /// Counts these rooms.
    pub fn of<'a>(rooms: impl IntoIterator<Item = &'a str>) -> Self {
        let mut counts = vec![0; usize::from(SHARDS)];
        for room in rooms {
            counts[shard_of(room).index()] += 1;
        }
        Self(counts)
    }

    /// These counts; shards that are not named have no rooms.
    pub fn with_counts(counts: impl IntoIterator<Item = (Shard, usize)>) -> Self {
        let mut rooms = vec![0; usize::from(SHARDS)];
        for (shard, count) in counts {
            rooms[shard.index()] = u32::try_from(count).unwrap_or(u32::MAX);
        }
        Self(rooms)
    }

    /// How many rooms the shards have of which `wanted` is true.
    fn count(&self, wanted: impl Fn(Shard) -> bool) -> u64 {
        let shards = Shard::all().filter(|shard| wanted(*shard));
        shards.map(|shard| u64::from(self.0[shard.index()])).sum()
    }
}

/// What a gateway knows beside the view.
#[derive(Debug, Clone)]
pub struct ClusterFacts {
    /// The rooms that are configured here.
    pub rooms: ShardRooms,
    /// Shards have been without an owner for longer than a planned move takes.
    pub lacks_owners: bool,
}

/// What is counted of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterCounts {
    /// The members that live.
    pub members: usize,
    /// The shards that this gateway owns.
    pub own_shards: usize,
    /// The rooms in them.
    pub own_rooms: u64,
    /// The shards that no live member owns.
    pub unowned_shards: usize,
    /// The rooms in them.
    pub unowned_rooms: u64,
}

impl ClusterCounts {
    /// What this view says of the shards, with so many rooms in each.
    pub fn of(view: &ClusterView, rooms: &ShardRooms) -> Self {
        let is_own = |shard| view.owner(shard).is_some_and(|it| *it.name == *view.me);
        let is_unowned = |shard| view.owner(shard).is_none();
        Self {
            members: view.members.len(),
            own_shards: Shard::all().filter(|shard| is_own(*shard)).count(),
            own_rooms: rooms.count(is_own),
            unowned_shards: Shard::all().filter(|shard| is_unowned(*shard)).count(),
            unowned_rooms: rooms.count(is_unowned),
        }
    }
}

/// The document. `from` is the gateway that says so.
pub fn cluster_document(view: &ClusterView, facts: &ClusterFacts) -> Value {
    let counts = ClusterCounts::of(view, &facts.rooms);
    let members = view.members.iter().enumerate().map(|(place, member)| {
        let is_its = |shard: Shard| view.owners[shard.index()].map(usize::from) == Some(place);
        json!({
            "name": member.name,
            "state": if member.leaving { "leaving" } else { "ok" },
            "shards": member.shards,
            "rooms": facts.rooms.count(is_its),
            "version": member.version,
            "since": time_text(member.since),
            "weight": member.weight,
            "advertise": member.advertise,
            "configuration": shown_digest(&member.rooms),
        })
    });
    let members: Vec<Value> = members.collect();
    let conflicts = view.conflicts.devices.keys().take(SHOWN_CONFLICTS);
    let device_conflicts: Vec<&str> = conflicts.map(|room| &**room).collect();
    json!({
        "from": &*view.me,
        "state": state_word(view.state),
        "members": members,
        "shards": SHARDS,
        "rooms": facts.rooms.count(|_| true),
        "unowned": counts.unowned_shards,
        "unowned_rooms": counts.unowned_rooms,
        "differing": differing_members(view),
        "differing_rooms": differing_rooms(view),
        "device_conflicts": device_conflicts,
        "placement": placement_digest(view),
        "problem": problem(view, facts, counts),
    })
}

/// The other members whose configuration of the rooms is not that of this gateway.
pub fn differing_members(view: &ClusterView) -> Vec<&str> {
    let own = view.members.iter().find(|member| *member.name == *view.me);
    let Some(own) = own else {
        return Vec::new();
    };
    let differ = view.members.iter().filter(|other| other.rooms != own.rooms);
    differ.map(|member| &*member.name).collect()
}

/// The rooms whose configuration is not the same at all members, as far as they have named them.
pub fn differing_rooms(view: &ClusterView) -> Vec<&str> {
    let rooms = view.differing.iter().flat_map(|shard| &shard.rooms);
    rooms.map(String::as_str).collect()
}

/// The word for a state, here and in `gateway/health`.
pub fn state_word(state: ClusterState) -> &'static str {
    match state {
        ClusterState::Ok => "ok",
        ClusterState::Joining => "joining",
        ClusterState::Leaving => "leaving",
        ClusterState::NoCluster => "no_cluster",
        ClusterState::Ended => "ended",
    }
}

/// The most important thing that is wrong.
fn problem(view: &ClusterView, facts: &ClusterFacts, counts: ClusterCounts) -> Value {
    let why = view.problem.as_deref();
    let told = |code: &str, message: String| json!({"code": code, "message": message});
    let with_reason = |text: &str| match why {
        Some(why) => format!("{text}: {why}"),
        None => text.to_owned(),
    };
    let differing = differing_members(view);
    match view.state {
        ClusterState::NoCluster => told(
            "no_cluster",
            with_reason("this gateway has no contact with etcd, so it uses no device"),
        ),
        ClusterState::Joining => told(
            "joining",
            with_reason("this gateway is not a member of the cluster yet"),
        ),
        ClusterState::Leaving => told("leaving", "this gateway gives its rooms up".into()),
        ClusterState::Ended => told("ended", with_reason("this gateway has left the cluster")),
        ClusterState::Ok if facts.lacks_owners && counts.unowned_shards > 0 => {
            let (rooms, shards) = (counts.unowned_rooms, counts.unowned_shards);
            let text = format!("{rooms} rooms ({shards} shards) have no gateway");
            told("no_owner", text)
        }
        ClusterState::Ok if !differing.is_empty() => {
            let gateways = differing.join(", ");
            let mut text =
                format!("the rooms are configured differently at this gateway and at {gateways}");
            let conflicts = view.conflicts.devices.len();
            if conflicts > 0 {
                text.push_str(&format!(
                    "; the devices of {conflicts} rooms have other names there"
                ));
            }
            told("differing", text)
        }
        ClusterState::Ok => Value::Null,
    }
}

/// Changes whenever a shard changes hands, so that who shows rooms knows when to ask who has them.
fn placement_digest(view: &ClusterView) -> String {
    let mut text = String::new();
    for shard in Shard::all() {
        if let Some(owner) = view.owner(shard) {
            text.push_str(&owner.name);
        }
        text.push(' ');
    }
    hex_digest(text.as_bytes(), SHOWN_DIGEST / 2)
}

fn shown_digest(digest: &str) -> &str {
    digest.get(..SHOWN_DIGEST).unwrap_or(digest)
}

fn time_text(seconds: u64) -> Option<String> {
    let seconds = i64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
    rfc3339_of_unix(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::cluster::{DeviceConflict, DifferingShard, MemberView, RoomConflicts};

    fn member(name: &str, rooms: &str) -> MemberView {
        MemberView {
            advertise: format!("https://{name}.example:8080"),
            version: "1.2.3".into(),
            since: 1_764_000_000,
            rooms: rooms.into(),
            ..MemberView::named(name)
        }
    }

    /// Two members with half of the shards each, but the last one.
    fn view(state: ClusterState) -> ClusterView {
        let owners = Shard::all().map(|shard| match shard.index() {
            1023 => None,
            place => Some(u16::from(place >= 512)),
        });
        let mut members = [member("gw-1", "aa"), member("gw-2", "aa")];
        members[0].shards = 512;
        members[1].shards = 511;
        ClusterView {
            me: "gw-2".into(),
            state,
            problem: None,
            members: members.into(),
            owners: owners.collect(),
            revision: 7,
            ..ClusterView::unknown("gw-2")
        }
    }

    fn facts(rooms: &[String]) -> ClusterFacts {
        ClusterFacts {
            rooms: ShardRooms::of(rooms.iter().map(String::as_str)),
            lacks_owners: false,
        }
    }

    #[test]
    fn the_document_says_who_has_how_much() {
        let rooms: Vec<String> = (0..3000).map(|n| format!("room-{n}")).collect();
        let document = cluster_document(&view(ClusterState::Ok), &facts(&rooms));
        assert_eq!(document["from"], "gw-2");
        assert_eq!(
            (&document["shards"], &document["rooms"]),
            (&1024.into(), &3000.into())
        );
        assert_eq!(document["unowned"], 1);
        assert_eq!(document["problem"], Value::Null);
        let members = document["members"].as_array().unwrap();
        assert_eq!(
            (&members[0]["name"], &members[0]["shards"]),
            (&"gw-1".into(), &512.into())
        );
        assert_eq!(members[1]["since"], "2025-11-24T16:00:00Z");
        let counted: u64 = members.iter().map(|it| it["rooms"].as_u64().unwrap()).sum();
        let unowned = document["unowned_rooms"].as_u64().unwrap();
        assert_eq!(counted + unowned, 3000);
        let own = ClusterCounts::of(&view(ClusterState::Ok), &facts(&rooms).rooms);
        assert_eq!(Some(own.own_rooms), members[1]["rooms"].as_u64());
        assert_eq!((own.members, own.own_shards), (2, 511));
    }

    #[test]
    fn the_worst_problem_is_told() {
        let text = |document: &Value| document["problem"]["message"].as_str().unwrap().to_owned();
        for (state, code) in [
            (ClusterState::NoCluster, "no_cluster"),
            (ClusterState::Joining, "joining"),
            (ClusterState::Leaving, "leaving"),
            (ClusterState::Ended, "ended"),
        ] {
            let mut view = view(state);
            view.problem = Some("connection refused".into());
            let document = cluster_document(&view, &facts(&[]));
            assert_eq!(document["problem"]["code"], code);
            assert_eq!(document["state"], state_word(state));
            let names_reason = text(&document).ends_with(": connection refused");
            assert_eq!(names_reason, state != ClusterState::Leaving, "{code}");
        }
        let mut other = view(ClusterState::Ok);
        other.members = [
            member("gw-1", "aa"),
            member("gw-2", "bb"),
            member("gw-3", "aa"),
        ]
        .into();
        let mut known = facts(&["1".into()]);
        let document = cluster_document(&other, &known);
        assert_eq!(document["problem"]["code"], "differing");
        assert!(text(&document).ends_with("gw-1, gw-3"));
        assert_eq!(document["differing"], json!(["gw-1", "gw-3"]));
        assert_eq!(document["differing_rooms"], json!([]), "none is named yet");
        let shard = |number, rooms: &[&str]| DifferingShard {
            shard: Shard::new(number).unwrap(),
            members: vec![vec!["gw-1".into(), "gw-3".into()], vec!["gw-2".into()]],
            rooms: rooms.iter().map(|id| (*id).to_owned()).collect(),
        };
        other.differing = [shard(3, &["17", "18"]), shard(4, &["annex"])].into();
        let document = cluster_document(&other, &known);
        assert_eq!(document["differing_rooms"], json!(["17", "18", "annex"]));
        let conflict = DeviceConflict {
            member: "gw-1".into(),
            blocks: true,
        };
        other.conflicts = Arc::new(RoomConflicts {
            devices: [("five".into(), conflict)].into(),
            ..RoomConflicts::default()
        });
        let document = cluster_document(&other, &known);
        assert_eq!(document["device_conflicts"], json!(["five"]));
        assert!(text(&document).ends_with("the devices of 1 rooms have other names there"));
        known.lacks_owners = true;
        let document = cluster_document(&view(ClusterState::Ok), &known);
        assert_eq!(document["problem"]["code"], "no_owner");
        // The same everywhere but at a gateway that is not a member yet.
        other.me = "gw-4".into();
        assert_eq!(differing_members(&other), [""; 0]);
    }

    #[test]
    fn the_placement_changes_when_a_shard_changes_hands_and_not_otherwise() {
        let placement =
            |view: &ClusterView| cluster_document(view, &facts(&[]))["placement"].clone();
        let before = view(ClusterState::Ok);
        let mut heartbeat = before.clone();
        heartbeat.revision = 8;
        assert_eq!(placement(&before), placement(&heartbeat));
        let mut moved = before.clone();
        let mut owners = moved.owners.to_vec();
        owners.swap(0, 600);
        moved.owners = owners.into();
        assert_ne!(placement(&before), placement(&moved));
    }

    #[test]
    fn nothing_is_known_before_the_cluster_is_joined() {
        let document = cluster_document(&ClusterView::unknown("gw-1"), &facts(&["1".into()]));
        assert_eq!(document["members"], json!([]));
        assert_eq!(document["unowned"], 1024);
        assert_eq!(document["problem"]["code"], "joining");
    }
}
