//! `poly2mqtt add URL`: tries a device, and writes it into the configuration as a room.
//!
//! Owns the questions and what is printed. What a device is, and how the file changes, is in `setup`.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::config_file::ConfigFile;
use super::output::print;
use super::progress::Progress;
use super::{CliError, signals};
use crate::config::{self, Config, Fingerprint, NewRoom, RoomId, Secret};
use crate::device::DeviceIdentity;
use crate::os_error;
use crate::setup::{
    DEFAULT_USER, DeviceAddress, SetupError, SetupFile, TrialError, log_in, shown_certificate,
    suggested_id,
};

/// The longest password that is read, in bytes.
const LONGEST_PASSWORD: u64 = 4096;

/// How long a person at a terminal waits for a device that may be starting: one takes two to three minutes.
const START_OF_A_DEVICE: Duration = Duration::from_secs(180);
/// The pause between two tries of such a device.
const TRY_INTERVAL: Duration = Duration::from_secs(2);
/// How long a log-in may still take after ctrl-C, so that its session is not left at the device.
const LAST_LOGIN_TIMEOUT: Duration = Duration::from_secs(3);

/// The options of `add`.
#[derive(Debug, clap::Args)]
pub struct Add {
    /// The device: https://ADDRESS, or its address alone.
    url: String,
    /// The room's id in topics [default: made from the device's name].
    #[arg(long, value_name = "ID", value_parser = room_id)]
    id: Option<RoomId>,
    /// The room's name for people [default: the device's name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Who logs in to the device.
    #[arg(long, value_name = "USER", default_value = DEFAULT_USER)]
    user: String,
    /// The fingerprint that the device must show (sha256:…). Without it the one that it shows now is pinned.
    #[arg(long, value_name = "FINGERPRINT", value_parser = fingerprint)]
    certificate: Option<Fingerprint>,
    /// How long to wait for a device that does not answer yet, because it starts: 90s, 5m; 0 to try once
    /// [default: 3m at a terminal, else 0].
    #[arg(long, value_name = "TIME", value_parser = patience)]
    wait: Option<Duration>,
    #[command(flatten)]
    file: ConfigFile,
}

fn patience(text: &str) -> Result<Duration, String> {
    let wrong = || "takes a time, such as 90s or 5m".to_owned();
    config::duration(text).ok_or_else(wrong)
}

fn room_id(text: &str) -> Result<RoomId, String> {
    RoomId::new(text).ok_or_else(|| RoomId::FORM.to_owned())
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    let wrong = || "takes \"sha256:\" and 64 hexadecimal digits".to_owned();
    Fingerprint::parse(text).ok_or_else(wrong)
}

impl From<SetupError> for CliError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Config(errors) => Self::Config(errors),
            SetupError::Other(why) => Self::Other(why),
        }
    }
}

impl Add {
    /// Ctrl-C ends it at any time, and leaves file, terminal and device as they were.
    pub async fn run(&self) -> Result<(), CliError> {
        let stop = signals::stop()?;
        let stopped = CancellationToken::new();
        let mut adding = std::pin::pin!(self.add(&stopped));
        tokio::select! {
            added = &mut adding => return added,
            _ = stop => stopped.cancel(),
        }
        adding.await
    }

    async fn add(&self, stopped: &CancellationToken) -> Result<(), CliError> {
        let address = DeviceAddress::parse(&self.url).map_err(CliError::Other)?;
        let file = self.file.for_setup()?;
        let config = file.config()?;
        file.check_writable()?;
        self.refuse_known(&address, &config, None)?;
        let progress = Progress::default();
        let trial = || shown_certificate(&address.url);
        let trying = format!("waiting for {}", address.text);
        let waiting = self.until_it_answers(&progress, &trying, trial);
        let shown = stopped.run_until_cancelled(waiting).await;
        let shown = shown.ok_or_else(interrupted)?;
        let shown = shown.map_err(|why| CliError::Other(why.to_string()))?;
        print(&format!("{} shows the certificate {shown}\n", address.text))?;
        self.check_certificate(shown)?;
        self.refuse_known(&address, &config, Some(shown))?;
        let password = self.password(stopped).await?;
        let identity = self.log_in(&address, &password, shown, stopped).await?;
        let id = self.id.clone();
        let id = id.unwrap_or_else(|| suggested_id(&config, &identity, &address.url));
        let room = NewRoom {
            id: id.clone(),
            name: self.name.clone().or_else(|| identity.name.clone()),
            url: address.text.clone(),
            user: Some(self.user.clone()).filter(|user| user != DEFAULT_USER),
            password,
            certificate: shown,
        };
        file.add(&room)?;
        print(&added(&room, &identity.to_string(), &file))
    }

