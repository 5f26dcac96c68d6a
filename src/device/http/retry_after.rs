//! How long a device asks to wait, as its header `Retry-After` says it (RFC 9110, section 10.2.3).
//!
//! Pure: gets the texts and the time.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// Longer than anybody waits for a request. It keeps what a device sends out of messages and sums.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The wait: seconds, or the time from `sent`, the header `Date` of the same answer, or else from `now`. None if it
/// says neither. The device's own clock may be wrong.
pub(super) fn retry_after(text: &str, sent: Option<&str>, now: OffsetDateTime) -> Option<Duration> {
    let text = text.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let until = date(text)?;
        let sent = sent.and_then(date).unwrap_or(now);
        // A time that has passed is no wait.
        Duration::try_from(until - sent).unwrap_or_default()
    };
    Some(wait.min(LONGEST_RETRY_AFTER))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`. The two older forms are sent by nobody any more.
fn date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text.trim(), &Rfc2822).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_seconds_or_a_date_and_has_bounds() {
        let now = date("Sun, 29 Nov 2026 12:00:00 GMT").unwrap();
        let sent = Some("Sun, 29 Nov 2026 08:00:00 GMT");
        for (text, sent, wanted) in [
            ("9", None, Some(9)),
            (" 120 ", sent, Some(120)),
            ("0", None, Some(0)),
            ("86400", None, Some(3600)),
            ("99999999999999999999999", None, Some(3600)),
            ("Sun, 29 Nov 2026 12:00:07 GMT", None, Some(7)),
            ("Sun, 29 Nov 2026 08:00:07 GMT", sent, Some(7)),
            ("Sun, 29 Nov 2026 08:00:07 GMT", None, Some(0)),
            ("Sun, 29 Nov 2026 12:00:07 GMT", Some("today"), Some(7)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", None, Some(3600)),
            ("", None, None),
            ("-5", None, None),
            ("1.5", None, None),
            ("soon", sent, None),
        ] {
            let wait = retry_after(text, sent, now).map(|wait| wait.as_secs());
            assert_eq!(wait, wanted, "{text:?} {sent:?}");
        }
    }
}
