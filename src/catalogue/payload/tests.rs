//! What payloads are read as, and what is said about those that are not.

use super::*;
use crate::catalogue::{Command, operations};
use proptest::prelude::*;

const VOLUME: Payload = Payload::Fields {
    bare: Some("volume"),
    fields: &[Field::body("volume", "volume", "", Rule::Integer { min: 0, max: 100 }).required()],
    whole: true,
};

fn read(payload: &str) -> Result<Map<String, Value>, String> {
    VOLUME
        .read("audio/volume/set", payload.as_bytes(), SwitchWords::OnOff)
        .values
}

#[test]
fn a_bare_value_and_an_object_say_the_same() {
    assert_eq!(read("40").unwrap()["volume"], 40);
    assert_eq!(read(" \"40\" ").unwrap()["volume"], 40);
    assert_eq!(read("{\"volume\":40}").unwrap()["volume"], 40);
    assert_eq!(read("{\"value\":\"40\"}").unwrap()["volume"], 40);
}

#[test]
fn bad_payloads_say_what_is_allowed() {
    let takes = "volume takes an integer from 0 to 100";
    assert_eq!(read("loud").unwrap_err(), format!("{takes}, not \"loud\""));
    assert_eq!(read("101").unwrap_err(), format!("{takes}, not \"101\""));
    assert_eq!(
        read("").unwrap_err(),
        format!("{takes}; the payload was empty")
    );
    assert!(read("{\"volume\":").unwrap_err().contains("broken JSON"));
    assert!(
        read("{\"volume\":1,\"vol\":2}")
            .unwrap_err()
            .contains("\"vol\" is not a field")
    );
    let none = Payload::None
        .read("audio/mute", b"PRESS", SwitchWords::OnOff)
        .values;
    assert_eq!(none.unwrap_err(), "audio/mute takes an empty payload");
    assert!(
        VOLUME
            .read("x", &[0xff], SwitchWords::OnOff)
            .values
            .unwrap_err()
            .contains("UTF-8")
    );
}

