//! Hanging up, and parties that are gone.

use super::*;

#[tokio::test]
async fn a_hang_up_without_a_call_does_not_say_that_the_device_accepted_it() {
    let room = Fixture::new(Options::default()).await;
    let calls = Fault::on("/rest/conferences", FaultKind::Body("[]".to_owned()));
    room.simulated.add_fault(calls.method("GET").times(1));
    room.fault("GET", "/rest/conferences", FaultKind::Status(500));
    let success = room.execute("call/hangup", "").await.result.unwrap();
    assert_eq!(
        success.warning, None,
        "nothing was sent, so nothing is read back"
    );
}

#[tokio::test]
async fn a_call_that_ended_meanwhile_does_not_fail_the_hang_up() {
    let room = Fixture::new(Options::default()).await;
    room.simulated.person_calls_in("someone");
    room.simulated.person_answers();
    room.fault("DELETE", "/rest/conferences", FaultKind::Status(404));
    let executed = room.execute("call/hangup", "").await;
    assert_eq!(executed.result, Ok(Success::new(200, Value::Null)));
    assert_eq!(read(&executed), ["/rest/conferences", "/rest/conferences"]);
}

#[tokio::test]
async fn a_party_that_is_gone_is_not_found() {
    let room = Fixture::new(Options::default()).await;
    let action = "/rest/conferences/callaction";
    for (status, code) in [(404, ErrorCode::NotFound), (405, ErrorCode::Unsupported)] {
        room.simulated.clear_faults();
        room.fault("POST", action, FaultKind::Status(status));
        for command in ["answer", "reject", "hangup"] {
            let topic = format!("call/connection/9/{command}");
            let failure = room.execute(&topic, "").await.result.unwrap_err();
            assert_eq!(failure.code, code, "{topic} {status}");
        }
    }
}

#[tokio::test]
async fn a_hang_up_ends_what_it_can_and_says_what_it_could_not() {
    let room = Fixture::new(Options::default()).await;
    let calls = r#"[{"id":"0","connections":[{"id":"1"}]},{"id":"5","connections":[{"id":"2"}]},
        {"id":"PENDING","connections":[{"id":"3"}]}]"#;
    let (first, second) = ("/rest/conferences/0", "/rest/conferences/5");
    let action = "/rest/conferences/callaction";
    for (first_status, code) in [(500, Some(ErrorCode::DeviceError)), (404, None)] {
        room.simulated.clear_faults();
        room.fault("GET", "/rest/conferences", FaultKind::Body(calls.into()));
        room.fault("DELETE", first, FaultKind::Status(first_status));
        // They have ended meanwhile.
        room.fault("DELETE", second, FaultKind::Status(404));
        room.fault("POST", action, FaultKind::Status(404));
        room.simulated.clear_journal();
        let result = room.execute("call/hangup", "").await.result;
        assert_eq!(result.err().map(|failure| failure.code), code);
        let mut sent = room.requests();
        sent.retain(|request| !request.starts_with("GET"));
        let wanted = [
            format!("DELETE {first}"),
            format!("DELETE {second}"),
            format!("POST {action}"),
        ];
        assert_eq!(sent, wanted);
    }
}