    async fn log_in(
        &self,
        address: &DeviceAddress,
        password: &Secret,
        shown: Fingerprint,
        stopped: &CancellationToken,
    ) -> Result<DeviceIdentity, CliError> {
        let progress = Progress::default();
        let trial = || log_in(&address.url, &self.user, password, shown);
        let trying = format!("logging in to {}", address.text);
        let mut logging_in = std::pin::pin!(self.until_it_answers(&progress, &trying, trial));
        let Some(identity) = stopped.run_until_cancelled(&mut logging_in).await else {
            let _ = timeout(LAST_LOGIN_TIMEOUT, logging_in).await;
            return Err(interrupted());
        };
        identity.map_err(|why| CliError::Other(format!("{}: {why}", address.text)))
    }

    /// Tries again while the device may only be starting, and says for how long already and what it does.
    async fn until_it_answers<T, Trial>(
        &self,
        progress: &Progress,
        what: &str,
        trial: impl Fn() -> Trial,
    ) -> Result<T, TrialError>
    where
        Trial: Future<Output = Result<T, TrialError>>,
    {
        let patience = self.wait.unwrap_or(if io::stderr().is_terminal() {
            START_OF_A_DEVICE
        } else {
            Duration::ZERO
        });
        let mut text = what.to_owned();
        loop {
            match progress.wait_for(&text, trial()).await {
                Err(why) if why.may_be_starting() && progress.elapsed() < patience => {
                    text = format!("{what}, which may be starting (ctrl-C ends this): {why}");
                    progress.wait_for(&text, sleep(TRY_INTERVAL)).await;
                }
                tried => return tried,
            }
        }
    }

    /// A device and an id are added once.
    fn refuse_known(
        &self,
        address: &DeviceAddress,
        config: &Config,
        shown: Option<Fingerprint>,
    ) -> Result<(), CliError> {
        if let Some(known) = address.known_as(config, shown) {
            return Err(CliError::Other(format!(
                "{} is room {known} already; nothing was changed",
                address.text
            )));
        }
        match &self.id {
            Some(id) if config.rooms.contains_key(id) => Err(CliError::Other(format!(
                "there is a room {id} already; choose another --id"
            ))),
            _ => Ok(()),
        }
    }

    fn check_certificate(&self, shown: Fingerprint) -> Result<(), CliError> {
        match self.certificate {
            Some(wanted) if wanted != shown => Err(CliError::Other(format!(
                "that is not --certificate {wanted}: another machine may be at this address"
            ))),
            _ => Ok(()),
        }
    }

    /// From the terminal, without showing it; else the first line of standard input.
    async fn password(&self, stopped: &CancellationToken) -> Result<Secret, CliError> {
        let user = self.user.clone();
        let mode = TerminalMode::of_now();
        let read = spawn_blocking(move || {
            if io::stdin().is_terminal() {
                rpassword::prompt_password(format!("password of {user} (it is not shown): "))
            } else {
                first_line(io::stdin().lock())
            }
        });
        let failed = |why: String| CliError::Other(format!("the password cannot be read: {why}"));
        let Some(read) = stopped.run_until_cancelled(read).await else {
            mode.restore();
            return Err(interrupted());
        };
        let text = read.map_err(|error| failed(error.to_string()))?;
        let text = text.map_err(|error| match error.kind() {
            // The signal comes to the thread that reads, too.
            io::ErrorKind::Interrupted => interrupted(),
            _ => failed(os_error::words(&error)),
        })?;
        if text.is_empty() {
            Err(CliError::Other(
                "no password was given: type it, or send it as a line on standard input".to_owned(),
            ))
        } else {
            Ok(Secret::new(text))
        }
    }
}

fn interrupted() -> CliError {
    CliError::Other("interrupted; nothing was changed".to_owned())
}

/// How the terminal treats what is typed, from before the password was asked for.
struct TerminalMode(Option<Termios>);

impl TerminalMode {
    /// Where standard input is no terminal there is nothing to keep.
    fn of_now() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }

    /// Shows again what is typed, on a new line.
    fn restore(&self) {
        if let Some(mode) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, mode);
            eprintln!();
        }
    }
}

/// Without the line's end.
fn first_line(input: impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    io::Read::take(input, LONGEST_PASSWORD).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn added(room: &NewRoom, identity: &str, file: &SetupFile) -> String {
    let NewRoom { id, .. } = room;
    let path: PathBuf = file.path().to_owned();
    format!(
        "it is a {identity}; room {id} is in {}\n\
         start the gateway with \"poly2mqtt run\"; one that runs takes the room over with SIGHUP \
         (systemctl reload poly2mqtt)\n",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line() {
        for (input, wanted) in [
            ("456\n", "456"),
            ("456", "456"),
            (" a b \r\nnext\n", " a b "),
            ("", ""),
            ("\n456\n", ""),
        ] {
            assert_eq!(first_line(input.as_bytes()).unwrap(), wanted);
        }
    }
}
