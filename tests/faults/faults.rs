//! The faults of the matrix and the outcome of each, one line for each fault. An exception for an entry point needs a
//! reason, which is given beside it.

use serde_json::{Value, json};
use vsession::vsession_executed::{self, *};
use vsession::vsession_status;

use crate::cell::Stage;
use crate::entries::{Entry, OfMany, Reads, Tried};
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
    /// A whole reply in the place of the method's. What a request of `vsession_http` sees of it follows from it.
    pub answer: Option<Answer>,
    /// Only for who makes a request of `vsession_http`. To a call it is a page like any other.
    pub for_requests: bool,
    /// What some entry points, or all (`*`), may see instead where chance decides.
    pub or: &'static [(&'static str, Outcome)],
    /// The connection ends behind the reply, and that may meet the next request.
    pub behind: bool,
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
    /// It happens within the body of the reply.
    pub in_body: bool,
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

/// A whole reply that no method of the server's wrote.
pub struct Answer {
    pub status: u16,
    pub says: Says,
    pub content_type: &'static str,
    pub body: &'static str,
    pub headers: &'static [(&'static str, &'static str)],
    /// How much larger `Content-Length` is than the body.
    pub length_off: i64,
    /// The connection ends after the first bytes of the body.
    pub cut: bool,
}

