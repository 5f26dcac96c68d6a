//! The stream of one client, without the library.

use std::future::poll_fn;
use std::sync::Arc;
use tokio::net::TcpListener;

use super::*;
use crate::broker::answers::Answers;
use crate::broker::authentication::Login;
use crate::broker::client::{BrokerClient, ClientsShare};
use crate::broker::client_owner::ClientOwner;
use crate::broker::frames::packet;
use crate::broker::limits::{REFUSAL_PAUSE, REFUSALS_AT_ONCE};
use crate::broker::replays::Replays;

/// The stream of a client without a user that has sent these bytes and nothing else.
async fn stream(sent: &[u8]) -> (InspectedStream, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let other_end = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (socket, peer) = listener.accept().await.unwrap();
    let shared = ClientsShare::without_users();
    let owner = ClientOwner::address(peer.ip());
    let (replays, _) = Replays::new(shared.clone(), "client".into(), true);
    let client = BrokerClient::new("client".into(), owner, Login::Anyone, shared.clone());
    let inspection = Inspection {
        inbound: InboundPackets::new(Arc::new(client), Answers::new(5, true, None), replays),
        outbound: Outbound {
            is_mqtt_5: true,
            maximum_packet_size: None,
            assigned_client_id: None,
        },
        pace: ClientPace::new(&shared, None),
        large_packet: LargePacket::new(shared.large_packets.clone()),
        refusals: RefusalThrottle::new(Arc::default()),
        keep_alive: KeepAlive::default(),
    };
    let kind = PeerKind::Client(Box::new(inspection));
    let stream = InspectedStream::new(socket, peer, sent.into(), 0, kind);
    (stream, other_end)
}

/// Polls the stream once in a turn of its own; how many bytes it took of the client's.
async fn taken_in_one_turn(stream: &mut InspectedStream) -> usize {
    tokio::task::yield_now().await;
    poll_fn(|cx| {
        let (before, mut buffer) = (stream.received.len(), [0; 64]);
        let mut buffer = ReadBuf::new(&mut buffer);
        let polled = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
        assert!(polled.is_pending(), "nothing is for the library");
        Poll::Ready(before - stream.received.len())
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn others_run_while_a_client_sends_what_is_refused_and_then_it_waits() {
    let refused = packet(kind::PUBLISH, 0, &[0, 2, b'$', b'x', 0]);
    let (mut stream, _other_end) = stream(&refused.repeat(1000)).await;
    let (mut turns, mut packets) = (0, 0);
    while packets <= REFUSALS_AT_ONCE as usize {
        let taken = taken_in_one_turn(&mut stream).await / refused.len();
        assert!((1..=16).contains(&taken), "{taken} packets in turn {turns}");
        packets += taken;
        turns += 1;
    }
    assert_eq!(taken_in_one_turn(&mut stream).await, 0);
    tokio::time::advance(REFUSAL_PAUSE).await;
    assert_eq!(taken_in_one_turn(&mut stream).await, refused.len());
}
