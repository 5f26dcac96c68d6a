//! Health and metrics, for monitoring systems.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ACCEPT, HeaderMap, HeaderValue, VARY};
use serde_json::json;

use super::authorization::{Authorized, authorize_if_shown};
use super::{HttpState, response};
use crate::telemetry::MetricsFormat;

/// `GET /healthz`: the process is alive.
pub async fn healthy() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: whether the gateway is ready for commands. The broker is connected, if one is
/// configured, and every room has tried to reach its device. A device that is off does not count: a
/// restart of the gateway would not help. How many rooms there are is told to those who may see them:
/// without a token, where one is needed, nothing of it.
pub async fn ready(State(state): State<Arc<HttpState>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let grant = authorize_if_shown(&state, &parts).await;
    let mut sample = (state.sampler)();
    let broker = match sample.broker_connected {
        None => "off",
        Some(true) => "connected",
        Some(false) => "disconnected",
    };
    let ready = sample.broker_connected != Some(false) && sample.rooms_starting() == 0;
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = match grant {
        None => json!({"ready": ready, "broker": broker}),
        Some(grant) => {
            sample.rooms.retain(|room, _| grant.sees(room));
            if grant.rooms().is_some() {
                sample.cluster = None;
            }
            json!({
                "ready": ready,
                "broker": broker,
                "rooms": sample.rooms.len(),
                "rooms_online": sample.rooms_online(),
                "rooms_starting": sample.rooms_starting(),
            })
        }
    };
    (status, Json(body)).into_response()
}

/// `GET /metrics`, for Prometheus and what reads the same: OpenMetrics for who asks for it, the older
/// text format for all others. A token with rooms gets the values of these rooms and nothing else: what is counted for
/// all together says how many other rooms there are, and what is done in them.
pub async fn metrics(
    State(state): State<Arc<HttpState>>,
    Authorized { grant, .. }: Authorized,
    headers: HeaderMap,
) -> Response {
    let mut sample = (state.sampler)();
    sample.rooms.retain(|room, _| grant.sees(room));
    let format = metrics_format(&headers);
    let mut text = state.clients.telemetry.metrics_text(&sample, format);
    if grant.rooms().is_some() {
        text = only_of_rooms(&text);
    }
    let mut response = response::text(format.content_type(), text);
    let vary = HeaderValue::from_static("accept");
    response.headers_mut().append(VARY, vary);
    response
}

/// The lines with a room, those that explain them, and the end of the text.
fn only_of_rooms(text: &str) -> String {
    fn metric(sample: &str) -> Option<&str> {
        let (name, labels) = sample.split_once('{')?;
        let is_of_room = labels.starts_with("room=\"") || labels.contains(",room=\"");
        is_of_room.then_some(name)
    }
    let metrics: BTreeSet<&str> = text.lines().filter_map(metric).collect();
    let is_kept = |line: &&str| match line.strip_prefix("# ") {
        None => metric(line).is_some(),
        Some("EOF") => true,
        // `HELP name text`, `TYPE name type`.
        Some(about) => about
            .split(' ')
            .nth(1)
            .is_some_and(|name| metrics.contains(name)),
    };
    let kept = text.lines().filter(is_kept);
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// The format that `Accept` asks for: OpenMetrics only if it is named, and the text format is not named
/// with a higher weight.
fn metrics_format(headers: &HeaderMap) -> MetricsFormat {
    let accepted = headers.get_all(ACCEPT).into_iter();
    let accepted = accepted.filter_map(|value| value.to_str().ok());
    let ranges: Vec<&str> = accepted.flat_map(|value| value.split(',')).collect();
    let weight = |wanted: &str| {
        let weights = ranges.iter().filter_map(|range| {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            let is_wanted = name.trim().eq_ignore_ascii_case(wanted);
            is_wanted.then(|| quality(parameters))
        });
        weights.fold(0.0, f32::max)
    };
    let open_metrics = weight("application/openmetrics-text");
    if open_metrics > 0.0 && open_metrics >= weight("text/plain") {
        MetricsFormat::OpenMetrics
    } else {
        MetricsFormat::Text
    }
}

/// The weight of a media range, by its parameters: `q`, or 1.
fn quality(parameters: &str) -> f32 {
    let is_weight = |parameter: &str| {
        let (name, value) = parameter.split_once('=')?;
        let is_weight = name.trim().eq_ignore_ascii_case("q");
        is_weight.then(|| value.trim().parse().unwrap_or(0.0))
    };
    parameters.split(';').find_map(is_weight).unwrap_or(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_with_rooms_gets_the_lines_with_a_room() {
        let text = "# HELP a Of rooms.\n# TYPE a gauge\na{room=\"1\"} 1\n# HELP b Of all, room=\"1\" too.\n\
                    # TYPE b counter\nb_total{door=\"http\"} 7\nb_total 3\n# EOF\n";
        let wanted = "# HELP a Of rooms.\n# TYPE a gauge\na{room=\"1\"} 1\n# EOF\n";
        assert_eq!(only_of_rooms(text), wanted);
    }

    #[test]
    fn the_format_is_what_was_asked_for() {
        for (accept, wanted) in [
            (&[][..], MetricsFormat::Text),
            (&["*/*"], MetricsFormat::Text),
            (&["text/plain"], MetricsFormat::Text),
            (
                &["text/html,application/xhtml+xml,*/*;q=0.8"],
                MetricsFormat::Text,
            ),
            (
                &["text/plain;version=0.0.4;q=1,*/*;q=0.1"],
                MetricsFormat::Text,
            ),
            // Telegraf.
            (
                &[
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                   encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
                ],
                MetricsFormat::Text,
            ),
            (
                &["application/openmetrics-text;q=0, text/plain"],
                MetricsFormat::Text,
            ),
            (&["application/openmetrics-text;q=0"], MetricsFormat::Text),
            (
                &["application/openmetrics-text; q=0.2, text/plain; q=0.9"],
                MetricsFormat::Text,
            ),
            (&["application/openmetrics-text; q=no"], MetricsFormat::Text),
            (&["application/openmetrics-textual"], MetricsFormat::Text),
            (
                &["application/openmetrics-text"],
                MetricsFormat::OpenMetrics,
            ),
            (
                &["Application/OpenMetrics-Text ; Q=0.5"],
                MetricsFormat::OpenMetrics,
            ),
            (
                &["text/plain;q=0.4", "application/openmetrics-text;q=0.5"],
                MetricsFormat::OpenMetrics,
            ),
            // Prometheus 2 and 3.
            (
                &[
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;\
                   version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ],
                MetricsFormat::OpenMetrics,
            ),
            (
                &[
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                   application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;\
                   escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ],
                MetricsFormat::OpenMetrics,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(ACCEPT, HeaderValue::from_static(value));
            }
            assert_eq!(metrics_format(&headers), wanted, "{accept:?}");
        }
    }
}
