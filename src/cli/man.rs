//! `poly2mqtt man`: the manual pages, made from the command line's own definition.
//!
//! The page of the program has sections of its own for what no option says: files, variables, exit status.

use std::io;
use std::path::{Path, PathBuf};

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::CliError;
use super::output::print_bytes;
use crate::os_error;

/// The options of `man`.
#[derive(Debug, clap::Args)]
pub struct ManualPage {
    /// Write the pages of the program and of every command into this directory, instead of printing the
    /// program's.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl ManualPage {
    /// Prints or writes the pages of the program with this command line.
    pub fn run(self, program: clap::Command) -> Result<(), CliError> {
        let mut program = program.disable_help_subcommand(true);
        program.build();
        match self.directory {
            Some(directory) => write_pages(&program, &directory),
            None => print_bytes(&page_of_program(&program)?),
        }
    }
}

fn write_pages(program: &clap::Command, directory: &Path) -> Result<(), CliError> {
    write_page(directory, "poly2mqtt.1", &page_of_program(program)?)?;
    for command in program.get_subcommands() {
        if !command.is_hide_set() {
            let page = with_manual(command);
            let mut text = Vec::new();
            page.render(&mut text).map_err(not_rendered)?;
            write_page(directory, &page.get_filename(), &text)?;
        }
    }
    Ok(())
}

fn write_page(directory: &Path, name: &str, text: &[u8]) -> Result<(), CliError> {
    let path = directory.join(name);
    std::fs::write(&path, text).map_err(|error| {
        CliError::Other(format!(
            "{}: {}",
            path.display(),
            os_error::file_words(&path, &error)
        ))
    })
}

fn with_manual(command: &clap::Command) -> Man {
    Man::new(command.clone()).manual("poly2mqtt")
}

/// The page of the program: what clap knows of it, then [`SECTIONS`].
fn page_of_program(program: &clap::Command) -> Result<Vec<u8>, CliError> {
    let page = with_manual(program);
    let mut text = Vec::new();
    page.render_title(&mut text)
        .and_then(|()| page.render_name_section(&mut text))
        .and_then(|()| page.render_synopsis_section(&mut text))
        .and_then(|()| page.render_description_section(&mut text))
        .and_then(|()| page.render_subcommands_section(&mut text))
        .and_then(|()| page.render_options_section(&mut text))
        .and_then(|()| own_sections().to_writer(&mut text))
        .map_err(not_rendered)?;
    Ok(text)
}

fn not_rendered(error: io::Error) -> CliError {
    CliError::Other(format!(
        "cannot make the manual page: {}",
        os_error::words(&error)
    ))
}

/// The sections of the program's page that no option says: a heading, then terms with their meaning.
const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    (
        "FILES",
        &[
            (
                "./poly2mqtt.toml",
                "The configuration, if --config and $POLY2MQTT_CONFIG name no other file.",
            ),
            (
                "/etc/poly2mqtt/poly2mqtt.toml",
                "The configuration, if there is none in the current directory. The systemd unit uses this one.",
            ),
        ],
    ),
    (
        "ENVIRONMENT",
        &[
            ("POLY2MQTT_CONFIG", "The configuration file."),
            (
                "POLY2MQTT_SECTION__KEY",
                "A key of the configuration, such as POLY2MQTT_MQTT__URL. It wins over the file.",
            ),
            (
                "POLY2MQTT_LOG, POLY2MQTT_LOG_FORMAT",
                "What is logged, such as debug, and how: text or json.",
            ),
            (
                "POLY2MQTT_RUNTIME_DIR",
                "A directory for the sessions at the devices, which a restart uses again.",
            ),
        ],
    ),
    (
        "EXIT STATUS",
        &[
            ("0", "It did what it was asked for."),
            ("1", "Anything else went wrong."),
            ("2", "The configuration or the command line is wrong."),
        ],
    ),
];

fn own_sections() -> Roff {
    let mut page = Roff::new();
    for (heading, terms) in SECTIONS {
        page.control("SH", [*heading]);
        for (term, meaning) in *terms {
            page.control("TP", []);
            page.text([bold(*term)]);
            page.text([roman(*meaning)]);
        }
    }
    page
}
