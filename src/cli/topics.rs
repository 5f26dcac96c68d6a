//! `poly2mqtt topics`: every topic, as a table, a page or an access list.

use std::path::PathBuf;

use super::output::print;
use super::{CliError, regenerated};
use crate::render::{commands_page, mosquitto_acl, topic_page, topic_table};

#[derive(Debug, clap::Args)]
pub struct Topics {
    /// As a Markdown page.
    #[arg(long, conflicts_with = "acl")]
    markdown: bool,
    /// As an access list for Mosquitto.
    #[arg(long)]
    acl: bool,
    /// Print this page instead, with its table of error codes made again: for `tools/regen.sh`.
    #[arg(long, hide = true, value_name = "PAGE")]
    errors: Option<PathBuf>,
}

impl Topics {
    pub fn run(&self) -> Result<(), CliError> {
        if let Some(page) = &self.errors {
            return print(&regenerated(page, commands_page)?);
        }
        let render = match (self.markdown, self.acl) {
            (true, _) => topic_page,
            (_, true) => mosquitto_acl,
            _ => topic_table,
        };
        print(&render())
    }
}
