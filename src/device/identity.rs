//! What a device says it is.
//!
//! Reads one answer of a device that let the gateway in, and makes plain text of it. Whoever shows it
//! decides what it means.

use serde_json::Value;

use super::client::Device;
use crate::catalogue::{Method, Request, RequestBody, TimeLimit, read_body};
use crate::visible::without_invisible;

/// The longest name that is taken over from a device, in characters.
const LONGEST_NAME: usize = 100;
/// The largest answer about the device itself, in bytes.
const LARGEST_ANSWER: usize = 1 << 20;

/// What a device says it is. Without what cannot be seen, so that a device cannot send commands to a terminal.
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
    pub fn of(system: &Value) -> Self {
        let text = |name: &str| {
            let plain = without_invisible(system[name].as_str()?, LONGEST_NAME);
            Some(plain.trim().to_owned()).filter(|text| !text.is_empty())
        };
        Self {
            model: text("model"),
            firmware: text("softwareVersion"),
            name: text("systemName"),
        }
    }

    /// The model; `unknown` if the device does not tell.
    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or("unknown")
    }

    /// The firmware; `unknown` if the device does not tell.
    pub fn firmware(&self) -> &str {
        self.firmware.as_deref().unwrap_or("unknown")
    }
}

/// `Studio X50 firmware 4.0.0`; firmware 4.4 tells neither.
impl std::fmt::Display for DeviceIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.model, &self.firmware) {
            (Some(model), Some(firmware)) => write!(f, "{model} firmware {firmware}"),
            (Some(model), None) => write!(f, "{model} of unknown firmware"),
            (None, Some(firmware)) => write!(f, "Poly device with firmware {firmware}"),
            (None, None) => f.write_str("Poly device that does not tell its model and firmware"),
        }
    }
}

impl Device {
    /// The answer of `GET /rest/system`; null if the device does not tell.
    pub async fn system(&self) -> Value {
        let request = Request {
            method: Method::Get,
            path: vec!["rest".into(), "system".into()],
            query: Vec::new(),
            body: RequestBody::None,
            repeatable: true,
            is_read: true,
        };
        let deadline = self.deadline(TimeLimit::Ordinary);
        match self.send(&request, LARGEST_ANSWER, deadline).await {
            Ok(answer) if answer.status == 200 => read_body(&answer.body).unwrap_or_default(),
            _ => Value::Null,
        }
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
            let text = identity.to_string();
            assert_eq!(
                text,
                "Poly device that does not tell its model and firmware"
            );
        }
    }
}
