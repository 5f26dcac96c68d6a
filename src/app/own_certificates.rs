//! The certificates that the gateway shows others, over time: a certificate that has expired, or will, is
//! warned of at a start, at a reload and once a day, and metrics tell its end.
//!
//! Owns which certificates these are and what their owner does about them. Stops nothing: a client that
//! does not look at dates still works.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use time::OffsetDateTime;

use crate::config::Config;
use crate::net::Validity;
use crate::sleep::ticks_after;
use crate::telemetry::Telemetry;

/// How often they are looked at while the gateway runs.
const CHECK_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// A certificate that the gateway shows others.
#[derive(Debug, Clone)]
pub struct OwnCertificate {
    /// Its key in the configuration.
    key: &'static str,
    file: PathBuf,
    validity: Validity,
    /// When a renewed file is used.
    use_of_file: UseOfFile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UseOfFile {
    AfterReload,
    AtEachConnection,
}

impl OwnCertificate {
    /// The certificates that a configuration names and that can be read.
    pub fn all(config: &Config) -> Vec<Self> {
        let server = config.http.tls.as_ref();
        let server = server.map(|files| &files.certificate);
        let client = config.mqtt.client_cert_file.as_ref();
        [
            ("http.tls_cert_file", server, UseOfFile::AfterReload),
            ("mqtt.client_cert_file", client, UseOfFile::AtEachConnection),
        ]
        .into_iter()
        .filter_map(|(key, file, use_of_file)| {
            let file = file?.clone();
            Some(Self {
                key,
                validity: Validity::of_file(&file).ok()?,
                file,
                use_of_file,
            })
        })
        .collect()
    }

    /// What to warn of, at this time.
    pub fn warning(&self, now: OffsetDateTime) -> Option<String> {
        let problem = self.validity.problem(now)?;
        let remedy = match self.use_of_file {
            UseOfFile::AfterReload => "renew it, then reload or restart the gateway",
            UseOfFile::AtEachConnection => "renew it; the next connection uses the new one",
        };
        let (key, file) = (self.key, self.file.display());
        Some(format!("{key} {problem}: {remedy} ({file})"))
    }

    /// Reads the file again, if a renewed one is in use already.
    fn read_again(&mut self) {
        if self.use_of_file == UseOfFile::AtEachConnection
            && let Ok(validity) = Validity::of_file(&self.file)
        {
            self.validity = validity;
        }
    }
}

/// The certificates in use.
#[derive(Debug)]
pub struct OwnCertificates {
    in_use: Mutex<Vec<OwnCertificate>>,
    telemetry: Arc<Telemetry>,
}

impl OwnCertificates {
    /// The certificates with which the gateway starts.
    pub fn new(in_use: Vec<OwnCertificate>, telemetry: Arc<Telemetry>) -> Arc<Self> {
        let own = Self {
            in_use: Mutex::default(),
            telemetry,
        };
        own.replace(in_use);
        Arc::new(own)
    }

    /// From a reload on these are in use.
    pub fn replace(&self, in_use: Vec<OwnCertificate>) {
        self.tell_metrics(&in_use);
        *self.in_use.lock() = in_use;
    }

    /// Looks at them once a day.
    pub async fn watch(self: Arc<Self>) {
        let mut ticks = ticks_after(CHECK_INTERVAL, CHECK_INTERVAL);
        loop {
            ticks.tick().await;
            let own = self.clone();
            // Files may be on a disk that is slow.
            let checked = tokio::task::spawn_blocking(move || own.check()).await;
            for warning in checked.unwrap_or_default() {
                self.telemetry.certificate_expires(&warning);
            }
        }
    }

    /// Reads again what is in use, and gives what to warn of.
    fn check(&self) -> Vec<String> {
        let mut in_use = self.in_use.lock();
        in_use.iter_mut().for_each(OwnCertificate::read_again);
        self.tell_metrics(&in_use);
        warnings(&in_use)
    }

    fn tell_metrics(&self, in_use: &[OwnCertificate]) {
        for certificate in in_use {
            let end = certificate.validity.end();
            self.telemetry.certificate_in_use(certificate.key, end);
        }
    }
}

/// What to warn of now.
pub fn warnings(certificates: &[OwnCertificate]) -> Vec<String> {
    let now = OffsetDateTime::now_utc();
    let warnings = certificates.iter().filter_map(|own| own.warning(now));
    warnings.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use poly2mqtt_test_support::log::thread_log;
    use rcgen::{CertificateParams, KeyPair};
    use time::Duration as Span;

    use super::*;
    use crate::config::TlsFiles;
    use crate::telemetry::{MetricsFormat, Sample};

    fn write(file: &Path, days_left: i64) {
        let mut params = CertificateParams::new(vec!["gateway".to_owned()]).unwrap();
        params.not_after = OffsetDateTime::now_utc() + Span::days(days_left) + Span::hours(1);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        std::fs::write(file, made.pem()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn once_a_day_they_are_looked_at_as_they_are_in_use() {
        let (log, _guard) = thread_log();
        let dir = tempfile::tempdir().unwrap();
        let [server, client] = ["http.pem", "client.pem"].map(|name| dir.path().join(name));
        write(&server, 12);
        write(&client, 300);
        let mut config = Config::default();
        config.mqtt.client_cert_file = Some(client.clone());
        config.http.tls = Some(TlsFiles {
            certificate: server.clone(),
            key: dir.path().join("http.key"),
        });
        let telemetry = Arc::<Telemetry>::default();
        let days_left = |key: &str| {
            let metrics = telemetry.metrics_text(&Sample::default(), MetricsFormat::Text);
            let name = format!("poly2mqtt_tls_certificate_expiry_seconds{{key=\"{key}\"}} ");
            let mut lines = metrics.lines();
            let seconds: i64 = lines
                .find_map(|line| line.strip_prefix(&name))
                .unwrap()
                .parse()
                .unwrap();
            Span::seconds(seconds).whole_days()
        };
        let own = OwnCertificates::new(OwnCertificate::all(&config), telemetry.clone());
        let watch = tokio::spawn(own.clone().watch());
        tokio::time::sleep(CHECK_INTERVAL - Duration::from_secs(1)).await;
        assert_eq!(log.text(), "");
        assert_eq!(days_left("http.tls_cert_file"), 12);
        assert_eq!(days_left("mqtt.client_cert_file"), 300);

        // Both are renewed, one badly; only a reload uses the new one of the server.
        write(&server, 90);
        write(&client, -5);
        let lines = |text: &str| log.text().matches(text).count();
        for day in 1..=3 {
            tokio::time::sleep(CHECK_INTERVAL).await;
            assert_eq!(lines("http.tls_cert_file expires in 12 days, on "), day);
            assert_eq!(lines("mqtt.client_cert_file expired on "), day);
            assert_eq!(days_left("mqtt.client_cert_file"), -4);
        }
        assert_eq!(days_left("http.tls_cert_file"), 12);
        own.replace(OwnCertificate::all(&config));
        assert_eq!(days_left("http.tls_cert_file"), 90);
        tokio::time::sleep(CHECK_INTERVAL).await;
        assert_eq!(lines("http.tls_cert_file"), 3);
        watch.abort();
    }
}
