//! `GET /room`: the rooms that a token may see.
use std::time::Duration;

use poly2mqtt::config::{AccessLevel, Secret};
use poly2mqtt::doors::clients::ClientLimits;
use serde_json::{Value, json};
use tokio::time::sleep;

use poly2mqtt_test_support::door::{Doors, get, http, token};
use poly2mqtt_test_support::gateway::configured;
use poly2mqtt_test_support::soon;

/// A token is told of its own rooms, and where to go on from there.
#[tokio::test]
async fn rooms_are_listed_for_those_who_may_see_them() {
    let mut doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![
            token("every-room", AccessLevel::Read, None),
            token("second-room", AccessLevel::Control, Some(&["2"])),
        ];
        configured(config, "1").name = Some("Boardroom \"A\"".into());
    })
    .await;
    let ask = async |doors: &Doors, token: &str| -> Value {
        let asked = http().get(doors.url("/room")).bearer_auth(token).send();
        let response = asked.await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/json");
        serde_json::from_str(&response.text().await.unwrap()).unwrap()
    };
    let first = json!({
        "id": "1", "name": "Boardroom \"A\"", "availability": "online", "problem": "none",
        "url": "/room/1", "commands": "/room/1/commands",
    });
    let second = json!({
        "id": "2", "name": null, "availability": "online", "problem": "none", "url": "/room/2",
        "commands": "/room/2/commands",
    });
    assert_eq!(ask(&doors, "every-room").await, json!([first, second]));
    assert_eq!(ask(&doors, "second-room").await, json!([second]));
    let url = doors.url(second["url"].as_str().unwrap());
    let states = http().get(url).bearer_auth("second-room").send();
    let states: Value = serde_json::from_str(&states.await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(states["availability"], "online");
    // Without a token it is refused like everything else, and it takes nothing.
    assert_eq!(get(&doors.url("/room")).await.status(), 401);
    let posted = http().post(doors.url("/room")).bearer_auth("every-room");
    let posted = posted.send().await.unwrap();
    assert_eq!(posted.status(), 405);
    assert!(posted.headers()["allow"].to_str().unwrap().contains("GET"));
    // A room that cannot be used says so, with the code of its problem.
    configured(&mut doors.config, "2").password = Secret::new("wrong");
    doors.service.reload(doors.config.clone()).await.unwrap();
    let refused = json!({
        "id": "2", "name": null, "availability": "offline", "problem": "unauthorized",
        "url": "/room/2", "commands": "/room/2/commands",
    });
    let wait = async {
        while ask(&doors, "second-room").await != json!([refused]) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the problem is told", wait).await;
    doors.stop().await;
}

/// Who generates a client finds every command of a room, what it means, and whether the token may send it.
#[tokio::test]
async fn the_commands_of_a_room_are_listed_and_explained() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![
            token("reads", AccessLevel::Read, None),
            token("controls", AccessLevel::Control, Some(&["2"])),
            token("administers", AccessLevel::Admin, None),
        ];
    })
    .await;
    let ask = async |token: &str, path: &str| -> (u16, Value) {
        let asked = http().get(doors.url(path)).bearer_auth(token).send();
        let response = asked.await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap())
    };
    for (token, mute, reboot) in [
        ("reads", false, false),
        ("controls", true, false),
        ("administers", true, true),
    ] {
        let (status, list) = ask(token, "/room/2/commands").await;
        assert_eq!(status, 200);
        let commands = list["commands"].as_array().unwrap();
        let find = |topic: &str| commands.iter().find(|it| it["topic"] == topic).unwrap();
        assert_eq!(find("audio/muted/set")["allowed"], mute, "{token}");
        assert_eq!(find("system/reboot")["allowed"], reboot, "{token}");
        let volume = find("audio/volume/set");
        assert_eq!(volume["url"], "/room/2/audio/volume/set");
        assert_eq!(volume["method"], "POST");
        assert_eq!(find("calendar/meetings/get")["method"], "GET");
        for command in commands {
            assert!(
                command["about"].as_str().unwrap().ends_with('.'),
                "{command}"
            );
        }
        assert!(list["states"]["audio/volume"].is_string());
        assert!(list["parameters"]["index"].is_string());
    }
    let (status, refused) = ask("controls", "/room/1/commands").await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (403, &json!("forbidden"))
    );
    let (status, unknown) = ask("reads", "/room/nowhere/commands").await;
    assert_eq!(status, 404);
    assert_eq!(unknown["error"]["code"], "unknown_room");
    // The address of the list comes with the states.
    for asked in ["/room/2", "/room/2/", "//room//2", "/room/2//"] {
        let asked = url::Url::parse(&doors.url(asked)).unwrap();
        let states = http().get(asked.clone()).bearer_auth("reads").send();
        let states = states.await.unwrap();
        let link = states.headers()["link"].to_str().unwrap().to_owned();
        let to = link.strip_prefix('<').unwrap().split_once('>').unwrap();
        assert_eq!(to.1, "; rel=\"service-desc\"");
        let list = http().get(asked.join(to.0).unwrap()).bearer_auth("reads");
        assert_eq!(list.send().await.unwrap().status(), 200, "{asked}: {link}");
    }
    doors.stop().await;
}

/// A message names the rooms that could be meant, of those that the token may see.
#[tokio::test]
async fn an_unknown_room_is_told_those_that_the_token_sees() {
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![
            token("every-room", AccessLevel::Control, None),
            token("second-room", AccessLevel::Control, Some(&["2"])),
        ];
    })
    .await;
    for (token, known) in [
        ("every-room", "; configured are 1, 2"),
        ("second-room", "; those of the token are 2"),
    ] {
        let asked = http().get(doors.url("/room/bordroom")).bearer_auth(token);
        let answer: Value = asked.send().await.unwrap().json().await.unwrap();
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.ends_with(known), "{message}");
    }
    doors.stop().await;
}
