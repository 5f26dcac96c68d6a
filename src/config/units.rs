//! Durations and sizes as people write them.

use std::time::Duration;

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
    // A size beyond what memory holds is caught by the bounds of its key.
    Some(bytes as usize)
}

fn split(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit.trim()))
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
