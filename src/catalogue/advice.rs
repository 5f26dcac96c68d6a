//! What a wrong value was probably meant to be, to follow the message about it.
//!
//! Pure. `json::advice` does the same for a payload that is not JSON at all.

use serde_json::Value;

use super::field::{Field, Rule};
use super::references::CommandTopic;
use crate::json::whole_number;
use crate::visible::is_invisible;

/// Words for a step, which people send where a value is wanted.
const STEP_WORDS: &[&str] = &["up", "down", "louder", "quieter", "+", "-"];

/// The signs of templates: Jinja's, and those of shells and JavaScript.
const TEMPLATE_SIGNS: &[&str] = &["{{", "{%", "${"];

/// The advice about a value that a field does not take; `None` if there is none.
pub fn advice(field: &Field, value: &Value) -> Option<String> {
    match (&field.rule, value) {
        (rule, _) if rule.is_secret() => None,
        (_, Value::String(text)) if TEMPLATE_SIGNS.iter().any(|sign| text.contains(sign)) => {
            Some("it holds a template that nothing has filled in".into())
        }
        (Rule::Integer { .. } | Rule::Switch, Value::String(text)) if text.starts_with('{') => {
            Some("it is JSON inside a text: it was encoded twice".into())
        }
        (Rule::Integer { .. }, Value::String(text)) => about_number(field, text.trim_ascii()),
        (Rule::Integer { .. }, Value::Number(number)) => about_number(field, number.as_str()),
        (Rule::Text, Value::String(text)) => hidden(text),
        (rule, Value::Number(_) | Value::Bool(_)) if rule.wants_text() => {
            Some("put it in double quotes if it is meant as text".into())
        }
        (_, Value::String(text)) => hidden(text),
        _ => None,
    }
}

/// The commands that raise and lower a value.
pub fn about_steps((up, down): (CommandTopic, CommandTopic)) -> String {
    format!("{up} and {down} change it by a step")
}

fn hidden(text: &str) -> Option<String> {
    let holds = text.chars().any(is_invisible);
    holds.then(|| "it holds characters that cannot be seen".into())
}

/// What a text that is no allowed number was meant to be.
fn about_number(field: &Field, text: &str) -> Option<String> {
    let unsigned = text.strip_prefix(['+', '-']).map(str::trim_start);
    let is_step = match unsigned {
        Some(unsigned) => whole_number(unsigned).is_some(),
        None => false,
    };
    let is_step_word = STEP_WORDS
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    if let Some(steps) = field.steps
        && (is_step || is_step_word)
    {
        return Some(about_steps(steps));
    }
    if is_step && text.starts_with('+') {
        return Some("write it without the +".into());
    }
    if text.chars().any(|c| c.is_numeric() && !c.is_ascii()) {
        return Some("its digits must be 0 to 9".into());
    }
    let unsigned = unsigned.unwrap_or(text);
    let length = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = unsigned.split_at(length);
    let rest = rest.trim();
    if digits.is_empty() || rest.is_empty() {
        return hidden(text);
    }
    let more_digits = rest.contains(|c: char| c.is_ascii_digit());
    if more_digits && rest.starts_with([',', '\'', '_', ' ']) {
        return Some("write its digits without other signs between them".into());
    }
    if more_digits || rest.starts_with('.') || text.chars().any(is_invisible) {
        return hidden(text);
    }
    Some("write the number alone, without a unit".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalogue::SwitchWords;

    const UP: CommandTopic = CommandTopic::new("audio/volume/up");
    const DOWN: CommandTopic = CommandTopic::new("audio/volume/down");
    const RATE: Field = Field::body("rate", "rate", "", Rule::Integer { min: 0, max: 100 });
    const VOLUME: Field = RATE.steps(UP, DOWN);

    fn told(field: &Field, value: Value) -> String {
        assert_eq!(
            field.rule.convert(&value, SwitchWords::OnOff),
            None,
            "{value}"
        );
        advice(field, &value).unwrap_or_default()
    }

    #[test]
    fn a_relative_number_names_the_commands_for_it() {
        for text in ["+5", "-5", "+ 5", "+5.0", "up", "Down", "+", "-"] {
            let told = told(&VOLUME, json!(text));
            assert!(told.contains("audio/volume/up"), "{text}: {told}");
            assert!(told.contains("audio/volume/down"), "{text}: {told}");
        }
        assert!(told(&VOLUME, json!(-5)).contains("audio/volume/down"));
        assert_eq!(told(&RATE, json!("+5")), "write it without the +");
        assert_eq!(told(&RATE, json!("-5")), "");
    }

    #[test]
    fn a_number_with_something_around_it_is_explained() {
        for (text, wanted) in [
            ("5%", "without a unit"),
            ("5 %", "without a unit"),
            ("50 dB", "without a unit"),
            ("-5dB", "without a unit"),
            ("5,5", "other signs"),
            ("1_000", "other signs"),
            ("1'000", "other signs"),
            ("５", "0 to 9"),
            ("٤٠", "0 to 9"),
            ("\u{feff}40", "cannot be seen"),
            ("40\0", "cannot be seen"),
            ("{\"volume\":40}", "encoded twice"),
            ("{{ volume }}", "template"),
            ("${volume}", "template"),
            ("loud", ""),
            ("40.5", ""),
            ("0x28", ""),
            ("101", ""),
            ("", ""),
        ] {
            let told = told(&RATE, json!(text));
            assert!(told.contains(wanted), "{text}: {told}");
            assert_eq!(told.is_empty(), wanted.is_empty(), "{text}: {told}");
        }
    }

    #[test]
    fn a_number_where_text_is_wanted_is_to_be_quoted() {
        let address = Field::body("address", "address", "", Rule::Text);
        for value in [json!(5551234.0), json!(true)] {
            assert!(told(&address, value).contains("double quotes"));
        }
        let secret = Field::body("password", "password", "", Rule::Secret);
        assert_eq!(told(&secret, json!(1.5)), "");
    }
}
