//! Why there is no connection to the broker, for the log. The texts name the configuration's keys.
//!
//! Also says what an end means for the next try: whether a message can be its cause, and whether
//! only a change at the broker or in the configuration can help.

use std::io;

use rumqttc::v5::mqttbytes::Error as MalformedPacket;

use super::reason::{BrokerWords, ReasonCode};
use super::settings::{BROKER_CONNECT_TIMEOUT, PUBACK_TIMEOUT, SUBACK_TIMEOUT, tls_failure};
use crate::net::ClientTlsError;
use crate::os_error;

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
    /// The broker closed the connection before its CONNACK.
    #[error(
        "it closed the connection instead of answering: it may not speak MQTT 5, which the gateway \
         needs, want TLS (mqtts://), have as many clients as it takes, or be away behind a proxy"
    )]
    ClosedBeforeConnack,
    /// The broker closed the connection before its CONNACK, within TLS.
    #[error(
        "it closed the connection instead of answering: it may not speak MQTT 5, which the gateway \
         needs, want mqtt.alpn on a port that it shares with a web server, have as many clients as it takes, or be away \
         behind a proxy"
    )]
    ClosedBeforeConnackInTls,
    /// The first bytes are those of another protocol, which is named.
    #[error("what answers at this port is {0}")]
    OtherProtocol(&'static str),
    /// No SUBACK in time.
    #[error("it does not answer the subscription (SUBACK) within {} s", SUBACK_TIMEOUT.as_secs())]
    SubscribeTimeout,
    /// No PUBACK in time, of any message.
    #[error("it does not acknowledge messages (PUBACK) within {} s", PUBACK_TIMEOUT.as_secs())]
    PublishTimeout,
    /// Nothing came for two keep-alive intervals, although a PINGREQ was sent.
    #[error("the broker does not answer any more")]
    Silent,
    /// The broker closed the connection without a DISCONNECT.
    #[error("the broker closed the connection")]
    Closed,
    /// The broker sent a DISCONNECT.
    #[error("{}", with_words(disconnected(*.reason, .server.as_deref()), .words))]
    Disconnected {
        /// 0 if there was none.
        reason: ReasonCode,
        /// The server that it names instead of itself.
        server: Option<String>,
        /// What it says about it.
        words: BrokerWords,
    },
    /// The broker refused the connection.
    #[error("{}", with_words(refused(*.reason, .server.as_deref()), .words))]
    Refused {
        /// The reason in CONNACK.
        reason: ReasonCode,
        /// The server that it names instead of itself.
        server: Option<String>,
        /// What it says about it.
        words: BrokerWords,
    },
    /// The broker wants enhanced authentication, MQTT 5 section 4.12.
    #[error("it wants enhanced authentication (AUTH), which the gateway does not have")]
    WantsAuthentication,
    /// The broker does not do what the gateway needs.
    #[error("{0}")]
    Unsuitable(String),
    /// Bytes that are not MQTT 5.
    #[error("what it sends is not MQTT 5: {0}")]
    Malformed(#[from] MalformedPacket),
}

fn network(error: &io::Error) -> String {
    match tls_failure(error) {
        Some(failure) => format!("it {failure}"),
        None => os_error::cause_words(error),
    }
}

/// Whether the messages in flight can be why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// No: the broker said something else, or the network failed.
    NoMessage,
    /// One of them, perhaps: the broker gave no reason that says otherwise.
    Perhaps,
    /// One of them: the reason is about a message.
    OneOfThem,
}

/// Whether a message is left out because of its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeCause {
    /// The broker or a limit says so.
    Certain,
    /// Nothing says that it is not.
    Possible,
    /// Something else is the reason.
    No,
}

