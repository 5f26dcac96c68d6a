//! `poly2mqtt clear`: what a gateway has left at the broker and nobody needs any more, such as the
//! topics of a former prefix.
//!
//! Lists it, and clears it with `--yes`. [`selection`] decides what that is.

mod selection;

use std::fmt::Write;

use super::CliError;
use super::config_file::ConfigFile;
use super::output::print;
use crate::app::broker_settings;
use crate::config::{BrokerUrl, Config, LEVELS_FORM, are_levels};
use crate::doors::mqtt::{MANY_MESSAGES, RetainedMessage, Survey};
use crate::gateway_id::GatewayId;
use crate::home_assistant::Namespace;
use crate::listed::counted;
use crate::topics::{
    ALL_GATEWAY_TOPICS, ALL_ROOMS, GATEWAY, MemberTopics, Prefix, ROOM, RoomTopics,
};
use selection::{Selected, Selection};

#[derive(Debug, clap::Args)]
pub struct Clear {
    #[command(flatten)]
    file: ConfigFile,
    /// The former mqtt.topic_prefix; "" for none. Without it: the configured one, where rooms that are
    /// configured stay.
    #[arg(long, value_name = "PREFIX", value_parser = levels)]
    prefix: Option<String>,
    /// The former home_assistant.prefix. Without it: the configured one.
    #[arg(long, value_name = "PREFIX", value_parser = levels)]
    home_assistant_prefix: Option<String>,
    /// The former mqtt.client_id, by which the gateway's messages are known. Without it: the
    /// configured one.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Include states and documents without a gateway's mark, as old versions left them.
    #[arg(long)]
    unmarked: bool,
    /// Clear, instead of only listing.
    #[arg(long)]
    yes: bool,
}

/// Levels of a topic, as the configuration takes them.
fn levels(text: &str) -> Result<String, String> {
    if are_levels(text) {
        Ok(text.to_owned())
    } else {
        Err(LEVELS_FORM.into())
    }
}

impl Clear {
    pub async fn run(&self) -> Result<(), CliError> {
        let config = self.file.load()?.config;
        let settings = match &config.mqtt.url {
            BrokerUrl::Embedded(_) => {
                return print(
                    "the gateway's own broker keeps nothing over a restart: there is nothing to \
                     clear\n",
                );
            }
            _ => broker_settings(&config),
        };
        let Some(settings) = settings else {
            return print("no broker is configured: there is nothing to clear\n");
        };
        let other = |text: String| CliError::Other(text);
        let selection = self.selection(&config);
        let mut survey = Survey::connect(&settings).await.map_err(other)?;
        let found = look(&mut survey, &selection).await.map_err(other)?;
        if selection.is_running(&found) {
            survey.close().await;
            return Err(CliError::Other(
                "a gateway with this client id is running at this prefix; stop it first".into(),
            ));
        }
        let selected = selection.select(&found);
        if self.yes {
            survey.clear(&selected.topics).await.map_err(other)?;
        }
        survey.close().await;
        print(&self.report(&selected))
    }

    fn selection(&self, config: &Config) -> Selection {
        let mqtt = &config.mqtt;
        let home_assistant = &config.home_assistant;
        let prefix = self.prefix.as_deref().unwrap_or(&mqtt.topic_prefix);
        let prefix = prefix.to_owned();
        let id = match (&self.client_id, &config.cluster) {
            (Some(client_id), _) => GatewayId::of_client(client_id),
            // All gateways of a cluster have one mark, whatever the prefix of their topics.
            (None, Some(cluster)) => cluster.gateway_id(),
            (None, None) => GatewayId::of_client(&mqtt.client_id_below(&prefix)),
        };
        let is_current = prefix == mqtt.topic_prefix && id == config.gateway_id();
        let discovery_prefix = self.home_assistant_prefix.as_ref();
        let discovery_prefix = discovery_prefix.unwrap_or(&home_assistant.prefix);
        let publishes_documents =
            home_assistant.discovery && *discovery_prefix == home_assistant.prefix;
        let rooms = config.rooms.keys().map(ToString::to_string);
        Selection {
            namespace: Namespace {
                topic_prefix: prefix.clone(),
                discovery_prefix: discovery_prefix.clone(),
            },
            prefix: Prefix::new(prefix),
            id,
            rooms: is_current.then(|| rooms.collect()),
            keeps_documents: is_current && publishes_documents,
            unmarked: self.unmarked,
        }
    }

