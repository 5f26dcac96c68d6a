//! From a new connection to a client that has logged in: reads its CONNECT within bounds, checks
//! the password, and names the client's place.
//!
//! Until then a connection has a few KiB of memory and a few seconds. Refusals are answered here;
//! the library never sees them.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::answers::{Answers, Denial};
use super::authentication::{BrokerPasswords, Login};
use super::client::{BrokerClient, ClientsShare};
use super::client_owner::ClientOwner;
use super::client_quotas::{ClientQuotas, ConnectedClient};
use super::connect::{Connect, NoConnect, read_connect};
use super::gateway_retained::GatewayConnectionNumber;
use super::gateway_stream::GatewayStream;
use super::inbound::InboundPackets;
use super::keep_alive::KeepAlive;
use super::large_packet::LargePacket;
use super::limits::{CONNECT_TIMEOUT, LINGER_LIMITS};
use super::outbound::Outbound;
use super::pace::ClientPace;
use super::property_size::PropertySize;
use super::refusals::RefusalThrottle;
use super::replays::{Replayer, Replays};
use super::retained::ReservedWill;
use super::rights::PublishAttempt;
use super::stream::{InspectedStream, Inspection, PeerKind};
use crate::command::DoorKind;
use crate::guesses::{Attempt, Guesses, Verdict};
use crate::net::linger;
use crate::network::Network;
use crate::secret::{NoRandomNumbers, random_bytes};
use crate::telemetry::FloodKind;

const WRONG_PASSWORD: Denial = Denial::new(
    ReasonCode::BadUsernameOrPassword,
    "the user or the password is wrong",
);
const TOO_MANY_GUESSES: Denial = Denial::new(
    ReasonCode::ConnectionRateExceeded,
    "too many wrong passwords came from this address",
);
const NO_CLIENT_ID: Denial = Denial::new(
    ReasonCode::ClientIdentifierNotValid,
    "a session that is kept needs a client id",
);
const NO_ENHANCED_AUTHENTICATION: Denial = Denial::new(
    ReasonCode::BadAuthenticationMethod,
    "the broker knows passwords only",
);

/// Lets clients in.
#[derive(Debug)]
pub struct Gate {
    pub guesses: Arc<Guesses>,
    pub passwords: BrokerPasswords,
    pub shared: Arc<ClientsShare>,
    pub quotas: Arc<ClientQuotas>,
}

/// A client that may be handed to the library.
pub struct AdmittedClient {
    pub client: Arc<BrokerClient>,
    pub stream: InspectedStream,
    /// Sends what is retained; none for the gateway.
    pub replayer: Option<Replayer>,
    /// Which connection of the gateway it is; none for others.
    pub gateway_number: Option<GatewayConnectionNumber>,
    pub connected: ConnectedClient,
    /// The room for its will.
    pub will: Option<ReservedWill>,
}

impl Gate {
    /// Lets a new connection in, or answers why not.
    pub async fn admit(&self, mut socket: TcpStream, peer: SocketAddr) -> Option<AdmittedClient> {
        let Ok(read) = timeout(CONNECT_TIMEOUT, read_connect(&mut socket)).await else {
            return None;
        };
        let prepared = match read {
            Ok(connect) => self.prepare(connect, peer).await,
            Err(error) => Err(error),
        };
        match prepared {
            Ok(prepared) => Some(prepared.connected(socket, peer)),
            Err(NoConnect::Refused(answer)) => {
                refuse(socket, &answer).await;
                None
            }
            Err(NoConnect::UnsupportedProtocol(unsupported)) => {
                let kind = FloodKind::WrongProtocol;
                let (telemetry, network) = (&self.shared.telemetry, Network::of(peer.ip()));
                telemetry.flood(DoorKind::Mqtt, kind, network, &unsupported.why);
                refuse(socket, &unsupported.answer).await;
                None
            }
            Err(NoConnect::Gone) => None,
        }
    }

