//! What was found of a cluster: lines for people, one JSON document, and what is wrong.
//!
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::clock::rfc3339_of_unix;
use crate::cluster::{ClusterSurvey, EtcdStatus, SHARDS, SurveyedMember, TWO_CLUSTERS, shard_of};
use crate::listed::counted;
use crate::visible::without_invisible;

/// How much of a text of another gateway is shown, in characters. Addresses and versions are shorter.
const LONGEST_TEXT: usize = 200;

/// A member of etcd, and how it is or why that cannot be known.
#[derive(Debug)]
pub struct EtcdEndpoint {
    pub url: String,
    pub status: Result<EtcdStatus, String>,
}

/// Everything that was found.
#[derive(Debug)]
pub struct ClusterReport {
    pub prefix: String,
    pub endpoints: Vec<EtcdEndpoint>,
    /// The cluster, or why it cannot be read.
    pub survey: Result<ClusterSurvey, String>,
    /// The names of the members that sent no heartbeat.
    pub silent: Vec<String>,
    /// What is wrong with etcd though it works.
    pub caveat: Option<&'static str>,
    /// The rooms of the configuration.
    pub rooms: Vec<String>,
    /// Their digest.
    pub digest: String,
    /// The file's settings that all gateways must have alike.
    pub settings: BTreeMap<String, String>,
}

impl ClusterReport {
    /// A line for each member of etcd, each gateway, and the shards: subject, address and report, with tabs between.
    pub fn lines(&self) -> String {
        let mut lines: Vec<String> = self.endpoints.iter().map(endpoint_line).collect();
        if let Ok(survey) = &self.survey {
            let members = survey.members.iter().enumerate();
            lines.extend(members.map(|(at, member)| self.member_line(survey, at, member)));
            let unowned = self.unowned(survey);
            let state = match unowned.shards {
                0 => format!("all {SHARDS} have a gateway"),
                _ => unowned.words(),
            };
            lines.push(format!("shards\t{}\t{state}", self.prefix));
            let format = survey
                .format
                .as_deref()
                .unwrap_or("no gateway has joined yet");
            lines.push(format!("format\t{}\t{}", self.prefix, shown(format)));
        }
        lines.into_iter().map(|line| line + "\n").collect()
    }

