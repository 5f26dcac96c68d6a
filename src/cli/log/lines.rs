//! Where each line goes: to standard error, into the ring, or to both.
//!
//! One layer for both outputs. As two layers, each with a filter of its own, the library would ask each filter about
//! each span whenever a task begins or ceases to run: some forty times a command, which was a fiftieth of what it
//! takes.

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::telemetry::RingLayer;

/// The target of lines that come through the crate `log`, as rustls's do. Whether they are wanted was asked with their
/// own target before.
const LOG_CRATE: &str = "log";

/// Gives each line to the outputs that want it, and each span to both.
pub struct Lines<W> {
    /// Writes lines to standard error.
    pub written: W,
    /// Which of them.
    pub filter: Targets,
    /// The newest lines in memory.
    pub ring: Option<RingLayer>,
}

impl<W> Lines<W> {
    fn is_written(&self, metadata: &Metadata<'_>) -> bool {
        self.filter
            .would_enable(metadata.target(), metadata.level())
    }

    fn is_kept(&self, metadata: &Metadata<'_>) -> bool {
        self.ring.is_some() && RingLayer::wants(metadata)
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        self.is_written(metadata) || self.is_kept(metadata)
    }
}

/// Nothing is done when a span is entered or left: a line asks for its spans when it is written.
impl<S, W> Layer<S> for Lines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: Layer<S>,
{
    fn on_layer(&mut self, subscriber: &mut S) {
        self.written.on_layer(subscriber);
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let written = Layer::<S>::max_level_hint(&self.filter)?;
        let kept = self.ring.as_ref().map(|_| RingLayer::LEVEL);
        Some(kept.map_or(written, |kept| written.max(kept)))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        self.written.on_new_span(attributes, id, context.clone());
        self.ring.on_new_span(attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        self.written.on_record(id, values, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        // The ring keeps none of the libraries' lines, so one that is wanted is to be written.
        if metadata.target() == LOG_CRATE || self.is_written(metadata) {
            self.written.on_event(event, context.clone());
        }
        self.ring.on_event(event, context);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use poly2mqtt_test_support::log::Log;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::telemetry::{LogQuery, LogRing, room_span};

    /// What is written, and what is kept, of some lines in a room's span.
    fn outputs(filter: &str) -> [String; 2] {
        let (log, ring) = (Log::default(), Arc::<LogRing>::default());
        let lines = Lines {
            written: tracing_subscriber::fmt::layer()
                .with_ansi(false)
                .with_writer(log.clone()),
            filter: filter.parse().unwrap(),
            ring: Some(RingLayer(ring.clone())),
        };
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            room_span("boardroom").in_scope(|| {
                tracing::warn!(target: "poly2mqtt::rooms", "one");
                tracing::info!(target: "poly2mqtt::rooms", "two");
                tracing::debug!(target: "poly2mqtt::rooms", "three");
                tracing::error!(target: "hyper", "four");
                tracing::trace!(target: "hyper", "five");
            });
        });
        let kept = ring.read(&LogQuery::ALL, |_| true);
        let kept = kept
            .iter()
            .map(|entry| format!("{}: {}\n", entry.room.as_deref().unwrap_or(""), entry.text));
        [log.text(), kept.collect()]
    }

    #[test]
    fn each_output_gets_its_own_lines_with_their_room() {
        for (filter, written) in [
            ("off,poly2mqtt::span=info", &[][..]),
            ("warn,poly2mqtt::span=info", &["one", "four"]),
            ("poly2mqtt=debug", &["one", "two", "three"]),
            ("trace", &["one", "two", "three", "four", "five"]),
        ] {
            let [log, kept] = outputs(filter);
            let words: Vec<_> = log
                .lines()
                .map(|line| line.rsplit(' ').next().unwrap())
                .collect();
            assert_eq!(words, written, "{filter}");
            assert_eq!(log.matches("boardroom").count(), written.len(), "{log}");
            assert_eq!(kept, "boardroom: one\nboardroom: two\n", "{filter}");
        }
    }
}
