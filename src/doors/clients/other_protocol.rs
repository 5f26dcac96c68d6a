//! Clients that speak another protocol than lines or frames: what they are told at once, instead of waiting for an
//! answer that never comes.
//!
//! Pure. [`Protocol`] recognises them.

use crate::net::Protocol;

/// Another protocol than the door's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherProtocol {
    protocol: Protocol,
    /// The message for the client: where that protocol is spoken.
    pub message: &'static str,
}

impl OtherProtocol {
    /// MQTT.
    pub const MQTT: Self = Self {
        protocol: Protocol::Mqtt,
        message: "MQTT is not spoken here; MQTT clients connect to the broker in mqtt.url",
    };
    const HTTP: Self = Self {
        protocol: Protocol::Http,
        message: "HTTP is not spoken here; it is at the address in http.listen",
    };
    const TLS: Self = Self {
        protocol: Protocol::Tls,
        message: "TLS is not spoken here; tcp.tls = true turns it on",
    };

    /// The protocol of a client whose first bytes these are. No line begins like HTTP: its words are in lower case,
    /// and a topic is no method.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match Protocol::of_client(bytes)? {
            Protocol::Http => Some(Self::HTTP),
            Protocol::Tls => Some(Self::TLS),
            Protocol::Mqtt => Some(Self::MQTT),
            // Its packets are so short that other bytes may look like one.
            Protocol::MqttSn => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.protocol.name()
    }
}
