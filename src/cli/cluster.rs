//! `poly2mqtt cluster status`: the gateways of the configuration's cluster, and the etcd that they agree by.
//!
//! Owns what is asked and for how long; [`report`] says what it means. Changes nothing; [`forget`] alone does. Exit
//! status: 0 if all is well, 1 if not, 2 if the configuration is wrong.

mod forget;
mod report;

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::CliError;
use super::config_file::ConfigFile;
use super::output::print;
use crate::app::etcd_settings;
use crate::cluster::{ClusterSurvey, Etcd, EtcdSettings, Registry as _, RoomDigests};
use crate::config::{ClusterConfig, Config};
use forget::Forget;
use report::{ClusterReport, EtcdEndpoint};

/// Longer than a gateway takes from one heartbeat to the next.
const HEARTBEAT_LOOK: Duration = Duration::from_millis(600);
/// After this many looks without a new heartbeat a gateway counts as silent. Soon after that the others remove it.
const HEARTBEAT_LOOKS: usize = 3;

/// The options of `cluster`.
#[derive(Debug, clap::Args)]
pub struct ClusterCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the gateways of the cluster, who has how many rooms, and how each member of etcd is. Exit status: 0
    /// if all is well, 1 if not, 2 if the configuration is wrong.
    Status(Status),
    /// Remove what a gateway that is gone for good has left at the broker and in etcd; with --rooms, the sessions of
    /// rooms that no gateway has any more. Refuses while the gateway is there.
    Forget(Forget),
}

#[derive(Debug, clap::Args)]
struct Status {
    #[command(flatten)]
    file: ConfigFile,
    /// Print one JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

impl ClusterCommand {
    pub async fn run(&self) -> Result<(), CliError> {
        match &self.action {
            Action::Status(status) => status.run().await,
            Action::Forget(forget) => forget.run().await,
        }
    }
}

impl Status {
    async fn run(&self) -> Result<(), CliError> {
        let config = self.file.load()?.config;
        let cluster = section(&config)?;
        let report = look(&config, cluster).await?;
        let problems = report.problems();
        print(&if self.json {
            format!("{}\n", report.document(&problems))
        } else {
            report.lines()
        })?;
        if problems.is_empty() {
            Ok(())
        } else {
            Err(CliError::Other(problems.join("\n")))
        }
    }
}

fn section(config: &Config) -> Result<&ClusterConfig, CliError> {
    config.cluster.as_ref().ok_or_else(|| {
        CliError::Other("this configuration has no [cluster]: the gateway is alone".into())
    })
}

async fn look(config: &Config, cluster: &ClusterConfig) -> Result<ClusterReport, CliError> {
    let settings = etcd_settings(cluster);
    let client = |settings| Etcd::new(settings).map_err(|error| CliError::Files(vec![error]));
    let etcd = client(settings.clone())?;
    let mut asked = Vec::new();
    for url in &cluster.etcd {
        let one = client(EtcdSettings {
            endpoints: vec![url.clone()],
            ..settings.clone()
        })?;
        asked.push(async move {
            EtcdEndpoint {
                url: url.clone(),
                status: one.status().await.map_err(|error| error.to_string()),
            }
        });
    }
    let endpoints = join_all(asked).await;
    let (survey, silent) = match heartbeats(&etcd, &cluster.prefix).await {
        Ok((survey, silent)) => (Ok(survey), silent),
        Err(error) => (Err(error), Vec::new()),
    };
    Ok(ClusterReport {
        prefix: cluster.prefix.clone(),
        endpoints,
        survey,
        silent,
        caveat: etcd.caveat(),
        rooms: config.rooms.keys().map(ToString::to_string).collect(),
        digest: RoomDigests::new(config.room_digests()).shards().digest(),
        settings: config.shared_settings(),
    })
}

/// The cluster, and the members whose heartbeat has not moved while it was looked at.
async fn heartbeats(etcd: &Etcd, prefix: &str) -> Result<(ClusterSurvey, Vec<String>), String> {
    let read = async || {
        let read = ClusterSurvey::read(etcd, prefix).await;
        read.map_err(|error| error.to_string())
    };
    let first = read().await?;
    let mut survey = first.clone();
    let mut silent = Vec::new();
    for _ in 0..HEARTBEAT_LOOKS {
        sleep(HEARTBEAT_LOOK).await;
        survey = read().await?;
        let still = survey.members.iter().filter(|member| {
            let before = first.members.iter().find(|it| it.name == member.name);
            before.is_some_and(|before| before.modified == member.modified)
        });
        silent = still.map(|member| member.name.clone()).collect();
        if silent.is_empty() {
            break;
        }
    }
    Ok((survey, silent))
}
