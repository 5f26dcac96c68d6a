//! `poly2mqtt schema`: the configuration's JSON Schema, for editors and other tools.
//!
//! Hidden options print what else is made from the tables of keys, for `tools/regen.sh`.

use std::path::PathBuf;

use super::output::print;
use super::{CliError, regenerated};
use crate::config::generate;

/// The options of `schema`.
#[derive(Debug, clap::Args)]
pub struct Schema {
    /// Print the example file instead.
    #[arg(long, hide = true, conflicts_with = "page")]
    example: bool,
    /// Print this page instead, with the tables between its markers made again.
    #[arg(long, hide = true, value_name = "PAGE")]
    page: Option<PathBuf>,
}

impl Schema {
    pub fn run(self) -> Result<(), CliError> {
        match self.page {
            Some(page) => print(&regenerated(&page, generate::page)?),
            None if self.example => print(&generate::example()),
            None => print(&format!("{:#}\n", generate::schema())),
        }
    }
}
