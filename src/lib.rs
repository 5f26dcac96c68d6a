//! poly2mqtt: the gateway from MQTT and WebSocket to Poly VideoOS rooms.

pub mod catalogue;
pub mod cli;
pub mod command;
pub mod config;
pub mod device;
pub mod gateway;
pub mod home_assistant;
pub mod hub;
pub mod mqtt;
pub mod room;
pub mod service;
pub mod simulator;
pub mod topic;
