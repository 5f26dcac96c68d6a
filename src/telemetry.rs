//! What the gateway says about itself: log lines, metrics and `gateway/health`.
//!
//! Each event that an operator may want to know is one method of [`Telemetry`] (`events`).
//! It counts the event and, where that helps, writes the log line. `/metrics` and `gateway/health`
//! read the same counters. A line that others can cause again and again goes through `floods`, and what
//! others chose is `shortened`. Spans say which room, command or broker a line is about (`spans`), so a
//! line must not name them again. The names and labels of metrics are a contract: dashboards use
//! them. The newest lines and the events of rooms stay in memory for the dashboard (`log_ring`). Decides nothing,
//! and never gets a secret.
//!
//! `log_layer` fills the ring, `log_limits` bounds what `gateway/log` publishes, `lost_log_lines` counts what could not
//! be written. `metrics` holds the counters and `sample` what is looked up when they are asked for; `metrics_format`
//! writes both. `room_events` are commands, availability and calls. `start_date` and `uptime` say since when the
//! gateway runs.

mod events;
mod floods;
mod health;
mod log_layer;
mod log_limits;
mod log_ring;
mod lost_log_lines;
mod metrics;
mod metrics_format;
mod room_events;
mod sample;
mod shortened;
mod spans;
mod start_date;
mod uptime;

pub use events::{ClientRefusal, EtcdOutcome, PollOutcome, ShardChange};
pub use floods::FloodKind;
pub use log_layer::RingLayer;
pub use log_limits::LogLimits;
pub use log_ring::{LogEntry, LogKind, LogQuery, LogRing};
pub use lost_log_lines::{log_line_lost, lost_log_lines};
pub use metrics_format::MetricsFormat;
pub use sample::{ClusterSample, RoomSample, Sample};
pub use spans::{SPAN_TARGET, broker_span, command_span, room_span};
pub use uptime::{Uptime, time_in_words};

use std::sync::Arc;

use events::AcceptWarning;
use floods::Floods;
use metrics::Metrics;
use metrics_format::text_format;
use parking_lot::Mutex;
use shortened::LONGEST_TEXT;
use start_date::StartDate;
use time::OffsetDateTime;

/// The counters of one gateway. All parts of the gateway share them.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Metrics,
    floods: Floods,
    accept_warning: Mutex<AcceptWarning>,
    uptime: Uptime,
    start_date: Mutex<StartDate>,
    log: Arc<LogRing>,
}

/// With a log of its own.
impl Default for Telemetry {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl Telemetry {
    /// Puts the events of rooms into this log.
    pub fn new(log: Arc<LogRing>) -> Self {
        Self {
            log,
            metrics: Metrics::default(),
            floods: Floods::default(),
            accept_warning: Mutex::default(),
            uptime: Uptime::start(),
            start_date: Mutex::new(StartDate::new(OffsetDateTime::now_utc())),
        }
    }

    /// When the gateway started, as a date in RFC 3339.
    pub fn started(&self) -> String {
        self.start_date.lock().text()
    }

    /// Corrects [`Telemetry::started`] if the machine's clock was set; whether it was.
    pub fn correct_started(&self) -> bool {
        let (now, uptime) = (OffsetDateTime::now_utc(), self.uptime.elapsed());
        self.start_date.lock().correct(now, uptime)
    }

    /// Whether a gateway that says this of its start is this one, in this run.
    pub fn is_own_start(&self, started: &str) -> bool {
        self.start_date.lock().was_told(started)
    }

    /// The newest lines of the log, and the events of rooms.
    pub fn log(&self) -> &LogRing {
        &self.log
    }

    /// The text of `/metrics`.
    pub fn metrics_text(&self, sample: &Sample, format: MetricsFormat) -> String {
        let text = self.metrics.text(sample);
        match format {
            MetricsFormat::OpenMetrics => text,
            MetricsFormat::Text => text_format(&text),
        }
    }
}
