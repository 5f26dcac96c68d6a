//! What all HTTP clients of the gateway have in common.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use rustls::ClientConfig;

/// A client that does nothing but what it is told.
pub fn http_client(tls: ClientConfig, connect_timeout: Duration) -> ClientBuilder {
    Client::builder()
        .tls_backend_preconfigured(tls)
        // What is asked speaks it, and one connection of HTTP/2 would carry everything.
        .http1_only()
        // The environment's proxies are for what goes to the Internet.
        .no_proxy()
        // A redirect would take passwords to another server.
        .redirect(Policy::none())
        .referer(false)
        // Whoever asks knows what may be sent twice.
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .tcp_nodelay(true)
        .connect_timeout(connect_timeout)
}
