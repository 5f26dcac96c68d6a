//! `poly2mqtt run --setup`: where the page of the first start listens, and what is printed about it.

use std::path::PathBuf;

use sd_notify::NotifyState;

use super::demo::{BROKER_PORT, HTTP_PORT, choose};
use super::output::print;
use super::{CliError, signals};
use crate::net::{ListenSetting, bind, try_bind};
use crate::setup::{OneTimeCode, SetupFile, serve_setup};

/// Serves the page until the file is written, and gives its path; `None` if the program is to stop before.
pub async fn set_up(file: SetupFile) -> Result<Option<PathBuf>, CliError> {
    file.check_writable()?;
    let stop = signals::stop()?;
    // The gateway listens there afterwards, so the page finds it where it was itself.
    let http = choose("http.listen", None, HTTP_PORT);
    let broker = choose("mqtt.url", None, BROKER_PORT);
    let mut start = String::new();
    if broker.port() != BROKER_PORT {
        start += &format!("[mqtt]\nurl = \"embedded://{broker}\"\n\n");
    }
    if http.port() != HTTP_PORT {
        start += &format!("[http]\nlisten = \"{http}\"\n\n");
    }
    let file = file.starting_with(start);
    let path = file.path().to_owned();
    // So that no other program takes the broker's port while a person types. If somebody has it already, the
    // start of the gateway says so.
    let broker_port = try_bind(broker);
    let listener = bind(ListenSetting::Option("--setup"), http).map_err(CliError::Other)?;
    let (code, shown) = OneTimeCode::new().map_err(CliError::Other)?;
    // Not to the log, which others may read.
    print(&format!(
        "there is no configuration yet. Open http://{http}/ in a browser on this machine\n\
         code: {shown}\n\
         the page writes {} and ends after half an hour\n",
        path.display()
    ))?;
    // Fails only where there is no systemd to notify.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    tokio::select! {
        served = serve_setup(listener, file, code) => served.map_err(CliError::Other)?,
        _ = stop => return Ok(None),
    }
    drop(broker_port);
    Ok(Some(path))
}
