//! What keeps a room from being checked, and what does not.

use tokio::sync::watch;

use super::*;

/// The names of the checks of a room of which this is known, and whether all passed.
async fn check(room: &Fixture, known: KnownUse) -> (bool, Vec<String>) {
    let (_interrupt, interrupts) = watch::channel(None);
    let environment = CommandEnvironment {
        check: Some(CheckOrder {
            known,
            dial: None,
            preset: None,
            paired: Vec::new(),
            user: None,
            interrupts,
        }),
        ..CommandEnvironment::default()
    };
    let call = Call::parse("readiness/run", &Bytes::new(), &mut None).unwrap();
    let executed = execute(&room.device, call, environment, Transfer::None).await;
    let report = executed.result.unwrap().body;
    let checks = report["checks"].as_array().unwrap().iter();
    let names = checks.map(|check| check["name"].as_str().unwrap().to_owned());
    (report["ok"] == true, names.collect())
}

#[tokio::test]
async fn a_calendar_that_never_told_anything_does_not_keep_a_room_from_being_checked() {
    let room = Fixture::new(Options::default()).await;
    for kind in [
        FaultKind::Status(403),
        FaultKind::Status(404),
        FaultKind::Status(500),
        FaultKind::Null,
    ] {
        for path in ["/rest/calendar/meetings", "/rest/system/apps"] {
            room.fault("GET", path, kind.clone());
        }
        let (ok, names) = check(&room, KnownUse::default()).await;
        assert!(
            ok && names.contains(&"camera_move".to_owned()),
            "{kind:?} {names:?}"
        );
        // But what it told before may have changed.
        let known = KnownUse {
            meetings: Some(json!([])),
            ..KnownUse::default()
        };
        let (ok, names) = check(&room, known).await;
        assert!(
            !ok && !names.contains(&"camera_move".to_owned()),
            "{kind:?} {names:?}"
        );
        room.simulated.clear_faults();
    }
    // Every device can say whether it is in a call.
    room.fault("GET", "/rest/conferences", FaultKind::Status(500));
    let (ok, names) = check(&room, KnownUse::default()).await;
    assert!(
        !ok && !names.contains(&"camera_move".to_owned()),
        "{names:?}"
    );
}