/// Space, tab and line ends around a value mean nothing; every other character is a part of it.
#[test]
fn only_blanks_of_ascii_are_taken_off() {
    for blank in [
        " 40",
        "40\n",
        "\t40\r\n",
        " \" 40 \" ",
        "{\"volume\": \" 40\\n\"}\r\n",
    ] {
        assert_eq!(read(blank).unwrap()["volume"], 40, "{blank:?}");
    }
    for other in [
        "40\u{2028}",
        "\u{a0}40",
        "40\u{85}",
        "\u{3000}40",
        "40\u{b}",
        "\"40\u{2029}\"",
    ] {
        let told = read(other).unwrap_err();
        assert!(
            told.contains("takes an integer from 0 to 100, not"),
            "{told}"
        );
        assert!(told.contains("\\u{"), "{told}");
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    for (payload, words) in [
        (r#"{"volume":40,"volume":50}"#, "has \"volume\" twice"),
        (r#"{"volume":40,"volume":40}"#, "has \"volume\" twice"),
        (r#"{"value":40,"volume":50}"#, "volume is there twice"),
        (
            r#"{"request_id":1,"request_id":2,"volume":1}"#,
            "\"request_id\" twice",
        ),
    ] {
        let told = read(payload).unwrap_err();
        assert!(told.contains(words), "{payload}: {told}");
    }
    // `null` is no value.
    assert_eq!(read(r#"{"value":null,"volume":50}"#).unwrap()["volume"], 50);
    let payload = br#"{"volume":1,"volume":2,"request_id":7}"#;
    let read = VOLUME.read("audio/volume/set", payload, SwitchWords::OnOff);
    assert_eq!(read.request_id, Some(Value::from(7).into()));
}

#[test]
fn a_request_id_is_found_even_when_the_value_is_wrong() {
    let read = VOLUME.read(
        "audio/volume/set",
        b"{\"volume\":\"x\",\"request_id\":7}",
        SwitchWords::OnOff,
    );
    assert_eq!(read.request_id, Some(Value::from(7).into()));
    assert!(read.values.is_err());
}

#[test]
fn a_request_id_stays_as_it_was_sent() {
    for id in [
        "12345678901234567890123",
        "1.0",
        "1e2",
        "1E+2",
        "-0",
        "0.10",
        "\"\\u0041 \\/\"",
        "{\"a\": [1.50, 1e5]}",
        "null",
        "true",
    ] {
        for rest in ["\"volume\":40", "\"volume\":\"loud\"", "\"vol\":1"] {
            let payload = format!("{{\"request_id\" : {id} , {rest}}}");
            let read = VOLUME.read("audio/volume/set", payload.as_bytes(), SwitchWords::OnOff);
            assert_eq!(read.request_id.unwrap().as_str(), id, "{payload}");
        }
    }
    assert!(
        VOLUME
            .read("x", b"{\"volume\":4}", SwitchWords::OnOff)
            .request_id
            .is_none()
    );
}

#[test]
fn numbers_are_read_bare_and_in_json() {
    for spelled in ["40", "40.0", "4e1", "4.0E+1", "400e-1"] {
        for payload in [
            spelled.to_owned(),
            format!(" \"{spelled}\" "),
            format!("{{\"volume\":{spelled}}}"),
            format!("{{\"volume\":\" {spelled} \"}}"),
        ] {
            assert_eq!(read(&payload).unwrap()["volume"], 40, "{payload}");
        }
    }
    for payload in [
        "40.5",
        "{\"volume\":40.5}",
        "1e999999999",
        "{\"volume\":1e999999999}",
    ] {
        let told = read(payload).unwrap_err();
        assert!(
            told.starts_with("volume takes an integer from 0 to 100, not "),
            "{told}"
        );
    }
}

const DIAL: Payload = Payload::Fields {
    bare: Some("address"),
    fields: &[
        Field::body("address", "address", "", Rule::Text).required(),
        Field::body("rate", "rate", "", Rule::Integer { min: 0, max: 9000 }),
    ],
    whole: false,
};

fn dial(payload: &str) -> Result<Map<String, Value>, String> {
    DIAL.read("call/dial", payload.as_bytes(), SwitchWords::OnOff)
        .values
}

#[test]
fn null_is_nothing() {
    let given = dial("{\"address\":\"a\",\"rate\":null}").unwrap();
    assert!(!given.contains_key("rate"));
    // Not what hides the value under another name.
    assert_eq!(
        read("{\"volume\":40,\"value\":null}").unwrap()["volume"],
        40
    );
    for payload in ["null", " null ", "{\"address\":null}", "{}"] {
        let told = dial(payload).unwrap_err();
        assert_eq!(
            told,
            "address is missing; address takes a text that is not empty"
        );
    }
    for payload in ["", "null", "{}"] {
        assert!(
            Payload::None
                .read("audio/mute", payload.as_bytes(), SwitchWords::OnOff)
                .values
                .is_ok()
        );
    }
}

#[test]
fn an_address_is_text() {
    let digits = "123456789012345678901";
    for (payload, address) in [
        (digits.to_owned(), digits),
        (format!("\"{digits}\""), digits),
        (format!("{{\"address\":{digits}}}"), digits),
        ("0041791234567".into(), "0041791234567"),
        ("+41791234567".into(), "+41791234567"),
        ("\"Alice\" <sip:a@x>".into(), "\"Alice\" <sip:a@x>"),
        ("\"Al \\ B\" sip:a@x".into(), "\"Al \\ B\" sip:a@x"),
        ("\"5551234.0\"".into(), "5551234.0"),
        ("\"true\"".into(), "true"),
        ("[2001:db8::1]".into(), "[2001:db8::1]"),
        ("10.0.0.1".into(), "10.0.0.1"),
        ("nullify".into(), "nullify"),
    ] {
        assert_eq!(dial(&payload).unwrap()["address"], address, "{payload}");
    }
    for payload in ["5551234.0", "1e3", "true", "false"] {
        for payload in [payload.to_owned(), format!("{{\"address\":{payload}}}")] {
            let told = dial(&payload).unwrap_err();
            assert!(told.starts_with("address takes a text"), "{told}");
            assert!(told.contains("put it in double quotes"), "{told}");
        }
    }
    for payload in ["\"Alice", "\"a\\qb\"", "\""] {
        assert!(
            dial(payload).unwrap_err().contains("broken JSON"),
            "{payload}"
        );
    }
}

#[test]
fn a_list_is_no_text() {
    for payload in ["[\"a@b\"]", "[ ]", "[1]", "[\n{\"address\":\"a\"}]", "[[]]"] {
        let told = dial(payload).unwrap_err();
        let wanted = "address takes a text that is not empty, not [";
        assert!(told.starts_with(wanted), "{payload}: {told}");
    }
    assert!(read("[40]").unwrap_err().ends_with("not [40]"));
    let many = format!("[{}1]", "1,".repeat(MOST_VALUES));
    for payload in ["[\"a@b\"", "[\"a@b\",]", "['a@b']", "[{]", many.as_str()] {
        let told = dial(payload).unwrap_err();
        assert!(told.starts_with("address is "), "{payload}: {told}");
    }
    for text in ["[2001:db8::1]:5060", "[Board] room", "[a]", "["] {
        assert_eq!(dial(text).unwrap()["address"], text);
    }
}

/// The same JSON is taken or refused alike, bare and in an object, by each command that takes a bare value.
#[test]
fn a_bare_value_is_what_it_is_in_an_object() {
    let mut compared = 0;
    let commands = operations().flat_map(|operation| operation.commands);
    for Command { topic, payload, .. } in commands {
        let Payload::Fields {
            bare: Some(bare), ..
        } = payload
        else {
            continue;
        };
        for value in [
            "[]",
            "[\"a@b\"]",
            "[1]",
            "[[\"a\"]]",
            "[{}]",
            "true",
            "false",
            "1.5",
            "1e3",
            "40",
            "-0",
            "\"a@b\"",
            "\"\"",
            "\"[1]\"",
            "null",
        ] {
            let taken = |given: &str| {
                payload
                    .read(topic, given.as_bytes(), SwitchWords::OnOff)
                    .values
                    .ok()
            };
            let object = format!("{{\"{bare}\":{value}}}");
            assert_eq!(taken(value), taken(&object), "{topic} {value}");
            compared += 1;
        }
    }
    assert!(compared > 0);
}

#[test]
fn what_cannot_be_seen_is_shown() {
    for (payload, shown) in [
        ("40\0", "40\\0"),
        ("\u{feff}40", "\\u{feff}40"),
        ("4\u{200b}0", "4\\u{200b}0"),
        ("\u{202b}40", "\\u{202b}40"),
        ("\u{feff}{\"volume\":40}", "\\u{feff}{"),
        ("{\"volume\u{200b}\":40}", "volume\\u{200b}"),
        ("{\"volume\":40}\0", "\\0"),
        ("{\"volume\":\"40\\u0000\"}", "40\\0"),
    ] {
        let told = read(payload).unwrap_err();
        assert!(told.contains(shown), "{payload:?}: {told}");
    }
    let none = Payload::None
        .read("audio/mute", b"\0", SwitchWords::OnOff)
        .values;
    assert_eq!(
        none.unwrap_err(),
        "audio/mute takes an empty payload, not \"\\0\""
    );
}

#[test]
fn what_is_nearly_json_gets_advice() {
    for (payload, wanted) in [
        ("{'volume': 40}", "| tojson"),
        ("{\"volume\": None}", "| tojson"),
        ("{\"volume\": True}", "| tojson"),
        ("{\"volume\": 40,}", "comma"),
        ("{volume:40}", "double quotes around names"),
        ("{{ 40 }}", "template"),
        ("{\"volume\": \"{{ x }}\"}", "template"),
        ("+5", "write it without the +"),
        ("5%", "without a unit"),
    ] {
        let told = read(payload).unwrap_err();
        assert!(told.contains(wanted), "{payload}: {told}");
    }
    let told = |payload| {
        VOLUME
            .read("x", payload, SwitchWords::OnOff)
            .values
            .unwrap_err()
    };
    assert!(told(b"\xff\xfe4\x000\x00").contains("it is UTF-16"));
    assert!(told(b"4\xe90").contains("byte 2 is 0xE9"));
}

#[test]
fn a_payload_of_many_values_is_refused_before_it_is_read() {
    let members: String = (0..MOST_VALUES).map(|n| format!(",\"{n}\":0")).collect();
    let payload = format!("{{\"request_id\":7{members}}}");
    let read = VOLUME.read("audio/volume/set", payload.as_bytes(), SwitchWords::OnOff);
    let told = read.values.unwrap_err();
    assert!(
        told.contains("JSON that has more than 2000 values"),
        "{told}"
    );
    assert_eq!(read.request_id.unwrap().as_str(), "7");
}

#[test]
fn a_secret_is_not_shown() {
    const PASSWORD: &[Field] = &[Field::body("password", "password", "", Rule::Secret)];
    let payload = Payload::Fields {
        bare: None,
        fields: PASSWORD,
        whole: false,
    };
    let read = payload.read(
        "call/dial",
        b"{\"password\":[\"hunter2\"]}",
        SwitchWords::OnOff,
    );
    assert!(!read.values.unwrap_err().contains("hunter2"));
}

proptest! {
    #[test]
    fn no_payload_can_panic(payload in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = VOLUME.read("audio/volume/set", &payload, SwitchWords::OnOffToggle);
        let _ = Payload::None.read("audio/mute", &payload, SwitchWords::OnOffToggle);
    }

    #[test]
    fn any_integer_and_any_text_are_dialled_as_they_are(
        digits in "-?(0|[1-9][0-9]{0,40})",
        text in "[a-z@:./ +0-9\"]{0,20}",
    ) {
        for payload in [digits.clone(), format!("{{\"address\":{digits}}}"), format!("\"{digits}\"")] {
            prop_assert_eq!(&dial(&payload).unwrap()["address"], &digits);
        }
        let address = format!("sip:{text}");
        for payload in [address.clone(), Value::from(address.clone()).to_string()] {
            prop_assert_eq!(&dial(&payload).unwrap()["address"], address.trim());
        }
    }
}
