//! Presets with names: what commands take, what states show, and what reaches the device.
use poly2mqtt::catalogue::PresetNames;
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt_simulator::{Options, SimulatedDevice};
use serde_json::{Value, json};

use poly2mqtt_test_support::SOON;
use poly2mqtt_test_support::client::Client;
use poly2mqtt_test_support::door::{Doors, http};
use poly2mqtt_test_support::gateway::{Gateway, configured};

const LIST: &str = "room/1/camera/presets";
const NAMES: &str = "room/1/camera/presets/names";

fn names(named: &[(i64, &str)]) -> PresetNames {
    let mut names = PresetNames::default();
    for (number, name) in named {
        names.insert(*number, (*name).to_owned()).unwrap();
    }
    names
}

async fn start(zero_based: bool, offset: Option<i8>, named: &[(i64, &str)]) -> Gateway {
    let options = Options {
        zero_based_presets: zero_based,
        ..Options::default()
    };
    Gateway::start_online_with(options, |room| {
        room.preset_offset = offset;
        room.presets = names(named);
    })
    .await
}

fn json_of(client: &Client, topic: &str) -> Value {
    serde_json::from_str(&client.last(topic).unwrap_or_default()).unwrap_or_default()
}

/// The names in the list, by the list's numbers.
fn named_in_list(client: &Client) -> Vec<(i64, String)> {
    let list = json_of(client, LIST);
    let entries = list.as_array().into_iter().flatten();
    let named = entries.filter_map(|entry| {
        let name = entry["name"].as_str()?.to_owned();
        Some((entry["index"].as_i64()?, name))
    });
    named.collect()
}

/// What was sent to presets, as `activate 2`.
fn sent(device: &SimulatedDevice) -> Vec<String> {
    let journal = device.journal();
    let commands = journal.iter().filter(|entry| entry.method == "POST");
    let of_presets = commands.filter_map(|entry| {
        let index = entry.path.strip_prefix("/rest/cameras/near/presets/")?;
        let body: Value = serde_json::from_slice(&entry.body).ok()?;
        Some(format!("{} {index}", body["action"].as_str()?))
    });
    of_presets.collect()
}

#[tokio::test]
async fn a_name_is_shown_beside_its_number_and_taken_by_commands() {
    let named = [
        (1, "Whole table"),
        (2, "Lectern"),
        (7, "Bühne 50 % / links"),
    ];
    for (zero_based, offset) in [
        (false, None),
        (true, None),
        (true, Some(-1)),
        (false, Some(0)),
    ] {
        let it = start(zero_based, offset, &named).await;
        println!("{zero_based} {offset:?}");
        it.client.message(LIST).await;
        it.client.message(NAMES).await;
        let wanted = json!({"1": "Whole table", "2": "Lectern", "7": "Bühne 50 % / links"});
        assert_eq!(json_of(&it.client, NAMES), wanted);
        let listed: Vec<_> = named.map(|(number, name)| (number, name.to_owned())).into();
        assert_eq!(named_in_list(&it.client), listed);
        for (topic, action, number) in [
            ("Lectern/activate", "activate", 2),
            ("lECTERN/activate", "activate", 2),
            ("2/activate", "activate", 2),
            ("Whole table/activate", "activate", 1),
            ("whole%20table/activate", "activate", 1),
            ("Bühne 50 %25 %2F links/activate", "activate", 7),
            ("Whole table/store", "store", 1),
            ("Whole table/clear", "clear", 1),
        ] {
            it.device.clear_journal();
            let command = format!("camera/preset/{topic}");
            let result = it.client.command(&format!("room/1/{command}"), "").await;
            assert_eq!(result["ok"], true, "{topic}: {result}");
            assert_eq!(result["command"], command.as_str());
            let index = number - i64::from(zero_based);
            assert_eq!(sent(&it.device), [format!("{action} {index}")], "{topic}");
        }
        for topic in ["2", "Lectern"] {
            let query = format!("room/1/camera/preset/{topic}/get");
            let result = it.client.command(&query, "").await;
            assert_eq!(result["body"]["index"], 2, "{topic}: {result}");
        }
        // What moves while it is on has its stop by name too.
        it.device.clear_journal();
        let moved = "room/1/camera/preset/Lectern/move";
        let payload = r#"{"direction":"left","duration_ms":50}"#;
        assert_eq!(it.client.command(moved, payload).await["ok"], true);
        let index = 2 - i64::from(zero_based);
        let wanted = [format!("moveStart {index}"), format!("moveStop {index}")];
        let stopped = |device: &SimulatedDevice| sent(device) == wanted;
        let so = it.device.wait_for(SOON, stopped);
        assert!(so.await, "{:?}", sent(&it.device));
        let answer = it
            .client
            .command("room/1/camera/preset/Lectern/get", "")
            .await;
        assert_eq!(answer["body"]["index"], 2, "{answer}");
        let answer = it
            .client
            .command("room/1/camera/presets/names/get", "")
            .await;
        assert_eq!(answer["body"]["2"], "Lectern", "{answer}");
        let answer = it.client.command("room/1/camera/presets/get", "").await;
        assert_eq!(answer["body"][1]["name"], "Lectern", "{answer}");
        it.stop().await;
    }
}

