//! How the connection to the broker is set up: the settings, time-outs and limits, the CONNECT packet, TLS.
//!
//! Knows the configuration's meaning, not its file.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    Connect, ConnectProperties, LastWill, LastWillProperties, Login, Packet,
};
use secrecy::{ExposeSecret, SecretString};

use super::mark::Mark;
use super::redelivery::RECEIVE_MAXIMUM;
use super::shared::SharedRooms;
use crate::config::{Fingerprint, host_port};
use crate::gateway_id::GatewayId;
use crate::net::{ClientTls, ClientTlsSettings, Handshakes, ServerWords};
use crate::topics::{DiscoveryTopics, GATEWAY_AVAILABILITY, MemberTopics, OFFLINE, Prefix};

/// From the look-up of the broker's name to its CONNACK. A broker takes milliseconds; a busy one
/// with TLS over a slow line takes seconds.
pub const BROKER_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From SUBSCRIBE to its SUBACK. A broker answers at once; the time is that of CONNACK.
pub const SUBACK_TIMEOUT: Duration = BROKER_CONNECT_TIMEOUT;
/// From the last byte of a publish to its PUBACK, if the broker does not take bytes meanwhile. Long
/// enough for what system and network hold back on a slow line.
pub const PUBACK_TIMEOUT: Duration = Duration::from_secs(30);
/// How many messages a client of Mosquitto may have in flight at first (its `max_inflight_messages`).
pub const MOSQUITTO_WINDOW: u16 = 20;
/// How long the broker waits before it publishes the will. A connection that is back by then, with its
/// session, was never `offline` to anybody.
const WILL_DELAY: Duration = Duration::from_secs(5);
/// The broker does not send larger packets than this, or than `mqtt.max_payload` asks for. Far above the default of
/// that, so that a payload that is too large gets its answer instead of being dropped by the broker.
const LARGEST_PACKET: u32 = 64 << 20;
/// What a packet may have beside the largest payload: topic and properties.
const PACKET_OVERHEAD: u32 = 64 << 10;

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerAddress {
    /// Without TLS.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// With TLS.
    Tls {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
    },
}

/// The settings of the door.
#[derive(Debug, Clone)]
pub struct MqttSettings {
    /// Where the broker is.
    pub broker: BrokerAddress,
    /// The user, where the broker wants one.
    pub username: Option<String>,
    /// The user's password.
    pub password: Option<SecretString>,
    /// The same at every start, so that the broker keeps the session.
    pub client_id: String,
    /// The gateway's id, the same at every start: by it the gateway knows its own messages.
    pub gateway_id: GatewayId,
    /// Retained messages carry the id. The embedded broker holds nothing of earlier runs, and lets
    /// no other gateway in, so there it would only cost memory.
    pub marks_messages: bool,
    /// The broker's certificate; without it, an authority must have signed that.
    pub certificate: Option<Fingerprint>,
    /// The authority that signed the broker's certificate, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The gateway's certificate.
    pub client_cert_file: Option<PathBuf>,
    /// Its key.
    pub client_key_file: Option<PathBuf>,
    /// The protocols that TLS asks for (ALPN), where the broker shares its port.
    pub alpn: Vec<String>,
    /// The prefix of every topic.
    pub prefix: Prefix,
    /// Home Assistant's topics, where no result may be published.
    pub discovery: DiscoveryTopics,
    /// How long the broker keeps the session; zero for not at all.
    pub session_expiry: Duration,
    /// The largest payload taken or published.
    pub max_payload: usize,
    /// How often an idle connection is tested; at least 5 s.
    pub keep_alive: Duration,
    /// Whether the broker publishes `offline` when the connection breaks.
    pub has_will: bool,
    /// How long the broker waits before it publishes that, as far as it keeps the session.
    pub will_delay: Duration,
    /// The rooms that several gateways share; without it this gateway has every room.
    pub shared: Option<Arc<SharedRooms>>,
    /// The door connects when this is true for the first time; at once without it. Until a gateway is a member of its
    /// cluster, another one may be that has its name, and so its client id.
    pub may_connect: Option<watch::Receiver<bool>>,
}

impl MqttSettings {
    /// The settings for this broker: no log-in, no certificates, no prefix; the rest are the
    /// defaults of the configuration.
    pub fn new(broker: BrokerAddress) -> Self {
        Self {
            broker,
            username: None,
            password: None,
            client_id: "poly2mqtt".into(),
            gateway_id: GatewayId::of_client("poly2mqtt"),
            marks_messages: true,
            certificate: None,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            alpn: Vec::new(),
            prefix: Prefix::default(),
            discovery: DiscoveryTopics::default(),
            session_expiry: Duration::from_secs(10),
            max_payload: 10 << 20,
            keep_alive: Duration::from_secs(30),
            has_will: true,
            will_delay: WILL_DELAY,
            shared: None,
            may_connect: None,
        }
    }

