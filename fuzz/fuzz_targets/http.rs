//! A reply, from the socket up: the fuzzer's bytes are what a server answers to a call. Whatever they are, the call ends
//! at once, with a reply or with an error that is the server's fault.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, unused_imports)]
#[path = "../../tests/rust/support/mod.rs"]
mod support;

use support::{Canned, Options, Session, status};

fuzz_target!(|bytes: &[u8]| {
    static SERVER: OnceLock<(Canned, Session)> = OnceLock::new();
    let (canned, session) = SERVER.get_or_init(|| {
        let canned = Canned::http();
        let session = canned.config().with("max_reply_bytes", "100000").open().unwrap();
        session.login().unwrap();
        (canned, session)
    });
    let bytes = bytes.to_vec();
    canned.on_call(move |peer, _| {
        peer.say(&bytes);
        peer.cut();
    });
    match session.ping_with(&Options { timeout_ms: 10_000, no_relogin: true, ..Options::default() }) {
        Ok(reply) => assert!(reply.xml.len() <= 100_000),
        Err(error) => assert!(
            error.status as i32 >= status::VSESSION_E_CONNECTION as i32,
            "not the server's fault: {error:?}"
        ),
    }
});
