#![no_main]

#[path = "../../tests/it/hostile/gateway_message.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::run(data));
