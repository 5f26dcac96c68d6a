//! Files that are sent to the device.

use futures_util::{StreamExt, stream};
use poly2mqtt_simulator::Firmware;

use super::*;
use crate::command::Upload;

async fn import(room: &Fixture) -> Result<Success, Failure> {
    let file = Bytes::from_static(b"<directory/>");
    let upload = Upload {
        length: file.len() as u64,
        chunks: stream::iter([Ok(file)]).boxed(),
    };
    let call = Call::upload("directory/import").unwrap();
    let environment = CommandEnvironment::default();
    let executed = execute(&room.device, call, environment, Transfer::Upload(upload)).await;
    executed.result
}

/// An upload can be sent once only, so its sender sends it again, in a session that has a token.
#[tokio::test]
async fn an_upload_that_lacked_a_token_can_be_sent_again() {
    let room = Fixture::new(Options {
        firmware: Firmware::V4_7,
        ..Options::default()
    })
    .await;
    room.simulated.person_requires_token();
    let refused = import(&room).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::Busy, "{}", refused.message);
    assert!(import(&room).await.is_ok());
    // Otherwise the refusal has another reason.
    room.fault("PUT", "/rest/directory/import", FaultKind::Status(403));
    room.fault("POST", "/rest/directory/import", FaultKind::Status(403));
    assert_eq!(import(&room).await.unwrap_err().code, ErrorCode::Forbidden);
}

/// However large an answer is, its start shows what it is. A file that is too large to be held is described.
#[tokio::test]
async fn what_is_larger_than_what_is_held_is_judged_like_what_is_not() {
    let room = Fixture::new(Options::default()).await;
    let padded = |start: &str, end: &str| start.to_owned() + &" ".repeat(2 << 20) + end;
    let page = padded("<!DOCTYPE html><html>", "</html>");
    let refusal = padded(r#"{"success":false,"reason":"busy","#, r#""x":1}"#);
    for command in [
        "system/logs/get",
        "directory/export",
        "camera/snapshot/near/get",
    ] {
        for (body, words) in [(&page, "a web page"), (&refusal, "JSON, not with the file")] {
            room.simulated.clear_faults();
            room.fault("GET", "/rest/", FaultKind::Body(body.clone()));
            let failure = room.execute(command, "").await.result.unwrap_err();
            assert_eq!(failure.code, ErrorCode::DeviceError, "{command}");
            assert!(failure.message.contains(words), "{}", failure.message);
        }
    }
    room.simulated.clear_faults();
    room.fault("GET", "/rest/", FaultKind::Huge(2 << 20));
    let logs = room.execute("system/logs/get", "").await.result.unwrap();
    let file = logs.file.unwrap();
    assert_eq!((file.size, file.bytes), (Some(2 << 20), None));
}
