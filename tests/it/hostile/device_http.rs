//! Any bytes in place of an HTTP response: the request ends with a response or an error within its
//! limits, and the next request works.

use bytes::Bytes;
use poly2mqtt::catalogue::{Call, TimeLimit};
use poly2mqtt::device::RequestError;

use super::device_server::{Behaviour, GOOD, RUNTIME, certificate, device, server};

/// More than this is no answer.
const LIMIT: usize = 4096;

/// The whole of it is what the device sends; then it ends the connection.
pub fn run(data: &[u8]) {
    // Not to be repeated, so that what comes is what these bytes led to.
    let dial = Call::parse("call/dial", &Bytes::from_static(b"a@b.c"), &mut None).unwrap();
    let request = dial.request(0).unwrap();
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (port, server) = server(Behaviour {
                certificate: certificate().to_vec(),
                answer: data.to_vec(),
            })
            .await;
            let device = device(port, "certificate = \"insecure\"");
            let deadline = device.deadline(TimeLimit::Ordinary);
            match device.send(&request, LIMIT, deadline).await {
                Ok(answer) => {
                    assert!((100..1000).contains(&answer.status), "{}", answer.status);
                    assert!(answer.body.len() <= LIMIT, "{}", answer.body.len());
                }
                Err(RequestError::TimedOut { .. }) => panic!("the device has hung up"),
                Err(RequestError::Problem(problem)) => {
                    assert!(problem.message.len() < 1500, "{}", problem.message.len());
                    assert!(!problem.message.contains(['\r', '\n']), "{problem:?}");
                }
                Err(_) => {}
            }
            // What it said of its session may have led to a new log-in, not to more.
            let again = device
                .send(&request, LIMIT, device.deadline(TimeLimit::Ordinary))
                .await;
            let body = GOOD.rsplit(|byte| *byte == b'\n').next().unwrap();
            let good = matches!(&again, Ok(answer) if answer.body == body);
            let waits = matches!(&again, Err(RequestError::Problem(_)));
            assert!(good || waits, "{again:?}");
            server.abort();
        });
    });
}
