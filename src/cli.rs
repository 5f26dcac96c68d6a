//! The command line: one file a command.
//!
//! Owns the tokio runtime and the exit status: 0 when the command did what it was asked for, 2 when
//! the configuration is wrong, 1 for anything else.
//!
//! `run` is the gateway (`setup`: its page of the first start), `demo` the gateway with devices of its own, `simulate`
//! only the devices. `check`, `discover`, `add`, `clear` and `cluster` are for operators; `topics`, `asyncapi`,
//! `schema`, `man` and `completions` print documents. They share `config_file` (the configuration they work with),
//! `log`, `output`, `progress` (how far a long one is) and `signals`.

mod add;
mod asyncapi;
mod check;
mod clear;
mod cluster;
mod completions;
mod config_file;
mod demo;
mod discover;
mod log;
mod man;
mod output;
mod progress;
mod run;
mod schema;
mod setup;
mod signals;
mod simulate;
mod topics;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tracing_subscriber::filter::LevelFilter;

use crate::config::ConfigErrors;
use crate::os_error;
use crate::telemetry::LogRing;

/// The gateway between MQTT, WebSocket, HTTP or TCP clients and Poly VideoOS rooms (G7500, G62,
/// Studio X30 to X72).
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default command).
    Run(run::Run),
    /// Run the gateway with its own broker and simulated devices, and print commands to try.
    Demo(demo::Demo),
    /// Run only simulated devices, with a control port for faults.
    Simulate(simulate::Simulate),
    /// Check the configuration and, with --connect, the ports, the broker and every device.
    Check(check::CheckCommand),
    /// Try a device, and write it into the configuration as a room.
    Add(add::Add),
    /// Look for Poly devices in a network.
    Discover(discover::Discover),
    /// List what the gateway has left at the broker, such as the topics of a former prefix, and clear
    /// it with --yes.
    Clear(clear::Clear),
    /// Show the state of a cluster, or remove what a gateway that is gone has left.
    Cluster(cluster::ClusterCommand),
    /// Print every topic.
    Topics(topics::Topics),
    /// Print the AsyncAPI document, which describes every topic and message for tools.
    Asyncapi,
    /// Print the JSON Schema of the configuration.
    Schema(schema::Schema),
    /// Print the completions for a shell.
    Completions(completions::Completions),
    /// Print the manual page.
    Man(man::ManualPage),
}

/// Why a command failed. The text is printed to standard error.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// Files that the configuration names cannot be used; a message for each.
    #[error("{}", .0.join("\n"))]
    Files(Vec<String>),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Runs the program.
pub fn main() -> ExitCode {
    match Cli::try_parse() {
        Ok(cli) => execute(cli.command.unwrap_or(Command::Run(run::Run::default()))),
        Err(error) => match output::printed(error.print()) {
            Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1)),
            Err(error) => exit_status(Err(error), io::stderr()),
        },
    }
}

/// Prints why a command failed, and says it as a status.
fn exit_status(ended: Result<(), CliError>, mut stderr: impl Write) -> ExitCode {
    let Err(error) = ended else {
        return ExitCode::SUCCESS;
    };
    // If standard error is closed, the exit status still tells.
    let _ = stderr.write_all(format!("{error}\n").as_bytes());
    ExitCode::from(match error {
        CliError::Config(_) | CliError::Files(_) => 2,
        CliError::Other(_) => 1,
    })
}

fn execute(command: Command) -> ExitCode {
    let ended = match command {
        // The gateway waits for no reader of its log, not even to say why it ends.
        Command::Run(run) => {
            let lines = Arc::<LogRing>::default();
            let log = log::start_queued(LevelFilter::INFO, lines.clone());
            let ended = block_on(gateway_threads(), run.run(lines));
            return exit_status(ended, log.output());
        }
        Command::Simulate(simulate) => {
            log::start(LevelFilter::INFO);
            block_on(TOOL_THREADS, simulate.run())
        }
        // These print to the terminal, so only warnings go to the log.
        Command::Demo(demo) => {
            let lines = Arc::<LogRing>::default();
            log::start_with_ring(LevelFilter::WARN, lines.clone());
            block_on(TOOL_THREADS, demo.run(lines))
        }
        Command::Check(check) => {
            log::start(check.log_level());
            block_on(TOOL_THREADS, check.run())
        }
        Command::Add(add) => {
            log::start(LevelFilter::WARN);
            block_on(TOOL_THREADS, add.run())
        }
        Command::Discover(discover) => {
            log::start(LevelFilter::WARN);
            block_on(TOOL_THREADS, discover.run())
        }
        Command::Clear(clear) => {
            log::start(LevelFilter::WARN);
            block_on(TOOL_THREADS, clear.run())
        }
        Command::Cluster(cluster) => {
            log::start(LevelFilter::WARN);
            block_on(TOOL_THREADS, cluster.run())
        }
        Command::Topics(topics) => topics.run(),
        Command::Asyncapi => asyncapi::run(),
        Command::Schema(schema) => schema.run(),
        Command::Completions(completions) => completions.run(Cli::command()),
        Command::Man(page) => page.run(Cli::command()),
    };
    exit_status(ended, io::stderr())
}

/// Enough for the other commands, where speed does not matter.
const TOOL_THREADS: usize = 2;

/// How many threads the gateway uses: half of the processors, at most four. A command passes
/// through several tasks, and waking one on another processor takes longer than what it does there.
/// The other half is for the broker and the rest of the machine.
fn gateway_threads() -> usize {
    let processors = std::thread::available_parallelism();
    processors.map_or(1, |processors| (processors.get() / 2).clamp(1, 4))
}

/// Runs a command. At its end nothing waits for a thread that is still busy: a name that does not resolve keeps one for
/// half a minute, and a person who is still typing for ever.
fn block_on(
    threads: usize,
    command: impl Future<Output = Result<(), CliError>>,
) -> Result<(), CliError> {
    let runtime = runtime(threads)?;
    let ended = runtime.block_on(command);
    runtime.shutdown_background();
    ended
}

fn runtime(threads: usize) -> Result<Runtime, CliError> {
    let mut runtime = if threads == 1 {
        // This thread does everything, so nothing is ever handed to another one.
        Builder::new_current_thread()
    } else {
        let mut runtime = Builder::new_multi_thread();
        runtime.worker_threads(threads);
        runtime
    };
    runtime
        .enable_all()
        .build()
        .map_err(|error| CliError::Other(format!("cannot start: {}", os_error::words(&error))))
}

/// The text of a page, with its generated parts made again by `make`.
fn regenerated(
    page: &Path,
    make: impl FnOnce(&str) -> Result<String, String>,
) -> Result<String, CliError> {
    let failed = |why: String| CliError::Other(format!("{}: {why}", page.display()));
    let text = std::fs::read_to_string(page);
    let text = text.map_err(|error| failed(os_error::file_words(page, &error)))?;
    make(&text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// Such as the look-up of a name that nobody answers.
    #[test]
    fn a_thread_that_is_busy_at_the_end_is_not_waited_for() {
        for threads in [1, 2] {
            let (over, is_over) = mpsc::channel::<()>();
            let (tell, told) = mpsc::channel();
            let busy = async move {
                tokio::task::spawn_blocking(move || {
                    let ended = is_over.recv_timeout(Duration::from_secs(60));
                    let _ = tell.send(ended);
                });
                Ok(())
            };
            block_on(threads, busy).unwrap();
            assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
            drop(over);
        }
    }
}
