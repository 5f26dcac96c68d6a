//! Standard output of the commands.
//!
//! Every command prints through here. A reader that leaves, as `head` does, is no error: the command goes on
//! without it, so that its exit status still tells. Anything else that keeps a text from being printed, a full
//! disk for example, is one.

use std::io::{self, Write};

use super::CliError;
use crate::os_error;

/// Prints a text.
pub fn print(text: &str) -> Result<(), CliError> {
    print_bytes(text.as_bytes())
}

/// Prints what need not be text.
pub fn print_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    // Without the flush a text that does not end with a line could fail unseen at the end of the program.
    printed(stdout.write_all(bytes).and_then(|()| stdout.flush()))
}

/// What comes of an attempt to print.
pub fn printed(result: io::Result<()>) -> Result<(), CliError> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Other(format!(
            "cannot print: {}",
            os_error::words(&error)
        ))),
        _ => Ok(()),
    }
}
