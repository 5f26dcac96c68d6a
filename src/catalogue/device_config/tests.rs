//! Names, what is told of settings, and what is never told.

use bytes::Bytes;

use super::*;

fn call(topic: &str, payload: &'static str) -> Call {
    Call::parse(topic, &Bytes::from(payload), &mut None).unwrap()
}

fn refusal(topic: &str, payload: &'static str) -> String {
    let call = Call::parse(topic, &Bytes::from(payload), &mut None);
    call.unwrap_err().message
}

#[test]
fn a_name_is_parts_with_dots_between_them() {
    for name in [
        "system.info.systemname",
        "a.b",
        "sourceman.camera1.role",
        "a-b.c_d",
    ] {
        assert!(is_setting_name(name), "{name}");
    }
    let long = format!("a.{}", "b".repeat(LONGEST_NAME));
    for name in [
        "", "get", "set", "a", ".a", "a.", "a..b", "a b.c", "a/b.c", "ä.b", "a.#", &long,
    ] {
        assert!(!is_setting_name(name), "{name}");
    }
}

#[test]
fn names_are_a_list_or_one() {
    for (payload, wanted) in [
        ("a.b", vec!["a.b"]),
        ("\"a.b\"", vec!["a.b"]),
        ("a.b, c.d", vec!["a.b", "c.d"]),
        ("[\"a.b\",\"c.d\"]", vec!["a.b", "c.d"]),
        ("{\"names\":[\"a.b\"]}", vec!["a.b"]),
        ("{\"names\":\"a.b\"}", vec!["a.b"]),
    ] {
        assert_eq!(
            setting_names(&call("config/get", payload)),
            wanted,
            "{payload}"
        );
    }
    for payload in [
        "",
        "a",
        "[]",
        "[\"a\"]",
        "{\"names\":[]}",
        "{\"names\":[1]}",
        "a.b,",
        "1.5",
    ] {
        let told = refusal("config/get", payload);
        assert!(told.contains("names"), "{payload}: {told}");
    }
}

#[test]
fn a_refused_payload_never_repeats_a_value() {
    for payload in [
        "{\"name\":\"a.b\",\"value\":[\"hunter2\"]}",
        "{\"vars\":[{\"name\":\"a\",\"value\":\"hunter2\"}]}",
        "{\"vars\":[{\"name\":\"a.b\",\"value\":\"hunter2\",\"x\":1}]}",
        "{\"vars\":[{\"name\":\"a.b\",\"value\":{\"x\":\"hunter2\"}}]}",
        "{\"vars\":\"hunter2\"}",
        "{\"vars\":[]}",
        "{\"name\":\"a.b\",\"value\":\"hunter2\"",
        "hunter2",
        "hunter2\u{200b}",
        "[\"hunter2\"]",
    ] {
        let told = refusal("config/set", payload);
        assert!(!told.contains("hunter2"), "{payload}: {told}");
    }
}

#[test]
fn secret_and_hidden_values_are_in_no_state_and_no_result() {
    let var = |name: &str, more: Value| {
        let mut var = json!({"name": name, "value": "S3CRET", "result": "NOERROR"});
        var.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        var
    };
    for (name, more) in [
        ("a.b", json!({"isSecure": true})),
        ("a.b", json!({"isHidden": true, "isSecure": false})),
        ("a.b", json!({"isSecure": "true"})),
        ("a.b", json!({"isSecure": 1})),
        ("a.b", json!({"isSecure": "yes, of course"})),
        ("a.b", json!({"isSecure": {}})),
        ("a.sipPassword", json!({})),
        ("a.password", json!({"isSecure": false})),
    ] {
        let answer = json!({"vars": [var(name, more.clone())]});
        assert_eq!(settings(&answer), [], "{name} {more}");
        let asked = Call::of(call("config/get", "a.b").route, Vec::new());
        let told = settings_read(&asked.with("names", json!([name])), &answer).unwrap();
        assert!(!told.to_string().contains("S3CRET"), "{told}");
        assert_eq!(told["vars"][0]["concealed"], true, "{told}");
    }
    let answer = json!({"vars": [var("a.b", json!({"isSecure": false, "isHidden": 0}))]});
    assert_eq!(settings(&answer), [("a.b".to_owned(), json!("S3CRET"))]);
}

