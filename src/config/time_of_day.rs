//! A time of day such as `06:30`.

use std::fmt;

/// A time of day, in hours and minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay {
    /// From 0 to 23.
    pub hour: u8,
    /// From 0 to 59.
    pub minute: u8,
}

impl TimeOfDay {
    /// Reads `06:30` or `6:30`. `None` for everything else, `24:00` and `6:30 pm` too.
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let has_length = (1..=2).contains(&hour.len()) && minute.len() == 2;
        if !(has_length && is_number(hour) && is_number(minute)) {
            return None;
        }
        let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
        (hour < 24 && minute < 60).then_some(Self { hour, minute })
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_has_hours_and_minutes() {
        for (text, shown) in [("06:30", "06:30"), ("6:30", "06:30"), ("23:59", "23:59")] {
            assert_eq!(TimeOfDay::parse(text).unwrap().to_string(), shown);
        }
        for text in [
            "", "6", "24:00", "12:60", "06:30:00", "6:3", "+6:30", "006:30", "6:30 pm", "-1:00",
        ] {
            assert_eq!(TimeOfDay::parse(text), None, "{text}");
        }
    }
}
