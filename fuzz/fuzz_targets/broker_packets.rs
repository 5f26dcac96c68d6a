#![no_main]

#[path = "../../tests/it/hostile/broker_packets.rs"]
mod check;
#[path = "../../tests/support/src/raw_mqtt/fixed_header.rs"]
mod fixed_header;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::run(data));
