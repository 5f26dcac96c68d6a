//! `GET /room`: the rooms that a token may see.
use std::time::Duration;

use poly2mqtt::config::{AccessLevel, Secret};
use poly2mqtt::doors::clients::ClientLimits;
use serde_json::{Value, json};
use tokio::time::sleep;

use poly2mqtt_test_support::door::{Doors, get, http, token};
use poly2mqtt_test_support::soon;

/// A token is told of its own rooms, and where to go on from there.
#[tokio::test]
async fn rooms_are_listed_for_those_who_may_see_them() {
    let mut doors = Doors::start_with(ClientLimits::default(), |config| {
        config.http.tokens = vec![
            token("every-room", AccessLevel::Read, None),
            token("second-room", AccessLevel::Control, Some(&["2"])),
        ];
        config.rooms.get_mut("1").unwrap().name = Some("Boardroom \"A\"".into());
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
        "url": "/room/1",
    });
    let second = json!({
        "id": "2", "name": null, "availability": "online", "problem": "none", "url": "/room/2",
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
    doors.config.rooms.get_mut("2").unwrap().password = Secret::new("wrong");
    doors.service.reload(doors.config.clone()).await.unwrap();
    let refused = json!({
        "id": "2", "name": null, "availability": "offline", "problem": "unauthorized",
        "url": "/room/2",
    });
    let wait = async {
        while ask(&doors, "second-room").await != json!([refused]) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the problem is told", wait).await;
    doors.stop().await;
}