impl ConnectionLost {
    /// Only a change at the broker or in the configuration helps: it is said once, and tried again
    /// rarely.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Unsuitable(_) | Self::WantsAuthentication => true,
            Self::Refused { reason, .. } | Self::Disconnected { reason, .. } => matches!(
                *reason,
                ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
                    | ReasonCode::BAD_AUTHENTICATION_METHOD
                    | ReasonCode::RETAIN_NOT_SUPPORTED
                    | ReasonCode::QOS_NOT_SUPPORTED
                    | ReasonCode::SERVER_MOVED
            ),
            _ => false,
        }
    }

    /// The reason without the broker's own words, which may be others each time.
    pub fn without_words(&self) -> String {
        match self {
            Self::Disconnected { reason, server, .. } => disconnected(*reason, server.as_deref()),
            Self::Refused { reason, server, .. } => refused(*reason, server.as_deref()),
            lost => lost.to_string(),
        }
    }

    /// Whether another client with the same client id can be why: the broker says so, or nothing.
    pub fn can_mean_client_id(&self) -> bool {
        match self {
            Self::Disconnected { reason, .. } => {
                matches!(
                    *reason,
                    ReasonCode::SESSION_TAKEN_OVER | ReasonCode(0 | 0x80)
                )
            }
            Self::Closed | Self::Network(_) => self.is_vague(),
            _ => false,
        }
    }

    /// Whether a filter can be why the connection ended before its SUBSCRIBE was answered.
    pub fn can_mean_filter(&self) -> bool {
        let is_about_filters = matches!(
            self,
            Self::Disconnected {
                reason: ReasonCode(0x8F | 0x9E | 0xA1 | 0xA2),
                ..
            }
        );
        is_about_filters || self.blame() != Blame::NoMessage
    }

    /// The end may have nothing to do with what the gateway sent.
    pub fn is_vague(&self) -> bool {
        self.blame() == Blame::Perhaps
    }

    /// Whether a message that ended the connection may have been too large.
    pub fn size_cause(&self) -> SizeCause {
        match self {
            Self::Disconnected { reason, .. } if *reason == ReasonCode::PACKET_TOO_LARGE => {
                SizeCause::Certain
            }
            Self::Disconnected { reason, .. } if *reason == ReasonCode::QUOTA_EXCEEDED => {
                SizeCause::No
            }
            _ if self.is_vague() => SizeCause::Possible,
            _ => SizeCause::No,
        }
    }

    /// What the end says about the messages that were not acknowledged.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Closed => Blame::Perhaps,
            Self::Network(error) => match error.kind() {
                io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => Blame::Perhaps,
                _ => Blame::NoMessage,
            },
            Self::Disconnected { .. } if self.is_final() => Blame::NoMessage,
            Self::Disconnected { reason, .. } => match reason.0 {
                0x81 | 0x82 | 0x87 | 0x90 | 0x94 | 0x95 | 0x99 => Blame::OneOfThem,
                // Client id, log-in and bans; busy, away, shutting down, keep alive, taken over; filters, rates,
                // administrator, other servers and times.
                0x85
                | 0x86
                | 0x88..=0x8B
                | 0x8D..=0x8F
                | 0x93
                | 0x96
                | 0x98
                | 0x9C
                | 0x9E..=0xA2 => Blame::NoMessage,
                _ => Blame::Perhaps,
            },
            _ => Blame::NoMessage,
        }
    }
}

fn with_words(reason: String, words: &BrokerWords) -> String {
    format!("{reason}{words}")
}

fn refused(reason: ReasonCode, server: Option<&str>) -> String {
    match reason {
        ReasonCode::BAD_USER_NAME_OR_PASSWORD => {
            "it refuses the user and password (mqtt.username, mqtt.password_file)".into()
        }
        // Mosquitto says this of a wrong password; others of their rules and quotas.
        ReasonCode::NOT_AUTHORIZED => {
            "it does not let the gateway in (not authorized): check the user and password \
             (mqtt.username, mqtt.password_file), and the broker's rules for this client"
                .into()
        }
        ReasonCode::CLIENT_ID_NOT_VALID => "it refuses the client id (mqtt.client_id)".into(),
        ReasonCode::UNSUPPORTED_PROTOCOL_VERSION => {
            "it does not speak MQTT 5, which the gateway needs".into()
        }
        reason => common(reason, server)
            .unwrap_or_else(|| format!("it refuses the connection ({reason})")),
    }
}

