#![no_main]

#[path = "../../tests/hostile/topic.rs"]
mod check;
#[path = "../../tests/hostile/url.rs"]
mod url;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::run(data));
