//! What the store holds of a cluster, for a look from outside. Reads only.

use super::members::Keys;
use super::placement::{FORMAT, Shard};
use super::record::{MemberRecord, Owner};
use super::registry::{Condition, Read, Registry, RegistryError, Transaction, Write};
use super::table::Table;

/// A cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSurvey {
    /// How rooms are placed; none if no gateway has ever joined.
    pub format: Option<String>,
    /// The members by name.
    pub members: Vec<SurveyedMember>,
    /// The place in `members` of each shard's owner; none if no member owns it.
    pub owners: Vec<Option<usize>>,
    /// The table of owners is there and is no table.
    pub is_table_broken: bool,
}

/// A member's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedMember {
    /// Its name.
    pub name: String,
    /// What it says of itself; none if that cannot be read.
    pub record: Option<MemberRecord>,
    /// The revision at which its key was created.
    pub created: u64,
    /// That of its last heartbeat.
    pub modified: u64,
}

impl ClusterSurvey {
    /// Reads the cluster below this prefix.
    ///
    /// # Errors
    /// The store does not answer, or refuses.
    pub async fn read<R: Registry>(registry: &R, prefix: &str) -> Result<Self, RegistryError> {
        let keys = Keys::new(prefix, "");
        let transaction = Transaction {
            reads: vec![
                Read::Key(keys.format),
                Read::Prefix(keys.members.clone()),
                Read::Key(keys.table),
            ],
            ..Transaction::default()
        };
        let reply = registry.compare_and_swap(&transaction).await?;
        let mut reads = reply.reads.into_iter();
        let mut next = || reads.next().unwrap_or_default();
        let format = next().into_iter().next().map(|entry| entry.value);
        let members: Vec<SurveyedMember> = next()
            .into_iter()
            .map(|entry| SurveyedMember {
                name: entry.key[keys.members.len()..].to_owned(),
                record: MemberRecord::parse(&entry.value),
                created: entry.created,
                modified: entry.modified,
            })
            .collect();
        let written = next().into_iter().next();
        let table = written
            .as_ref()
            .and_then(|entry| Table::parse(&entry.value));
        let is_table_broken = written.is_some() && table.is_none();
        let table = table.unwrap_or_default();
        let is = |member: &SurveyedMember, owner: &Owner| {
            member.name == owner.name && member.created == owner.created
        };
        let owner = |shard| {
            let owner = table.owner(shard)?;
            members.iter().position(|member| is(member, owner))
        };
        let owners = Shard::all().map(owner).collect();
        Ok(Self {
            format,
            members,
            owners,
            is_table_broken,
        })
    }

    /// Whether the cluster places rooms as this program does, or has no gateway so far.
    pub fn has_our_format(&self) -> bool {
        self.format.as_deref().is_none_or(|format| format == FORMAT)
    }
}

/// Whether the gateway's user may write below the prefix: a transaction that cannot happen, since no key was
/// created at the last of all revisions. A store checks the rights of a transaction before its conditions.
///
/// # Errors
/// The store does not answer, or refuses.
pub async fn try_writing<R: Registry>(registry: &R, prefix: &str) -> Result<(), RegistryError> {
    let keys = Keys::new(prefix, "");
    let never = i64::MAX.unsigned_abs();
    let transaction = Transaction {
        conditions: vec![Condition::Created(keys.table.clone(), never)],
        writes: vec![Write::Put(keys.table, String::new())],
        reads: Vec::new(),
    };
    registry.compare_and_swap(&transaction).await.map(|_| ())
}