    /// What is wrong, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut clusters = BTreeSet::new();
        for endpoint in &self.endpoints {
            match &endpoint.status {
                Err(why) => problems.push(about(&endpoint.url, why)),
                Ok(status) => {
                    clusters.insert(status.cluster);
                    if !status.has_leader {
                        problems.push(about(&endpoint.url, "it has no leader"));
                    }
                    let errors = status.errors.iter();
                    problems.extend(errors.map(|error| about(&endpoint.url, error)));
                }
            }
        }
        if clusters.len() > 1 {
            problems.push(TWO_CLUSTERS.into());
        }
        problems.extend(self.caveat.map(str::to_owned));
        match &self.survey {
            Ok(survey) => self.problems_of(survey, &mut problems),
            Err(why) if problems.iter().any(|problem| problem.ends_with(&**why)) => {}
            Err(why) => problems.push(why.clone()),
        }
        problems
    }

    fn problems_of(&self, survey: &ClusterSurvey, problems: &mut Vec<String>) {
        if !survey.has_our_format() {
            problems.push(format!(
                "the cluster places rooms in another way than this version: {}",
                shown(survey.format.as_deref().unwrap_or_default())
            ));
            return;
        }
        if survey.is_table_broken {
            problems.push("the table of owners in etcd cannot be read".into());
        }
        if survey.members.is_empty() {
            problems.push(format!("no gateway is in the cluster {}", self.prefix));
            return;
        }
        for name in &self.silent {
            problems.push(format!("{name} sends no heartbeat"));
        }
        let unreadable = survey.members.iter().filter(|it| it.record.is_none());
        problems
            .extend(unreadable.map(|it| format!("what {} says of itself cannot be read", it.name)));
        let unowned = self.unowned(survey);
        if unowned.shards > 0 {
            problems.push(unowned.words());
        }
        for member in &survey.members {
            if let Some(record) = &member.record {
                let keys = record.settings.iter();
                let keys = keys.filter(|(key, value)| {
                    let own = self.settings.get(*key);
                    own.is_some_and(|own| own != *value)
                });
                problems.extend(keys.map(|(key, _)| {
                    let (name, key) = (&member.name, shown(key));
                    format!("{name} has another {key} than this file")
                }));
            }
        }
        problems.extend(differing(survey));
    }

    fn member_line(&self, survey: &ClusterSurvey, at: usize, member: &SurveyedMember) -> String {
        let Some(record) = &member.record else {
            return format!(
                "gateway {}\t\twhat it says of itself cannot be read",
                member.name
            );
        };
        let (shards, rooms) = self.share(survey, at);
        let mut parts = vec![
            format!("{shards} shards"),
            counted(rooms, "room"),
            format!("weight {}", record.weight),
            format!("version {}", shown(&record.version)),
            format!("since {}", date(record.since)),
        ];
        if record.leaving {
            parts.push("it is leaving".into());
        }
        if record.rooms != self.digest {
            parts.push("its rooms are configured otherwise than in this file".into());
        }
        parts.push(if self.is_silent(member) {
            "no heartbeat".into()
        } else {
            "alive".into()
        });
        let address = shown(&record.advertise);
        format!("gateway {}\t{address}\t{}", member.name, parts.join(", "))
    }

    fn is_silent(&self, member: &SurveyedMember) -> bool {
        self.silent.contains(&member.name)
    }

    /// How many shards a member has, and how many rooms of the configuration.
    fn share(&self, survey: &ClusterSurvey, at: usize) -> (usize, usize) {
        let is_own = |owner: &&Option<usize>| **owner == Some(at);
        let rooms = self.rooms.iter();
        let rooms = rooms.filter(|room| owner_of_room(survey, room) == Some(at));
        (survey.owners.iter().filter(is_own).count(), rooms.count())
    }

    fn unowned(&self, survey: &ClusterSurvey) -> Unowned {
        let rooms = self.rooms.iter();
        Unowned {
            shards: survey.owners.iter().filter(|owner| owner.is_none()).count(),
            rooms: rooms
                .filter(|room| owner_of_room(survey, room).is_none())
                .count(),
        }
    }

    /// The document of `--json`.
    pub fn document(&self, problems: &[String]) -> Value {
        let mut document = json!({
            "ok": problems.is_empty(),
            "errors": problems,
            "prefix": self.prefix,
            "etcd": self.endpoints.iter().map(endpoint_json).collect::<Vec<_>>(),
        });
        if let (Ok(survey), Some(document)) = (&self.survey, document.as_object_mut()) {
            let unowned = self.unowned(survey);
            let members = survey.members.iter().enumerate();
            let members = members.map(|(at, member)| self.member_json(survey, at, member));
            document.insert("format".into(), json!(survey.format));
            document.insert("members".into(), members.collect());
            document.insert("shards".into(), json!(SHARDS));
            document.insert("shards_without_owner".into(), json!(unowned.shards));
            document.insert("rooms_without_owner".into(), json!(unowned.rooms));
        }
        document
    }

    fn member_json(&self, survey: &ClusterSurvey, at: usize, member: &SurveyedMember) -> Value {
        let (shards, rooms) = self.share(survey, at);
        let record = member.record.as_ref();
        json!({
            "name": member.name,
            "advertise": record.map(|record| &record.advertise),
            "version": record.map(|record| &record.version),
            "weight": record.map(|record| record.weight),
            "shards": shards,
            "rooms": rooms,
            "since": record.map(|record| date(record.since)),
            "leaving": record.is_some_and(|record| record.leaving),
            "alive": !self.is_silent(member),
            "configuration": record.map(|record| &record.rooms),
            "same_rooms_as_this_file": record.is_some_and(|record| record.rooms == self.digest),
        })
    }
}

/// What no gateway has.
struct Unowned {
    shards: usize,
    rooms: usize,
}

