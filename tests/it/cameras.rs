//! The cameras and inputs that people see: those that are connected, by name, for each model.

use std::time::Duration;

use poly2mqtt_simulator::{Condition, JournalEntry, Model, Options};
use poly2mqtt_test_support::gateway::Gateway;
use serde_json::{Value, json};

const CONNECTED: &str = "room/1/camera/near/connected";
const DOCUMENT: &str = "homeassistant/device/poly2mqtt_1/config";

async fn start(model: Model) -> Gateway {
    let options = Options {
        model: Some(model),
        ..Options::default()
    };
    Gateway::start_online_with(options, |room| {
        room.poll.normal = Duration::from_millis(200);
    })
    .await
}

fn parsed(text: Option<String>) -> Value {
    serde_json::from_str(&text.unwrap_or_default()).unwrap_or_default()
}

/// The sources that were activated since the journal was cleared.
fn activated(it: &Gateway) -> Vec<String> {
    let posted = |entry: &JournalEntry| {
        let body: Value = serde_json::from_slice(&entry.body).ok()?;
        let index = entry.path.strip_prefix("/rest/cameras/near/")?;
        (body == json!({"action": "activate"})).then(|| index.to_owned())
    };
    it.device.journal().iter().filter_map(posted).collect()
}

#[tokio::test]
async fn each_model_shows_what_is_connected_and_selects_it_by_name() {
    let main = json!({"index": 1, "name": "Main"});
    let cube = json!({"index": 3, "name": "EagleEye Cube USB"});
    let e70 = json!({"index": 3, "name": "Poly Studio E70"});
    let hdmi = json!({"index": 2, "name": "HDMI Input"});
    for (model, people, content) in [
        (Model::X30, json!([main]), json!([])),
        (Model::X32, json!([main]), json!([])),
        (Model::X50, json!([main, cube]), json!([hdmi])),
        (Model::X52, json!([main, cube]), json!([hdmi])),
        (Model::X70, json!([main, e70]), json!([hdmi])),
        (Model::X72, json!([main, e70]), json!([hdmi])),
        (Model::G7500, json!([main, cube]), json!([hdmi])),
        (Model::G62, json!([main, e70]), json!([])),
    ] {
        let it = start(model).await;
        it.client.message(CONNECTED).await;
        let connected = parsed(it.client.last(CONNECTED));
        let wanted = json!({"people": people, "content": content});
        assert_eq!(connected, wanted, "{model}");
        // All twelve entries are there for those who want them.
        let near = parsed(it.client.last("room/1/camera/near"));
        assert_eq!(near.as_array().unwrap().len(), 12, "{model}");
        for (list, selected) in [(&people, "selected_people"), (&content, "selected_content")] {
            for source in list.as_array().unwrap() {
                it.device.clear_journal();
                let topic = format!("room/1/camera/near/{selected}");
                let name = source["name"].as_str().unwrap();
                let result = it.client.command(&format!("{topic}/set"), name).await;
                assert_eq!(result["ok"], true, "{model}: {result}");
                assert_eq!(activated(&it), [source["index"].to_string()], "{model}");
                // The state came before the result.
                let state = parsed(it.client.last(&topic));
                assert_eq!(state["cameraIndex"], source["index"], "{model}");
            }
        }
        it.stop().await;
    }
}

#[tokio::test]
async fn a_name_in_any_case_an_index_and_a_name_that_nobody_knows() {
    let it = start(Model::X50).await;
    let topic = "room/1/camera/near/selected_people/set";
    for (payload, wanted) in [
        ("main", "1"),
        (r#"{"source":"EagleEye Cube USB"}"#, "3"),
        ("1", "1"),
        (r#"{"value":3}"#, "3"),
        // By index also what is not connected: the device decides.
        ("9", "9"),
    ] {
        it.device.clear_journal();
        it.client.command(topic, payload).await;
        assert_eq!(activated(&it), [wanted], "{payload}");
    }
    it.device.clear_journal();
    for (payload, code, words) in [
        (
            "Lectern",
            "not_found",
            "there is no camera \"Lectern\"; connected are \"Main\", \"EagleEye Cube USB\"",
        ),
        ("HDMI Input", "not_found", "there is no camera"),
        ("99", "not_found", "there is no camera \"99\""),
        ("", "invalid_payload", "source takes a text"),
    ] {
        let result = it.client.command(topic, payload).await;
        assert_eq!(result["error"]["code"], code, "{result}");
        let message = result["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(activated(&it), Vec::<String>::new());
    it.stop().await;
}

#[tokio::test]
async fn home_assistant_offers_what_is_connected() {
    let it = start(Model::X50).await;
    let components = |it: &Gateway| parsed(it.client.last(DOCUMENT))["components"].clone();
    let offers = |it: &Gateway, key: &str, names: Value| {
        let component = &components(it)[key];
        component["platform"] == "select" && component["options"] == names
    };
    let people = json!(["Main", "EagleEye Cube USB"]);
    let both = |it: &Gateway| {
        offers(it, "people_source", people.clone())
            && offers(it, "content_source", json!(["HDMI Input"]))
    };
    it.client.until("both lists", |_| both(&it)).await;
    let select = components(&it)["people_source"].clone();
    assert_eq!(
        select["command_topic"],
        "room/1/camera/near/selected_people/set"
    );
    // Cameras are unplugged: with none left the list keeps its last options until that is certain.
    it.device.set_condition(Condition::NoCameras, true);
    it.client
        .until("no cameras", |client| {
            parsed(client.last(CONNECTED))["people"] == json!([])
        })
        .await;
    it.device.set_condition(Condition::NoCameras, false);
    it.client
        .until("cameras again", |client| {
            parsed(client.last(CONNECTED))["people"]
                .as_array()
                .map(Vec::len)
                == Some(2)
        })
        .await;
    assert!(both(&it));
    it.stop().await;
}
