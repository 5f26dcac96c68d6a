//! `poly2mqtt completions SHELL`: the script by which a shell completes the command line.
//!
//! Made from the command line's own definition, so that it names every command and option.

use clap_complete::Shell;

use super::CliError;
use super::output::print_bytes;

/// The options of `completions`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell to complete in.
    shell: Shell,
}

impl Completions {
    /// Prints the script for the program with this command line.
    pub fn run(self, mut program: clap::Command) -> Result<(), CliError> {
        let name = program.get_name().to_owned();
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut program, name, &mut script);
        print_bytes(&script)
    }
}
