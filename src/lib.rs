//! poly2mqtt: the gateway from MQTT and WebSocket to Poly VideoOS rooms.

pub mod access;
pub mod catalogue;
pub mod cli;
pub mod command;
pub mod config;
pub mod conversation;
pub mod device;
pub mod gateway;
pub mod http;
pub mod hub;
pub mod listen;
pub mod metrics;
pub mod mqtt;
pub mod room;
pub mod service;
pub mod simulator;
pub mod tcp;
pub mod topic;