/// What a body says to who knows vSphere's errors in JSON and XML.
#[derive(Clone, Copy)]
pub enum Says {
    Nothing,
    /// With this status, and whether it ran, by docs/http.md.
    Error(vsession_status, vsession_executed),
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
    begin: |s| s.answer(),
    gives: Outcome::Done,
    answer: None,
    for_requests: false,
    or: &[],
    behind: false,
    except: &[],
    meets: Meets::Reply,
    over: Over::Tls,
    bytes: Bytes::None,
    framed: &[],
    runs: false,
    headless: false,
    stalls: false,
    once: false,
    in_body: false,
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

/// A fault for requests alone.
const FOR_REQUESTS: Fault = Fault { for_requests: true, ..REPLY };

const REFUSED: Outcome = Outcome::failed(VSESSION_E_CONNECT, RETRIABLE, VSESSION_EXECUTED_NO);
const LOST: Outcome = Outcome::failed(VSESSION_E_CONNECTION, RETRIABLE, VSESSION_EXECUTED_MAYBE);
const LOST_BEFORE: Outcome = Outcome::failed(VSESSION_E_CONNECTION, RETRIABLE, VSESSION_EXECUTED_NO);
const LATE: Outcome = Outcome::failed(VSESSION_E_TIMEOUT, RETRIABLE, VSESSION_EXECUTED_MAYBE);
const LATE_BEFORE: Outcome = Outcome::failed(VSESSION_E_TIMEOUT, RETRIABLE, VSESSION_EXECUTED_NO);
const UNTRUSTED: Outcome = Outcome::failed(VSESSION_E_UNTRUSTED, NO, VSESSION_EXECUTED_NO);
const NO_TLS: Outcome = Outcome::failed(VSESSION_E_TLS, NO, VSESSION_EXECUTED_NO);
const NO_HTTP: Outcome = Outcome::failed(VSESSION_E_PROTOCOL, NO, VSESSION_EXECUTED_MAYBE);

/// A reply with status 200 that vSphere did not write.
const fn unreadable(status: vsession_status, executed: vsession_executed) -> Outcome {
    Outcome::Failed { status, http: 200, retriable: NO, executed }
}

/// A probe shows certificates and trusts none.
const ONLY_LOOKS: (&str, Outcome) = ("certificates", Outcome::Done);

/// If the server does not serve its list of versions, the library finds the version in another way.
const NOT_NEEDED: (&str, Outcome) = ("login: version", Outcome::Done);

/// The whole fault arrives with which the server answers a logout that is sent again.
const LOGGED_OUT: &[(&str, Outcome)] =
    &[("logout", Outcome::Done), ("close", Outcome::Done), ("shutdown", Outcome::Done)];

/// How many bytes of a body arrive where it is cut off: fewer than any body has.
const PART: i64 = 10;

const PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head><body><br>Sign in</body></html>";

const ENVELOPE: &str = r#"<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><R xmlns="urn:vim25"><returnval>x</returnval></R></e:Body></e:Envelope>"#;

/// `\x01\xff`, in base64.
const BAD_CHARACTERS: &str = "Af8=";

/// As the vAPI endpoint of a vCenter sends it.
const UNAUTHENTICATED: &str = r#"{"error_type":"UNAUTHENTICATED","messages":[{"args":[],"default_message":"Authentication required.","id":"com.vmware.vapi.endpoint.method.authentication.required"}],"challenge":"Basic realm=\"VAPI endpoint\""}"#;
const UNAUTHORIZED: &str = r#"{"error_type":"UNAUTHORIZED","messages":[{"args":[],"default_message":"Unable to authorize user","id":"com.vmware.vapi.authz.unauthorized"}]}"#;
const NOT_FOUND: &str = r#"{"error_type":"NOT_FOUND","messages":[{"args":["vm-7"],"default_message":"Virtual machine with identifier 'vm-7' does not exist.","id":"com.vmware.api.vcenter.vm.not_found"}]}"#;
const NOT_ROUTED: &str = r#"{"error_type":"NOT_FOUND","messages":[{"args":[],"default_message":"Not found.","id":"com.vmware.vapi.rest.httpNotFound"}]}"#;
const UNAVAILABLE: &str = r#"{"error_type":"SERVICE_UNAVAILABLE","messages":[{"args":[],"default_message":"Service unavailable.","id":"com.vmware.vapi.endpoint.cis.ServiceUnavailable"}]}"#;
const INTERNAL: &str = r#"{"error_type":"INTERNAL_SERVER_ERROR","messages":[{"args":[],"default_message":"Internal server error.","id":"vapi.bindings.method.impl.unexpected"}]}"#;
/// The form of `/rest`.
const INVALID: &str = r#"{"type":"com.vmware.vapi.std.errors.invalid_argument","value":{"messages":[{"args":[],"default_message":"Not valid.","id":"vapi.bindings.x"}]}}"#;
const NOT_AUTHENTICATED: &str = r#"{"_typeName":"NotAuthenticated","faultstring":"The session is not authenticated.","object":{"_typeName":"ManagedObjectReference","type":"Folder","value":"group-d1"},"privilegeId":"System.View"}"#;
const POWER_STATE: &str =
    r#"{"_typeName":"InvalidPowerState","existingState":"poweredOff","faultstring":"Not in this state."}"#;
const SOAP_FAULT: &str = r#"<?xml version="1.0"?><e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body><e:Fault><faultcode>ServerFaultCode</faultcode><faultstring>Not in this state.</faultstring><detail><InvalidPowerStateFault xmlns="urn:vim25" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="InvalidPowerState"/></detail></e:Fault></e:Body></e:Envelope>"#;

const PAUSE: &[(&str, &str)] = &[("Retry-After", "1")];
const ELSEWHERE: &[(&str, &str)] = &[("Location", "https://other.example.com/sdk")];

/// A page, as what stands in front of a vCenter sends it.
const fn page(status: u16) -> Answer {
    Answer {
        status,
        says: Says::Nothing,
        content_type: "text/html",
        body: PAGE,
        headers: &[],
        length_off: 0,
        cut: false,
    }
}

const fn xml(body: &'static str) -> Answer {
    Answer { content_type: "text/xml", body, ..page(200) }
}

const fn json(status: u16, body: &'static str) -> Answer {
    Answer { content_type: "application/json", body, ..page(status) }
}

/// An error that a service writes, with what it means to a request.
const fn error(
    status: u16,
    body: &'static str,
    means: vsession_status,
    executed: vsession_executed,
) -> Answer {
    Answer { says: Says::Error(means, executed), ..json(status, body) }
}

impl Answer {
    /// A simulator rule.
    pub fn rule(&self) -> Value {
        let mut rule = json!({"status": self.status, "content_type": self.content_type, "body": self.body});
        if !self.headers.is_empty() {
            rule["headers"] = self.headers.iter().map(|(name, value)| (*name, Value::from(*value))).collect();
        }
        if self.length_off != 0 {
            rule["length_off"] = self.length_off.into();
        }
        if self.cut {
            rule["truncate_at"] = PART.into();
        }
        rule
    }

