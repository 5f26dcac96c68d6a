//! Whole numbers, however they are spelled: `40`, `40.0`, `4e1`.
//!
//! Lua, C# and Python write the same number in different ways. The digits are moved as text, never as
//! a floating-point number, so that no digit is lost and a huge exponent takes no time.

/// The most digits that an `i64` can have.
const MOST_DIGITS: i64 = 19;

/// Stands for every exponent that is further from zero: more than any text has digits.
const FAR_EXPONENT: i64 = 10_000_000_000;

/// A number's parts, as text.
struct Spelling<'a> {
    negative: bool,
    whole: &'a str,
    /// Empty where there is none.
    fraction: &'a str,
    exponent: Option<i64>,
}

/// Takes a number apart: JSON's grammar, and leading zeros.
fn spelling(text: &str) -> Option<Spelling<'_>> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (true, unsigned),
        None => (false, text),
    };
    let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, Some(power)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) if is_digits(fraction) => (whole, fraction),
        Some(_) => return None,
        None => (mantissa, ""),
    };
    if !is_digits(whole) {
        return None;
    }
    let exponent = match power {
        Some(power) => Some(exponent(power)?),
        None => None,
    };
    Some(Spelling {
        negative,
        whole,
        fraction,
        exponent,
    })
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn exponent(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !is_digits(unsigned) {
        return None;
    }
    let digits = unsigned.trim_start_matches('0');
    let size = match digits.len() {
        0 => 0,
        1..=9 => digits.parse().ok()?,
        _ => FAR_EXPONENT,
    };
    Some(if text.starts_with('-') { -size } else { size })
}

/// The whole number that a text spells, if it fits an `i64`. `40.5` and `+5` are none; `007` is 7.
pub fn whole_number(text: &str) -> Option<i64> {
    let spelling = spelling(text)?;
    let digits = [spelling.whole, spelling.fraction].concat();
    let significant = digits.trim_end_matches('0');
    let zeros = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    let length = |length: usize| i64::try_from(length).ok();
    let zeros = length(zeros)? + spelling.exponent.unwrap_or(0) - length(spelling.fraction.len())?;
    if zeros < 0 || length(significant.len())? + zeros > MOST_DIGITS {
        return None;
    }
    let power = 10_i128.pow(u32::try_from(zeros).ok()?);
    let size = significant.parse::<i128>().ok()? * power;
    i64::try_from(if spelling.negative { -size } else { size }).ok()
}

/// Whether a text is a number to JSON.
pub fn is_number(text: &str) -> bool {
    spelling(text).is_some_and(|spelling| spelling.whole == "0" || !spelling.whole.starts_with('0'))
}

/// Whether a text is an integer to JSON, of any length: digits, and perhaps a minus.
pub fn is_integer(text: &str) -> bool {
    is_number(text) && !text.contains(['.', 'e', 'E'])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_whole_number_is_one_however_it_is_spelled() {
        for (text, number) in [
            ("40", 40),
            ("40.0", 40),
            ("40.000", 40),
            ("4e1", 40),
            ("4E1", 40),
            ("4.0E+1", 40),
            ("0.4e2", 40),
            ("400e-1", 40),
            ("400.0e-01", 40),
            ("040", 40),
            ("-0", 0),
            ("-0.0", 0),
            ("0e999999999999999999999", 0),
            ("0e-999999999999999999999", 0),
            ("-5", -5),
            ("-5.0", -5),
            ("1e18", 1_000_000_000_000_000_000),
            ("9223372036854775807", i64::MAX),
            ("9223372036854775807.0", i64::MAX),
            ("-9223372036854775808", i64::MIN),
            ("922337203685477580.7e1", i64::MAX),
        ] {
            assert_eq!(whole_number(text), Some(number), "{text}");
        }
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "-",
            "+5",
            "40.5",
            "4e-1",
            "45e-1",
            "1e-999999999999999999999",
            "9223372036854775808",
            "-9223372036854775809",
            "1e19",
            "1e999999999",
            "1e999999999999999999999",
            "40.",
            ".5",
            "40.e1",
            "4e",
            "4e+",
            "4e1.0",
            "0x28",
            "1_000",
            "5,5",
            "5 ",
            " 5",
            "--5",
            "５",
            "٤٠",
            "NaN",
            "Infinity",
            "-Infinity",
            "inf",
        ] {
            assert_eq!(whole_number(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_of_a_megabyte_takes_no_time() {
        let zeros = "0".repeat(1 << 20);
        assert_eq!(whole_number(&format!("40.{zeros}")), Some(40));
        assert_eq!(whole_number(&format!("4{zeros}e-1048575")), Some(40));
        assert_eq!(whole_number(&format!("{zeros}7")), Some(7));
        assert_eq!(whole_number(&format!("1{zeros}")), None);
        assert_eq!(whole_number(&format!("1e{zeros}2")), Some(100));
    }

    #[test]
    fn what_json_takes_as_a_number_and_as_an_integer() {
        for text in ["0", "-1", "12345678901234567890123"] {
            assert!(is_number(text) && is_integer(text), "{text}");
        }
        for text in ["1.0", "1e2", "-0.5E-3"] {
            assert!(is_number(text) && !is_integer(text), "{text}");
        }
        for text in ["007", "+1", "1.", ".1", "", "-", "true", "00"] {
            assert!(!is_number(text) && !is_integer(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_spelling_of_a_number_is_that_number(
            number: i64,
            zeros in 0_usize..30,
            shift in 0_usize..18,
            upper: bool,
            plus: bool,
        ) {
            let e = if upper { 'E' } else { 'e' };
            let plus = if plus { "+" } else { "" };
            let zeros = "0".repeat(zeros);
            prop_assert_eq!(whole_number(&number.to_string()), Some(number));
            prop_assert_eq!(whole_number(&format!("{number}.0{zeros}")), Some(number));
            prop_assert_eq!(whole_number(&format!("{number}{e}{plus}0{zeros}")), Some(number));
            let more = "0".repeat(shift);
            prop_assert_eq!(whole_number(&format!("{number}{more}{e}-{shift}")), Some(number));
            let sign = if number < 0 { "-" } else { "" };
            let digits = number.unsigned_abs().to_string();
            let padded = format!("{more}{digits}");
            let (whole, fraction) = padded.split_at(padded.len() - shift);
            let whole = if whole.is_empty() { "0" } else { whole };
            let fraction = if fraction.is_empty() { "0" } else { fraction };
            let moved = format!("{sign}{whole}.{fraction}{e}{plus}{shift}");
            prop_assert_eq!(whole_number(&moved), Some(number), "{}", moved);
        }

        #[test]
        fn what_serde_takes_as_a_number_is_one(text in "-?[0-9]{0,3}[.]?[0-9]{0,3}([eE][+-]?[0-9]{0,3})?") {
            let serde = serde_json::from_str::<serde_json::Number>(&text).is_ok();
            prop_assert_eq!(is_number(&text), serde, "{}", text);
        }
    }
}
