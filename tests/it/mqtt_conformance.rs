//! What MQTT 3.1.1 and MQTT 5 require of the embedded broker, byte by byte. `tests/paho.sh` runs a
//! public suite as well.

use poly2mqtt::broker::Broker;
use poly2mqtt_test_support::embedded;
use poly2mqtt_test_support::raw_mqtt::{RawClient, Version};

mod forbidden;
mod gateway_retained;
mod messages;
mod sessions;
mod subscriptions;
mod wills;

/// A broker without users.
struct OpenBroker {
    broker: Broker,
}

impl OpenBroker {
    async fn start() -> Self {
        Self {
            broker: embedded(Vec::new()).await,
        }
    }

    fn port(&self) -> u16 {
        self.broker.addr().port()
    }

    async fn client(&self, version: Version, client_id: &str) -> RawClient {
        RawClient::connect(self.port(), version, client_id).await
    }
}
