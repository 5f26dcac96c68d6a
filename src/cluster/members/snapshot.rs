//! What the store showed last: members and table at one moment.

use std::collections::BTreeMap;

use crate::cluster::placement::Shard;
use crate::cluster::record::{MemberRecord, Owner};
use crate::cluster::registry::Entry;
use crate::cluster::table::Table;
use crate::cluster::view::MemberView;

/// A member's key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenMember {
    created: u64,
    modified: u64,
    /// None if another version wrote it in a form that this one cannot read: it lives, and gets no shards.
    record: Option<MemberRecord>,
}

/// Members and table at one revision of the store.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    revision: u64,
    members: BTreeMap<String, SeenMember>,
    table_revision: u64,
    table: Table,
    /// The table's value could not be read.
    is_table_unknown: bool,
}

impl Snapshot {
    /// The store's revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The revision of the table; 0 if there is none, or it is not known.
    pub fn table_revision(&self) -> u64 {
        self.table_revision
    }

    /// Who owns what.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The table is known, and may be changed.
    pub fn has_table(&self) -> bool {
        !self.is_table_unknown
    }

    /// Takes over what was read: the members, the table's key without and, if it changed, with its value.
    pub fn update(
        &mut self,
        revision: u64,
        prefix: &str,
        members: &[Entry],
        table: &[Entry],
        newer: &[Entry],
    ) {
        self.revision = revision;
        let member = |entry: &Entry| {
            let name = entry.key.strip_prefix(prefix)?;
            let seen = SeenMember {
                created: entry.created,
                modified: entry.modified,
                record: MemberRecord::parse(&entry.value),
            };
            Some((name.to_owned(), seen))
        };
        self.members = members.iter().filter_map(member).collect();
        let modified = table.first().map_or(0, |entry| entry.modified);
        if modified == self.table_revision && !self.is_table_unknown {
            return;
        }
        let read = match newer.first() {
            _ if modified == 0 => Some(Table::default()),
            Some(entry) if entry.modified == modified => Table::parse(&entry.value),
            _ => None,
        };
        // Without its value it is read anew with the next request. Until then nobody owns anything.
        self.is_table_unknown = read.is_none();
        self.table_revision = if read.is_some() { modified } else { 0 };
        self.table = read.unwrap_or_default();
    }

    /// What a member says about itself, if it can be read.
    pub fn record(&self, name: &str) -> Option<&MemberRecord> {
        self.members.get(name)?.record.as_ref()
    }

    /// Whether members have other rooms than before.
    pub fn rooms_differ(&self, before: &Self) -> bool {
        let rooms = |(name, record)| (name, rooms_in(record));
        !self.live().map(rooms).eq(before.live().map(rooms))
    }

    /// Whether members say anything else about themselves than before. A person may change a key too.
    pub fn records_differ(&self, before: &Self) -> bool {
        !self.live().eq(before.live())
    }

    /// Whether members or owners are others than before.
    pub fn differs(&self, before: &Self) -> bool {
        self.table_revision != before.table_revision
            || self.placed_members() != before.placed_members()
            || !self.without(before).is_empty()
            || !before.without(self).is_empty()
    }

    /// The names of the other snapshot's members that are not in this one, or are others of the same name.
    pub fn without(&self, other: &Self) -> Vec<String> {
        let is_here = |(name, member): &(&String, &SeenMember)| {
            let here = self.members.get(*name);
            here.is_some_and(|here| here.created == member.created)
        };
        let missing = other.members.iter().filter(|entry| !is_here(entry));
        missing.map(|(name, _)| name.clone()).collect()
    }

    /// All members with their revisions.
    pub fn revisions(&self) -> impl Iterator<Item = (&String, u64)> {
        let members = self.members.iter();
        members.map(|(name, member)| (name, member.modified))
    }

    /// Names and weights of the members that shards are placed on.
    pub fn placed_members(&self) -> Vec<(String, u32)> {
        let members = self.live().filter(|(_, record)| !record.leaving);
        members
            .map(|(name, record)| (name.clone(), record.weight))
            .collect()
    }

    /// The members that can be read.
    pub fn live(&self) -> impl Iterator<Item = (&String, &MemberRecord)> {
        let members = self.members.iter();
        members.filter_map(|(name, member)| Some((name, member.record.as_ref()?)))
    }

    /// The owner of a shard, dead or alive.
    pub fn owner(&self, shard: Shard) -> Option<&Owner> {
        self.table.owner(shard)
    }

    /// The owner of a shard, if its key still exists.
    pub fn live_owner(&self, shard: Shard) -> Option<&Owner> {
        self.owner(shard).filter(|owner| {
            let member = self.members.get(&owner.name);
            member.is_some_and(|member| member.created == owner.created)
        })
    }

    /// The members for other parts of the gateway, with no shards counted.
    pub fn member_views(&self) -> impl Iterator<Item = MemberView> {
        self.members.iter().map(|(name, member)| {
            let record = member.record.as_ref();
            let text =
                |of: fn(&MemberRecord) -> &String| record.map(of).cloned().unwrap_or_default();
            MemberView {
                name: name.clone(),
                advertise: text(|record| &record.advertise),
                weight: record.map_or(0, |record| record.weight),
                version: text(|record| &record.version),
                since: record.map_or(0, |record| record.since),
                leaving: record.is_some_and(|record| record.leaving),
                rooms: text(|record| &record.rooms),
                shards: 0,
            }
        })
    }
}

/// What a member says about its rooms.
fn rooms_in(record: &MemberRecord) -> (&str, &str, &str, u64) {
    let configuration = record.configuration;
    (
        &record.rooms,
        &record.named_rooms,
        &record.devices,
        configuration,
    )
}
