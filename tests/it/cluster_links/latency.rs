//! What passing a command on costs.
use super::*;

#[tokio::test]
async fn a_command_that_is_passed_on_takes_little_longer() {
    let cluster = two().await;
    let mut sockets = [cluster.ws("b", "/ws").await, cluster.ws("a", "/ws").await];
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..120_u64 {
        for (socket, times) in sockets.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            // Refused before it reaches the device, so that only the way to the room is measured.
            let answer = socket
                .ask(
                    round,
                    "\"topic\":\"room/2/audio/volume/set\",\"payload\":\"loud\"",
                )
                .await;
            times.push(begun.elapsed());
            assert_eq!(answer["payload"]["error"]["code"], "invalid_payload");
        }
    }
    let [owner, other] = times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    });
    println!("p50 at the owner {owner:?}, passed on {other:?}");
    cluster.stop().await;
}
