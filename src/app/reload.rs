//! Taking over a changed configuration while everything runs.
//!
//! The tables of keys in `config` say which changes take effect at once and which at the next
//! start. The latter keep their old values until then.

use super::own_certificates::OwnCertificate;
use super::{App, broker_topics};
use crate::config::{self, Config};
use crate::doors::http::HttpSettings;
use crate::telemetry::Telemetry;

impl App {
    /// Takes over a new configuration.
    ///
    /// # Errors
    /// One message for the user about each part that cannot be taken over; all others were.
    pub async fn reload(&mut self, mut config: Config) -> Result<(), Vec<String>> {
        let mut failed = Vec::from_iter(keep_until_restart(
            &self.config,
            &mut config,
            &self.telemetry,
        ));
        let reloaded = match (&self.tls, &config.http.tls) {
            (Some(tls), Some(files)) => tls.reload(files),
            _ => Ok(()),
        };
        match reloaded {
            Ok(()) => self.own_certificates.replace(OwnCertificate::all(&config)),
            Err(error) => failed.push(error),
        }
        // Before the tokens, which may be for rooms that are new.
        self.rooms.expect(&config);
        let number = self.cluster.as_ref().map(|it| it.reloading(&config));
        self.clients.access.reload(&config.http);
        if let Some(http) = &self.http {
            http.reload(HttpSettings::new(&config.http));
        }
        self.config = config;
        // Before the rooms: Home Assistant's entities must go before their states are cleared.
        if let Some(home_assistant) = &self.home_assistant {
            home_assistant.set_rooms(self.config.rooms.clone());
        }
        if let Err(rooms) = self.rooms.apply(&self.config).await {
            failed.extend(rooms);
        }
        if let Some((cluster, number)) = self.cluster.as_ref().zip(number) {
            cluster.reloaded(number, &self.config);
        }
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed)
        }
    }
}

/// Puts the old values of everything that changes only at a start into `new`, and logs a warning
/// that names them. Returns the errors that this causes in the rest of the configuration.
fn keep_until_restart(old: &Config, new: &mut Config, telemetry: &Telemetry) -> Option<String> {
    let changes = config::changes(old, new);
    if !changes.at_next_start.is_empty() {
        telemetry.changes_wait(&changes.at_next_start);
        if let Some(options) = broker_topics::options_after(old, new) {
            telemetry.topics_will_be_left(&options);
        }
    }
    new.keep_until_restart(old);

    let addresses = [old.http.listen, old.tcp.listen];
    let reachable = addresses.iter().flatten().any(|at| !at.ip().is_loopback());
    if reachable && new.http.tokens.is_empty() && !new.http.open {
        // The new addresses may do without tokens; those still in use may not.
        new.http.tokens = old.http.tokens.clone();
        return Some("http.token: without tokens only at the next start".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HttpConfig, HttpToken};

    fn config(listen: &str, tokens: usize) -> Config {
        let token = |number: usize| HttpToken {
            name: format!("token {number}"),
            token: config::Secret::new("secret"),
            rooms: None,
            level: config::AccessLevel::Control,
        };
        let http = HttpConfig {
            listen: Some(listen.parse().unwrap()),
            tokens: (0..tokens).map(token).collect(),
            ..HttpConfig::default()
        };
        Config {
            http,
            ..Config::default()
        }
    }

    #[test]
    fn an_address_in_use_stays_and_keeps_its_tokens() {
        let old = config("192.0.2.1:80", 1);
        let mut new = config("127.0.0.1:80", 0);
        let wrong = keep_until_restart(&old, &mut new, &Telemetry::default());
        assert!(wrong.unwrap().starts_with("http.token"));
        assert_eq!(new.http.listen, old.http.listen);
        assert_eq!(new.http.tokens.len(), 1);
    }

    #[test]
    fn on_loopback_tokens_may_go() {
        let old = config("127.0.0.1:80", 1);
        let mut new = config("192.0.2.1:80", 0);
        assert_eq!(
            keep_until_restart(&old, &mut new, &Telemetry::default()),
            None
        );
        assert_eq!(new.http.listen, old.http.listen);
        assert!(new.http.tokens.is_empty());
    }
}
