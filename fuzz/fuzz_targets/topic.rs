#![no_main]

#[path = "../../tests/it/hostile/topic.rs"]
mod check;
#[path = "../../tests/it/hostile/url.rs"]
mod url;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::run(data));
