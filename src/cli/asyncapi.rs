//! `poly2mqtt asyncapi`: every topic and message as an AsyncAPI document.

use super::CliError;
use super::output::print;
use crate::render::asyncapi;

pub fn run() -> Result<(), CliError> {
    print(&format!("{:#}\n", asyncapi::document()))
}
