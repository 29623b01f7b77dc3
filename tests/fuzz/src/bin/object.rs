//! libFuzzer with `fuzz_targets::object`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::object(data));
