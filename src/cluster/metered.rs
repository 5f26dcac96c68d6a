//! A registry whose requests are counted.

use tokio::time::Instant;

use std::sync::Arc;

use super::registry::{Registry, RegistryError, Transaction, TransactionReply};
use crate::telemetry::{EtcdOutcome, Telemetry};

/// Passes every request on to another registry, and counts it with its time.
#[derive(Debug)]
pub struct MeteredRegistry<R> {
    registry: R,
    telemetry: Arc<Telemetry>,
}

impl<R> MeteredRegistry<R> {
    /// Counts the requests to this registry.
    pub fn new(registry: R, telemetry: Arc<Telemetry>) -> Self {
        Self {
            registry,
            telemetry,
        }
    }
}

impl<R: Registry> Registry for MeteredRegistry<R> {
    async fn compare_and_swap(
        &self,
        transaction: &Transaction,
    ) -> Result<TransactionReply, RegistryError> {
        let began = Instant::now();
        let reply = self.registry.compare_and_swap(transaction).await;
        let outcome = match &reply {
            Ok(_) => EtcdOutcome::Ok,
            Err(RegistryError::Unreachable(_)) => EtcdOutcome::Unreachable,
            Err(RegistryError::InDoubt(_)) => EtcdOutcome::InDoubt,
            Err(RegistryError::Refused(_)) => EtcdOutcome::Refused,
        };
        self.telemetry.etcd_request(outcome, began.elapsed());
        reply
    }

    fn caveat(&self) -> Option<&'static str> {
        self.registry.caveat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{ClusterSample, MetricsFormat, Sample};

    struct Says(Result<TransactionReply, RegistryError>);

    impl Registry for Says {
        async fn compare_and_swap(
            &self,
            _: &Transaction,
        ) -> Result<TransactionReply, RegistryError> {
            self.0.clone()
        }
    }

    #[tokio::test]
    async fn requests_are_counted_by_what_came_of_them() {
        let telemetry = Arc::<Telemetry>::default();
        let reply = TransactionReply {
            swapped: false,
            revision: 1,
            reads: Vec::new(),
        };
        let answers = [
            Ok(reply),
            Err(RegistryError::Unreachable("no route".into())),
            Err(RegistryError::InDoubt("cut".into())),
            Err(RegistryError::Refused("no space".into())),
        ];
        for answer in answers {
            let registry = MeteredRegistry::new(Says(answer.clone()), telemetry.clone());
            let same = registry.compare_and_swap(&Transaction::default()).await;
            assert_eq!(same, answer);
        }
        let sample = Sample {
            cluster: Some(ClusterSample::default()),
            ..Sample::default()
        };
        let text = telemetry.metrics_text(&sample, MetricsFormat::Text);
        for outcome in ["ok", "unreachable", "in_doubt", "refused"] {
            let line = format!("poly2mqtt_cluster_etcd_requests_total{{outcome=\"{outcome}\"}} 1");
            assert!(text.contains(&line), "{line}\n{text}");
        }
        assert!(text.contains("poly2mqtt_cluster_etcd_request_seconds_count 4"));
    }
}
