//! Writes the gateway's own log lines into its [`LogRing`] too.
//!
//! A line inside of a room's span belongs to that room. What [`room_events`](super::room_events) logs is left
//! out, because that puts its entries into the ring itself. The lines of libraries are left out too: nobody
//! here decides what they say.

use std::fmt::{Debug, Write};
use std::sync::Arc;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::log_ring::{LogKind, LogRing, NewEntry};
use super::room_events::ROOM_EVENTS_MODULE;
use super::spans::{ROOM_SPAN, SPAN_TARGET};

/// The layer that feeds a ring: lines of level info and worse, whatever the log itself shows.
#[derive(Debug)]
pub struct RingLayer(pub Arc<LogRing>);

impl RingLayer {
    /// The least of the levels that a ring keeps.
    pub const LEVEL: LevelFilter = LevelFilter::INFO;

    /// Whether a ring keeps such lines.
    pub fn wants(metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("poly2mqtt") && *metadata.level() <= Self::LEVEL
    }
}

/// The room of a span, kept with the span.
struct SpanRoom(Box<str>);

impl<S> Layer<S> for RingLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        if metadata.target() != SPAN_TARGET || metadata.name() != ROOM_SPAN {
            return;
        }
        let mut room = RoomField(String::new());
        attributes.record(&mut room);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanRoom(room.0.into()));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        if !Self::wants(metadata) || metadata.module_path() == Some(ROOM_EVENTS_MODULE) {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        let mut spans = context.event_scope(event).into_iter().flatten();
        let room = spans.find_map(|span| {
            let extensions = span.extensions();
            let room = extensions.get::<SpanRoom>()?;
            Some(room.0.clone())
        });
        self.0.push(NewEntry {
            level: *metadata.level(),
            kind: LogKind::Line,
            room: room.as_deref(),
            text: &line.text(),
            command: None,
        });
    }
}

/// Reads the field `room` of a span.
struct RoomField(String);

impl Visit for RoomField {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "room" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

/// A line as text: its message, then its fields.
#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Line {
    fn text(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::telemetry::log_ring::LogQuery;
    use crate::telemetry::{Telemetry, room_span};

    #[test]
    fn a_line_has_its_room_its_level_and_its_fields() {
        let ring = Arc::<LogRing>::default();
        let telemetry = Telemetry::new(ring.clone());
        let subscriber = tracing_subscriber::registry().with(RingLayer(ring.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "poly2mqtt", version = "1", "started");
            tracing::debug!(target: "poly2mqtt", "too small");
            tracing::warn!(target: "mqtt5", "a library");
            room_span("1").in_scope(|| {
                tracing::warn!(target: "poly2mqtt::rooms", why = %"no\nroute", "not ready");
                let of_nobody = "wrong token";
                tracing::warn!(target: "poly2mqtt::doors", parent: None, "{of_nobody}");
                tracing::debug_span!(target: "poly2mqtt", "command").in_scope(|| {
                    tracing::error!(target: "poly2mqtt::device", "broken");
                });
                // Recorded once, although it is a line too.
                telemetry.room_online("1");
            });
        });
        let entries = ring.read(&LogQuery::ALL, |_| true);
        let found: Vec<_> = entries
            .iter()
            .map(|entry| (entry.room.as_deref(), entry.level, &*entry.text))
            .collect();
        let wanted = [
            (None, Level::INFO, "started version=1"),
            (Some("1"), Level::WARN, "not ready why=no\\nroute"),
            (None, Level::WARN, "wrong token"),
            (Some("1"), Level::ERROR, "broken"),
            (Some("1"), Level::INFO, "online"),
        ];
        assert_eq!(found, wanted);
    }
}
