//! Durations and sizes as people write them.

use std::time::Duration;

use super::key::DurationBounds;

/// The units of durations, with the milliseconds that one has.
const DURATION_UNITS: [(&str, u128); 4] =
    [("ms", 1), ("s", 1000), ("m|min", 60_000), ("h", 3_600_000)];
/// The units of sizes, with the bytes that one has.
const SIZE_UNITS: [(&str, u128); 5] = [
    ("B?", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("kB|KB", 1000),
    ("MB", 1_000_000),
];

/// `2s`, `500ms`, `10m`, `1h`; a bare `0` is nothing.
pub fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3600.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// `10MiB`, `512KiB`, `1MB`, or bytes.
pub fn size(text: &str) -> Option<usize> {
    let (number, unit) = split(text.trim())?;
    let bytes = match unit {
        "" | "B" => number,
        "KiB" => number * 1024.0,
        "MiB" => number * 1_048_576.0,
        "kB" | "KB" => number * 1000.0,
        "MB" => number * 1_000_000.0,
        _ => return None,
    };
    // A number beyond what memory holds becomes the largest, which the bounds of its key refuse.
    Some(bytes as usize)
}

fn split(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
}

/// A regular expression for the durations in these bounds.
pub fn duration_pattern(bounds: DurationBounds) -> String {
    let least = with_unit(&DURATION_UNITS, bounds.least.as_millis());
    if bounds.or_zero {
        format!("{least}|0|\\s*(0+\\.?0*|\\.0+)\\s*(ms|s|m|min|h)\\s*")
    } else {
        least
    }
}

/// A regular expression for the sizes from this one on.
pub fn size_pattern(least: usize) -> String {
    with_unit(&SIZE_UNITS, least as u128)
}

/// A number with a unit, at least so many of the smallest.
fn with_unit(units: &[(&str, u128)], least: u128) -> String {
    let unit = |(unit, size): &(&str, u128)| format!("{}\\s*({unit})", at_least(least, *size));
    let units: Vec<String> = units.iter().map(unit).collect();
    format!("\\s*({})\\s*", units.join("|"))
}

/// A regular expression for decimal numbers from `numerator / denominator` on, rounded up to seven places.
/// The numerator is not 0.
fn at_least(numerator: u128, denominator: u128) -> String {
    const PLACES: u128 = 10_000_000;
    let rounded = (numerator * PLACES).div_ceil(denominator);
    let (whole, fraction) = (rounded / PLACES, rounded % PLACES);
    let whole = if whole == 0 {
        String::new()
    } else {
        whole.to_string()
    };
    let fraction = format!("{fraction:07}");
    let fraction = fraction.trim_end_matches('0');
    // More digits before the point, or the same number of digits and a greater one.
    let more = format!("[1-9][0-9]{{{},}}", whole.len());
    let mut greater = vec![more];
    greater.extend(greater_digits(&whole).map(|(digits, left)| format!("{digits}[0-9]{{{left}}}")));
    let mut numbers = vec![format!("({})(\\.[0-9]*)?", greater.join("|"))];
    // The same before the point, and as much behind it.
    if fraction.is_empty() {
        numbers.push(format!("{whole}(\\.[0-9]*)?"));
    } else {
        let mut fractions: Vec<String> =
            greater_digits(fraction).map(|(digits, _)| digits).collect();
        fractions.push(fraction.to_owned());
        numbers.push(format!("{whole}\\.({})[0-9]*", fractions.join("|")));
    }
    format!("0*({})", numbers.join("|"))
}

/// The beginnings of digits that are greater than these, and how many digits follow.
fn greater_digits(digits: &str) -> impl Iterator<Item = (String, usize)> {
    let greater = digits
        .bytes()
        .enumerate()
        .filter(|(_, digit)| *digit < b'9');
    greater.map(move |(at, digit)| {
        let next = char::from(digit + 1);
        (
            format!("{}[{next}-9]", &digits[..at]),
            digits.len() - at - 1,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        assert_eq!(duration("2s"), Some(Duration::from_secs(2)));
        assert_eq!(duration("1.5 s"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("0"), Some(Duration::ZERO));
        assert_eq!(duration("2"), None);
        assert_eq!(duration("-2s"), None);
        assert_eq!(size("10MiB"), Some(10_485_760));
        assert_eq!(size("100"), Some(100));
        assert_eq!(size("10 apples"), None);
    }
}
