//! `poly2mqtt cluster forget`: removes what a gateway that is gone for good has left at the broker and in etcd, and the
//! sessions of rooms that no gateway has in its configuration any more.
//!
//! Refuses what a gateway that is there still needs. Says what it has removed.

use std::fmt::Write;

use super::{CliError, heartbeats};
use crate::app::{broker_settings, etcd_settings, namespace};
use crate::cli::config_file::ConfigFile;
use crate::cli::output::print;
use crate::cluster::{ClusterSurvey, Etcd, RoomDigests, forget_member, forget_rooms};
use crate::config::{ClusterConfig, Config};
use crate::doors::mqtt::Survey;
use crate::topics::{MemberTopics, ONLINE, Prefix};

#[derive(Debug, clap::Args)]
pub struct Forget {
    #[command(flatten)]
    file: ConfigFile,
    /// Remove this gateway: its topics `gateway/NAME/…`, its device in Home Assistant and its keys in etcd.
    #[arg(value_name = "NAME", required_unless_present = "rooms", value_parser = gateway_name)]
    name: Option<String>,
    /// Remove the sessions of rooms that are not in this configuration, which must be the one of all gateways.
    #[arg(long)]
    rooms: bool,
}

/// A wildcard of MQTT is none: the topics of all gateways would go.
fn gateway_name(name: &str) -> Result<String, String> {
    ClusterConfig::check_name(name).map(|()| name.to_owned())
}

impl Forget {
    pub async fn run(&self) -> Result<(), CliError> {
        let config = self.file.load()?.config;
        let cluster = super::section(&config)?;
        let etcd =
            Etcd::new(etcd_settings(cluster)).map_err(|error| CliError::Files(vec![error]))?;
        let (survey, silent) = heartbeats(&etcd, &cluster.prefix)
            .await
            .map_err(CliError::Other)?;
        if let Some(name) = &self.name {
            let is_silent = silent.contains(name);
            forget(&etcd, &config, cluster, &survey, name, is_silent).await?;
        }
        if self.rooms {
            forget_sessions(&etcd, &config, cluster, &survey, &silent).await?;
        }
        Ok(())
    }
}

async fn forget(
    etcd: &Etcd,
    config: &Config,
    cluster: &ClusterConfig,
    survey: &ClusterSurvey,
    name: &str,
    is_silent: bool,
) -> Result<(), CliError> {
    let still_there = || {
        CliError::Other(format!(
            "gateway {name} is in the cluster {}; stop it first",
            cluster.prefix
        ))
    };
    let member = survey.members.iter().find(|member| member.name == name);
    if member.is_some() && !is_silent {
        return Err(still_there());
    }
    let mut topics = Vec::new();
    let mut at_broker = None;
    if let Some(settings) = broker_settings(config) {
        let mut survey = Survey::connect(&settings).await.map_err(CliError::Other)?;
        let prefix = Prefix::new(&*config.mqtt.topic_prefix);
        let namespace = namespace(config);
        let document = namespace.config_topic(&namespace.member(name));
        let mut filters = vec![prefix.add(&MemberTopics::new(name).all())];
        // Otherwise the broker may refuse it, and `poly2mqtt clear` takes all documents.
        filters.extend((config.home_assistant.discovery).then(|| document.clone()));
        let found = survey.retained(&filters).await.map_err(CliError::Other)?;
        let availability = prefix.add(&MemberTopics::new(name).availability());
        let id = config.gateway_id();
        let own = found
            .into_iter()
            .filter(|it| it.id.as_deref() == Some(id.as_str()));
        let mut own: Vec<_> = own.collect();
        // Home Assistant's entities must go before their states.
        own.sort_by_key(|it| it.topic != document);
        if own
            .iter()
            .any(|it| it.topic == availability && it.payload == ONLINE)
        {
            survey.close().await;
            return Err(CliError::Other(format!(
                "gateway {name} is connected to the broker; stop it first"
            )));
        }
        topics = own.into_iter().map(|it| it.topic).collect();
        at_broker = Some(survey);
    }
    let revision = member.map(|member| member.modified);
    let keys = forget_member(etcd, &cluster.prefix, name, revision).await;
    let keys = keys.map_err(|error| CliError::Other(error.to_string()))?;
    let Some(keys) = keys else {
        return Err(still_there());
    };
    if let Some(mut survey) = at_broker {
        survey.clear(&topics).await.map_err(CliError::Other)?;
        survey.close().await;
    }
    let mut text = String::new();
    // Writing to a String cannot fail.
    for topic in &topics {
        let _ = writeln!(text, "topic\t{}\tcleared", topic.escape_debug());
    }
    for key in &keys {
        let _ = writeln!(text, "etcd\t{key}\tdeleted");
    }
    if topics.is_empty() && keys.is_empty() {
        let _ = writeln!(text, "there is nothing of gateway {name}");
    }
    print(&text)
}

async fn forget_sessions(
    etcd: &Etcd,
    config: &Config,
    cluster: &ClusterConfig,
    survey: &ClusterSurvey,
    silent: &[String],
) -> Result<(), CliError> {
    let digest = RoomDigests::new(config.room_digests()).shards().digest();
    let has_others = |member: &&crate::cluster::SurveyedMember| {
        member
            .record
            .as_ref()
            .is_none_or(|record| record.rooms != digest)
    };
    let mut live = survey
        .members
        .iter()
        .filter(|member| !silent.contains(&member.name));
    if let Some(other) = live.find(has_others) {
        return Err(CliError::Other(format!(
            "gateway {} has other rooms in its configuration than this one; give all of them the same first",
            other.name
        )));
    }
    let is_configured = |room: &str| config.rooms.contains_key(room);
    let rooms = forget_rooms(etcd, &cluster.prefix, is_configured).await;
    let rooms = rooms.map_err(|error| CliError::Other(error.to_string()))?;
    let mut text = String::new();
    for room in &rooms {
        let _ = writeln!(text, "sessions\t{}\tdeleted", room.escape_debug());
    }
    if rooms.is_empty() {
        let _ = writeln!(text, "no sessions of rooms that are not configured");
    }
    print(&text)
}
