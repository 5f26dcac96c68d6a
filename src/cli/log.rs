//! The log: which lines are written to standard error, and in which form.

mod format;

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use crate::telemetry::SPAN_TARGET;

/// Starts the log. `level` is the gateway's own if the environment says nothing else.
///
/// `POLY2MQTT_LOG` is a filter such as `debug` or `poly2mqtt::doors::mqtt=debug`; with
/// `POLY2MQTT_LOG_FORMAT=json` every line is JSON.
pub fn start(level: &str) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(level))
        // A line that cannot be written, to a full disk for example, is lost. Reporting that to
        // standard error would panic.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    if std::env::var("POLY2MQTT_LOG_FORMAT").is_ok_and(|format| format == "json") {
        // The list of spans holds the current one, so that is not written again.
        builder.json().with_current_span(false).init();
    } else {
        builder.fmt_fields(format::EscapedFields::default()).init();
    }
}

/// The filter. The spans that name room and broker are always part of it: they write no lines.
fn filter(level: &str) -> EnvFilter {
    let with_spans = |filter: &str| format!("{filter},{SPAN_TARGET}=info");
    std::env::var("POLY2MQTT_LOG")
        .ok()
        .and_then(|filter| EnvFilter::try_new(with_spans(&filter)).ok())
        .unwrap_or_else(|| EnvFilter::new(with_spans(&format!("warn,poly2mqtt={level}"))))
}
