//! What each rule takes, and what it makes of it.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const VOLUME: Rule = Rule::Integer { min: 0, max: 100 };

/// A value as it stands in JSON.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_whole_number_is_taken_however_it_is_spelled() {
    for text in [
        "40",
        "40.0",
        "4e1",
        "4.0E+1",
        "400e-1",
        "\"40\"",
        "\" 40.0 \"",
    ] {
        assert_eq!(
            VOLUME.convert(&value(text), SwitchWords::OnOff),
            Some(json!(40)),
            "{text}"
        );
    }
    for text in ["-0", "-0.0", "0e999999999", "0.0"] {
        assert_eq!(
            VOLUME.convert(&value(text), SwitchWords::OnOff),
            Some(json!(0)),
            "{text}"
        );
    }
    for text in [
        "40.5",
        "1e999999999",
        "-1",
        "101",
        "true",
        "null",
        "[]",
        "\"+5\"",
        "\"\"",
        "\"５\"",
    ] {
        assert_eq!(
            VOLUME.convert(&value(text), SwitchWords::OnOff),
            None,
            "{text}"
        );
    }
}

#[test]
fn a_switch_is_taken_in_any_case() {
    for text in [
        "true",
        "1",
        "1.0",
        "\"oN\"",
        "\" tRUE \"",
        "\"1\"",
        "\"1.0\"",
        "1e0",
    ] {
        let on = Rule::Switch.convert(&value(text), SwitchWords::OnOff);
        assert_eq!(on, Some(json!(true)), "{text}");
        assert_eq!(
            Rule::YesNo.convert(&value(text), SwitchWords::OnOff),
            Some(json!("Yes"))
        );
    }
    for text in ["false", "0", "0.0", "-0", "\"oFF\"", "\"FaLsE\""] {
        let off = Rule::Switch.convert(&value(text), SwitchWords::OnOff);
        assert_eq!(off, Some(json!(false)), "{text}");
    }
    for text in ["2", "0.5", "null", "\"yes\"", "\"\"", "[1]", "10"] {
        assert_eq!(
            Rule::Switch.convert(&value(text), SwitchWords::OnOff),
            None,
            "{text}"
        );
    }
    let toggle = json!(" Toggle ");
    assert_eq!(
        Rule::Switch.convert(&toggle, SwitchWords::OnOffToggle),
        Some(json!("toggle"))
    );
    assert_eq!(Rule::Switch.convert(&toggle, SwitchWords::OnOff), None);
}

#[test]
fn an_integer_is_a_text_digit_for_digit_and_nothing_else_is() {
    for rule in [Rule::Text, Rule::AnyText, Rule::Secret] {
        for digits in ["5551234", "0", "-5", "123456789012345678901234567890"] {
            let taken = rule.convert(&value(digits), SwitchWords::OnOff);
            assert_eq!(taken, Some(json!(digits)), "{rule:?}");
            let quoted = rule.convert(&json!(format!("0{digits}")), SwitchWords::OnOff);
            assert_eq!(quoted, Some(json!(format!("0{digits}"))));
        }
        for text in ["5551234.0", "1e3", "true", "false", "null", "[]", "{}"] {
            assert_eq!(
                rule.convert(&value(text), SwitchWords::OnOff),
                None,
                "{rule:?} {text}"
            );
        }
    }
    let list = value("[5551234, \" a@b \", 12345678901234567890123]");
    let texts = Rule::Texts.convert(&list, SwitchWords::OnOff);
    assert_eq!(
        texts,
        Some(json!(["5551234", "a@b", "12345678901234567890123"]))
    );
    for text in ["[1.0]", "[true]", "[null]", "[\"\"]", "[]"] {
        assert_eq!(
            Rule::Texts.convert(&value(text), SwitchWords::OnOff),
            None,
            "{text}"
        );
    }
}

#[test]
fn an_address_can_be_seen() {
    for text in [
        "\u{feff}a@b",
        "\u{202a}+41\u{202c}",
        "a\0",
        "a\nb",
        "\u{200b}",
    ] {
        assert_eq!(
            Rule::Text.convert(&json!(text), SwitchWords::OnOff),
            None,
            "{text:?}"
        );
        assert!(
            Rule::AnyText
                .convert(&json!(text), SwitchWords::OnOff)
                .is_some()
        );
    }
    for text in ["\"Zoë\" <sip:a@b>", "会議室", " a "] {
        let taken = Rule::Text.convert(&json!(text), SwitchWords::OnOff);
        assert_eq!(taken, Some(json!(text.trim())));
    }
}

proptest! {
    #[test]
    fn any_integer_that_is_meant_as_text_keeps_its_digits(digits in "-?(0|[1-9][0-9]{0,60})") {
        let taken = Rule::Text.convert(&value(&digits), SwitchWords::OnOff);
        prop_assert_eq!(taken, Some(json!(digits)));
    }

    #[test]
    fn any_text_that_is_read_from_json_stays(text in "\\PC{1,30}") {
        let taken = Rule::AnyText.convert(&value(&json!(text).to_string()), SwitchWords::OnOff);
        prop_assert_eq!(taken, Some(json!(text.trim_ascii())));
    }
}