    async fn prepare(&self, mut connect: Connect, peer: SocketAddr) -> Result<Prepared, NoConnect> {
        let answers = connect.answers();
        let refuse = |denial: Denial| {
            self.shared.denied(&denial);
            NoConnect::Refused(answers.connack(&denial))
        };
        let packet = &connect.packet;
        let login = self.login(packet, peer).await.map_err(refuse)?;
        check(&connect, answers).map_err(refuse)?;
        let assigned = if packet.client_id.is_empty() {
            Some(random_client_id().map_err(|_| NoConnect::Gone)?)
        } else {
            None
        };
        let client_id = assigned.as_deref().unwrap_or(&packet.client_id);
        let place = self.shared.places.name(&login, client_id);
        let owner = match &login {
            Login::Gateway => ClientOwner::Gateway,
            Login::User(name) => ClientOwner::User(name.clone()),
            Login::Anyone => ClientOwner::address(peer.ip()),
        };
        let rest = connect.rest.len();
        let client = Arc::new(BrokerClient::new(place, owner, login, self.shared.clone()));
        let connected = self.quotas.arrive(&client.owner).map_err(refuse)?;
        let will = check_will(&client, packet).map_err(refuse)?;
        let mut gateway_number = None;
        let (peer_kind, replayer) = if client.is_gateway() {
            let retained = &self.shared.gateway_retained;
            let number = retained.connect(connect.packet.will.as_mut());
            gateway_number = Some(number);
            let stream = GatewayStream::connect(&self.shared, number);
            (PeerKind::Gateway(stream), None)
        } else {
            let (shared, place) = (self.shared.clone(), client.place.clone());
            let (replays, replayer) = Replays::new(shared, place, answers.is_mqtt_5());
            let inspection = Inspection {
                inbound: InboundPackets::new(client.clone(), answers, replays),
                pace: ClientPace::new(&self.shared, packet.properties.get_receive_maximum()),
                large_packet: LargePacket::new(self.shared.large_packets.clone()),
                refusals: RefusalThrottle::new(self.shared.telemetry.clone()),
                keep_alive: KeepAlive::default(),
                outbound: Outbound {
                    is_mqtt_5: answers.is_mqtt_5(),
                    maximum_packet_size: packet.properties.get_maximum_packet_size(),
                    assigned_client_id: assigned.filter(|_| answers.is_mqtt_5()),
                },
            };
            (PeerKind::Client(Box::new(inspection)), Some(replayer))
        };
        let received = connect.for_library(client.place.clone())?;
        Ok(Prepared {
            connect_length: received.len() - rest,
            client,
            received,
            connected,
            will,
            peer_kind,
            replayer,
            gateway_number,
        })
    }
}

impl Gate {
    /// Checks user and password. A wrong one is answered late, and counts at all doors.
    async fn login(&self, packet: &ConnectPacket, peer: SocketAddr) -> Result<Login, Denial> {
        let user = packet.username.as_deref();
        let password = packet.password.as_deref();
        let login = self.passwords.login(user, password);
        if matches!(login, Some(Login::Anyone | Login::Gateway)) {
            // The gateway's password is made by the gateway: nobody guesses it, and no penalty of
            // an address may keep the gateway out.
            return login.ok_or(WRONG_PASSWORD);
        }
        let attempt = Attempt {
            door: DoorKind::Mqtt,
            address: peer.ip(),
            user: user.unwrap_or_default(),
            client: &packet.client_id,
            secret: password.unwrap_or_default(),
            right: login.is_some(),
        };
        match self.guesses.check(&attempt) {
            Verdict::Admit => login.ok_or(WRONG_PASSWORD),
            Verdict::Wrong(delay) => {
                delay.over().await;
                Err(WRONG_PASSWORD)
            }
            Verdict::TooOften { .. } => Err(TOO_MANY_GUESSES),
        }
    }
}

/// Answers a client that is not let in, and ends the connection.
async fn refuse(mut socket: TcpStream, answer: &[u8]) {
    // A client that does not take it has gone.
    let written = timeout(CONNECT_TIMEOUT, socket.write_all(answer)).await;
    if matches!(written, Ok(Ok(()))) {
        linger(socket, LINGER_LIMITS).await;
    }
}

/// A client that may be let in.
struct Prepared {
    client: Arc<BrokerClient>,
    /// Its CONNECT, as the library is to see it, and what came after it.
    received: BytesMut,
    connect_length: usize,
    connected: ConnectedClient,
    will: Option<ReservedWill>,
    peer_kind: PeerKind,
    replayer: Option<Replayer>,
    gateway_number: Option<GatewayConnectionNumber>,
}

impl Prepared {
    fn connected(self, socket: TcpStream, peer: SocketAddr) -> AdmittedClient {
        let (received, length) = (self.received, self.connect_length);
        AdmittedClient {
            client: self.client,
            stream: InspectedStream::new(socket, peer, received, length, self.peer_kind),
            replayer: self.replayer,
            gateway_number: self.gateway_number,
            connected: self.connected,
            will: self.will,
        }
    }
}

/// What a CONNECT must not ask for.
fn check(connect: &Connect, answers: Answers) -> Result<(), Denial> {
    let packet = &connect.packet;
    if packet.client_id.is_empty() && !answers.is_mqtt_5() && !packet.clean_start {
        return Err(NO_CLIENT_ID);
    }
    if packet.properties.get_authentication_method().is_some() {
        return Err(NO_ENHANCED_AUTHENTICATION);
    }
    Ok(())
}

/// Whether the will may be published. Its QoS 2 and size are the library's to check. Gives the room that it
/// takes if it is to be retained.
fn check_will(
    client: &BrokerClient,
    packet: &ConnectPacket,
) -> Result<Option<ReservedWill>, Denial> {
    let Some(will) = &packet.will else {
        return Ok(None);
    };
    let attempt = PublishAttempt {
        topic: &will.topic,
        retain: will.retain,
        empty: will.payload.is_empty(),
        response: will.properties.response_topic.as_deref(),
        will: true,
    };
    client.publish(&attempt)?;
    PropertySize::of_will(&will.properties).check()?;
    client.retain_will(will)
}

/// A client id for a client that has none.
fn random_client_id() -> Result<String, NoRandomNumbers> {
    let bytes = random_bytes()?;
    Ok(format!("auto-{:032x}", u128::from_be_bytes(bytes)))
}
