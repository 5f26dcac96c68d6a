//! The etcd of `[cluster]`: each of its members, and what the gateway may do below the prefix. Changes nothing.

use std::time::Instant;

use futures_util::future::{FutureExt, LocalBoxFuture};
use serde_json::{Map, json};

use super::report::{Trial, TrialSubject};
use crate::app::etcd_settings;
use crate::cluster::{ClusterSurvey, Etcd, EtcdSettings, Registry as _, try_writing};
use crate::config::{ClusterConfig, Config};

/// Tries each member of etcd, and then reading and writing below the prefix.
pub fn try_etcd(config: &Config) -> Vec<LocalBoxFuture<'_, Trial>> {
    let Some(cluster) = &config.cluster else {
        return Vec::new();
    };
    let members = cluster.etcd.iter();
    let members = members.map(|url| try_member(cluster, url).boxed_local());
    let rights = [try_prefix(cluster).boxed_local()];
    members.chain(rights).collect()
}

async fn try_member(cluster: &ClusterConfig, url: &str) -> Trial {
    let started = Instant::now();
    let settings = EtcdSettings {
        endpoints: vec![url.to_owned()],
        ..etcd_settings(cluster)
    };
    let mut facts = Map::new();
    let status = match Etcd::new(settings) {
        Ok(etcd) => etcd.status().await.map_err(|error| error.to_string()),
        Err(error) => Err(error),
    };
    let (usable, report) = match status {
        Err(why) => (false, why),
        Ok(status) => {
            facts.insert("version".into(), json!(status.version));
            let mut parts = vec![format!("etcd {}", status.version)];
            parts.extend((!status.has_leader).then(|| "it has no leader".to_owned()));
            parts.extend(status.errors.iter().cloned());
            (parts.len() == 1, parts.join("; "))
        }
    };
    trial("cluster.etcd", url, usable, report, started, facts)
}

async fn try_prefix(cluster: &ClusterConfig) -> Trial {
    let started = Instant::now();
    let (usable, report) = match rights(cluster).await {
        Ok(report) => (true, report),
        Err(why) => (false, why),
    };
    let key = "cluster.prefix";
    trial(key, &cluster.prefix, usable, report, started, Map::new())
}

/// What the gateway may do below the prefix, and finds there.
async fn rights(cluster: &ClusterConfig) -> Result<String, String> {
    let etcd = Etcd::new(etcd_settings(cluster))?;
    let survey = ClusterSurvey::read(&etcd, &cluster.prefix).await;
    let survey = survey.map_err(|error| error.to_string())?;
    let writes = try_writing(&etcd, &cluster.prefix).await;
    writes.map_err(|error| format!("the gateway may read, and not write: {error}"))?;
    if !survey.has_our_format() {
        return Err(format!(
            "the gateways there place rooms in another way: {:?}",
            survey.format.unwrap_or_default()
        ));
    }
    let login = match (etcd.caveat(), &cluster.username) {
        (Some(caveat), _) => caveat.to_owned(),
        (None, Some(user)) => format!("logged in as \"{user}\""),
        (None, None) => "without user".to_owned(),
    };
    let others = survey.members.iter();
    let others: Vec<&str> = others.map(|member| &*member.name).collect();
    let members = if others.is_empty() {
        "no gateway is there yet".to_owned()
    } else {
        format!("gateways there: {}", others.join(", "))
    };
    Ok(format!(
        "{login}; the gateway may read and write; {members}"
    ))
}

fn trial(
    key: &'static str,
    address: &str,
    usable: bool,
    report: String,
    started: Instant,
    facts: Map<String, serde_json::Value>,
) -> Trial {
    Trial {
        subject: TrialSubject::Key(key),
        address: address.to_owned(),
        usable,
        report,
        took: started.elapsed(),
        facts,
        clock_ahead: None,
    }
}