    /// Settings of one of several gateways that share their rooms. `cluster` is the same for all of them, and
    /// of no other gateways at this broker. Each is a client of its own, and all of them have one mark, so that a
    /// room's next owner knows what an earlier one has left. A dead gateway's session would only fill the broker.
    #[must_use]
    pub fn sharing(self, cluster: &str, shared: Arc<SharedRooms>) -> Self {
        Self {
            client_id: member_client_id(cluster, shared.name()),
            gateway_id: GatewayId::of_client(cluster),
            session_expiry: Duration::ZERO,
            shared: Some(shared),
            ..self
        }
    }

    /// Settings of the command line at the machine of one of several gateways. Its client id has this name, so that
    /// two machines do not end each other's connections.
    #[must_use]
    pub fn beside_member(self, cluster: &str, name: &str) -> Self {
        Self {
            client_id: member_client_id(cluster, &format!("{name}.cli")),
            ..self
        }
    }

    /// Where the broker has a topic of this gateway. What is about one of several gateways is below its name.
    pub(super) fn at_broker(&self, topic: &str) -> String {
        let own = self.shared.as_ref();
        match own.and_then(|shared| MemberTopics::new(shared.name()).of(topic)) {
            Some(topic) => self.prefix.add(&topic),
            None => self.prefix.add(topic),
        }
    }

    /// The largest packet that is taken from the broker (the gateway's Maximum Packet Size), in bytes.
    pub(super) fn largest_packet(&self) -> u32 {
        let payload = u32::try_from(self.max_payload).unwrap_or(u32::MAX);
        LARGEST_PACKET.max(payload.saturating_add(PACKET_OVERHEAD))
    }

    /// `host:port`, for messages.
    pub fn address(&self) -> String {
        let (BrokerAddress::Tcp { host, port } | BrokerAddress::Tls { host, port }) = &self.broker;
        host_port(host, *port)
    }
}

/// The client id of one of several gateways. No id of a cluster contains `::`, and no name `:` or `.`, so no two
/// clients of any clusters have the same.
fn member_client_id(cluster: &str, name: &str) -> String {
    format!("{cluster}::{name}")
}

/// The client id of the connection that all gateways of a cluster have in common.
pub(super) fn presence_client_id(cluster: &str) -> String {
    member_client_id(cluster, ".presence")
}

/// How the gateway introduces itself to the broker, with the will. MQTT 5 section 3.1.
pub(super) fn connect_packet(settings: &MqttSettings) -> Packet {
    let expiry = u32::try_from(settings.session_expiry.as_secs()).unwrap_or(u32::MAX);
    let connect = Connect {
        client_id: settings.client_id.clone(),
        keep_alive: u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX),
        clean_start: expiry == 0,
        properties: Some(ConnectProperties {
            session_expiry_interval: Some(expiry),
            max_packet_size: Some(settings.largest_packet()),
            // What the broker repeats after a lost connection is recognised among so many.
            receive_maximum: Some(RECEIVE_MAXIMUM),
            ..ConnectProperties::new()
        }),
    };
    // With the session the will goes out at the latest, MQTT 5 section 3.1.3.2.2.
    let delay =
        u32::try_from(settings.will_delay.as_secs()).map_or(expiry, |delay| delay.min(expiry));
    let will = LastWill::new(
        settings.at_broker(GATEWAY_AVAILABILITY),
        OFFLINE,
        QoS::AtLeastOnce,
        true,
        Some(LastWillProperties {
            delay_interval: (delay > 0).then_some(delay),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Mark::own(settings),
        }),
    );
    let login = settings.username.as_ref().map(|username| {
        let password = settings.password.as_ref().map(ExposeSecret::expose_secret);
        Login::new(username, password.unwrap_or_default())
    });
    Packet::Connect(connect, settings.has_will.then_some(will), login)
}

static BROKER_WORDS: ServerWords = ServerWords {
    server: "the broker",
    address_key: "the url",
    pin_key: Some("mqtt.certificate"),
    authorities_key: "mqtt.ca_file",
    port_hint: "mqtts:// needs the broker's TLS port, usually 8883",
    client_certificate_hint: "see mqtt.client_cert_file and mqtt.client_key_file",
    tls_hint: "let the broker offer",
    alpn_hint: "see mqtt.alpn",
};

