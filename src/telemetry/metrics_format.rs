//! The two text forms of the metrics.
//!
//! Pure. The library writes OpenMetrics; the text format of Prometheus before it has the same samples,
//! and other lines about them.

/// A text form of `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format 0.0.4, which every reader of Prometheus metrics knows.
    Text,
}

impl MetricsFormat {
    /// The MIME type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// A text of OpenMetrics in the text format. There the family of a counter has the name of its samples,
/// which end in `_total`, and there are neither units nor a last line.
pub fn text_format(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 1024);
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(about) = line.strip_prefix("# HELP ") {
            help = about.split_once(' ');
        } else if let Some(about) = line.strip_prefix("# TYPE ") {
            let (name, kind) = about.split_once(' ').unwrap_or((about, "unknown"));
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "unknown" => ("", "untyped"),
                _ => ("", kind),
            };
            if let Some((_, words)) = help.take().filter(|(named, _)| *named == name) {
                text += &format!("# HELP {name}{suffix} {words}\n");
            }
            text += &format!("# TYPE {name}{suffix} {kind}\n");
        } else if !line.starts_with('#') {
            text += line;
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_each_kind_of_metric_is_written_for_older_readers() {
        let open_metrics = "\
# HELP a_commands Commands by door.
# TYPE a_commands counter
a_commands_total{door=\"# TYPE x\"} 3
# HELP a_rooms Rooms.
# TYPE a_rooms gauge
# UNIT a_rooms rooms
a_rooms 2
# HELP a_seconds Took.
# TYPE a_seconds histogram
a_seconds_sum 0.5
a_seconds_count 1
a_seconds_bucket{le=\"+Inf\"} 1
# TYPE a_thing unknown
a_thing 1
# EOF
";
        let text = "\
# HELP a_commands_total Commands by door.
# TYPE a_commands_total counter
a_commands_total{door=\"# TYPE x\"} 3
# HELP a_rooms Rooms.
# TYPE a_rooms gauge
a_rooms 2
# HELP a_seconds Took.
# TYPE a_seconds histogram
a_seconds_sum 0.5
a_seconds_count 1
a_seconds_bucket{le=\"+Inf\"} 1
# TYPE a_thing untyped
a_thing 1
";
        assert_eq!(text_format(open_metrics), text);
    }
}