#[test]
fn only_names_that_were_asked_for_are_told() {
    let answer = json!({"vars": [
        {"name": "c.d", "value": 7, "result": "NOERROR"},
        {"name": "a.b", "value": 5, "result": "NOERROR", "isEditable": true, "more": 1},
        {"name": "e.f", "result": "INVALIDNAME"},
    ]});
    let told = settings_read(&call("config/get", "a.b,e.f,g.h"), &answer).unwrap();
    let wanted = json!({"vars": [
        {"name": "a.b", "result": "NOERROR", "isEditable": true, "value": 5},
        {"name": "e.f", "result": "INVALIDNAME"},
        {"name": "g.h", "result": "NOANSWER"},
    ]});
    assert_eq!(told, wanted);
    // No state for what has no value or no name that can be a topic.
    let odd = json!({"vars": [
        {"name": "e.f", "value": 1, "result": "INVALIDNAME"},
        {"name": "set", "value": 1, "result": "NOERROR"},
        {"name": "a/b.c", "value": 1, "result": "NOERROR"},
        {"name": "a.b", "value": null, "result": "NOERROR"},
        7,
    ]});
    assert_eq!(settings(&odd), []);
    assert_eq!(settings(&json!({"vars": {}})), []);
}

#[test]
fn what_was_not_set_is_named_and_so_is_the_rest() {
    let payload = r#"{"vars":[{"name":"a.b","value":"v1"},{"name":"c.d","value":"v2"}]}"#;
    let written = |answer: Value| settings_written(&call("config/set", payload), &answer);
    let vars = |a: &str, b: &str| {
        json!({"vars": [
            {"name": "a.b", "requestedValue": "v1", "result": a},
            {"name": "c.d", "requestedValue": "v2", "result": b},
        ], "rebootNeeded": true})
    };
    let told = written(vars("NOERROR", "NOERROR")).unwrap();
    let wanted = json!({"vars": [
        {"name": "a.b", "result": "NOERROR"},
        {"name": "c.d", "result": "NOERROR"},
    ], "reboot_needed": true});
    assert_eq!(told, wanted);
    for (answer, wanted) in [
        (
            vars("NOERROR", "INVALIDVALUE"),
            "did not set c.d (INVALIDVALUE); it set a.b, and must be restarted for that",
        ),
        (
            vars("NOTEDITABLE", "INVALIDNAME"),
            "did not set a.b (NOTEDITABLE), c.d (INVALIDNAME); it set nothing",
        ),
        (
            vars("NOERROR", "v2 is no good"),
            "did not set c.d (UNKNOWN); it set a.b, and must be restarted for that",
        ),
        (
            Value::Null,
            "did not set a.b (NOANSWER), c.d (NOANSWER); it set nothing",
        ),
    ] {
        let failure = written(answer).unwrap_err();
        assert_eq!(failure.code, ErrorCode::DeviceError);
        assert_eq!(failure.message, format!("the device {wanted}"));
    }
}

#[test]
fn one_setting_is_sent_as_a_list_of_one() {
    let context = Context {
        now: 0,
        preset_offset: None,
        preset_names: None,
        started: None,
    };
    let planned = |payload| call("config/set", payload).planned(&context, &Value::Null);
    let one = planned(r#"{"name":"a.b","value":40}"#).unwrap();
    assert_eq!(one[0].values["vars"], json!([{"name": "a.b", "value": 40}]));
    for payload in [
        r#"{"name":"a.b"}"#,
        r#"{"value":40}"#,
        "",
        r#"{"name":"a.b","value":1,"vars":[{"name":"a.b","value":1}]}"#,
    ] {
        assert_eq!(
            planned(payload).unwrap_err().code,
            ErrorCode::InvalidPayload
        );
    }
}

#[test]
fn values_are_secrets_of_the_command() {
    for (payload, wanted) in [
        (r#"{"name":"a.b","value":"hunter2"}"#, vec!["hunter2"]),
        (
            r#"{"vars":[{"name":"a.b","value":"hunter2"},{"name":"c.d","value":4242}]}"#,
            vec!["hunter2", "4242"],
        ),
        // The usual values of settings are in most of what a device says.
        (r#"{"name":"a.b","value":""}"#, vec![]),
        (r#"{"name":"a.b","value":400}"#, vec![]),
        (r#"{"name":"a.b","value":"SIP"}"#, vec![]),
        (r#"{"name":"a.b","value":true}"#, vec![]),
        (r#"{"name":"a.b","value":"False"}"#, vec![]),
    ] {
        assert_eq!(call("config/set", payload).secrets(), wanted, "{payload}");
    }
    let dial = call("call/dial", r#"{"address":"a@b","password":"s1"}"#);
    assert_eq!(dial.secrets(), ["s1"]);
    assert!(call("config/get", "a.b").secrets().is_empty());
}
