use super::*;
use serde_json::json;

#[test]
fn each_part_of_the_system_has_a_state() {
    let list = json!([
        {"langtag": "X", "name": "system.status.ipnetwork", "stateList": ["up"]},
        {"langtag": "Y", "name": "system.status.sipserver", "stateList": ["up", "off"]},
        {"nonsense": 1},
    ]);
    assert_eq!(
        statuses(&list),
        [
            ("ipnetwork".to_owned(), json!("up")),
            ("sipserver".to_owned(), json!(["up", "off"])),
        ]
    );
}

#[test]
fn the_log_is_full_if_its_part_says_so() {
    let part = |name: &str, words: Value| json!({"name": name, "stateList": words});
    let log = |words: Value| {
        let list = json!([
            part("system.status.ipnetwork", json!(["full"])),
            part("system.status.logthreshold", words),
        ]);
        log_full(&list, &CONTEXT)
    };
    assert_eq!(log(json!(["full"])), Some(json!(true)));
    assert_eq!(log(json!("FULL")), Some(json!(true)));
    assert_eq!(log(json!(["off"])), Some(json!(false)));
    let without = json!([part("system.status.ipnetwork", json!(["up"]))]);
    assert_eq!(log_full(&without, &CONTEXT), None);
    assert_eq!(log_full(&json!([{"name": 1}, 2]), &CONTEXT), None);
}

#[test]
fn the_start_is_what_the_room_knows_or_told_from_the_uptime() {
    let system = |uptime: Value| json!({"uptime": uptime});
    let known = Context {
        started: Some(1_700_000_000),
        ..CONTEXT
    };
    let date = Some(json!("2023-11-14T22:13:20Z"));
    assert_eq!(boot_time(&system(json!(5.5)), &known), date);
    let now = Context {
        now: 1_700_000_100,
        ..CONTEXT
    };
    assert_eq!(boot_time(&system(json!(100.9)), &now), date);
    for none in [json!(null), json!("soon"), json!(1e300)] {
        let _ = boot_time(&system(none.clone()), &now);
        assert_eq!(boot_time(&json!({}), &known), None, "{none}");
    }
}

const CONTEXT: Context = Context {
    now: 0,
    preset_offset: None,
    preset_names: None,
    started: None,
};

#[test]
fn a_name_that_is_no_topic_has_no_state() {
    let long = "x".repeat(70_000);
    for name in ["", "get", "result", "..", "a/../b", "a\nb", &long] {
        let list = json!([{"name": format!("system.status.{name}"), "stateList": ["up"]}]);
        assert!(statuses(&list).is_empty(), "{name:.20}");
    }
    let many: Vec<_> = (0..1000)
        .map(|n| json!({"name": n.to_string(), "stateList": ["up"]}))
        .collect();
    assert_eq!(statuses(&Value::Array(many)).len(), MOST_PARTS);
}