/// TLS, where the broker's address asks for it.
///
/// # Errors
/// Certificate files that cannot be used.
pub(super) fn client_tls(settings: &MqttSettings) -> Result<Option<ClientTls>, String> {
    let BrokerAddress::Tls { .. } = settings.broker else {
        return Ok(None);
    };
    let certificate = settings.client_cert_file.clone();
    let settings = ClientTlsSettings {
        pinned: settings.certificate,
        authorities: settings.ca_file.clone(),
        identity: certificate.zip(settings.client_key_file.clone()),
        alpn: settings.alpn.clone(),
    };
    ClientTls::new(settings, &BROKER_WORDS).map(Some)
}

/// Why an open connection broke, if that was TLS.
pub(super) fn tls_failure(error: &io::Error) -> Option<String> {
    // What a handshake noted is not known any more. The alerts that come this late name the cause.
    crate::net::tls_failure(error, &Handshakes::default(), &BROKER_WORDS)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Settings for tests that do not connect.
    pub fn settings() -> MqttSettings {
        MqttSettings::new(BrokerAddress::Tcp {
            host: "broker.invalid".into(),
            port: 1883,
        })
    }

    proptest::proptest! {
        #[test]
        fn no_two_gateways_of_any_clusters_have_the_same_client_id(
            one in "[ab.-]{1,2}(:[ab.-]{1,2}){0,2}",
            other in "[ab.-]{1,2}(:[ab.-]{1,2}){0,2}",
            name in "[ab_-]{1,3}|presence",
            other_name in "[ab_-]{1,3}|presence",
        ) {
            let is_same = one == other && name == other_name;
            let (first, second) = (member_client_id(&one, &name), member_client_id(&other, &other_name));
            proptest::prop_assert_eq!(is_same, first == second);
            proptest::prop_assert_eq!(one == other, presence_client_id(&one) == presence_client_id(&other));
            proptest::prop_assert_ne!(presence_client_id(&one), second);
        }
    }

    #[test]
    fn the_largest_payload_fits_into_the_largest_packet() {
        for max_payload in [64 << 10, 10 << 20, 64 << 20, 256 << 20, usize::MAX] {
            let settings = MqttSettings {
                max_payload,
                ..settings()
            };
            let largest = settings.largest_packet();
            assert!(largest == u32::MAX || largest as usize > max_payload);
            assert!(largest >= LARGEST_PACKET);
            let Packet::Connect(connect, ..) = connect_packet(&settings) else {
                panic!("no CONNECT");
            };
            let announced = connect.properties.unwrap().max_packet_size;
            assert_eq!(announced, Some(largest));
        }
    }

    #[test]
    fn the_gateway_introduces_itself_with_its_will() {
        let settings = MqttSettings {
            username: Some("gateway".into()),
            password: Some("secret".to_owned().into()),
            prefix: Prefix::new("av"),
            ..settings()
        };
        let Packet::Connect(connect, Some(will), Some(login)) = connect_packet(&settings) else {
            panic!("not a CONNECT with will and login");
        };
        assert!(!connect.clean_start);
        assert_eq!(connect.keep_alive, 30);
        let properties = connect.properties.unwrap();
        assert_eq!(properties.session_expiry_interval, Some(10));
        assert_eq!(properties.receive_maximum, Some(64));
        assert_eq!(&will.topic[..], b"av/gateway/availability");
        assert_eq!((&will.message[..], will.retain), (&b"offline"[..], true));
        let mark = ("gateway".to_owned(), settings.gateway_id.to_string());
        let properties = will.properties.unwrap();
        assert_eq!(properties.user_properties, [mark]);
        assert_eq!(properties.delay_interval, Some(5));
        assert_eq!((&*login.username, &*login.password), ("gateway", "secret"));
        // Without a session expiry, the broker forgets the session at once.
        let forgotten = MqttSettings {
            session_expiry: Duration::ZERO,
            ..settings
        };
        assert!(matches!(connect_packet(&forgotten), Packet::Connect(c, ..) if c.clean_start));
        for (seconds, delay) in [(0, None), (2, Some(2)), (5, Some(5)), (86_400, Some(5))] {
            let settings = MqttSettings {
                session_expiry: Duration::from_secs(seconds),
                ..forgotten.clone()
            };
            let Packet::Connect(_, Some(will), _) = connect_packet(&settings) else {
                panic!("no will");
            };
            assert_eq!(
                will.properties.unwrap().delay_interval,
                delay,
                "{seconds} s"
            );
        }
        let trial = MqttSettings {
            has_will: false,
            ..forgotten
        };
        assert!(matches!(
            connect_packet(&trial),
            Packet::Connect(_, None, _)
        ));
    }
}