    /// What a client may take for the body.
    pub fn body(&self) -> &'static str {
        &self.body[..self.body.len().saturating_add_signed(self.length_off.min(0) as isize)]
    }
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
    Fault { name: "reset-behind", says: "the connection is reset after the reply", begin: |s| s.reply(json!({"stop": {"byte": 1_000_000, "then": "reset"}})), behind: true, runs: true, ..REPLY },
    Fault { name: "close-behind", says: "the connection is closed after the reply", begin: |s| s.reply(json!({"stop": {"byte": 1_000_000, "then": "close"}})), behind: true, runs: true, ..REPLY },
    Fault { name: "hang", says: "no reply comes", begin: |s| s.reply(json!({"hang": true})), gives: LATE, stalls: true, ..REPLY },
    Fault { name: "drip", says: "the reply drips, and is whole before the deadline", begin: |s| s.reply(json!({"drip": {"bytes": 100, "every_ms": 5}})), runs: true, ..REPLY },
    Fault { name: "slow-drip", says: "the reply drips past the deadline", begin: |s| s.reply(json!({"drip": {"bytes": 1, "every_ms": 100}})), gives: LATE, runs: true, stalls: true, ..REPLY },
    // The length and the content of the reply.
    Fault { name: "truncated", says: "the reply ends before its `Content-Length`", begin: |s| s.reply(json!({"truncate_at": PART})), gives: LOST, runs: true, ..REPLY },
    Fault { name: "abrupt", says: "the same without the close_notify that TLS requires", begin: |s| s.reply(json!({"truncate_at": PART, "abrupt": true})), gives: LOST, runs: true, ..REPLY },
    Fault { name: "too-long", says: "`Content-Length` is too large, and the connection is closed", begin: |s| s.reply(json!({"length_off": 100})), gives: LOST, except: LOGGED_OUT, runs: true, ..REPLY },
    Fault { name: "too-long-stall", says: "`Content-Length` is too large, and the connection stays open", begin: |s| s.reply(json!({"length_off": 100, "stop": {"byte": 1_000_000, "then": "stall"}})), gives: LATE, runs: true, stalls: true, ..REPLY },
    // Canned: the server would answer the second of two logouts with a fault, which other rows cut off.
    Fault { name: "too-short", says: "`Content-Length` is too small", answer: Some(Answer { length_off: -30, ..xml(ENVELOPE) }), gives: unreadable(VSESSION_E_MALFORMED_XML, VSESSION_EXECUTED_MAYBE), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "no-http", says: "a reply that is not HTTP", begin: |s| s.reply(json!({"raw": "\u{1}\u{2}\u{3}\u{4}\n\n garbage \n\n"})), gives: NO_HTTP, ..REPLY },
    Fault { name: "garbage", says: "200 with bytes that are not XML", answer: Some(xml("\u{1}\u{2}\u{3} garbage")), gives: unreadable(VSESSION_E_NOT_SOAP, VSESSION_EXECUTED_MAYBE), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "empty", says: "200 with an empty body", answer: Some(xml("")), gives: unreadable(VSESSION_E_NOT_SOAP, VSESSION_EXECUTED_MAYBE), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "html", says: "200 with an HTML page", answer: Some(page(200)), gives: unreadable(VSESSION_E_NOT_SOAP, VSESSION_EXECUTED_MAYBE), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "bad-character", says: "a control character and a byte that is not UTF-8 in a text of the reply", begin: |s| s.reply(json!({"insert": BAD_CHARACTERS})), ..WHOLE },
    // HTTP statuses, as a proxy or the Envoy in front of vCenter sends them.
    Fault { name: "302", says: "302, a redirect", answer: Some(Answer { headers: ELSEWHERE, ..page(302) }), gives: Outcome::http(302, NO, VSESSION_EXECUTED_NO), ..REPLY },
    Fault { name: "401", says: "401", answer: Some(page(401)), gives: Outcome::http(401, NO, VSESSION_EXECUTED_NO), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "403", says: "403", answer: Some(page(403)), gives: Outcome::http(403, NO, VSESSION_EXECUTED_NO), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "404", says: "404", answer: Some(page(404)), gives: Outcome::http(404, NO, VSESSION_EXECUTED_NO), except: &[NOT_NEEDED], ..REPLY },
    Fault { name: "429", says: "429 with `Retry-After`", answer: Some(Answer { headers: PAUSE, body: "", ..page(429) }), gives: Outcome::http(429, RETRIABLE, VSESSION_EXECUTED_NO), ..REPLY },
    Fault { name: "500", says: "500 without a SOAP fault", answer: Some(page(500)), gives: Outcome::http(500, NO, VSESSION_EXECUTED_MAYBE), except: &[("login: version", Outcome::http(500, RETRIABLE, VSESSION_EXECUTED_NO)), ("login: content", Outcome::http(500, RETRIABLE, VSESSION_EXECUTED_NO))], ..REPLY },
    Fault { name: "502", says: "502", answer: Some(page(502)), gives: Outcome::http(502, RETRIABLE, VSESSION_EXECUTED_MAYBE), ..REPLY },
    Fault { name: "503", says: "503 with `Retry-After`", answer: Some(Answer { headers: PAUSE, body: "no healthy upstream", ..page(503) }), gives: Outcome::http(503, RETRIABLE, VSESSION_EXECUTED_MAYBE), ..REPLY },
    Fault { name: "504", says: "504", answer: Some(page(504)), gives: Outcome::http(504, RETRIABLE, VSESSION_EXECUTED_MAYBE), ..REPLY },
    // What the services of REST and VI JSON answer, and what becomes of it on the way.
    Fault { name: "json-cut-short", says: "200 with JSON that ends in the middle", answer: Some(json(200, r#"[{"vm":"vm-7","na"#)), ..FOR_REQUESTS },
    Fault { name: "401-json", says: "401 with UNAUTHENTICATED of a REST service, for a session that lives", answer: Some(error(401, UNAUTHENTICATED, VSESSION_E_NOT_AUTHENTICATED, VSESSION_EXECUTED_NO)), ..FOR_REQUESTS },
    Fault { name: "403-json", says: "403 with UNAUTHORIZED of a REST service", answer: Some(error(403, UNAUTHORIZED, VSESSION_E_NO_PERMISSION, VSESSION_EXECUTED_YES)), ..FOR_REQUESTS },
    Fault { name: "404-json", says: "404 with NOT_FOUND of a REST service", answer: Some(error(404, NOT_FOUND, VSESSION_E_REST, VSESSION_EXECUTED_YES)), ..FOR_REQUESTS },
    Fault { name: "404-unrouted", says: "404 with NOT_FOUND of the endpoint, which knows no service at the path", answer: Some(error(404, NOT_ROUTED, VSESSION_E_REST, VSESSION_EXECUTED_NO)), ..FOR_REQUESTS },
    Fault { name: "400-older", says: "400 with an error in the form of `/rest`", answer: Some(error(400, INVALID, VSESSION_E_REST, VSESSION_EXECUTED_YES)), ..FOR_REQUESTS },
    Fault { name: "400-cut-short", says: "400 with an error in JSON that ends in the middle", answer: Some(json(400, r#"{"error_type":"NOT_F"#)), ..FOR_REQUESTS },
    Fault { name: "500-json", says: "500 with INTERNAL_SERVER_ERROR of a REST service", answer: Some(error(500, INTERNAL, VSESSION_E_REST, VSESSION_EXECUTED_MAYBE)), ..FOR_REQUESTS },
    Fault { name: "503-json", says: "503 with SERVICE_UNAVAILABLE of a REST service and `Retry-After`", answer: Some(Answer { headers: PAUSE, ..error(503, UNAVAILABLE, VSESSION_E_REST, VSESSION_EXECUTED_MAYBE) }), ..FOR_REQUESTS },
    Fault { name: "500-vi-json", says: "500 with the fault NotAuthenticated in JSON, for a session that lives", answer: Some(error(500, NOT_AUTHENTICATED, VSESSION_E_NOT_AUTHENTICATED, VSESSION_EXECUTED_NO)), ..FOR_REQUESTS },
    Fault { name: "500-vi-json-fault", says: "500 with another fault in JSON", answer: Some(error(500, POWER_STATE, VSESSION_E_FAULT, VSESSION_EXECUTED_YES)), ..FOR_REQUESTS },
    Fault { name: "500-soap", says: "500 with a SOAP fault", answer: Some(error(500, SOAP_FAULT, VSESSION_E_FAULT, VSESSION_EXECUTED_YES)), ..FOR_REQUESTS },
    Fault { name: "302-cut", says: "302 whose body is cut off", answer: Some(Answer { headers: ELSEWHERE, cut: true, ..page(302) }), ..FOR_REQUESTS },
    Fault { name: "401-cut", says: "401 whose body is cut off", answer: Some(Answer { cut: true, ..error(401, UNAUTHENTICATED, VSESSION_E_NOT_AUTHENTICATED, VSESSION_EXECUTED_NO) }), ..FOR_REQUESTS },
    Fault { name: "404-cut", says: "404 whose body is cut off", answer: Some(Answer { cut: true, ..error(404, NOT_FOUND, VSESSION_E_REST, VSESSION_EXECUTED_YES) }), ..FOR_REQUESTS },
    Fault { name: "500-cut", says: "500 whose body is cut off", answer: Some(Answer { cut: true, ..error(500, NOT_AUTHENTICATED, VSESSION_E_NOT_AUTHENTICATED, VSESSION_EXECUTED_NO) }), ..FOR_REQUESTS },
    Fault { name: "cut-once", says: "the reply ends before its `Content-Length` once", begin: |s| s.reply(json!({"truncate_at": PART, "times": 1})), gives: LOST, runs: true, once: true, in_body: true, ..REPLY },
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
        // The library sent the request once more, unless the program has taken a part of the reply.
        Meets::Reply if fault.once && entry.resent && !(fault.in_body && entry.reads == Reads::Streamed) => {
            return Outcome::Done;
        }
        Meets::Reply | Meets::Connection => {}
    }
    let seen = match (&fault.answer, entry.reads) {
        (None, _) | (_, Reads::Soap) => fault.gives,
        (Some(answer), Reads::Request | Reads::Streamed) => to_a_request(answer),
        (Some(answer), Reads::Raw) if answer.cut => LOST,
        (Some(_), Reads::Raw) => Outcome::Done,
        (Some(answer), Reads::RestLogin) => to_a_login(answer),
    };
    if entry.before { seen.not_run() } else { seen }
}

/// The statuses that say that nothing behind whoever answered has seen the request.
const NOT_PASSED_ON: &[u16] = &[401, 405, 407, 411, 413, 414, 415, 417, 421, 426, 428, 429, 431];

/// What a request of `vsession_http` sees of a reply: the table of docs/http.md.
fn to_a_request(answer: &Answer) -> Outcome {
    let retriable = matches!(answer.status, 429 | 502..=504);
    match (answer.status, answer.says) {
        // Without its whole body, a reply is none, and of a fault in it nobody knows. Otherwise the status says enough.
        (..400 | 500, _) if answer.cut => LOST,
        (..400, _) => Outcome::Done,
        (status, Says::Error(means, executed)) if !answer.cut => {
            Outcome::Failed { status: means, http: status.into(), retriable, executed }
        }
        (status, _) if NOT_PASSED_ON.contains(&status) => {
            Outcome::http(status.into(), retriable, VSESSION_EXECUTED_NO)
        }
        (status, _) => Outcome::http(status.into(), retriable, VSESSION_EXECUTED_MAYBE),
    }
}

/// What a request sees where its login to the REST service gets this reply.
fn to_a_login(answer: &Answer) -> Outcome {
    let http = answer.status.into();
    let failed = |status| Outcome::Failed { status, http, retriable: NO, executed: VSESSION_EXECUTED_NO };
    match answer.status {
        // None of the replies holds the id of a session.
        200 => failed(VSESSION_E_PROTOCOL),
        // The resource of sessions asks for no session, so the credentials are meant.
        401 => failed(VSESSION_E_INVALID_LOGIN),
        // Its status says all.
        _ if answer.cut => Outcome::http(http, NO, VSESSION_EXECUTED_NO),
        ..=399 => Outcome::http(http, NO, VSESSION_EXECUTED_NO),
        _ => to_a_request(answer),
    }
}

/// What the entry point may see instead.
pub fn or(fault: &Fault, entry: &Entry, threads: usize) -> Option<Outcome> {
    // A request that follows at once may be sent before the end of its connection arrives: the Login, the next call of a
    // worker, the call after its login, the call that gets the connection from another thread.
    let shares = threads > 1 && entry.of_many == OfMany::Each && !entry.resent;
    if fault.behind && !entry.request.is_empty() && (entry.follows || shares) {
        return Some(LOST);
    }
    fault.or.iter().find(|(name, _)| *name == "*" || *name == entry.name).map(|(_, outcome)| *outcome)
}

impl Fault {
    /// Whether the fault can hit this entry point in this way.
    pub fn applies(&self, entry: &Entry, threads: usize, tls: bool) -> bool {
        let over = match self.over {
            Over::Tls => tls,
            Over::Plain => !tls,
            Over::Both => tls || entry.tried == Tried::Fully,
        };
        // Without TLS there are no certificates. A fault that happens once hits one of many threads. A handshake alone
        // has no reply.
        over && (tls || !entry.request.is_empty())
            && (threads == 1 || !self.once && entry.tried != Tried::Alone)
            && !(self.bytes == Bytes::Reply && entry.request.is_empty())
            && !(self.for_requests && entry.reads == Reads::Soap)
    }
}