impl Unowned {
    fn words(&self) -> String {
        let rooms = counted(self.rooms, "room");
        format!(
            "{} of {SHARDS} shards have no gateway, with {rooms} of this file",
            self.shards
        )
    }
}

fn owner_of_room(survey: &ClusterSurvey, room: &str) -> Option<usize> {
    survey.owners.get(shard_of(room).index()).copied().flatten()
}

/// Which gateways have other rooms than most.
fn differing(survey: &ClusterSurvey) -> Option<String> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for member in &survey.members {
        if let Some(record) = &member.record {
            groups.entry(&record.rooms).or_default().push(&member.name);
        }
    }
    let mut groups: Vec<Vec<&str>> = groups.into_values().collect();
    groups.sort_by_key(|names| std::cmp::Reverse(names.len()));
    let (most, others) = groups.split_first()?;
    let others = others
        .iter()
        .map(|names| names.join(", "))
        .collect::<Vec<_>>();
    (!others.is_empty()).then(|| {
        format!(
            "the configuration of rooms differs: that of {} from that of {}",
            others.join(" and of "),
            most.join(", ")
        )
    })
}

fn endpoint_line(endpoint: &EtcdEndpoint) -> String {
    let report = match &endpoint.status {
        Err(why) => without_address(&endpoint.url, why).to_owned(),
        Ok(status) => {
            let role = match (status.is_leader, status.has_leader) {
                (true, _) => "leader",
                (false, true) => "follower",
                (false, false) => "without a leader",
            };
            let mut parts = vec![
                format!("version {}", status.version),
                role.to_owned(),
                format!("term {}", status.raft_term),
                format!("database {} KiB", status.database_bytes.div_ceil(1024)),
                format!("{} ms", status.took.as_millis()),
            ];
            parts.extend(status.errors.iter().cloned());
            parts.join(", ")
        }
    };
    format!("etcd\t{}\t{report}", endpoint.url)
}

fn endpoint_json(endpoint: &EtcdEndpoint) -> Value {
    match &endpoint.status {
        Err(why) => json!({"endpoint": endpoint.url, "ok": false, "message": why}),
        Ok(status) => json!({
            "endpoint": endpoint.url,
            "ok": status.has_leader && status.errors.is_empty(),
            "version": status.version,
            "leader": status.is_leader,
            "raft_term": status.raft_term,
            "database_bytes": status.database_bytes,
            "took_ms": u64::try_from(status.took.as_millis()).unwrap_or(u64::MAX),
            "errors": status.errors,
        }),
    }
}

/// A sentence about a member of etcd; many errors name it already.
fn about(url: &str, why: &str) -> String {
    if why.contains(url) {
        why.to_owned()
    } else {
        format!("etcd at {url}: {why}")
    }
}

fn without_address<'a>(url: &str, why: &'a str) -> &'a str {
    why.strip_prefix(&format!("etcd at {url}: ")).unwrap_or(why)
}

fn date(seconds: u64) -> String {
    let date = i64::try_from(seconds).ok().and_then(rfc3339_of_unix);
    date.unwrap_or_else(|| "an unknown time".into())
}