#[tokio::test]
async fn an_unknown_name_is_answered_with_the_known_ones() {
    let it = start(false, None, &[(1, "Whole table"), (2, "Lectern")]).await;
    for wrong in ["Lecturn", "Whole", "0", "11", "2.5", "Whole%20%20table"] {
        it.device.clear_journal();
        let topic = format!("room/1/camera/preset/{wrong}/activate");
        let result = it.client.command(&topic, r#"{"request_id":5}"#).await;
        assert_eq!(result["error"]["code"], "invalid_payload", "{result}");
        assert_eq!(result["request_id"], 5);
        let message = result["error"]["message"].as_str().unwrap();
        let known =
            "a preset is a number from 1 to 10 or one of the names \"Whole table\", \"Lectern\"";
        assert!(message.starts_with(known), "{message}");
        assert_eq!(sent(&it.device), Vec::<String>::new());
    }
    it.stop().await;
}

#[tokio::test]
async fn without_names_nothing_is_different() {
    let it = start(false, None, &[]).await;
    it.client.message(LIST).await;
    let list = json_of(&it.client, LIST);
    let members = list[0].as_object().unwrap().keys();
    let of_the_device = ["imageLocation", "index", "near", "sessionId", "stored"];
    let mut members: Vec<_> = members.map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, of_the_device);
    let result = it
        .client
        .command("room/1/camera/preset/Lectern/activate", "")
        .await;
    let message = "a preset is a number from 1 to 10, not \"Lectern\"";
    assert_eq!(result["error"]["message"], message);
    assert!(it.client.messages(NAMES).is_empty());
    it.stop().await;
}

#[tokio::test]
async fn a_reload_takes_other_names_over_and_publishes_them() {
    let mut it = start(false, None, &[(1, "Whole table"), (2, "Lectern")]).await;
    it.client.message(NAMES).await;
    configured(&mut it.config, "1").presets = names(&[(2, "Desk")]);
    it.service.reload(it.config.clone()).await.unwrap();
    it.client.expect(NAMES, r#"{"2":"Desk"}"#).await;
    let wanted = [(2, "Desk".to_owned())];
    let listed = |client: &Client| named_in_list(client) == wanted;
    it.client.until("the new name in the list", listed).await;
    it.online().await;
    it.device.clear_journal();
    let result = it.client.command("room/1/camera/preset/desk/activate", "");
    assert_eq!(result.await["ok"], true);
    assert_eq!(sent(&it.device), ["activate 2"]);
    let result = it
        .client
        .command("room/1/camera/preset/Lectern/activate", "");
    let message = "a preset is a number from 1 to 10 or the name \"Desk\", not \"Lectern\"";
    assert_eq!(result.await["error"]["message"], message);
    let shown = |client: &Client| {
        let info = json_of(client, "gateway/info");
        info["configuration"]["rooms"]["1"]["presets"] == json!({"2": "Desk"})
    };
    it.client.until("gateway/info", shown).await;
    // Without names the state goes, also from the broker.
    configured(&mut it.config, "1").presets = PresetNames::default();
    it.service.reload(it.config.clone()).await.unwrap();
    it.client.expect(NAMES, "").await;
    let none = |client: &Client| named_in_list(client).is_empty();
    it.client.until("no name in the list", none).await;
    it.stop().await;
}

/// Over HTTP and in lines a blank is written `%20`: there it ends the topic.
#[tokio::test]
async fn every_door_takes_names() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        for room in config.rooms.values_mut().map(std::sync::Arc::make_mut) {
            room.presets = names(&[(1, "Whole table"), (2, "Lectern")]);
        }
    })
    .await;
    for (path, wanted) in [
        ("Lectern", "activate 2"),
        ("Whole%20table", "activate 1"),
        ("3", "activate 3"),
    ] {
        let topic = format!("room/1/camera/preset/{path}/activate");
        doors.device.clear_journal();
        let posted = http().post(doors.url(&format!("/{topic}"))).send();
        assert_eq!(posted.await.unwrap().status(), 200, "{path}");
        assert_eq!(sent(&doors.device), [wanted]);
        doors.device.clear_journal();
        let mut lines = doors.tcp().await;
        lines.send(&format!("{topic}\r\n")).await;
        let answer = lines.line().await;
        assert_eq!(answer, Some(format!("{topic}/result ok")));
        assert_eq!(sent(&doors.device), [wanted]);
    }
    let wrong = doors.url("/room/1/camera/preset/Lecturn/activate");
    let refused = http().post(wrong).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    let refused: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!(refused["error"]["code"], "invalid_payload", "{refused}");
    doors.stop().await;
}
