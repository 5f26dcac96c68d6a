//! What a condition changes in the device's answers.

use super::*;

fn part(room: &mut Room, name: &str) -> Value {
    let status = room.get("system/status");
    let parts = status.as_array().unwrap().iter();
    let mut parts = parts.filter(|part| part["name"] == format!("system.status.{name}"));
    parts.next().unwrap()["stateList"].clone()
}

#[test]
fn each_condition_shows_where_a_client_looks() {
    let mut room = Room::new(Firmware::V4_6_2);
    for (condition, path, member, well, amiss) in [
        (
            Condition::Asleep,
            "system",
            "/state",
            json!("READY"),
            json!("ASLEEP"),
        ),
        (
            Condition::NoMicrophones,
            "audio",
            "/numOfMicsConnected",
            json!(1),
            json!(0),
        ),
        (
            Condition::NoCameras,
            "cameras/near/all",
            "/0/connected",
            json!(true),
            json!(false),
        ),
        (
            Condition::RegistrationsDown,
            "system/sipservers",
            "/0/state",
            json!("UP"),
            json!("DOWN"),
        ),
        (
            Condition::RegistrationsDown,
            "system/h323gatekeepers",
            "/0/state",
            json!("UP"),
            json!("DOWN"),
        ),
        (
            Condition::CalendarOffline,
            "calendar",
            "/status",
            json!("ONLINE"),
            json!("OFFLINE"),
        ),
        (
            Condition::LanSlow,
            "system",
            "/lanStatus/speedMbps",
            json!(1000),
            json!(100),
        ),
        (
            Condition::LanSlow,
            "system",
            "/lanStatus/duplex",
            json!("FULL"),
            json!("HALF"),
        ),
        (
            Condition::TimeServerDown,
            "system",
            "/timeServerState",
            json!("TIMESERVER_UP"),
            json!("TIMESERVER_DOWN"),
        ),
        (
            Condition::RebootNeeded,
            "system",
            "/rebootNeeded",
            json!(false),
            json!(true),
        ),
    ] {
        assert_eq!(room.get(path).pointer(member), Some(&well), "{condition:?}");
        room.set(condition);
        assert_eq!(
            room.get(path).pointer(member),
            Some(&amiss),
            "{condition:?}"
        );
        room.world.conditions.set(condition, false);
    }
}

#[test]
fn a_condition_shows_in_the_status_of_its_part() {
    let mut room = Room::new(Firmware::V4_6_2);
    for (condition, name, well, amiss) in [
        (Condition::LogFull, "logthreshold", "off", "full"),
        (Condition::NoMicrophones, "mr.audio", "all_up", "all_down"),
        (Condition::NoCameras, "mr.camera", "all_up", "none_up"),
        (Condition::RegistrationsDown, "sipserver", "up", "down"),
        (Condition::RegistrationsDown, "gatekeeper", "up", "down"),
        (Condition::CalendarOffline, "calendar", "up", "down"),
    ] {
        assert_eq!(part(&mut room, name), json!([well]), "{condition:?}");
        room.set(condition);
        assert_eq!(part(&mut room, name), json!([amiss]), "{condition:?}");
        room.world.conditions.set(condition, false);
    }
}

#[test]
fn without_microphones_and_cameras_none_is_listed() {
    let mut room = Room::new(Firmware::V4_6_2);
    room.set(Condition::NoMicrophones);
    room.set(Condition::NoCameras);
    assert_eq!(room.get("audio/microphones"), json!([]));
    let cameras = room.get("cameras/near/people");
    let mut cameras = cameras.as_array().unwrap().iter();
    assert!(cameras.all(|camera| camera["connected"] == false));
}

#[test]
fn every_condition_has_one_name() {
    for (name, condition) in Condition::ALL {
        assert_eq!(Condition::named(name), Some(condition));
    }
    assert_eq!(Condition::named("asleep "), None);
}
