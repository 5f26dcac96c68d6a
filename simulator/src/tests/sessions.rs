//! Who holds sessions, their maximum, and how log-in and log-out are refused in each firmware.

use super::*;

#[test]
fn the_list_says_who_holds_sessions() {
    let mut room = Room::with(Options {
        max_sessions: 3,
        ..Options::default()
    });
    room.world.sessions.occupy(true);
    let list = room.get("current/session/sessions");
    let list = list["sessionList"].as_array().unwrap();
    let who: Vec<_> = list
        .iter()
        .map(|session| [&session["userId"], &session["clientType"]])
        .collect();
    assert_eq!(
        who,
        [
            ["admin", "WEB"],
            ["controller", "WEB"],
            ["controller", "SSH"]
        ]
    );
    let reply = room.log_in();
    assert_eq!(reply.status, 403);
    assert!(String::from_utf8_lossy(&reply.body).contains("SessionMaxActiveSessionsReached"));
    room.world.sessions.occupy(false);
    assert_eq!(room.log_in().status, 200);
}

#[test]
fn a_log_in_with_a_live_session_is_refused() {
    let body = json!({"user": "admin", "password": "456"});
    for (firmware, status) in [
        (Firmware::V3_12, 400),
        (Firmware::V4_0, 400),
        (Firmware::V4_4, 403),
        (Firmware::V4_6_2, 400),
        (Firmware::V4_7, 412),
        (Firmware::V5_0, 412),
    ] {
        let mut room = Room::new(firmware);
        assert_eq!(room.status("POST", "session", &body), status, "{firmware}");
    }
}

#[test]
fn a_lock_out_has_the_firmwares_status() {
    for (firmware, status) in [
        (Firmware::V4_0, 400),
        (Firmware::V4_4, 403),
        (Firmware::V4_7, 400),
    ] {
        let mut room = Room::new(firmware);
        room.credentials = Credentials::default();
        let wrong = json!({"user": "admin", "password": "1"});
        for _ in 0..5 {
            assert_eq!(room.status("POST", "session", &wrong), 403);
        }
        assert_eq!(room.log_in().status, status, "{firmware}");
    }
}

#[test]
fn a_session_can_be_ended_but_with_4_4() {
    for firmware in Firmware::ALL {
        let mut room = Room::new(firmware);
        let expected = if firmware == Firmware::V4_4 { 405 } else { 200 };
        assert_eq!(
            room.status("DELETE", "session", &Value::Null),
            expected,
            "{firmware}"
        );
    }
}

#[test]
fn a_change_wants_the_token_where_there_is_one() {
    for firmware in Firmware::ALL {
        let mut room = Room::new(firmware);
        let there = matches!(firmware, Firmware::V4_6_2 | Firmware::V5_0);
        assert_eq!(room.credentials.token.is_some(), there, "{firmware}");
        room.credentials.token = None;
        let expected = if there { 403 } else { 200 };
        assert_eq!(
            room.status("POST", "audio/muted", &json!(true)),
            expected,
            "{firmware}"
        );
        assert_eq!(
            room.status("GET", "audio/muted", &Value::Null),
            200,
            "{firmware}"
        );
    }
}

#[test]
fn the_password_is_changed_by_who_knows_it() {
    let mut room = Room::new(Firmware::V4_6_2);
    let path = "security/password/ADMIN";
    let wrong = json!({"oldPassword": "x", "newPassword": "789"});
    assert_eq!(room.post(path, &wrong)["success"], false);
    let right = json!({"oldPassword": "456", "newPassword": "789"});
    assert_eq!(
        room.post(path, &right),
        json!({"reason": "", "success": true})
    );
    assert_eq!(room.log_in().status, 403);
}
