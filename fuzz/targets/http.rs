//! A reply from the socket up: the bytes are a server's answer to a call. Whatever they are, the call ends at once, with a
//! reply or with an error of the server.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::{Canned, Options, Session, status};

/// The largest reply that the session takes.
const MOST: usize = 100_000;

pub fn target(bytes: &[u8]) {
    static SERVER: OnceLock<(Canned, Session)> = OnceLock::new();
    let (canned, session) = SERVER.get_or_init(|| {
        let canned = Canned::http();
        let session = canned.config().with("max_reply_bytes", &MOST.to_string()).open().unwrap();
        (canned, session)
    });
    // The reply may have reported the session as gone.
    canned.well();
    session.login().expect("the server works again");
    let bytes = bytes.to_vec();
    canned.on_call(move |peer, _| {
        peer.say(&bytes);
        peer.cut();
    });
    let start = Instant::now();
    match session.ping_with(&Options { timeout_ms: 30_000, no_relogin: true, ..Options::default() }) {
        // A bad byte may become a character of three.
        Ok(reply) => assert!(reply.xml.len() <= 3 * MOST && reply.body.is_none_or(|body| body.len() <= MOST)),
        Err(error) => {
            assert!(
                error.status as i32 >= status::VSESSION_E_CONNECTION as i32,
                "the error is not one of the server: {error:?}"
            );
            assert!(!error.message.contains("52c4nn3d"), "the cookie is shown: {error:?}");
        }
    }
    assert!(start.elapsed() < Duration::from_secs(15), "the call did not end when the server had gone");
}
