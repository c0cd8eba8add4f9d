//! The faults of the matrix and the outcome of each, one line for each fault. An exception for an entry point needs a
//! reason, which is given beside it.

use serde_json::{Value, json};
use vsession::vsession_executed::*;

use crate::cell::Stage;
use crate::entries::Entry;
use crate::outcome::Outcome;
use crate::support::status::*;

const NO: bool = false;
const RETRIABLE: bool = true;

pub struct Fault {
    /// A short name, to select it by.
    pub name: &'static str,
    /// What happens, for the page.
    pub says: &'static str,
    pub begin: fn(&Stage),
    /// What the victim must see; see `expected` for what depends on the entry point.
    pub gives: Outcome,
    /// What some entry points, or all (`*`), may see instead where chance decides.
    pub or: &'static [(&'static str, Outcome)],
    /// The same where many threads share the connections.
    pub or_of_many: &'static [(&'static str, Outcome)],
    pub except: &'static [(&'static str, Outcome)],
    pub meets: Meets,
    pub over: Over,
    /// The fault is tried at several bytes.
    pub bytes: Bytes,
    /// The framing of the reply at whose byte it happens: fields of a simulator rule.
    pub framed: &'static [&'static str],
    /// The server runs the request; only its reply is lost.
    pub runs: bool,
    /// Not even the head of the reply arrives, so no cookie does.
    pub headless: bool,
    /// Only the deadline ends the wait.
    pub stalls: bool,
    /// The fault happens once and is over.
    pub once: bool,
    /// The session cannot recover without a change of its settings.
    pub lasting: bool,
    /// Options of the session.
    pub options: &'static [(&'static str, &'static str)],
}

/// What part of an exchange the fault hits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Meets {
    /// Each new connection, and so every entry point.
    Connection,
    /// The reply to the entry point's request. A handshake alone never meets it.
    Reply,
    /// Nothing that the library does.
    Nobody,
}

/// What is cut at several bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    None,
    /// The server's part of the handshake.
    Handshake,
    Reply,
}

/// How the client reaches the server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Tls,
    Plain,
    Both,
}

/// The default fault, of a reply.
const REPLY: Fault = Fault {
    name: "",
    says: "",
    begin: |_| {},
    gives: Outcome::Done,
    or: &[],
    or_of_many: &[],
    except: &[],
    meets: Meets::Reply,
    over: Over::Tls,
    bytes: Bytes::None,
    framed: &[],
    runs: false,
    headless: false,
    stalls: false,
    once: false,
    lasting: false,
    options: &[],
};
/// A fault of the connection.
const CONNECTION: Fault = Fault { meets: Meets::Connection, ..REPLY };
/// A fault at a byte of the handshake.
const HANDSHAKE: Fault = Fault { bytes: Bytes::Handshake, ..CONNECTION };
/// A fault at a byte of the reply.
const BYTE: Fault = Fault { bytes: Bytes::Reply, runs: true, over: Over::Both, ..REPLY };
/// A fault at a byte of a reply as current vCenters send it to clients that do not ask for compression.
const CHUNKED: Fault = Fault { framed: &["chunked"], ..BYTE };
/// A fault at a byte of a reply as they send it to clients that ask for compression.
const GZIPPED: Fault = Fault { framed: &["chunked", "gzip"], ..BYTE };
/// A fault of a complete reply.
const WHOLE: Fault = Fault { runs: true, over: Over::Both, ..REPLY };

const REFUSED: Outcome = Outcome::failed(VSESSION_E_CONNECT, RETRIABLE, VSESSION_EXECUTED_NO);
const LOST: Outcome = Outcome::failed(VSESSION_E_CONNECTION, RETRIABLE, VSESSION_EXECUTED_MAYBE);
const LOST_BEFORE: Outcome = Outcome::failed(VSESSION_E_CONNECTION, RETRIABLE, VSESSION_EXECUTED_NO);
const LATE: Outcome = Outcome::failed(VSESSION_E_TIMEOUT, RETRIABLE, VSESSION_EXECUTED_MAYBE);
const LATE_BEFORE: Outcome = Outcome::failed(VSESSION_E_TIMEOUT, RETRIABLE, VSESSION_EXECUTED_NO);
const UNTRUSTED: Outcome = Outcome::failed(VSESSION_E_UNTRUSTED, NO, VSESSION_EXECUTED_NO);
const NO_TLS: Outcome = Outcome::failed(VSESSION_E_TLS, NO, VSESSION_EXECUTED_NO);
const NO_HTTP: Outcome = Outcome::failed(VSESSION_E_PROTOCOL, NO, VSESSION_EXECUTED_MAYBE);