    fn report(&self, selected: &Selected) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for topic in &selected.topics {
            let _ = writeln!(text, "{}", topic.escape_debug());
        }
        let _ = match (selected.topics.len(), self.yes) {
            (0, _) => writeln!(text, "there is nothing of this gateway to clear"),
            (count, true) => writeln!(text, "{} cleared", counted(count, "topic")),
            (count, false) => {
                writeln!(
                    text,
                    "{} would be cleared; --yes clears them",
                    counted(count, "topic")
                )
            }
        };
        if selected.others > 0 {
            let others = counted(selected.others, "topic");
            let _ = writeln!(text, "{others} of other gateways stay (--client-id)");
        }
        if selected.unmarked > 0 {
            let unmarked = counted(selected.unmarked, "topic");
            let _ = writeln!(
                text,
                "{unmarked} that no gateway has marked stay (--unmarked, for those of old versions)"
            );
        }
        text
    }
}

/// Everything that the broker retains where this gateway publishes.
///
/// # Errors
/// The broker refuses, or does not tell what it holds.
async fn look(survey: &mut Survey, selection: &Selection) -> Result<Vec<RetainedMessage>, String> {
    let below = |topic: &str| selection.prefix.add(topic);
    let members = below(&MemberTopics::ANY.all());
    let states = [below(ALL_ROOMS), below(ALL_GATEWAY_TOPICS), members];
    let mut found = survey.retained(&states).await?;
    // A broker that refuses this may still tell by wildcards; one that has gone fails at the next question.
    let named = survey
        .retained(&selection.named())
        .await
        .unwrap_or_default();
    if let Some(untold) = untold(&found, &named, &selection.prefix) {
        return Err(untold);
    }
    if found.len() >= MANY_MESSAGES {
        let every = [below(&RoomTopics::ANY.availability())];
        found.extend(survey.retained(&every).await?);
        for room in selection.rooms_in(&found) {
            let room = [below(&RoomTopics::new(&room).all())];
            found.extend(survey.retained(&room).await?);
        }
    }
    let documents = [selection.namespace.config_filter()];
    found.extend(survey.retained(&documents).await?);
    // Of several answers about a topic the last one counts.
    found.reverse();
    found.sort_by(|a, b| a.topic.cmp(&b.topic));
    found.dedup_by(|a, b| a.topic == b.topic);
    Ok(found)
}

/// Why it cannot be known what the broker holds, if that is so: it holds a topic that it tells when it is
/// asked by name, and nothing when it is asked by a wildcard.
fn untold(found: &[RetainedMessage], named: &[RetainedMessage], prefix: &Prefix) -> Option<String> {
    let kinds = [ROOM, GATEWAY].map(|start| prefix.add(start));
    let topic = kinds.iter().find_map(|kind| {
        let is_of_kind = |message: &&RetainedMessage| message.topic.starts_with(kind);
        let is_told = found.iter().any(|message| is_of_kind(&message));
        let held = named.iter().find(is_of_kind).filter(|_| !is_told)?;
        Some(held.topic.as_str())
    })?;
    Some(format!(
        "this broker does not tell what it holds below a wildcard, as RabbitMQ does not, so it cannot be \
         known what is left there. It does hold {}. Clear by name what nobody needs: mosquitto_pub -r -n \
         -t TOPIC",
        topic.escape_debug()
    ))
}