/// What others have written, on one line.
fn shown(text: &str) -> String {
    without_invisible(text, LONGEST_TEXT)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::{FORMAT, MemberRecord};

    fn member(name: &str, rooms: &str) -> SurveyedMember {
        SurveyedMember {
            name: name.into(),
            record: Some(MemberRecord {
                nonce: "secret nonce".into(),
                advertise: format!("http://{name}"),
                weight: 1,
                version: "0.2.0".into(),
                since: 1_790_000_000,
                leaving: false,
                rooms: rooms.into(),
                named_rooms: String::new(),
                devices: String::new(),
                configuration: 0,
                settings: Default::default(),
            }),
            created: 1,
            modified: 2,
        }
    }

    fn report() -> ClusterReport {
        let status = EtcdStatus {
            version: "3.4.23".into(),
            cluster: 1,
            is_leader: true,
            has_leader: true,
            raft_term: 2,
            database_bytes: 20_480,
            errors: Vec::new(),
            took: Duration::from_millis(3),
        };
        ClusterReport {
            prefix: "/poly2mqtt".into(),
            endpoints: vec![EtcdEndpoint {
                url: "http://a:2379".into(),
                status: Ok(status),
            }],
            survey: Ok(ClusterSurvey {
                format: Some(FORMAT.into()),
                members: vec![member("gw-1", "d"), member("gw-2", "d")],
                owners: (0..usize::from(SHARDS)).map(|n| Some(n % 2)).collect(),
                is_table_broken: false,
            }),
            silent: Vec::new(),
            caveat: None,
            rooms: vec!["1".into(), "2".into(), "3".into()],
            digest: "d".into(),
            settings: BTreeMap::new(),
        }
    }

    #[test]
    fn a_cluster_that_is_well_has_no_problem() {
        let report = report();
        assert_eq!(report.problems(), Vec::<String>::new());
        let lines = report.lines();
        for wanted in [
            "etcd\thttp://a:2379\tversion 3.4.23, leader, term 2, database 20 KiB, 3 ms\n",
            "gateway gw-1\thttp://gw-1\t512 shards, ",
            ", weight 1, version 0.2.0, since 2026-09-21T14:13:20Z, alive\n",
            "shards\t/poly2mqtt\tall 1024 have a gateway\n",
        ] {
            assert!(lines.contains(wanted), "{wanted}: {lines}");
        }
        let document = report.document(&[]);
        let rooms = document["members"].as_array().unwrap().iter();
        let rooms: u64 = rooms.map(|member| member["rooms"].as_u64().unwrap()).sum();
        assert_eq!((rooms, &document["ok"]), (3, &json!(true)));
        assert!(!format!("{lines}{document}").contains("nonce"));
    }

    type Change = fn(&mut ClusterReport);

    #[test]
    fn each_thing_that_is_wrong_has_its_words() {
        let changes: [(Change, &str); 11] = [
            (
                |it| survey(it).members.clear(),
                "no gateway is in the cluster /poly2mqtt",
            ),
            (
                |it| survey(it).owners[7] = None,
                "1 of 1024 shards have no gateway",
            ),
            (
                |it| {
                    survey(it).members[1] = member("gw-2", "e");
                    survey(it).members.push(member("gw-3", "d"));
                },
                "the configuration of rooms differs: that of gw-2 from that of gw-1, gw-3",
            ),
            (
                |it| it.silent.push("gw-2".into()),
                "gw-2 sends no heartbeat",
            ),
            (
                |it| survey(it).members[0].record = None,
                "what gw-1 says of itself",
            ),
            (
                |it| survey(it).format = Some("2 shards".into()),
                "in another way than this version: 2 shards",
            ),
            (
                |it| survey(it).is_table_broken = true,
                "the table of owners",
            ),
            (|it| it.survey = Err("etcd refuses".into()), "etcd refuses"),
            (
                |it| it.caveat = Some("etcd asks nobody"),
                "etcd asks nobody",
            ),
            (
                |it| {
                    it.endpoints.push(EtcdEndpoint {
                        url: "http://b:2379".into(),
                        status: Err("etcd at http://b:2379: refused".into()),
                    });
                },
                "etcd at http://b:2379: refused",
            ),
            (
                |it| {
                    if let Ok(status) = &mut it.endpoints[0].status {
                        status.errors.push("NOSPACE".into());
                    }
                },
                "etcd at http://a:2379: NOSPACE",
            ),
        ];
        for (change, wanted) in changes {
            let mut report = report();
            change(&mut report);
            let problems = report.problems();
            assert_eq!(problems.len(), 1, "{wanted}: {problems:?}");
            assert!(problems[0].contains(wanted), "{wanted}: {problems:?}");
            assert_eq!(report.document(&problems)["ok"], false);
            report.lines();
        }
    }

    fn survey(report: &mut ClusterReport) -> &mut ClusterSurvey {
        report.survey.as_mut().unwrap()
    }
}
