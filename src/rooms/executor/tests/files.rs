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
