//! Files that a device answers with, and what comes in their place.

use poly2mqtt_simulator::{Fault, FaultKind};
use poly2mqtt_test_support::door::{Doors, get, post};
use serde_json::{Value, json};

const SNAPSHOT: &str = "/rest/cameras/snapshot/";
const FILES: [(&str, &str); 4] = [
    ("/room/1/camera/snapshot/near/get", SNAPSHOT),
    ("/room/1/system/logs/get", "/rest/system/logs"),
    ("/room/1/directory/export", "/rest/directory/export"),
    (
        "/room/1/collaboration/content/all/get",
        "/rest/collaboration/content/all",
    ),
];

async fn fetched(doors: &Doors, path: &str) -> (u16, Vec<u8>) {
    let response = get(&doors.url(path)).await;
    let status = response.status().as_u16();
    (status, response.bytes().await.unwrap().to_vec())
}

/// Neither with HTTP, where files stream, nor with WebSocket, where they are held, nor as a state.
#[tokio::test]
async fn what_a_device_says_instead_of_a_file_is_no_file() {
    let doors = Doors::start().await;
    let picture = "/room/1/camera/snapshot/near";
    post(&doors.url(&format!("{picture}/get")), "").await;
    let taken = fetched(&doors, picture).await;
    assert_eq!((taken.0, &taken.1[..2]), (200, &b"\xff\xd8"[..]));
    let mut ws = doors.ws("/ws").await;
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(10_000));
    for (body, words) in [
        ("null", "with JSON, not with the file"),
        ("{\"a\":", "with JSON, not with the file"),
        (&long, "with JSON, not with the file"),
        (
            "{\"success\":false,\"reason\":\"NoCamera\"}",
            "did not carry it out: NoCamera",
        ),
        ("", "sent no file"),
    ] {
        for (command, path) in FILES {
            doors.device.clear_faults();
            let fault = Fault::on(path, FaultKind::Body(body.to_owned()));
            doors.device.add_fault(fault.method("GET"));
            let (status, result) = fetched(&doors, command).await;
            let result: Value = serde_json::from_slice(&result).unwrap_or_default();
            let message = result["error"]["message"].as_str().unwrap_or_default();
            assert_eq!(status, 502, "{command} {body:.40}: {result}");
            assert_eq!(result["error"]["code"], "device_error", "{result}");
            assert!(message.contains(words), "{command} {body:.40}: {message}");
            let frame = format!("\"topic\":\"{}\"", &command[1..]);
            let answer = ws.ask(1, &frame).await;
            assert_eq!(
                answer["payload"]["error"]["code"], "device_error",
                "{answer}"
            );
        }
    }
    doors.device.clear_faults();
    let fault = Fault::on(SNAPSHOT, FaultKind::Body("GIF89a".into()));
    doors.device.add_fault(fault);
    let (status, result) = fetched(&doors, FILES[0].0).await;
    let result: Value = serde_json::from_slice(&result).unwrap();
    assert_eq!(status, 502, "{result}");
    assert!(result.to_string().contains("no image/jpeg"), "{result}");
    assert_eq!(fetched(&doors, picture).await, taken);
    doors.stop().await;
}

#[tokio::test]
async fn a_file_that_is_not_ready_is_told_from_one_that_is_missing() {
    let doors = Doors::start().await;
    let (_, saved) = post(&doors.url("/room/1/collaboration/content/save"), "").await;
    let context = saved["body"]["context_id"].as_str().unwrap();
    let path = format!("/room/1/collaboration/content/get?context_id={context}");
    // The simulated device is not ready at the first request.
    assert_eq!(fetched(&doors, &path).await, (204, Vec::new()));
    let (status, file) = fetched(&doors, &path).await;
    assert_eq!((status, &file[..2]), (200, &b"PK"[..]));
    // At the other doors the result says it.
    let fault = Fault::on("/rest/", FaultKind::Status(204)).method("GET");
    doors.device.add_fault(fault);
    let mut ws = doors.ws("/ws").await;
    for topic in ["collaboration/content/get", "collaboration/content/all/get"] {
        let fields = match topic {
            "collaboration/content/get" => ",\"payload\":\"1\"",
            _ => "",
        };
        let frame = format!("\"topic\":\"room/1/{topic}\"{fields}");
        let result = ws.ask(1, &frame).await["payload"].clone();
        assert_eq!(
            (&result["ok"], &result["status"], &result["body"]),
            (&json!(true), &json!(204), &Value::Null),
            "{result}"
        );
        let warning = "the file is not ready yet: ask again";
        assert_eq!(result["warning"], warning, "{result}");
    }
    for (command, _) in &FILES[..3] {
        let (status, result) = fetched(&doors, command).await;
        let result: Value = serde_json::from_slice(&result).unwrap();
        assert_eq!(
            (status, &result["status"], &result["error"]["message"]),
            (502, &json!(204), &json!("the device sent no file")),
            "{command}: {result}"
        );
    }
    doors.stop().await;
}

/// Where the guide has another word for failure than `success`.
#[tokio::test]
async fn each_word_of_the_guide_for_a_failure_is_one() {
    let doors = Doors::start().await;
    for (topic, payload, answer, message) in [
        (
            "system/environment_app/set",
            "true",
            "{\"result\":false}",
            "the device did not carry it out: its result is false",
        ),
        (
            "system/environment_app/set",
            "false",
            "{\"result\":false}",
            "the device did not carry it out: its result is false",
        ),
        (
            "calendar/discover",
            "{\"domain\":\"email\",\"email\":\"a@b\"}",
            "{\"error\":\"ERR_AUTHENTICATION\",\"serverUrl\":\"\"}",
            "the device found no calendar server: ERR_AUTHENTICATION",
        ),
        (
            "calendar/discover",
            "{\"domain\":\"email\",\"email\":\"a@b\",\"password\":\"hunter2\"}",
            "{\"error\":\"hunter2 is wrong\"}",
            "the device answered 200; its reason is not shown, because it repeats what is secret",
        ),
    ] {
        doors.device.clear_faults();
        for method in ["POST", "DELETE"] {
            let fault = Fault::on("/rest/", FaultKind::Body(answer.into()));
            doors.device.add_fault(fault.method(method));
        }
        let (status, result) = post(&doors.url(&format!("/room/1/{topic}")), payload).await;
        assert_eq!(
            (
                status,
                &result["error"]["code"],
                &result["error"]["message"]
            ),
            (502, &json!("device_error"), &json!(message)),
            "{result}"
        );
    }
    doors.device.clear_faults();
    for (topic, payload) in [
        ("system/environment_app/set", "true"),
        (
            "calendar/discover",
            "{\"domain\":\"email\",\"email\":\"a@b\"}",
        ),
    ] {
        let (status, result) = post(&doors.url(&format!("/room/1/{topic}")), payload).await;
        assert_eq!(status, 200, "{topic}: {result}");
    }
    doors.stop().await;
}

#[tokio::test]
async fn a_default_group_that_is_not_set_up_is_not_found() {
    let doors = Doors::start().await;
    let path = "/rest/directory/global/mtddefaultgroupentry";
    let fault = Fault::on(path, FaultKind::Status(404));
    doors.device.add_fault(fault);
    let (status, result) = fetched(&doors, "/room/1/directory/global/default_group/get").await;
    let result: Value = serde_json::from_slice(&result).unwrap();
    assert_eq!(
        (status, &result["error"]["code"]),
        (404, &json!("not_found")),
        "{result}"
    );
    doors.stop().await;
}
