//! Each firmware: the calls it has and lacks, and its spellings.

use super::*;

fn column(firmware: Firmware) -> usize {
    Firmware::ALL
        .iter()
        .position(|known| *known == firmware)
        .unwrap()
}

/// A call with the status that each firmware answers, in the order of `Firmware::ALL`.
type Case = (&'static str, &'static str, Value, [u16; 6]);

#[test]
fn each_firmware_has_its_calls_and_lacks_the_others() {
    let null = Value::Null;
    let cases: Vec<Case> = vec![
        (
            "GET",
            "system",
            null.clone(),
            [200, 404, 404, 200, 200, 200],
        ),
        (
            "GET",
            "system/mode",
            null.clone(),
            [404, 404, 200, 200, 200, 200],
        ),
        (
            "GET",
            "system/apps",
            null.clone(),
            [200, 404, 200, 200, 200, 200],
        ),
        (
            "GET",
            "current/system/apps",
            null.clone(),
            [200, 404, 200, 200, 200, 200],
        ),
        (
            "GET",
            "system/apps/state",
            null.clone(),
            [404, 404, 200, 200, 200, 200],
        ),
        (
            "GET",
            "current/session/sessions",
            null.clone(),
            [200, 404, 404, 200, 200, 200],
        ),
        (
            "GET",
            "session/sessions",
            null.clone(),
            [404, 404, 200, 200, 200, 200],
        ),
        (
            "GET",
            "calllog/entries",
            null.clone(),
            [200, 404, 200, 200, 200, 404],
        ),
        (
            "POST",
            "devicemanagement/devices",
            json!({"deviceState": "PAIRED"}),
            [404, 404, 200, 200, 200, 200],
        ),
        (
            "POST",
            "config",
            json!({"names": ["a"]}),
            [200, 404, 200, 200, 200, 200],
        ),
        (
            "POST",
            "audio",
            json!({"action": "playDTMF", "dtmfChar": "5"}),
            [200, 200, 200, 200, 405, 405],
        ),
        (
            "POST",
            "audio/playdtmf",
            json!({"dtmfChar": "5"}),
            [404, 404, 404, 200, 200, 200],
        ),
        (
            "POST",
            "system/reboot",
            json!({"action": "reboot"}),
            [200, 200, 200, 200, 400, 400],
        ),
        (
            "POST",
            "system/reboot",
            json!({"restartAll": true}),
            [400, 400, 400, 200, 200, 200],
        ),
        (
            "GET",
            "collaboration/contentssavestatus?status=true",
            null.clone(),
            [404, 200, 200, 200, 404, 404],
        ),
        (
            "GET",
            "collaboration/contentsavestatus?status=True",
            null.clone(),
            [200, 404, 404, 200, 200, 200],
        ),
        (
            "POST",
            "audio/volume",
            json!(101),
            [400, 400, 200, 400, 400, 400],
        ),
        (
            "GET",
            "conferences",
            null.clone(),
            [200, 200, 200, 200, 200, 404],
        ),
        (
            "GET",
            "conferences/capabilities",
            null.clone(),
            [200, 200, 200, 200, 200, 404],
        ),
        (
            "POST",
            "conferences",
            json!({"address": "a@example.com"}),
            [200, 200, 200, 200, 200, 403],
        ),
        (
            "POST",
            "calendar/meetings/AAMk%2Fnow+1==",
            null.clone(),
            [200, 200, 200, 200, 200, 403],
        ),
        ("GET", "audio", null.clone(), [200; 6]),
        ("POST", "audio/muted", json!(true), [200; 6]),
        ("GET", "system/status", null.clone(), [200; 6]),
        ("GET", "cameras/near/all", null.clone(), [200; 6]),
        ("GET", "directory/favorites", null, [200; 6]),
    ];
    for firmware in Firmware::ALL {
        for (method, path, body, statuses) in &cases {
            let mut room = Room::new(firmware);
            let status = room.status(method, path, body);
            assert_eq!(
                status,
                statuses[column(firmware)],
                "{firmware}: {method} {path} {body}"
            );
        }
    }
}

#[test]
fn the_current_devices_are_asked_for_with_null() {
    for (firmware, status) in Firmware::ALL
        .into_iter()
        .zip([200, 404, 404, 200, 200, 200])
    {
        let mut room = Room::new(firmware);
        let reply = room.send("POST", "current/devicemanagement/devices", "null".into());
        assert_eq!(reply.status, status, "{firmware}");
    }
}

#[test]
fn each_firmware_spells_its_answers() {
    let content = |room: &mut Room| {
        let reply = room.ask("GET", "cameras/contentstatus", &Value::Null);
        String::from_utf8(reply.body.to_vec()).unwrap()
    };
    for firmware in Firmware::ALL {
        let mut room = Room::new(firmware);
        let old = matches!(firmware, Firmware::V4_0 | Firmware::V4_4);
        let word = if old {
            "\"CONTENT_IDLE\""
        } else {
            "CONTENT_IDLE"
        };
        assert_eq!(content(&mut room), word, "{firmware}");
        let collaboration = room.get("collaboration");
        assert_eq!(
            collaboration.get("sessionState").is_some(),
            old,
            "{firmware}"
        );
        assert_eq!(collaboration.get("state").is_some(), !old, "{firmware}");
        assert_eq!(room.get("audio/microphones").is_object(), old, "{firmware}");
        assert_eq!(room.get("system/sipservers").is_object(), old, "{firmware}");
        let upper = firmware < Firmware::V4_6_2;
        assert_eq!(
            room.get("calendar").get("Status").is_some(),
            upper,
            "{firmware}"
        );
    }
}

#[test]
fn without_a_collaboration_only_the_recorded_firmware_answers() {
    for firmware in Firmware::ALL {
        let mut room = Room::new(firmware);
        room.status("POST", "collaboration", &json!({"action": "END"}));
        let expected = if firmware == Firmware::V3_12 {
            200
        } else {
            404
        };
        assert_eq!(
            room.status("GET", "collaboration", &Value::Null),
            expected,
            "{firmware}"
        );
    }
}

#[test]
fn version_5_runs_teams_and_takes_other_changes() {
    let mut room = Room::new(Firmware::V5_0);
    assert_eq!(room.get("system/mode")["activePersona"], "Teams");
    assert_eq!(room.get("system/apps").as_array().unwrap().len(), 2);
    assert_eq!(
        room.status("POST", "video/local/mute", &json!({"mute": true})),
        200
    );
}

#[test]
fn a_path_can_be_lacked_with_and_without_its_method() {
    let mut room = Room::with(Options {
        lacks: vec!["/rest/calendar".into(), "POST /rest/audio".into()],
        ..Options::default()
    });
    assert_eq!(room.status("GET", "calendar", &Value::Null), 404);
    assert_eq!(room.status("GET", "audio", &Value::Null), 200);
    let start = json!({"action": "start"});
    assert_eq!(room.status("POST", "audio", &start), 404);
}

#[test]
fn the_table_is_in_the_documentation() {
    let page = include_str!("../../../docs/simulator.md");
    let table = super::super::profile::describe();
    assert!(
        page.contains(&table),
        "docs/simulator.md should have:\n{table}"
    );
}
