//! The quick tests, in one program so that they link once: the gateway from its front doors to
//! simulated devices, through real sockets.
//!
//! One module for each part of the product. Faults (`tests/faults`), secrets in logs
//! (`tests/secrets`) and other programs (`tests/live`) have programs of their own.
#![allow(clippy::unwrap_used, clippy::panic)]

mod access;
mod access_list;
mod adding_an_operation;
mod broker_access;
mod broker_limits;
mod broker_rights;
mod broker_tls;
mod browser;
mod browser_cross_site;
mod browser_proxy;
mod cameras;
mod check;
mod clear;
mod config;
mod config_environment;
mod config_secrets;
mod config_start;
mod cross_site;
mod device_config;
mod device_floods;
mod device_tls;
mod docs;
mod documents;
mod early_refusals;
mod examples;
mod gateway;
mod gentle;
mod guesses;
mod hanging;
mod health;
mod home_assistant;
mod hostile;
mod hostile_clients;
mod http;
mod http_addresses;
mod http_rooms;
mod lines;
mod log_floods;
mod log_stalled;
mod metrics;
mod missing;
mod mqtt_conformance;
mod mqtt_door;
mod numbers;
mod own_certificates;
mod presets;
mod printing;
mod providers;
mod readiness;
mod recorded;
mod reload;
mod spellings;
mod startup;
mod tcp;
mod two_gateways;
mod understood;
mod walk;
mod websocket;
mod websocket_addresses;
mod websocket_limits;
mod who_sees_what;
