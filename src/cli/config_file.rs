//! The configuration file that a command works with.

use std::path::PathBuf;

use crate::config::{self, ConfigErrors, Loaded};

#[derive(Debug, Default, clap::Args)]
pub struct ConfigFile {
    /// The configuration file; by default $POLY2MQTT_CONFIG, ./poly2mqtt.toml or
    /// /etc/poly2mqtt/poly2mqtt.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    /// Finds, reads and checks the file. Warnings go to the log.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        let variable = std::env::var("POLY2MQTT_CONFIG").ok();
        let path = config::locate(self.config.as_deref(), variable.as_deref())?;
        let loaded = config::load(&path, environment())?;
        for warning in &loaded.warnings {
            tracing::warn!(target: "poly2mqtt::config", "{}: {warning}", path.display());
        }
        Ok(loaded)
    }
}

/// The environment variables whose name and value are text: others cannot be settings.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