/// A reply with status 200 that vSphere did not write.
const fn unreadable(status: vsession::vsession_status, executed: vsession::vsession_executed) -> Outcome {
    Outcome::Failed { status, http: 200, retriable: NO, executed }
}

/// A probe shows certificates and trusts none.
const ONLY_LOOKS: (&str, Outcome) = ("certificates", Outcome::Done);

/// If the server does not serve its list of versions, the library finds the version in another way.
const NOT_NEEDED: (&str, Outcome) = ("login: version", Outcome::Done);

/// The whole fault arrives with which the server answers a logout that is sent again.
const LOGGED_OUT: &[(&str, Outcome)] =
    &[("logout", Outcome::Done), ("close", Outcome::Done), ("shutdown", Outcome::Done)];

/// A request that follows at once may be sent before the end of its connection arrives: the Login, the next call of a
/// worker, the call after its login.
const NEXT_IS_LOST: &[(&str, Outcome)] =
    &[("login: content", LOST), ("asynchronous call", LOST), ("login in a call", LOST)];

/// The call that gets the connection from another thread.
const NEXT_OF_MANY_IS_LOST: &[(&str, Outcome)] = &[("call", LOST)];

const PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><br>Sign in</body></html>";

const ENVELOPE: &str = r#"<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><R xmlns="urn:vim25"><returnval>x</returnval></R></e:Body></e:Envelope>"#;

fn page(status: u16) -> Value {
    json!({"status": status, "content_type": "text/html", "body": PAGE})
}

