//! `poly2mqtt topics`: every topic, as a table, a page or an access list.

use super::{CliError, print};
use crate::render::{mosquitto_acl, topic_page, topic_table};

#[derive(Debug, clap::Args)]
pub struct Topics {
    /// As a Markdown page.
    #[arg(long, conflicts_with = "acl")]
    markdown: bool,
    /// As an access list for Mosquitto.
    #[arg(long)]
    acl: bool,
}

impl Topics {
    pub fn run(&self) -> Result<(), CliError> {
        let render = match (self.markdown, self.acl) {
            (true, _) => topic_page,
            (_, true) => mosquitto_acl,
            _ => topic_table,
        };
        print(&render())
    }
}
