#![no_main]

#[path = "../../tests/it/hostile/device_certificate.rs"]
mod check;
#[path = "../../tests/it/hostile/device_server.rs"]
mod device_server;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::run(data));
