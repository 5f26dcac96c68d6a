//! Why there is no connection to the broker, for the log. The texts name the configuration's keys.

use std::io;

use rumqttc::v5::mqttbytes::Error as MalformedPacket;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};

use super::settings::{BROKER_CONNECT_TIMEOUT, tls_failure};
use crate::net::ClientTlsError;
use crate::net::root_cause::root_cause;

/// Why a connection could not be made, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionLost {
    /// The network failed, or TLS after its handshake.
    #[error("{}", network(.0))]
    Network(#[from] io::Error),
    /// The TLS handshake failed.
    #[error(transparent)]
    Tls(#[from] ClientTlsError),
    /// No CONNACK in time.
    #[error("it does not answer within {} s", BROKER_CONNECT_TIMEOUT.as_secs())]
    ConnectTimeout,
    /// Nothing came for two keep-alive intervals, although a PINGREQ was sent.
    #[error("the broker does not answer any more")]
    Silent,
    /// The broker closed the connection without a DISCONNECT.
    #[error("the broker closed the connection")]
    Closed,
    /// The broker sent a DISCONNECT; `None`: without a reason, or with one that MQTT 5 does not
    /// define.
    #[error("{}", disconnected(*.0))]
    Disconnected(Option<DisconnectReasonCode>),
    /// The broker refused the connection.
    #[error("{}", refused(*.0))]
    Refused(ConnectReturnCode),
    /// Bytes that are not MQTT 5.
    #[error("what it sends is not MQTT 5: {0}")]
    Malformed(#[from] MalformedPacket),
}

fn network(error: &io::Error) -> String {
    match tls_failure(error) {
        Some(failure) => format!("it {failure}"),
        None => root_cause(error).to_string(),
    }
}

fn refused(code: ConnectReturnCode) -> String {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            "it refuses the user and password (mqtt.username, mqtt.password_file)".into()
        }
        ConnectReturnCode::ClientIdentifierNotValid => {
            "it refuses the client id (mqtt.client_id)".into()
        }
        ConnectReturnCode::UnsupportedProtocolVersion
        | ConnectReturnCode::RefusedProtocolVersion => {
            "it does not speak MQTT 5, which the gateway needs".into()
        }
        code => format!("it refuses the connection ({code:?})"),
    }
}

fn disconnected(reason: Option<DisconnectReasonCode>) -> String {
    match reason {
        Some(DisconnectReasonCode::SessionTakenOver) => {
            "another client has connected with the same client id (mqtt.client_id)".into()
        }
        Some(DisconnectReasonCode::ServerShuttingDown) => "the broker shuts down".into(),
        Some(reason) => format!("the broker ended the connection ({reason:?})"),
        None => "the broker ended the connection".into(),
    }
}
