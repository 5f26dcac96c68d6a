//! Plain lines over bare TCP.
use std::time::Duration;

use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt::state::StateValue;
use poly2mqtt_simulator::{Fault, FaultKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::door::{Doors, Lines};

#[tokio::test]
async fn lines_send_commands_and_subscribe() {
    let doors = Doors::start().await;
    let mut tcp = doors.tcp().await;
    let mut line = async |sent: &str| {
        tcp.send(sent).await;
        tcp.line().await.unwrap()
    };
    assert_eq!(
        line("subscribe room/1/audio/volume\r\n").await,
        "room/1/audio/volume 62"
    );
    assert_eq!(
        line("room/1/audio/volume/set 40\n").await,
        "room/1/audio/volume 40"
    );
    assert_eq!(line("").await, "room/1/audio/volume/set/result ok");
    assert_eq!(
        line("room/1/audio/volume/set loud\r\n").await,
        "room/1/audio/volume/set/result error invalid_payload volume takes an integer from 0 to \
         100, not \"loud\""
    );
    // A line may arrive in pieces. Empty lines are ignored.
    tcp.send("\r\n\n  \nroom/1/audio/vol").await;
    tcp.send("ume/get\r").await;
    tcp.send("\n").await;
    assert_eq!(
        tcp.line().await.unwrap(),
        "room/1/audio/volume/get/result ok 40"
    );
    doors.stop().await;
}

/// `echo … | nc -N` closes its side after the command and waits for the result.
#[tokio::test]
async fn a_client_that_closed_its_sending_side_still_gets_results() {
    let doors = Doors::start().await;
    let delay = FaultKind::Delay(Duration::from_millis(300));
    doors
        .device
        .add_fault(Fault::on("/rest/audio/volume", delay).times(1));
    let mut stream = TcpStream::connect(doors.service.tcp_addr().unwrap())
        .await
        .unwrap();
    let lines = "room/1/audio/volume/set 40\nsubscribe room/1/audio/volume\n";
    stream.write_all(lines.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut said = String::new();
    let read = stream.read_to_string(&mut said);
    timeout(SOON, read).await.expect("it is ended").unwrap();
    assert!(said.starts_with("room/1/audio/volume "), "{said}");
    assert!(
        said.contains("room/1/audio/volume/set/result ok\r\n"),
        "{said}"
    );
    doors.metric("poly2mqtt_clients{door=\"tcp\"} 0").await;
    doors.stop().await;
}

#[tokio::test]
async fn every_state_is_one_line() {
    let doors = Doors::start().await;
    let mut tcp = doors.tcp().await;
    doors
        .service
        .store()
        .set("room/1/x", StateValue::text("a\r\nroom/1/audio/muted true"));
    tcp.send("subscribe room/1/x\n").await;
    assert_eq!(
        tcp.line().await.unwrap(),
        "room/1/x a  room/1/audio/muted true"
    );
    doors.service.store().clear("room/1/x");
    assert_eq!(tcp.line().await.unwrap(), "room/1/x");
    tcp.send("room/1/system/logs/get\n").await;
    let result = tcp.line().await.unwrap();
    assert!(
        result.ends_with("\"url\":\"/room/1/system/logs/get\"}"),
        "{result}"
    );
    doors.stop().await;
}

#[tokio::test]
async fn bad_lines_get_an_error_or_close_the_connection() {
    let limits = ClientLimits {
        max_clients: 4,
        ..ClientLimits::default()
    };
    let doors = Doors::start_with(limits, |_| {}).await;
    let mut other = doors.tcp().await;
    other.send("ping\n").await;
    assert_eq!(other.line().await.unwrap(), "pong");
    let mut tcp = doors.tcp().await;
    for bad in [
        "nonsense\n",
        "{\"ping\":true}\n",
        "subscribe a#\n",
        "subscribe $share/panels/room/1/#\n",
    ] {
        tcp.send(bad).await;
        assert!(tcp.line().await.unwrap().starts_with("error "), "{bad}");
    }
    let mut third = doors.tcp().await;
    assert!(
        third
            .line()
            .await
            .unwrap()
            .starts_with("closed too many clients")
    );
    assert_eq!(third.line().await, None);
    tcp.send(&"x".repeat(300 << 10)).await;
    assert!(
        tcp.line()
            .await
            .unwrap()
            .starts_with("closed the message is too large")
    );
    assert_eq!(tcp.line().await, None);
    doors.metric("poly2mqtt_clients{door=\"tcp\"} 1").await;
    other.send("ping\n").await;
    assert_eq!(other.line().await.unwrap(), "pong");
    let addr = doors.service.tcp_addr().unwrap();
    doors.stop().await;
    assert_eq!(other.line().await.unwrap(), "closed the gateway stops");
    assert_eq!(other.line().await, None);
    assert!(tokio::net::TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_client_that_sends_no_token_is_closed() {
    let limits = ClientLimits {
        greeting_timeout: Duration::from_millis(200),
        ..ClientLimits::default()
    };
    let doors = Doors::start_with(limits, |config| {
        let level = poly2mqtt::config::AccessLevel::Read;
        config.http.tokens = vec![poly2mqtt_test_support::door::token("reads", level, None)];
    })
    .await;
    let mut silent: Lines = doors.tcp().await;
    assert!(silent.line().await.unwrap().starts_with("closed the token"));
    assert_eq!(silent.line().await, None);
    doors.stop().await;
}
