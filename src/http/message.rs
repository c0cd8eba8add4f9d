//! What is asked over HTTP and what comes back, and what is said of a reply that is none.

use std::cell::RefCell;
use std::time::Duration;

use ureq::http::Uri;

use crate::error::Error;
use crate::net::exchange::Exchange;
use crate::runtime::secret::Secret;
use crate::status::Status;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Get,
    Post,
}

#[derive(Debug)]
pub(crate) struct HttpRequest<'a> {
    pub(crate) method: Method,
    pub(crate) uri: &'a Uri,
    /// Besides those that say how to talk HTTP.
    pub(crate) headers: &'a [(&'static str, &'a str)],
    /// The body in pieces, which follow each other.
    pub(crate) body: &'a [&'a str],
    /// It may run twice without harm, so it is sent again when a connection is lost without an answer.
    pub(crate) idempotent: bool,
    /// Once sent, only the deadline ends the wait for the reply.
    pub(crate) commit_when_sent: bool,
    /// It ends a session, and must not wait for a place among the requests of others.
    pub(crate) ends_session: bool,
    /// The most that the body of the reply may take.
    pub(crate) max_reply_bytes: u64,
    /// Where the cookies that the reply sets are put; they may arrive although the body never does.
    pub(crate) set_cookies: Option<&'a RefCell<Vec<Secret>>>,
}

impl HttpRequest<'_> {
    pub(super) fn body_length(&self) -> usize {
        self.body.iter().map(|piece| piece.len()).sum()
    }
}

#[derive(Debug)]
pub(crate) struct HttpReply {
    pub(crate) status: u16,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    /// How long the server asks to be left alone.
    pub(crate) retry_after: Option<Duration>,
    /// The version of the API that the server says it took the call for, as a SOAPAction.
    pub(crate) applied_action: Option<String>,
    pub(crate) body: Vec<u8>,
    /// The request was sent before, and that time may have been served too.
    pub(crate) repeated: bool,
}

pub(super) fn no_memory() -> Error {
    Error::new(
        Status::VSESSION_E_RESOURCE,
        "there is not enough memory for the reply; ask for less at a time or lower max_reply_bytes",
    )
}

pub(super) fn too_large(most: u64) -> Error {
    Error::new(
        Status::VSESSION_E_REPLY_TOO_LARGE,
        format!(
            "the reply is larger than max_reply_bytes ({most}); ask for less at a time or raise the option"
        ),
    )
}

pub(super) fn incomplete(exchange: &Exchange, tls: bool) -> Error {
    let message = if exchange.answered.get() {
        "the server closed the connection before its reply was complete; repeat the call if it can bear to run twice"
    } else if tls || exchange.reused.get() {
        "the server closed the connection without an answer; repeat the call if it can bear to run twice"
    } else {
        "the server closed the connection without an answer; if it speaks TLS on this port, write https:// in 'url'"
    };
    Error::new(Status::VSESSION_E_CONNECTION, message)
}

/// What a request without TLS gets from a server that speaks it: an alert, or a page that says so.
pub(super) fn is_of_tls(input: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    matches!(input, [ALERT | HANDSHAKE, 3, ..] | [ALERT | HANDSHAKE])
}

pub(super) fn is_page_about_tls(reply: &HttpReply) -> bool {
    reply.status == 400 && memchr::memmem::find(&reply.body[..reply.body.len().min(2048)], b"HTTPS").is_some()
}

pub(super) fn speaks_tls(http_status: u16) -> Error {
    let status = if http_status == 0 { Status::VSESSION_E_PROTOCOL } else { Status::VSESSION_E_HTTP };
    Error::new(status, "the server speaks TLS on this port; write https:// in 'url', or another port")
        .with(|d| d.http_status = http_status)
}
