//! Entrances for the fuzz targets, and for the tests that run the same checks briefly. Nothing else calls them.

use std::sync::Arc;

use super::DoorContext;
use super::error::ConnectionLost;
use super::packets::{BrokerPacket, PacketReader};
use super::receive::Receiver;
use super::settings::MqttSettings;
use super::shared::messages::{DONE, MOVED, done, marker, read_done, read_marker};
use super::subscription::Subscription;
use crate::command::Submit;
use crate::state::StateStore;

/// Takes bytes as if a broker had sent them, without a connection. Returns how many packets they
/// held. For the fuzz targets `broker_packets` and, where the settings share rooms, `gateway_message`.
///
/// # Errors
/// As for a connection: the bytes are not MQTT 5, or hold a DISCONNECT.
pub fn receive_bytes(
    settings: MqttSettings,
    gateway: Arc<dyn Submit>,
    bytes: &[u8],
) -> Result<usize, ConnectionLost> {
    let context = Arc::new(DoorContext::new(
        settings,
        StateStore::new(),
        gateway,
        Arc::default(),
    ));
    let shared = context.settings.shared.clone();
    let largest_packet = context.settings.largest_packet();
    let mut receiver = Receiver::new(context);
    let mut subscription = Subscription::default();
    let mut packets = PacketReader::new(largest_packet);
    packets.arrived.extend_from_slice(bytes);
    let mut count = 0;
    while let Some(packet) = packets.next()? {
        count += 1;
        match packet {
            BrokerPacket::Publish(publish) => match &shared {
                Some(shared) => drop(receiver.shared_publish(shared, publish)),
                None => drop(receiver.publish(publish)),
            },
            BrokerPacket::SubAck(ack) => {
                receiver.suback(&ack, &mut subscription);
            }
            BrokerPacket::PubRel(id) => receiver.redeliveries.released(id),
            // Nothing was published that a PUBACK could be for.
            BrokerPacket::PubAck(_)
            | BrokerPacket::ConnAck(_)
            | BrokerPacket::PingResp
            | BrokerPacket::Other => {}
        }
    }
    Ok(count)
}

/// Reads a message between gateways, a marker or one that names finished commands, and writes it again; `None` if
/// it is none of this kind. For the fuzz target `gateway_message`.
pub fn rewrite_gateway_message(kind: &str, payload: &[u8]) -> Option<String> {
    match kind {
        MOVED => {
            let read = read_marker(payload)?;
            let rooms: Vec<Arc<str>> = read.rooms.into_iter().map(Arc::from).collect();
            Some(marker(read.arrival, read.revision, &rooms))
        }
        DONE => {
            let read = read_done(payload)?.into_iter();
            let commands: Vec<_> = read.map(|(room, id)| (Arc::from(room), id)).collect();
            Some(done(&commands))
        }
        _ => None,
    }
}
