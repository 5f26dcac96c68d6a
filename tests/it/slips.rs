//! Payloads and topics that nearly say something: each is refused in words, or becomes what the guide says, and
//! nothing else reaches the device.

use poly2mqtt_simulator::{Fault, FaultKind};
use poly2mqtt_test_support::door::{Doors, post};
use serde_json::{Value, json};

#[tokio::test]
async fn a_slip_is_refused_and_nothing_is_sent() {
    let doors = Doors::start().await;
    let end_points = |list: &str| format!("{{\"endPointList\":{list}}}");
    let address = |members: &str| end_points(&format!("[{{\"addresses\":[{{{members}}}]}}]"));
    let device = |device: &str| format!("{{\"display_name\":\"Ida\",\"devices\":[{device}]}}");
    let empty = "takes the JSON of the entry";
    let name = "an entry takes a name";
    let word = "is a word of the device's own";
    for (topic, payload, words) in [
        ("directory/local/entry/e/update", String::new(), empty),
        ("directory/local/entry/e/update", "{}".into(), empty),
        ("directory/local/entry/add", String::new(), name),
        ("directory/local/entry/add", "{\"type\":null}".into(), name),
        (
            "directory/local/entry/add",
            "{\"type\":\"group\"}".into(),
            name,
        ),
        (
            "call/blast",
            end_points("[]"),
            "end_point_list takes a list that is not empty",
        ),
        (
            "call/blast",
            end_points("[1]"),
            "end_point_list takes JSON objects, not 1",
        ),
        (
            "call/blast",
            end_points("[{}]"),
            "addresses is missing in an object of end_point_list",
        ),
        (
            "call/blast",
            end_points("[{\"addresses\":[]}]"),
            "addresses takes a list that is not empty",
        ),
        (
            "call/blast",
            address("\"addres\":\"a\""),
            "address is missing in an object of addresses",
        ),
        (
            "call/blast",
            address("\"address\":\"a\",\"dialType\":\"FAX\""),
            "dialType takes one of",
        ),
        (
            "call/blast",
            address("\"address\":\"a\",\"rate\":-5"),
            "rate takes an integer from 0",
        ),
        (
            "directory/local/entry/add",
            device("\"x\""),
            "devices takes JSON objects, not \"x\"",
        ),
        (
            "directory/local/entry/add",
            device("{\"addressList\":[{\"rate\":1.5}]}"),
            "rate takes a text, not 1.5",
        ),
        ("camera/near/selectedpeople/move", "left".into(), word),
        ("camera/near/all/move", "left".into(), word),
        ("call/capabilities/hangup", String::new(), word),
        ("call/callaction/hangup", String::new(), word),
        ("directory/query/initial/delete", String::new(), word),
        ("directory/queries/entry/e/get", String::new(), word),
        ("directory/import/entry/e/dial", String::new(), word),
        ("audio/dtmf/play", "1".repeat(65), "1 to 64 of the keys"),
    ] {
        doors.device.clear_journal();
        let (status, result) = post(&doors.url(&format!("/room/1/{topic}")), payload).await;
        let message = result["error"]["message"].as_str().unwrap_or_default();
        assert_eq!(status, 400, "{topic}: {result}");
        assert_eq!(result["error"]["code"], "invalid_payload", "{result}");
        assert!(message.contains(words), "{topic}: {message}");
        let journal = doors.device.journal();
        let sent: Vec<_> = journal
            .iter()
            .filter(|entry| entry.method != "GET" && !entry.path.contains("devicemanagement"))
            .collect();
        assert!(sent.is_empty(), "{topic}: {sent:?}");
    }
    doors.stop().await;
}

#[tokio::test]
async fn what_the_guide_shows_is_taken_and_words_become_the_guides() {
    let doors = Doors::start().await;
    let camera = "{\"camPosition\":{\"pan\":1,\"tilt\":2,\"zoom\":3},\"relative\":false}";
    for (topic, payload, path, sent) in [
        (
            "camera/position/set",
            camera,
            "/rest/cameras/near/position/SELECTED_PEOPLE",
            camera,
        ),
        (
            "call/blast",
            "{\"endPointList\":[{\"addresses\":[{\"address\":\"a\",\"dial_type\":\"sip\"}]}]}",
            "/rest/conferences/blast",
            "{\"endPointList\":[{\"addresses\":[{\"address\":\"a\",\"dialType\":\"SIP\"}]}]}",
        ),
        (
            "directory/local/entry/add",
            "{\"full_name\":\"Ida\",\"devices\":[{\"addressList\":[{\"type\":\"sip\",\"number\":7}]}]}",
            "/rest/directory/local/entries",
            "{\"fullName\":\"Ida\",\"devices\":[{\"addressList\":[{\"type\":\"SIP\",\"number\":\"7\"}]}]}",
        ),
    ] {
        doors.device.clear_journal();
        let (status, result) = post(&doors.url(&format!("/room/1/{topic}")), payload).await;
        assert_eq!(status, 200, "{topic}: {result}");
        let journal = doors.device.journal();
        let mut entries = journal.iter();
        let entry = entries.find(|entry| entry.method == "POST" && entry.path == path);
        let body: Value = serde_json::from_slice(&entry.unwrap().body).unwrap();
        assert_eq!(body, serde_json::from_str::<Value>(sent).unwrap());
    }
    doors.stop().await;
}

#[tokio::test]
async fn a_command_that_breaks_off_says_how_far_it_came() {
    let doors = Doors::start().await;
    doors.device.person_calls_in("alice@example.com");
    doors.device.person_answers();
    doors.device.person_calls_in("bob@example.com");
    let fault = Fault::on("/rest/conferences/callaction", FaultKind::Status(500));
    doors.device.add_fault(fault);
    let (status, result) = post(&doors.url("/room/1/call/hangup"), "").await;
    let message = result["error"]["message"].as_str().unwrap_or_default();
    assert_eq!((status, &result["status"]), (502, &json!(500)), "{result}");
    assert!(
        message.ends_with("; 1 of 2 steps were carried out"),
        "{message}"
    );
    doors.stop().await;
}