#[rustfmt::skip]
pub static FAULTS: &[Fault] = &[
    // Reaching the server.
    Fault { name: "refused", says: "the port refuses connections", begin: |s| s.refuse(), gives: REFUSED, ..CONNECTION },
    Fault { name: "accept-reset", says: "a connection is reset as soon as it is made", begin: |s| s.wire(json!({"at_accept": true, "then": "reset"})), gives: LOST_BEFORE, or: &[("*", REFUSED)], ..CONNECTION },
    Fault { name: "accept-close", says: "a connection is closed as soon as it is made", begin: |s| s.wire(json!({"at_accept": true, "then": "close"})), gives: LOST_BEFORE, ..CONNECTION },
    Fault { name: "accept-stall", says: "a connection is made and nothing more comes", begin: |s| s.wire(json!({"at_accept": true, "then": "stall"})), gives: LATE_BEFORE, stalls: true, ..CONNECTION },
    Fault { name: "handshake-reset", says: "the TLS handshake is reset at one of its bytes", begin: |s| s.cut_handshake("reset"), gives: LOST_BEFORE, ..HANDSHAKE },
    Fault { name: "handshake-close", says: "the TLS handshake is closed at one of its bytes", begin: |s| s.cut_handshake("close"), gives: LOST_BEFORE, ..HANDSHAKE },
    Fault { name: "handshake-stall", says: "the TLS handshake stops at one of its bytes", begin: |s| s.cut_handshake("stall"), gives: LATE_BEFORE, stalls: true, ..HANDSHAKE },
    Fault { name: "handshake-slow", says: "the TLS handshake takes longer than `connect_timeout_ms`", begin: |s| s.wire(json!({"byte": 300, "then": "stall"})), gives: REFUSED, options: &[("connect_timeout_ms", "200")], ..CONNECTION },
    // Canned: no TLS server sends these.
    Fault { name: "alert", says: "a TLS alert (`handshake_failure`) instead of the handshake", begin: |s| s.wire(json!({"byte": 0, "say": "FQMDAAICKA==", "then": "close"})), gives: NO_TLS, ..CONNECTION },
    Fault { name: "no-tls", says: "something that is not TLS instead of the handshake", begin: |s| s.wire(json!({"byte": 0, "say": "MjIwIG1haWwgcmVhZHkNCg==", "then": "close"})), gives: NO_TLS, ..CONNECTION },
    Fault { name: "expired", says: "a certificate that has expired", begin: |s| s.certificate(json!({"expired": true})), gives: UNTRUSTED, except: &[ONLY_LOOKS], ..CONNECTION },
    Fault { name: "other-name", says: "a certificate for another name", begin: |s| s.certificate(json!({"hosts": ["vc.example.com"]})), gives: UNTRUSTED, except: &[ONLY_LOOKS], ..CONNECTION },
    Fault { name: "changed", says: "a certificate of another authority", begin: |s| s.certificate(json!({"new_ca": true})), gives: UNTRUSTED, except: &[ONLY_LOOKS], lasting: true, ..CONNECTION },
    // Each byte of the reply.
    Fault { name: "reset", says: "the connection is reset at a byte of the reply", begin: |s| s.stop("reset"), gives: LOST, ..BYTE },
    Fault { name: "close", says: "the connection is closed at a byte of the reply", begin: |s| s.stop("close"), gives: LOST, ..BYTE },
    Fault { name: "stall", says: "the reply stops at one of its bytes", begin: |s| s.stop("stall"), gives: LATE, stalls: true, ..BYTE },
    Fault { name: "chunked-close", says: "the connection is closed at a byte of a chunked reply", begin: |s| s.stop("close"), gives: LOST, ..CHUNKED },
    Fault { name: "chunked-stall", says: "a chunked reply stops at one of its bytes", begin: |s| s.stop("stall"), gives: LATE, stalls: true, ..CHUNKED },
    Fault { name: "gzip-close", says: "the connection is closed at a byte of a chunked and compressed reply", begin: |s| s.stop("close"), gives: LOST, ..GZIPPED },
    // Chunks of all sizes, in packets or TLS records of all sizes.
    Fault { name: "chunks-whole", says: "a chunked reply arrives in one piece", begin: |s| s.reply(json!({"chunks": "whole", "chunk_size": 100})), ..WHOLE },
    Fault { name: "chunks-each", says: "each chunk of a reply, of one byte, arrives by itself", begin: |s| s.reply(json!({"chunks": "each", "chunk_size": 1})), ..WHOLE },
    Fault { name: "chunks-bytes", says: "each byte of a chunked reply arrives by itself", begin: |s| s.reply(json!({"chunks": "bytes"})), ..WHOLE },
    Fault { name: "gzip-bytes", says: "each byte of a chunked and compressed reply arrives by itself", begin: |s| s.reply(json!({"chunks": "bytes", "gzip": true})), ..WHOLE },
    Fault { name: "reset-before", says: "the connection is reset before the request is run", begin: |s| s.reply(json!({"reset": "before"})), gives: LOST, ..REPLY },
    Fault { name: "close-before", says: "the connection is closed before the request is run", begin: |s| s.reply(json!({"close": "before"})), gives: LOST, ..REPLY },
    Fault { name: "reset-once", says: "the connection is reset once, after the request was run", begin: |s| s.reply(json!({"reset": "after", "times": 1})), gives: LOST, runs: true, headless: true, once: true, ..REPLY },
    Fault { name: "close-once", says: "the connection is closed once, after the request was run", begin: |s| s.reply(json!({"close": "after", "times": 1})), gives: LOST, runs: true, headless: true, once: true, ..REPLY },
    Fault { name: "reset-behind", says: "the connection is reset after the reply", begin: |s| s.reply(json!({"stop": {"byte": 1_000_000, "then": "reset"}})), or: NEXT_IS_LOST, or_of_many: NEXT_OF_MANY_IS_LOST, runs: true, ..REPLY },
    Fault { name: "close-behind", says: "the connection is closed after the reply", begin: |s| s.reply(json!({"stop": {"byte": 1_000_000, "then": "close"}})), or: NEXT_IS_LOST, or_of_many: NEXT_OF_MANY_IS_LOST, runs: true, ..REPLY },
    Fault { name: "hang", says: "no reply comes", begin: |s| s.reply(json!({"hang": true})), gives: LATE, stalls: true, ..REPLY },
    Fault { name: "drip", says: "the reply drips, and is whole before the deadline", begin: |s| s.reply(json!({"drip": {"bytes": 100, "every_ms": 5}})), runs: true, ..REPLY },
    Fault { name: "slow-drip", says: "the reply drips past the deadline", begin: |s| s.reply(json!({"drip": {"bytes": 1, "every_ms": 100}})), gives: LATE, runs: true, stalls: true, ..REPLY },
    // The length and the content of the reply.
    Fault { name: "truncated", says: "the reply ends before its `Content-Length`", begin: |s| s.reply(json!({"truncate_at": 100})), gives: LOST, runs: true, ..REPLY },
    Fault { name: "abrupt", says: "the same without the close_notify that TLS requires", begin: |s| s.reply(json!({"truncate_at": 100, "abrupt": true})), gives: LOST, runs: true, ..REPLY },
    Fault { name: "too-long", says: "`Content-Length` is too large, and the connection is closed", begin: |s| s.reply(json!({"length_off": 100})), gives: LOST, except: LOGGED_OUT, runs: true, ..REPLY },
    Fault { name: "too-long-stall", says: "`Content-Length` is too large, and the connection stays open", begin: |s| s.reply(json!({"length_off": 100, "stop": {"byte": 1_000_000, "then": "stall"}})), gives: LATE, runs: true, stalls: true, ..REPLY },
    // Canned: the server would answer the second of two logouts with a fault, which other rows cut off.
    Fault { name: "too-short", says: "`Content-Length` is too small", begin: |s| s.reply(json!({"status": 200, "content_type": "text/xml", "body": ENVELOPE, "length_off": -30})), gives: unreadable(VSESSION_E_MALFORMED_XML, VSESSION_EXECUTED_MAYBE), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "no-http", says: "a reply that is not HTTP", begin: |s| s.reply(json!({"raw": "\u{1}\u{2}\u{3}\u{4}\n\n garbage \n\n"})), gives: NO_HTTP, ..REPLY },
    Fault { name: "garbage", says: "200 with bytes that are not XML", begin: |s| s.reply(json!({"status": 200, "content_type": "text/xml", "body": "\u{1}\u{2}\u{3} garbage"})), gives: unreadable(VSESSION_E_NOT_SOAP, VSESSION_EXECUTED_MAYBE), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "empty", says: "200 with an empty body", begin: |s| s.reply(json!({"status": 200, "content_type": "text/xml"})), gives: unreadable(VSESSION_E_NOT_SOAP, VSESSION_EXECUTED_MAYBE), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "html", says: "200 with an HTML page", begin: |s| s.reply(page(200)), gives: unreadable(VSESSION_E_NOT_SOAP, VSESSION_EXECUTED_MAYBE), except: &[NOT_NEEDED], ..REPLY },
    // HTTP statuses, as a proxy or the Envoy in front of vCenter sends them.
    Fault { name: "302", says: "302, a redirect", begin: |s| s.reply(json!({"status": 302, "headers": {"Location": "https://other.example.com/sdk"}})), gives: Outcome::http(302, NO, VSESSION_EXECUTED_NO), ..REPLY },
    Fault { name: "401", says: "401", begin: |s| s.reply(page(401)), gives: Outcome::http(401, NO, VSESSION_EXECUTED_NO), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "403", says: "403", begin: |s| s.reply(page(403)), gives: Outcome::http(403, NO, VSESSION_EXECUTED_NO), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "404", says: "404", begin: |s| s.reply(page(404)), gives: Outcome::http(404, NO, VSESSION_EXECUTED_NO), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "429", says: "429 with `Retry-After`", begin: |s| s.reply(json!({"status": 429, "headers": {"Retry-After": "1"}})), gives: Outcome::http(429, RETRIABLE, VSESSION_EXECUTED_NO), ..REPLY },
    Fault { name: "500", says: "500 without a SOAP fault", begin: |s| s.reply(page(500)), gives: Outcome::http(500, NO, VSESSION_EXECUTED_MAYBE), except: &[("login: version", Outcome::http(500, RETRIABLE, VSESSION_EXECUTED_NO)), ("login: content", Outcome::http(500, RETRIABLE, VSESSION_EXECUTED_NO))], ..REPLY },
    Fault { name: "502", says: "502", begin: |s| s.reply(page(502)), gives: Outcome::http(502, RETRIABLE, VSESSION_EXECUTED_MAYBE), ..REPLY },
    Fault { name: "503", says: "503 with `Retry-After`", begin: |s| s.reply(json!({"status": 503, "headers": {"Retry-After": "1"}, "body": "no healthy upstream"})), gives: Outcome::http(503, RETRIABLE, VSESSION_EXECUTED_MAYBE), ..REPLY },
    Fault { name: "504", says: "504", begin: |s| s.reply(page(504)), gives: Outcome::http(504, RETRIABLE, VSESSION_EXECUTED_MAYBE), ..REPLY },
    // The server and the clock.
    Fault { name: "restart", says: "the server restarts: its sessions and connections are gone", begin: |s| s.restart(), except: &[
        // These entry points never log in.
        ("refresh", Outcome::failed(VSESSION_E_NOT_AUTHENTICATED, NO, VSESSION_EXECUTED_NO)),
        ("is_active", Outcome::NoSession),
    ], meets: Meets::Nobody, ..REPLY },
    Fault { name: "exchanged", says: "another server takes its place and does not know the session's version", begin: |s| s.exchange(), except: &[
        // These entry points never log in.
        ("refresh", Outcome::failed(VSESSION_E_NOT_AUTHENTICATED, NO, VSESSION_EXECUTED_NO)),
        ("is_active", Outcome::NoSession),
    ], meets: Meets::Nobody, ..REPLY },
    Fault { name: "clock-ahead", says: "the clock of this machine jumps ten years ahead", begin: |s| s.jump(10), meets: Meets::Nobody, over: Over::Plain, ..REPLY },
    Fault { name: "clock-back", says: "the clock jumps ten years back", begin: |s| s.jump(-10), meets: Meets::Nobody, over: Over::Plain, ..REPLY },
    Fault { name: "clock-hang", says: "the clock jumps ten years ahead, and no reply comes", begin: |s| { s.jump(10); s.reply(json!({"hang": true})); }, gives: LATE, stalls: true, over: Over::Plain, ..REPLY },
    Fault { name: "clock-tls", says: "the clock jumps ten years ahead, past the end of the certificate, and connections are reopened", begin: |s| { s.jump(10); s.close_connections(); }, gives: UNTRUSTED, except: &[ONLY_LOOKS], ..CONNECTION },
];

