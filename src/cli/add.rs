//! `poly2mqtt add URL`: tries a device, and writes it into the configuration as a room.
//!
//! Owns the questions and what is printed. What a device is, and how the file changes, is in `setup`.

use std::io::{self, BufRead, IsTerminal};
use std::path::PathBuf;

use tokio::task::spawn_blocking;

use super::CliError;
use super::config_file::ConfigFile;
use super::output::print;
use super::progress::Progress;
use crate::config::{Config, Fingerprint, NewRoom, RoomId, Secret};
use crate::os_error;
use crate::setup::{
    DEFAULT_USER, DeviceAddress, SetupError, SetupFile, log_in, shown_certificate, suggested_id,
};

/// The longest password that is read, in bytes.
const LONGEST_PASSWORD: u64 = 4096;

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
    #[command(flatten)]
    file: ConfigFile,
}

fn room_id(text: &str) -> Result<RoomId, String> {
    RoomId::new(text).ok_or_else(|| "a room's id takes letters, digits, _ and -".to_owned())
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
    pub async fn run(&self) -> Result<(), CliError> {
        let address = DeviceAddress::parse(&self.url).map_err(CliError::Other)?;
        let file = self.file.for_setup()?;
        let config = file.config()?;
        self.refuse_known(&address, &config, None)?;
        let trying = format!("waiting for {}", address.text);
        let shown = Progress::wait_for(&trying, shown_certificate(&address.url)).await;
        let shown = shown.map_err(CliError::Other)?;
        print(&format!("{} shows the certificate {shown}\n", address.text))?;
        self.check_certificate(shown)?;
        self.refuse_known(&address, &config, Some(shown))?;
        let password = self.password().await?;
        let trying = format!("logging in to {}", address.text);
        let log_in = log_in(&address.url, &self.user, &password, shown);
        let identity = Progress::wait_for(&trying, log_in).await;
        let identity =
            identity.map_err(|why| CliError::Other(format!("{}: {why}", address.text)))?;
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
    async fn password(&self) -> Result<Secret, CliError> {
        let user = self.user.clone();
        let read = spawn_blocking(move || match io::stdin().is_terminal() {
            true => rpassword::prompt_password(format!("password of {user} (it is not shown): ")),
            false => first_line(io::stdin().lock()),
        });
        let failed = |why: String| CliError::Other(format!("the password cannot be read: {why}"));
        let text = read.await.map_err(|error| failed(error.to_string()))?;
        let text = text.map_err(|error| failed(os_error::words(&error)))?;
        match text.is_empty() {
            true => Err(CliError::Other(
                "no password was given: type it, or send it as a line on standard input".to_owned(),
            )),
            false => Ok(Secret::new(text)),
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
