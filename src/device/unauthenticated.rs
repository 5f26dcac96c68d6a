//! One read without a log-in, by which a search in a network knows a device.

use http::Method;

use super::client::Device;
use super::endpoint::{AttemptOutcome, SMALL_RESPONSE};
use super::response::DeviceResponse;

impl Device {
    /// Reads a path with neither session nor password; `None` if there is no answer, or one that no Poly
    /// device gives to that.
    pub async fn read_without_login(&self, path: &'static str) -> Option<DeviceResponse> {
        let slot = self.endpoint.slot().await;
        let request = self.endpoint.fixed(Method::GET, path, None);
        let exchange = self
            .endpoint
            .exchange(&slot, &request, None, None, SMALL_RESPONSE);
        match exchange.await.0 {
            AttemptOutcome::Answered(response) => Some(response),
            AttemptOutcome::Large(_)
            | AttemptOutcome::Unreachable(_)
            | AttemptOutcome::Broken(_) => None,
        }
    }
}