/// What an entry point must see of a fault.
pub fn expected(fault: &Fault, entry: &Entry) -> Outcome {
    if let Some((_, outcome)) = fault.except.iter().find(|(name, _)| *name == entry.name) {
        return *outcome;
    }
    match fault.meets {
        Meets::Nobody => return Outcome::Done,
        Meets::Reply if entry.request.is_empty() => return Outcome::Done,
        // The library sent the request once more.
        Meets::Reply if fault.once && entry.resent => return Outcome::Done,
        Meets::Reply | Meets::Connection => {}
    }
    if entry.before { fault.gives.not_run() } else { fault.gives }
}

/// What the entry point may see instead.
pub fn or(fault: &Fault, entry: &Entry, threads: usize) -> Option<Outcome> {
    let of_many = if threads > 1 { fault.or_of_many } else { &[] };
    let mut known = fault.or.iter().chain(of_many);
    known.find(|(name, _)| *name == "*" || *name == entry.name).map(|(_, outcome)| *outcome)
}

impl Fault {
    /// Whether the fault can hit this entry point in this way.
    pub fn applies(&self, entry: &Entry, threads: usize, tls: bool) -> bool {
        let over = match self.over {
            Over::Tls => tls,
            Over::Plain => !tls,
            Over::Both => true,
        };
        // Without TLS there are no certificates. A fault that happens once hits one of many threads. A handshake alone
        // has no reply.
        over && (tls || !entry.request.is_empty())
            && (threads == 1 || !self.once)
            && !(self.bytes == Bytes::Reply && entry.request.is_empty())
    }
}
