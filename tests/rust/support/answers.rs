//! Calls that a canned server answers as the test wants, and what must hold afterwards.

use std::io::Write;
use std::time::{Duration, Instant};

use vsession::vsession_executed::*;

use super::canned::Peer;
use super::client::Reply;
use super::*;

/// The value of `max_reply_bytes` in these sessions.
pub const MOST: usize = 100_000;
/// The deadline of calls that should never come near it, however slow the machine.
pub const DEADLINE: Duration = Duration::from_secs(30);
pub const TIME: &str = "2024-02-29T12:34:56Z";

pub fn logged_in(canned: &Canned) -> Session {
    let session = canned.config().with("max_reply_bytes", &MOST.to_string()).open().unwrap();
    session.login().unwrap();
    session
}

/// Makes a call that `play` answers, and checks that it ends in time.
pub fn answered(
    canned: &Canned,
    session: Session,
    play: impl Fn(&mut Peer) + Send + Sync + 'static,
) -> Result<Reply, ApiError> {
    canned.on_call(move |peer, _| play(peer));
    let start = Instant::now();
    let result = session.ping_with(&Options::timeout(DEADLINE.as_millis() as u32));
    assert!(start.elapsed() < DEADLINE / 2, "took {:?}: {result:?}", start.elapsed());
    canned.well();
    if let Err(error) = &result {
        assert_ne!(error.status, status::VSESSION_E_INTERNAL, "{error:?}");
        assert_ne!(error.executed, VSESSION_EXECUTED_NO, "it was sent: {error:?}");
    }
    result
}

/// The same for a reply of these bytes, after which the connection ends.
pub fn answered_by(canned: &Canned, session: Session, bytes: Vec<u8>) -> Result<Reply, ApiError> {
    let (over, ended) = std::sync::mpsc::channel();
    let result = answered(canned, session, move |peer| {
        peer.say(&bytes);
        peer.cut();
        eventually("the end arrives", || peer.has_arrived());
        let _ = over.send(());
    });
    // Even a call that fails may have read a whole reply. The end of the connection must be there before the next call
    // looks for it.
    ended.recv_timeout(DEADLINE).expect("the connection was cut");
    result
}

/// The status of a call that gets these bytes, after which a call must succeed.
pub fn error_for(bytes: Vec<u8>) -> status {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(100)]).into_owned();
    let error = answered_by(&canned, session, bytes).expect_err(&shown);
    good_again(session);
    error.status
}

pub fn good_again(session: Session) {
    // The canned server may be about to close the connection without having announced it. Only an idempotent call does
    // not fail on that.
    let reply = session.ping_with(&Options { idempotent: true, ..Options::default() });
    assert_eq!(reply.expect("the session is usable afterwards").text.as_deref(), Some(TIME));
    session.close().unwrap();
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A reply that ends with the connection.
pub fn until_close(extra: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n{extra}\r\n").as_bytes(), body].concat()
}
