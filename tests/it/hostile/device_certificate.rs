//! The certificate that a device shows: only the right one is accepted, and the
//! problem names its fingerprint in one short line.

use bytes::Bytes;
use poly2mqtt::catalogue::{Call, TimeLimit};
use poly2mqtt::device::RequestError;

use super::device_server::{Behaviour, GOOD, RUNTIME, certificate, device, server};

const PINNED: &str = "certificate = \"sha256:\
    9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"";

/// The first byte says what is trusted; the rest is the certificate, or replaces a part of a good
/// one where the first byte's highest bit is set.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let trusted = [
        PINNED,
        "",
        "certificate = \"system\"",
        "certificate = \"insecure\"",
    ];
    let trusted = trusted[usize::from(first % 4)];
    let shown = match (first & 0x80 != 0, rest.split_first()) {
        (true, Some((at, part))) => {
            let mut whole = certificate().to_vec();
            let at = usize::from(*at) * 2 % whole.len();
            let end = (at + part.len()).min(whole.len());
            whole[at..end].copy_from_slice(&part[..end - at]);
            whole
        }
        _ => rest.to_vec(),
    };
    let read = Call::parse("audio/volume/get", &Bytes::new(), &mut None).unwrap();
    let request = read.request(0).unwrap();
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (port, server) = server(Behaviour {
                certificate: shown,
                answer: GOOD.to_vec(),
            })
            .await;
            let device = device(port, trusted);
            let answer = device
                .send(&request, 4096, device.deadline(TimeLimit::Ordinary))
                .await;
            match answer {
                Ok(_) => assert!(trusted.contains("insecure"), "{trusted}: it was trusted"),
                Err(RequestError::Problem(problem)) => {
                    assert!(problem.message.len() < 600, "{}", problem.message.len());
                    assert!(!problem.message.contains(char::is_control), "{problem:?}");
                }
                Err(other) => panic!("{other:?}"),
            }
            server.abort();
        });
    });
}
