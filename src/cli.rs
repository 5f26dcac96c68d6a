//! The command line: which command was asked for, and the exit status.
//!
//! Owns the runtime, the log and the signals. Exit status 0: asked to stop; 2: the configuration;
//! 1: anything else.

mod check;
mod demo;
mod log;
mod run;
mod simulate;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config::{self, ConfigErrors, Loaded};
use crate::render::asyncapi;
use crate::render::{mosquitto_acl, topic_page, topic_table};

/// The gateway from MQTT to Poly VideoOS rooms (G7500, Studio X30, X50, X70).
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (also without a word).
    Run(ConfigFile),
    /// Run the gateway with its own broker and simulated devices, and say what to try.
    Demo(Demo),
    /// Run simulated devices alone, with faults to switch on.
    Simulate(Simulate),
    /// Read the configuration and say what is wrong with it.
    Check {
        #[command(flatten)]
        file: ConfigFile,
        /// Log in to every device; print its model, firmware and certificate fingerprint.
        #[arg(long)]
        connect: bool,
    },
    /// Print every topic.
    Topics {
        /// As a page to read, in Markdown.
        #[arg(long, conflicts_with = "acl")]
        markdown: bool,
        /// As an access list for Mosquitto.
        #[arg(long)]
        acl: bool,
    },
    /// Print the AsyncAPI document: every topic and message, for tools.
    Asyncapi,
    /// Print the configuration's JSON Schema.
    Schema,
}

#[derive(Debug, Default, clap::Args)]
struct ConfigFile {
    /// The configuration; by default $POLY2MQTT_CONFIG, ./poly2mqtt.toml or
    /// /etc/poly2mqtt/poly2mqtt.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Demo {
    /// How many rooms.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=200))]
    rooms: u16,
    /// Where the broker listens.
    #[arg(long, default_value = "127.0.0.1:1883")]
    listen: SocketAddr,
    /// Where HTTP and WebSocket listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Where plain lines over TCP are taken too.
    #[arg(long, value_name = "ADDR")]
    tcp: Option<SocketAddr>,
}

#[derive(Debug, clap::Args)]
struct Simulate {
    /// How many devices; each listens on the next port.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    rooms: u16,
    /// Where the first device listens.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Where the control port listens, for what people in the room do and for faults.
    #[arg(long, default_value = "127.0.0.1:8442")]
    control: SocketAddr,
    /// Which firmware to play.
    #[arg(long, value_enum, default_value_t = Firmware::V4_6_2)]
    firmware: Firmware,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Firmware {
    #[value(name = "4.0")]
    V4_0,
    #[value(name = "4.6.2")]
    V4_6_2,
}

/// How many requests each simulated device's journal keeps, which may run for days.
const JOURNAL: usize = 100;

/// How a command ends other than by being asked to.
#[derive(Debug, thiserror::Error)]
enum Failed {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigErrors),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let command = cli.command.unwrap_or(Command::Run(ConfigFile::default()));
    match carry_out(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            // Where nobody can be told, the status still says it.
            let _ = writeln!(std::io::stderr(), "{failed}");
            ExitCode::from(match failed {
                Failed::Config(_) => 2,
                Failed::Other(_) => 1,
            })
        }
    }
}

fn carry_out(command: Command) -> Result<(), Failed> {
    match command {
        Command::Topics { markdown, acl } => {
            let table = match (markdown, acl) {
                (true, _) => topic_page,
                (_, true) => mosquitto_acl,
                _ => topic_table,
            };
            return print(&table());
        }
        Command::Asyncapi => return print(&format!("{:#}\n", asyncapi::document())),
        Command::Schema => return print(&format!("{:#}\n", config::schema())),
        _ => {}
    }
    log::start(match command {
        // What they print is not to be mixed with the log.
        Command::Demo(_) | Command::Check { .. } => "warn",
        _ => "info",
    });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers(&command))
        .enable_all()
        .build()
        .map_err(|error| Failed::Other(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Run(file) => run::run(&file).await,
            Command::Demo(demo) => demo::run(&demo).await,
            Command::Simulate(simulate) => simulate::run(&simulate).await,
            Command::Check { file, connect } => check::run(&file, connect).await,
            Command::Topics { .. } | Command::Asyncapi | Command::Schema => Ok(()),
        }
    })
}

/// How many threads work. A command passes through several tasks, and to wake one on another
/// processor takes longer than what it then does: half of the processors are left to the broker
/// and the rest of the machine.
fn workers(command: &Command) -> usize {
    match command {
        Command::Run(_) => {
            let processors = std::thread::available_parallelism();
            processors.map_or(1, |processors| (processors.get() / 2).clamp(1, 4))
        }
        _ => 2,
    }
}

/// Prints a long text. A reader that has seen enough, such as `head`, is no error.
fn print(text: &str) -> Result<(), Failed> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failed::Other(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

fn load(file: &ConfigFile) -> Result<Loaded, ConfigErrors> {
    let variable = std::env::var("POLY2MQTT_CONFIG").ok();
    let path = config::locate(file.config.as_deref(), variable.as_deref())?;
    let loaded = config::load(&path, environment())?;
    for warning in &loaded.warnings {
        tracing::warn!("{}: {warning}", path.display());
    }
    Ok(loaded)
}

/// The variables whose names and values are text.
fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Listens for SIGTERM and ctrl-C from now on; what it gives waits for one of them.
fn asked_to_stop() -> Result<impl Future<Output = ()>, Failed> {
    use tokio::signal::unix::{SignalKind, signal};
    let wrong = |error| Failed::Other(format!("signals cannot be received: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(wrong)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(wrong)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// `1 room`, `2 rooms`.
fn rooms(count: usize) -> String {
    match count {
        1 => "1 room".to_owned(),
        count => format!("{count} rooms"),
    }
}