fn disconnected(reason: ReasonCode, server: Option<&str>) -> String {
    match reason {
        ReasonCode::SESSION_TAKEN_OVER => {
            "another client has connected with the same client id (mqtt.client_id; in a cluster cluster.name)".into()
        }
        ReasonCode::SERVER_SHUTTING_DOWN => "the broker shuts down".into(),
        ReasonCode(0) => "the broker ended the connection".into(),
        reason => common(reason, server)
            .unwrap_or_else(|| format!("the broker ended the connection ({reason})")),
    }
}

/// What CONNACK and DISCONNECT can say alike.
fn common(reason: ReasonCode, server: Option<&str>) -> Option<String> {
    match reason {
        ReasonCode::SERVER_MOVED => Some(match server {
            Some(server) => format!("the broker has moved to {server}: change mqtt.url"),
            None => "the broker has moved and does not say where: change mqtt.url".into(),
        }),
        ReasonCode::USE_ANOTHER_SERVER => Some(match server {
            Some(server) => format!("the broker asks for another server for now: {server}"),
            None => "the broker asks for another server for now".into(),
        }),
        ReasonCode::BAD_AUTHENTICATION_METHOD => {
            Some(ConnectionLost::WantsAuthentication.to_string())
        }
        ReasonCode::RETAIN_NOT_SUPPORTED => Some(NO_RETAINED_MESSAGES.into()),
        ReasonCode::QOS_NOT_SUPPORTED => Some(NO_QOS_1.into()),
        _ => None,
    }
}

/// The broker announces Retain Available 0, or refuses retained messages.
pub const NO_RETAINED_MESSAGES: &str = "it keeps no retained messages (Retain Available 0), and the \
     gateway's states need them: switch them on at the broker, or use another one";
/// The broker announces Maximum QoS 0, or refuses QoS 1.
pub const NO_QOS_1: &str = "it takes only QoS 0 (Maximum QoS 0), and the gateway needs QoS 1: allow it \
     at the broker, or use another one";
/// The broker announces Wildcard Subscription Available 0.
pub const NO_WILDCARDS: &str = "it allows no wildcards in subscriptions (Wildcard Subscription \
     Available 0), and the gateway needs them for commands: allow them at the broker, or use another one";
/// Every message ends the connection.
pub const TAKES_NO_MESSAGE: &str = "it ends the connection at every message of the gateway, from \
     gateway/availability on: check its access rules and limits for this user";

#[cfg(test)]
mod tests {
    use super::*;

    fn disconnected(reason: u8) -> ConnectionLost {
        ConnectionLost::Disconnected {
            reason: ReasonCode(reason),
            server: None,
            words: BrokerWords::default(),
        }
    }

