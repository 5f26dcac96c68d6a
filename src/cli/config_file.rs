//! The configuration that a command works with: a file, the environment, or both.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::app::entity_id_clashes;
use crate::config::{self, ConfigError, ConfigErrors, Loaded};
use crate::setup::SetupFile;

#[derive(Debug, Default, Clone, clap::Args)]
pub struct ConfigFile {
    /// The configuration file; by default $POLY2MQTT_CONFIG, ./poly2mqtt.toml or
    /// /etc/poly2mqtt/poly2mqtt.toml. Without any of them the environment alone is the
    /// configuration.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where it was found. A reload reads the same again: if the file is gone, the gateway must not go
    /// on with the environment alone, or with a file of another folder.
    #[arg(skip)]
    found: OnceLock<Option<PathBuf>>,
}

impl ConfigFile {
    /// Finds, reads and checks the configuration. Warnings go to the log.
    pub fn load(&self) -> Result<Loaded, ConfigErrors> {
        let environment = environment()?;
        let mut loaded = match self.path()? {
            Some(path) => config::load(path, environment)?,
            None => config::load_environment(environment)?,
        };
        let clashes = entity_id_clashes(&loaded.config, &loaded.room_order);
        loaded.warnings.extend(clashes);
        for warning in &loaded.warnings {
            tracing::warn!(target: "poly2mqtt::config", "{warning}");
        }
        Ok(loaded)
    }

    /// The file that a room is written into, which need not exist yet.
    pub fn for_setup(&self) -> Result<SetupFile, ConfigErrors> {
        let path = self.path()?.map(Path::to_owned);
        let path = path.unwrap_or_else(config::usual_file);
        Ok(SetupFile::new(path, environment()?))
    }

    /// This file.
    pub fn at(path: PathBuf) -> Self {
        Self {
            config: Some(path),
            found: OnceLock::new(),
        }
    }

    /// Whether nothing is configured: no file is named or found, and no variable sets a key.
    pub fn is_absent(&self) -> Result<bool, ConfigErrors> {
        Ok(self.path()?.is_none() && !is_set_by_variables()?)
    }

    /// The file of a first start: the one that is named or the usual one, if it does not exist and no variable
    /// sets a key.
    pub fn for_first_start(&self) -> Result<Option<SetupFile>, ConfigErrors> {
        let file = self.for_setup()?;
        let is_free = !file.exists() && !is_set_by_variables()?;
        Ok(is_free.then_some(file))
    }

    /// The file, if there is one.
    fn path(&self) -> Result<Option<&Path>, ConfigErrors> {
        if let Some(found) = self.found.get() {
            return Ok(found.as_deref());
        }
        let variable = std::env::var_os("POLY2MQTT_CONFIG");
        let found = config::locate(self.config.as_deref(), variable.as_deref())?;
        Ok(self.found.get_or_init(|| found).as_deref())
    }
}

/// Whether a variable sets a key, or would if it were right.
fn is_set_by_variables() -> Result<bool, ConfigErrors> {
    let is_key = |name: &str| name.starts_with("POLY2MQTT_") && name.contains("__");
    Ok(environment()?.iter().any(|(name, _)| is_key(name)))
}

/// The environment variables. Those of other programs may be no text; they are left out.
///
/// # Errors
/// A variable of the gateway is no text.
fn environment() -> Result<Vec<(String, String)>, ConfigErrors> {
    let mut errors = Vec::new();
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Ok(name) = name.into_string() else {
            continue;
        };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            // The file of a path need not be text.
            Err(_) if name.starts_with("POLY2MQTT_") && name != "POLY2MQTT_CONFIG" => {
                errors.push(ConfigError {
                    place: name,
                    key: String::new(),
                    message: "is not text in UTF-8".into(),
                });
            }
            Err(_) => {}
        }
    }
    if errors.is_empty() {
        Ok(variables)
    } else {
        Err(ConfigErrors(errors))
    }
}
