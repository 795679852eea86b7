#![no_main]

#[path = "../../tests/faults/targets.rs"]
#[allow(dead_code)]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::exchange(data));