    #[test]
    fn an_end_blames_a_message_unless_it_says_otherwise() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let unreachable = io::Error::from(io::ErrorKind::HostUnreachable);
        for (lost, blame) in [
            (disconnected(0x95), Blame::OneOfThem),
            (disconnected(0x87), Blame::OneOfThem),
            (disconnected(0x00), Blame::Perhaps),
            // A quota says nothing of one message.
            (disconnected(0x97), Blame::Perhaps),
            (disconnected(0x80), Blame::Perhaps),
            (disconnected(0xC3), Blame::Perhaps),
            (disconnected(0x8B), Blame::NoMessage),
            (disconnected(0x8E), Blame::NoMessage),
            (disconnected(0x9D), Blame::NoMessage),
            (disconnected(0x9A), Blame::NoMessage),
            (ConnectionLost::Closed, Blame::Perhaps),
            (reset.into(), Blame::Perhaps),
            (unreachable.into(), Blame::NoMessage),
            (ConnectionLost::Silent, Blame::NoMessage),
            (ConnectionLost::PublishTimeout, Blame::NoMessage),
        ] {
            assert_eq!(lost.blame(), blame, "{lost}");
        }
    }

    /// Every reason that MQTT 5 has (section 2.4) for the end of a connection, and one of a broker's own: what the
    /// gateway does then. `F`: it tries again once a minute, since only a change at the broker or in the configuration
    /// helps. `M`: it looks for the message or filter that is why. `m`: the same, if it happens again and again.
    /// `s`: it sends more slowly. `-`: it connects again, after a wait that grows.
    #[test]
    fn what_follows_from_each_reason_in_disconnect_and_connack() {
        let all = [
            (0x00, "m"),
            (0x04, "m"),
            (0x80, "m"),
            (0x81, "M"),
            (0x82, "M"),
            (0x83, "m"),
            (0x84, "F"),
            (0x85, "-"),
            (0x86, "-"),
            (0x87, "M"),
            (0x88, "-"),
            (0x89, "s"),
            (0x8A, "-"),
            (0x8B, "-"),
            (0x8C, "F"),
            (0x8D, "-"),
            (0x8E, "-"),
            (0x8F, "-"),
            (0x90, "M"),
            (0x91, "m"),
            (0x92, "m"),
            (0x93, "s"),
            (0x94, "M"),
            (0x95, "M"),
            (0x96, "s"),
            (0x97, "ms"),
            (0x98, "-"),
            (0x99, "M"),
            (0x9A, "F"),
            (0x9B, "F"),
            (0x9C, "-"),
            (0x9D, "F"),
            (0x9E, "-"),
            (0x9F, "-"),
            (0xA0, "-"),
            (0xA1, "-"),
            (0xA2, "-"),
            (0xC3, "m"),
        ];
        for (code, wanted) in all {
            let lost = disconnected(code);
            let follows = [
                (lost.is_final(), "F"),
                (lost.blame() == Blame::OneOfThem, "M"),
                (lost.blame() == Blame::Perhaps, "m"),
                (ReasonCode(code).is_rate(), "s"),
            ];
            let follows: String = (follows.iter())
                .filter_map(|(follows, sign)| follows.then_some(*sign))
                .collect();
            let follows = if follows.is_empty() { "-" } else { &*follows };
            assert_eq!(follows, wanted, "{lost}");
            // Either way a person learns why, and CONNACK is final where DISCONNECT is.
            let refused = ConnectionLost::Refused {
                reason: ReasonCode(code),
                server: None,
                words: BrokerWords::default(),
            };
            assert_eq!(refused.is_final(), lost.is_final(), "{refused}");
            assert_eq!(refused.blame(), Blame::NoMessage, "{refused}");
            for told in [lost.to_string(), refused.to_string()] {
                let has_reason = ReasonCode(code).to_string();
                let is_common = !told.contains("ended the connection")
                    && !told.contains("refuses the connection");
                assert!(
                    code == 0 || is_common || told.contains(&has_reason),
                    "{told}"
                );
            }
        }
    }

    /// A reason that the broker gave is not overruled by a guess.
    #[test]
    fn another_client_is_blamed_only_if_the_broker_names_it_or_nothing() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let unreachable = io::Error::from(io::ErrorKind::HostUnreachable);
        for (lost, can_mean) in [
            (ConnectionLost::Closed, true),
            (reset.into(), true),
            (disconnected(0x00), true),
            (disconnected(0x80), true),
            (disconnected(0x8E), true),
            (unreachable.into(), false),
            (disconnected(0x82), false),
            (disconnected(0x87), false),
            (disconnected(0x97), false),
            (disconnected(0xA0), false),
            (disconnected(0xC3), false),
            (ConnectionLost::Silent, false),
            (ConnectionLost::PublishTimeout, false),
            (MalformedPacket::PacketIdZero.into(), false),
        ] {
            assert_eq!(lost.can_mean_client_id(), can_mean, "{lost}");
        }
    }

    #[test]
    fn a_brokers_own_words_stand_behind_the_reason() {
        let refused = |words: &str| ConnectionLost::Refused {
            reason: ReasonCode::NOT_AUTHORIZED,
            server: None,
            words: BrokerWords::new(Some(words)),
        };
        let lost = refused("suspended");
        let told = lost.to_string();
        assert!(told.ends_with(": \"suspended\""), "{told}");
        assert!(told.contains("not authorized"), "{told}");
        assert_eq!(lost.without_words(), refused("since 9:00").without_words());
    }
}
