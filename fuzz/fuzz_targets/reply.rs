//! The body of a reply: SOAP, a fault, or whatever else a server may say.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vsession::fuzzing::read_reply(bytes));
