//! `/metrics`: what it counts, its formats, and that the documentation names what is there.
use std::collections::BTreeSet;

use poly2mqtt::config::BrokerUrl;
use poly2mqtt::doors::clients::ClientLimits;
use poly2mqtt::telemetry::{ClusterSample, MetricsFormat, Sample, Telemetry};
use poly2mqtt_simulator::{Fault, FaultKind};
use serde_json::Value;

use poly2mqtt_test_support::door::{Doors, certificate, http, post, text};

const SET: &str = "/room/1/audio/volume/set";

#[tokio::test]
async fn metrics_count_what_happens() {
    let doors = Doors::start().await;
    post(&doors.url(SET), "40").await;
    post(&doors.url(SET), "loud").await;
    let mut ws = doors.ws("/ws").await;
    ws.ask(1, "\"topic\":\"room/1/audio/volume/get\"").await;
    doors
        .device
        .add_fault(Fault::on("/rest/audio", FaultKind::Status(500)).times(1));
    let metrics = text(&doors.url("/metrics")).await;
    for line in [
        "poly2mqtt_commands_total{door=\"http\",outcome=\"ok\"} 1",
        "poly2mqtt_commands_total{door=\"http\",outcome=\"invalid_payload\"} 1",
        "poly2mqtt_commands_total{door=\"websocket\",outcome=\"ok\"} 1",
        "poly2mqtt_command_seconds_count{door=\"http\"} 2",
        "poly2mqtt_command_seconds_bucket{le=\"+Inf\",door=\"websocket\"} 1",
        "poly2mqtt_clients{door=\"websocket\"} 1",
        "poly2mqtt_rooms 2",
        "poly2mqtt_room_online{room=\"1\"} 1",
        "poly2mqtt_queue_waiting{room=\"2\"} 0",
        "poly2mqtt_broker_connected 0",
    ] {
        assert!(metrics.contains(line), "{line}\nis not in\n{metrics}");
    }
    assert!(metrics.contains("poly2mqtt_polls_total{outcome=\"changed\"}"));
    assert!(metrics.contains("poly2mqtt_device_requests_total{status=\"2xx\"}"));
    doors
        .metric("poly2mqtt_device_requests_total{status=\"5xx\"} 1")
        .await;
    doors.stop().await;
}

/// The samples of metrics in a text, without their values.
fn samples(text: &str) -> Vec<&str> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut samples: Vec<_> = lines.map(|line| line.rsplit_once(' ').unwrap().0).collect();
    samples.sort_unstable();
    samples
}

/// Readers that do not ask for OpenMetrics refuse it, or take its counters for something else.
#[tokio::test]
async fn metrics_have_the_format_that_was_asked_for() {
    let doors = Doors::start().await;
    post(&doors.url(SET), "40").await;
    let mut texts = Vec::new();
    for (accept, wanted) in [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        (Some("*/*"), "text/plain; version=0.0.4; charset=utf-8"),
        (
            Some(
                "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            ),
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ] {
        let mut request = http().get(doors.url("/metrics"));
        if let Some(accept) = accept {
            request = request.header("accept", accept);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], wanted, "{accept:?}");
        assert_eq!(response.headers()["vary"], "accept", "{accept:?}");
        texts.push(response.text().await.unwrap());
    }
    let [text, _, open_metrics] = &texts[..] else {
        panic!("{texts:?}");
    };
    assert_eq!(samples(text), samples(open_metrics));
    assert!(
        open_metrics.ends_with("# EOF\n") && !text.contains("# EOF"),
        "{text}"
    );
    assert!(
        open_metrics.contains("# TYPE poly2mqtt_commands counter\n"),
        "{open_metrics}"
    );
    for line in [
        "# TYPE poly2mqtt_commands_total counter\n",
        "# TYPE poly2mqtt_rooms gauge\n",
        "# TYPE poly2mqtt_command_seconds histogram\n",
        "poly2mqtt_commands_total{door=\"http\",outcome=\"ok\"} 1\n",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    doors.stop().await;
}

/// The names of metrics in a text.
fn metric_names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("poly2mqtt_"))
        .collect()
}

/// A running gateway has every metric that Grafana's example and the page about alerts use.
#[tokio::test]
async fn every_metric_of_the_documentation_exists() {
    let dir = tempfile::tempdir().unwrap();
    let (shown, _) = certificate(dir.path());
    let doors = Doors::start_with(ClientLimits::default(), |config| {
        config.mqtt.url = BrokerUrl::Embedded(([127, 0, 0, 1], 0).into());
        config.mqtt.client_cert_file = Some(shown.certificate);
    })
    .await;
    post(&doors.url(SET), "40").await;
    doors.ws("/ws").await.ask(1, "\"ping\":true").await;
    let elsewhere = http()
        .get(doors.url("/metrics"))
        .header("origin", "http://evil.example");
    assert_eq!(elsewhere.send().await.unwrap().status(), 403);
    let metrics = text(&doors.url("/metrics")).await;
    // Those of several gateways are only where there are several.
    let sample = Sample {
        cluster: Some(ClusterSample::default()),
        ..Sample::default()
    };
    let clustered = Telemetry::default().metrics_text(&sample, MetricsFormat::Text);
    assert!(!metrics.contains("cluster"), "{metrics}");
    let mut there = metric_names(&metrics);
    there.extend(metric_names(&clustered));
    let mut asked = 0;
    for (file, text) in [
        (
            "Grafana",
            include_str!("../../examples/grafana/poly2mqtt.json"),
        ),
        ("monitoring.md", include_str!("../../docs/monitoring.md")),
    ] {
        for name in metric_names(text) {
            assert!(there.contains(name), "{file}: {name}\n{metrics}");
            asked += 1;
        }
    }
    assert!(asked > 20, "{asked}");
    // Every metric that exists is on the page.
    let page = include_str!("../../docs/monitoring.md");
    for line in metrics.lines().chain(clustered.lines()) {
        let Some(about) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let (name, _) = about.split_once(' ').unwrap();
        let name = format!("| `{name}` |");
        assert!(page.contains(&name), "{name}");
    }
    let grafana: Value =
        serde_json::from_str(include_str!("../../examples/grafana/poly2mqtt.json")).unwrap();
    assert_eq!(grafana["templating"]["list"][0]["type"], "datasource");
    doors.stop().await;
}
