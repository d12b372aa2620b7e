#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz::init(), |bytes: &[u8]| hostile::check("answer", bytes));
