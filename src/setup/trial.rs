//! One device, before it is configured: its certificate, its log-in, what it is.

use std::sync::Arc;

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::catalogue::{Method, Request, RequestBody, TimeLimit, read_body};
use crate::config::{Certificate, Fingerprint, Secret};
use crate::device::{Device, DeviceSettings, DeviceTimings, LoginLimiter};

/// The longest name that is taken over from a device, in characters.
const LONGEST_NAME: usize = 100;
/// The largest answer about the device itself, in bytes.
const LARGEST_ANSWER: usize = 1 << 20;

/// What a device says it is. Without control characters, so that a device cannot send commands to a terminal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// `Studio X50`.
    pub model: Option<String>,
    /// `4.6.2-…`.
    pub firmware: Option<String>,
    /// The device's own name.
    pub name: Option<String>,
}

impl DeviceIdentity {
    /// From the answer of `GET /rest/system`.
    pub(super) fn of(system: &Value) -> Self {
        let text = |name: &str| {
            let text = system[name].as_str()?;
            let plain = text.chars().filter(|c| !c.is_control());
            let plain: String = plain.take(LONGEST_NAME).collect();
            Some(plain.trim().to_owned()).filter(|text| !text.is_empty())
        };
        Self {
            model: text("model"),
            firmware: text("softwareVersion"),
            name: text("systemName"),
        }
    }
}

/// `Studio X50 firmware 4.0.0`.
impl std::fmt::Display for DeviceIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let or_unknown = |text: &Option<String>| text.clone().unwrap_or("unknown".into());
        let (model, firmware) = (or_unknown(&self.model), or_unknown(&self.firmware));
        write!(f, "{model} firmware {firmware}")
    }
}

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
        Ok(_) => Ok(device_identity(&device).await),
        Err(problem) => Err(problem.to_string()),
    };
    device.close().await;
    outcome
}

/// What a device is that the client can log in to.
async fn device_identity(device: &Device) -> DeviceIdentity {
    let request = Request {
        method: Method::Get,
        path: vec!["rest".into(), "system".into()],
        query: Vec::new(),
        body: RequestBody::None,
        repeatable: true,
    };
    let deadline = device.deadline(TimeLimit::Ordinary);
    let answer = device.send(&request, LARGEST_ANSWER, deadline).await;
    match &answer {
        Ok(answer) if answer.status == 200 => {
            let system: Value = read_body(&answer.body).unwrap_or_default();
            DeviceIdentity::of(&system)
        }
        _ => DeviceIdentity::default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_device_says_of_itself_is_plain_text() {
        let long = "x".repeat(1000);
        let system =
            json!({"model": " Studio\u{1b}[2J X50 ", "softwareVersion": 4, "systemName": long});
        let identity = DeviceIdentity::of(&system);
        assert_eq!(identity.model.as_deref(), Some("Studio[2J X50"));
        assert_eq!(identity.firmware, None);
        assert_eq!(identity.name.unwrap().len(), LONGEST_NAME);
        for nothing in [json!(null), json!([]), json!("x"), json!({"model": ""})] {
            let identity = DeviceIdentity::of(&nothing);
            assert_eq!(identity.to_string(), "unknown firmware unknown");
        }
    }
}
