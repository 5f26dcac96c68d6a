//! One device, before it is configured: its certificate, its log-in, what it is.

use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use crate::config::{Certificate, Fingerprint, Secret};
use crate::device::{
    Device, DeviceFence, DeviceIdentity, DeviceSettings, Problem, ProblemCode, SharedLimits,
};
use crate::visible::visible;

pub(super) fn client(
    url: &Url,
    user: &str,
    password: &SecretString,
    certificate: Certificate,
) -> Result<Device, String> {
    Device::new(DeviceSettings {
        url: url.clone(),
        user: user.to_owned(),
        password: password.clone(),
        certificate,
        keep_alive: false,
        timings: Arc::default(),
        telemetry: Arc::default(),
        limits: SharedLimits::default(),
        session_store: None,
        fence: DeviceFence::default(),
    })
}

/// Why a device cannot be used (yet), for people.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The device says so, or is not there.
    #[error("{0}")]
    Device(Problem),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl TrialError {
    /// Whether this is what a device does while it starts: it is not there, or does not answer as one yet.
    pub fn may_be_starting(&self) -> bool {
        let Self::Device(problem) = self else {
            return false;
        };
        matches!(
            problem.code,
            ProblemCode::Offline | ProblemCode::NotUnderstood
        )
    }
}

/// The certificate that the device shows. Nothing is sent to it.
///
/// # Errors
/// Why it cannot be reached.
pub async fn shown_certificate(url: &Url) -> Result<Fingerprint, TrialError> {
    // No certificate is trusted, so the handshake ends before anything is sent.
    let nobody = SecretString::from(String::new());
    let device = client(url, "", &nobody, Certificate::Unset).map_err(TrialError::Other)?;
    let outcome = device.log_in().await;
    let shown = device.fingerprint();
    let shown = shown.and_then(|text| Fingerprint::parse(&text));
    shown.ok_or_else(|| match outcome {
        Err(problem) => TrialError::Device(problem),
        Ok(_) => TrialError::Other("the device shows no certificate".to_owned()),
    })
}

/// Logs in, asks the device what it is, and logs out.
///
/// # Errors
/// Why the gateway cannot use the device with this password.
pub async fn log_in(
    url: &Url,
    user: &str,
    password: &Secret,
    certificate: Fingerprint,
) -> Result<DeviceIdentity, TrialError> {
    let pinned = Certificate::Pinned(certificate);
    let device = client(url, user, password.secret(), pinned).map_err(TrialError::Other)?;
    let outcome = match device.log_in().await {
        Ok(_) => Ok(DeviceIdentity::of(&device.system().await)),
        // The device's own words to a running gateway speak of the configuration, where nothing stands yet.
        Err(problem) if problem.code == ProblemCode::Unauthorized => {
            Err(TrialError::Other(format!(
                "the device refuses user \"{}\" with this password; give the right one, or the user that it belongs to. \
                 Some wrong ones in a row lock a user out",
                visible(user)
            )))
        }
        Err(problem) => Err(TrialError::Device(problem)),
    };
    device.close().await;
    outcome
}
