//! `poly2mqtt schema`: the JSON Schema of the configuration, for editors.

use super::{CliError, print};
use crate::config;

pub fn run() -> Result<(), CliError> {
    print(&format!("{:#}\n", config::schema()))
}
