//! One device, before it is configured: its certificate, its log-in, what it is.

use std::sync::Arc;

use secrecy::SecretString;
use url::Url;

use crate::config::{Certificate, Fingerprint, Secret};
use crate::device::{
    Device, DeviceFence, DeviceIdentity, DeviceSettings, DeviceTimings, LoginLimiter,
};

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
        timings: DeviceTimings::default(),
        telemetry: Arc::default(),
        login_limiter: LoginLimiter::default(),
        session_store: None,
        fence: DeviceFence::default(),
    })
}

/// The certificate that the device shows. Nothing is sent to it.
///
/// # Errors
/// Why it cannot be reached, for people.
pub async fn shown_certificate(url: &Url) -> Result<Fingerprint, String> {
    // No certificate is trusted, so the handshake ends before anything is sent.
    let nobody = SecretString::from(String::new());
    let device = client(url, "", &nobody, Certificate::Unset)?;
    let outcome = device.log_in().await;
    let shown = device.fingerprint();
    let shown = shown.and_then(|text| Fingerprint::parse(&text));
    shown.ok_or_else(|| match outcome {
        Err(problem) => problem.to_string(),
        Ok(_) => "the device shows no certificate".to_owned(),
    })
}

/// Logs in, asks the device what it is, and logs out.
///
/// # Errors
/// Why the gateway cannot use the device with this password, for people.
pub async fn log_in(
    url: &Url,
    user: &str,
    password: &Secret,
    certificate: Fingerprint,
) -> Result<DeviceIdentity, String> {
    let pinned = Certificate::Pinned(certificate);
    let device = client(url, user, password.secret(), pinned)?;
    let outcome = match device.log_in().await {
        Ok(_) => Ok(DeviceIdentity::of(&device.system().await)),
        Err(problem) => Err(problem.to_string()),
    };
    device.close().await;
    outcome
}
