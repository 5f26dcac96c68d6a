//! Random packets: nothing panics, what the rules let through is understood by the library, and
//! what is corrected is a whole packet.

use mqtt5::packet::{FixedHeader, Packet, PacketType};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::connect_rules::check_connect;
use super::corrections::{Correction, correct};
use super::frames::{Frame, kind, packet};
use super::message::MessageHead;
use super::rules::{check_filter, check_packet};
use super::subscriptions::FilterRequest;

/// What packets are made of.
const PIECES: &[&[u8]] = &[
    &[0],
    &[0, 0],
    &[0, 1],
    &[0, 9],
    &[1],
    &[2],
    &[0x80],
    &[0xFF, 0xFF],
    &[0, 1, b't'],
    &[0, 3, b'a', b'/', b'b'],
    &[0, 3, b'a', b'/', b'#'],
    &[
        0, 10, b'$', b's', b'h', b'a', b'r', b'e', b'/', b'g', b'/', b'x',
    ],
    &[0, 2, 0xC3, 0xA4],
    &[0, 1, 0],
    &[2, 0x01, 1],
    &[3, 0x23, 0, 1],
    &[2, 0x0B, 1],
    &[5, 0x02, 0, 0, 0, 9],
    &[5, 0x11, 0, 0, 0, 9],
    &[7, 0x26, 0, 1, b'k', 0, 1, b'v'],
    &[4, 0x08, 0, 1, b'r'],
    &[4, 0x1F, 0, 1, b'r'],
    &[0, 4, b'M', b'Q', b'T', b'T', 4, 0b10, 0, 60],
    &[0, 4, b'M', b'Q', b'T', b'T', 5, 0b110, 0, 60],
    &[0, 4, b'M', b'Q', b'T', b'T', 5, 0b1100_0000, 0, 60],
    b"payload",
];

fn a_packet() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        9 => select(PIECES).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..5),
    ];
    let flags = prop_oneof![4 => Just(None), 1 => (0_u8..16).prop_map(Some)];
    (0_u8..16, flags, vec(piece, 0..7)).prop_map(|(kind, flags, pieces)| {
        let usual = match kind {
            kind::PUBREL | kind::SUBSCRIBE | kind::UNSUBSCRIBE | kind::PUBLISH => 2,
            _ => 0,
        };
        packet(kind, flags.unwrap_or(usual), &pieces.concat())
    })
}

/// Whether the library understands a packet.
fn is_understood(version: u8, frame: &Frame, bytes: &[u8]) -> bool {
    let Some(packet_type) = PacketType::from_u8(frame.kind) else {
        return false;
    };
    let header = FixedHeader::new(packet_type, frame.flags, frame.body as u32);
    let mut body = bytes::BytesMut::from(frame.body_in(bytes));
    Packet::decode_from_body_with_version(packet_type, &header, &mut body, version).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5000))]

    #[test]
    fn what_the_rules_let_through_is_understood(bytes in a_packet(), is_mqtt_5: bool) {
        let frame = Frame::at(&bytes).unwrap().unwrap();
        let version = if is_mqtt_5 { 5 } else { 4 };
        // A topic alias does not reach the library: `inbound` puts the topic in its place.
        let head = MessageHead::parse(&frame, &bytes, is_mqtt_5);
        let has_alias = frame.kind == kind::PUBLISH && head.is_ok_and(|head| head.topic_alias.is_some());
        if check_packet(is_mqtt_5, &frame, frame.body_in(&bytes)).is_ok() && !has_alias {
            prop_assert!(is_understood(version, &frame, &bytes), "{bytes:02x?}");
        }
        if frame.kind == kind::CONNECT && frame.flags == 0 {
            let body = frame.body_in(&bytes);
            let flags = match body {
                // Other names and versions are refused before.
                [0, 4, b'M', b'Q', b'T', b'T', 4 | 5, flags, ..] => *flags,
                _ => return Ok(()),
            };
            // `connect` adds a user for the library where there is a password alone.
            if check_connect(body).is_ok() && flags & 0xC0 != 0x40 {
                prop_assert!(is_understood(5, &frame, &bytes), "{bytes:02x?}");
            }
        }
        if let Ok(request) = FilterRequest::parse(&frame, &bytes, is_mqtt_5) {
            for filter in request.filters {
                let _ = check_filter(filter.text);
            }
        }
    }

    #[test]
    fn a_corrected_packet_is_a_whole_one(bytes in a_packet(), is_mqtt_5: bool, maximum in 2_u32..40) {
        let frame = Frame::at(&bytes).unwrap().unwrap();
        if let Some(Correction::Replace { replaced, with }) = correct(is_mqtt_5, Some(maximum), &frame, &bytes) {
            let corrected = [&with, &bytes[replaced..]].concat();
            let corrected_frame = Frame::at(&corrected).unwrap().unwrap();
            prop_assert_eq!(corrected_frame.length(), corrected.len());
            prop_assert_eq!((corrected_frame.kind, corrected_frame.flags), (frame.kind, frame.flags));
        }
    }
}
