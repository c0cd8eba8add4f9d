//! HTTP as real servers speak it: replies of every form and size, and connections that are kept alive, go stale and are
//! replaced. Broken replies are in broken_replies.rs.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use serde_json::json;
use vsession::vsession_executed::*;

use crate::support::answers::*;
use crate::support::canned::{envelope, good_body, in_chunks, with_length};
use crate::support::*;

#[test]
fn replies_of_every_form_are_read_and_connections_kept_where_allowed() {
    let body = good_body().into_bytes();
    let length = body.len();
    let http = |head: &str| [head.replace('\n', "\r\n").as_bytes(), b"\r\n", &body[..]].concat();
    let packed = gzip(&body);
    let gz = "Content-Encoding: gzip\r\n";
    let mut chunks_with_all =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:X};name=value\r\n", body.len())
            .into_bytes();
    chunks_with_all.extend(&body);
    chunks_with_all.extend(b"\r\n000\r\nX-Trailer: 1\r\nX-Other: 2\r\n\r\n");
    const KEPT: bool = true;
    let forms: Vec<(&str, Vec<u8>, bool)> = vec![
        ("length", with_length("", &body), KEPT),
        ("length, close", with_length("Connection: close\r\n", &body), !KEPT),
        ("chunks of 1", in_chunks("", &body, 1), KEPT),
        ("chunks of 7", in_chunks("", &body, 7), KEPT),
        ("one chunk", in_chunks("", &body, 9999), KEPT),
        ("chunks, close", in_chunks("Connection: Close\r\n", &body, 50), !KEPT),
        ("chunks with extensions and trailers", chunks_with_all, KEPT),
        ("until close", until_close("", &body), !KEPT),
        ("1.0 until close", http("HTTP/1.0 200 OK\nContent-Type: text/xml\n"), !KEPT),
        ("1.0 with a length", http(&format!("HTTP/1.0 200 OK\nContent-Length: {length}\n")), !KEPT),
        (
            "1.0, kept alive",
            http(&format!("HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: {length}\n")),
            KEPT,
        ),
        ("gzip with a length", with_length(gz, &packed), KEPT),
        ("gzip in chunks", in_chunks(gz, &packed, 10), KEPT),
        ("gzip until close", until_close(gz, &packed), !KEPT),
        ("gzip in two members", with_length(gz, &[gzip(&body[..99]), gzip(&body[99..])].concat()), KEPT),
        ("odd names", http(&format!("HTTP/1.1 200\ncONTENT-length:{length}\nX-Empty:\n")), KEPT),
        (
            "the same length twice",
            http(&format!("HTTP/1.1 200 OK\nContent-Length: {length}\nContent-Length: {length}\n")),
            KEPT,
        ),
        (
            "100 first",
            http(&format!(
                "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: x\n\nHTTP/1.1 200 OK\nContent-Length: {length}\n"
            )),
            KEPT,
        ),
    ];
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        for (form, bytes, kept) in &forms {
            for pieces in [bytes.len(), 64] {
                let bytes = bytes.clone();
                let close = !*kept;
                let result = answered(&canned, session, move |peer| {
                    for piece in bytes.chunks(pieces) {
                        peer.say(piece);
                    }
                    if close {
                        peer.end();
                    }
                });
                let reply = result.unwrap_or_else(|e| panic!("{form}: {e:?}"));
                assert_eq!(reply.text.as_deref(), Some(TIME), "{form}");
                let on = canned.last_connection();
                session.ping().unwrap_or_else(|e| panic!("after {form}: {e:?}"));
                assert_eq!(
                    canned.last_connection() == on,
                    *kept,
                    "{form}: the connection is kept exactly where it may be"
                );
            }
        }
        session.close().unwrap();
    }
}

#[test]
fn a_reply_that_ends_with_its_connection_is_complete_or_an_error() {
    let whole = until_close("", good_body().as_bytes());
    // Without TLS only the XML shows that a part is missing.
    let canned = Canned::http();
    let session = logged_in(&canned);
    for cut in 0..whole.len() {
        answered_by(&canned, session, whole[..cut].to_vec()).expect_err(&format!("cut at {cut}"));
    }
    answered_by(&canned, session, whole.clone()).unwrap();
    // A reset is not an end of the reply, even after the last byte.
    let bytes = whole.clone();
    let error = answered(&canned, session, move |peer| {
        peer.say(&bytes);
        eventually("the client has read everything", || peer.unread() == Some(0));
        peer.reset();
    })
    .unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONNECTION);
    good_again(session);
    // Over TLS the server must announce the end: anyone could have cut the connection.
    let canned = Canned::https();
    let session = logged_in(&canned);
    for cut in (0..whole.len()).step_by(7).chain([whole.len() - 1, whole.len()]) {
        let error = answered_by(&canned, session, whole[..cut].to_vec()).expect_err(&format!("cut at {cut}"));
        assert_eq!(error.status, status::VSESSION_E_CONNECTION);
        assert!(error.message.contains("cut off"), "{}", error.message);
    }
    let reply = answered(&canned, session, move |peer| {
        peer.say(&whole);
        peer.end();
    });
    reply.unwrap();
    good_again(session);
}

/// When the unsolicited bytes arrive.
#[derive(Clone, Copy)]
enum Stray {
    With,
    Behind,
    /// After the call has returned.
    Later,
}

#[test]
fn bytes_after_the_end_of_a_reply_never_answer_the_next_call() {
    use Stray::*;
    let stray = with_length(
        "",
        envelope(
            "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>stray</returnval></CurrentTimeResponse>",
        )
        .as_bytes(),
    );
    let body = good_body().into_bytes();
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        for reply in [with_length("", &body), in_chunks("", &body, 100)] {
            for stray_comes in [With, Behind, Later] {
                let (reply, stray) = (reply.clone(), stray.clone());
                let (returned, over) = (channel(), channel());
                let (calling, said) = (Mutex::new(returned.1), over.1);
                let result = answered(&canned, session, move |peer| {
                    match stray_comes {
                        With => peer.say(&[&reply[..], &stray].concat()),
                        Behind => peer.say(&reply) && peer.say(&stray),
                        Later => {
                            peer.say(&reply);
                            calling.lock().unwrap().recv().unwrap();
                            peer.say(&stray)
                        }
                    };
                    eventually("the stray bytes arrive", || peer.has_arrived());
                    let _ = over.0.send(());
                });
                assert_eq!(result.unwrap().text.as_deref(), Some(TIME), "the call gets its own reply");
                let on = canned.last_connection();
                let _ = returned.0.send(());
                said.recv_timeout(DEADLINE).expect("the stray bytes were sent");
                assert_eq!(session.ping().unwrap().text.as_deref(), Some(TIME));
                assert_ne!(canned.last_connection(), on, "the connection is not used again");
            }
        }
        session.close().unwrap();
    }
}

#[test]
fn a_reply_that_began_before_the_request_never_answers_it() {
    let stray = with_length(
        "",
        envelope(
            "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>stray</returnval></CurrentTimeResponse>",
        )
        .as_bytes(),
    );
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        for length in [1, 4, 5, 6, stray.len() / 2, stray.len()] {
            for later in [false, true] {
                // Sends the rest of the stray reply if a second request arrives on the connection.
                let rests = Mutex::new(HashMap::new());
                let (returned, over) = (channel(), channel());
                let (calling, said) = (Mutex::new(returned.1), over.1);
                let (over, stray) = (Mutex::new(over.0), stray.clone());
                canned.on_call(move |peer, _| {
                    if let Some(rest) = rests.lock().unwrap().remove(&peer.number) {
                        let rest: Vec<u8> = rest;
                        return peer.say_sealed(&rest);
                    }
                    let mut reply = peer.sealed(&with_length("", good_body().as_bytes()));
                    let end = reply.len();
                    reply.extend(peer.sealed(&stray));
                    rests.lock().unwrap().insert(peer.number, reply.split_off(end + length));
                    if later {
                        peer.say_sealed(&reply[..end]);
                        let _ = calling.lock().unwrap().recv();
                        peer.say_sealed(&reply[end..]);
                    } else {
                        peer.say_sealed(&reply);
                    }
                    eventually("the bytes arrive", || peer.has_arrived());
                    let _ = over.lock().unwrap().send(());
                });
                assert_eq!(session.ping().unwrap().text.as_deref(), Some(TIME));
                let on = canned.last_connection();
                // Twice: once for each connection.
                let _ = returned.0.send(());
                said.recv_timeout(DEADLINE).expect("the stray bytes were sent");
                let _ = returned.0.send(());
                let next = session.ping().unwrap_or_else(|e| panic!("{length} bytes, later {later}: {e:?}"));
                assert_eq!(next.text.as_deref(), Some(TIME), "{length} bytes, later {later}");
                assert_ne!(
                    canned.last_connection(),
                    on,
                    "{length} bytes, later {later}: the connection is not used again"
                );
                said.recv_timeout(DEADLINE).expect("the stray bytes were sent on the second connection");
            }
        }
        canned.well();
        session.close().unwrap();
    }
}

#[test]
fn an_idle_connection_survives_a_complete_key_update() {
    let canned = Canned::https();
    let session = logged_in(&canned);
    for whole in [true, false] {
        let (returned, over) = (channel(), channel());
        let (calling, over_there) = (Mutex::new(returned.1), Mutex::new(over.0));
        canned.on_call(move |peer, _| {
            peer.say(&with_length("", good_body().as_bytes()));
            calling.lock().unwrap().recv().unwrap();
            let keys = peer.new_keys();
            peer.say_sealed(&keys[..if whole { keys.len() } else { keys.len() - 1 }]);
            eventually("the new keys arrive", || peer.has_arrived());
            over_there.lock().unwrap().send(()).unwrap();
        });
        session.ping().unwrap();
        let on = canned.last_connection();
        returned.0.send(()).unwrap();
        over.1.recv_timeout(DEADLINE).expect("the new keys were sent");
        canned.well();
        for _ in 0..2 {
            assert_eq!(session.ping().unwrap().text.as_deref(), Some(TIME));
        }
        assert_eq!(canned.last_connection() == on, whole);
    }
    session.close().unwrap();
}

#[test]
fn a_connection_is_closed_after_an_ambiguous_reply() {
    let body = good_body();
    let length = body.len();
    let http = |head: String| format!("{}\r\n{body}", head.replace('\n', "\r\n"));
    let chunked = |head: &str, size: String, end: &str| {
        format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{size}\r\n{body}\r\n{end}")
    };
    const CHUNKED: &str = "Transfer-Encoding: chunked";
    let (hex, end) = (format!("{length:x}"), "0\r\n\r\n");
    let forms = [
        ("chunks and a length", chunked(&format!("{CHUNKED}\r\nContent-Length: {length}"), hex.clone(), end)),
        ("xchunked", chunked("Transfer-Encoding: xchunked", hex.clone(), end)),
        ("chunked twice", chunked(&format!("{CHUNKED}\r\n{CHUNKED}"), hex.clone(), end)),
        (
            "identity and a length",
            http(format!("HTTP/1.1 200 OK\nTransfer-Encoding: identity\nContent-Length: {length}\n")),
        ),
        ("a sign before a chunk size", chunked(CHUNKED, format!("+{hex}"), end)),
        ("a space before a chunk size", chunked(CHUNKED, format!(" {hex}"), end)),
        ("a space after a chunk size", chunked(CHUNKED, format!("{hex} "), end)),
        ("no empty line after the chunks", chunked(CHUNKED, hex.clone(), "0\r\n")),
        ("chunks in HTTP/1.0", chunked(CHUNKED, hex, end).replace("HTTP/1.1", "HTTP/1.0")),
        (
            "a bare LF after the status line",
            http(format!("HTTP/1.1 200 OK\nContent-Length: {length}\n")).replacen("OK\r", "OK", 1),
        ),
        (
            "a bare LF after a header line",
            http(format!("HTTP/1.1 200 OK\nX: y\nContent-Length: {length}\n")).replacen("y\r", "y", 1),
        ),
        ("bare LFs", http(format!("HTTP/1.1 200 OK\nContent-Length: {length}\n")).replacen('\r', "", 9)),
        ("a leading empty line", http(format!("\nHTTP/1.1 200 OK\nContent-Length: {length}\n"))),
        ("a folded line", http(format!("HTTP/1.1 200 OK\nX: a\n b\nContent-Length: {length}\n"))),
        ("a space before a colon", http(format!("HTTP/1.1 200 OK\nContent-Length : {length}\n"))),
        ("two lengths", http(format!("HTTP/1.1 200 OK\nContent-Length: {length}\nContent-Length: 3\n"))),
        ("a length with a sign", http(format!("HTTP/1.1 200 OK\nContent-Length: +{length}\n"))),
        ("a body with 204", http(format!("HTTP/1.1 204 No Content\nContent-Length: {length}\n"))),
        ("a body with 304", http(format!("HTTP/1.1 304 Not Modified\nContent-Length: {length}\n"))),
        (
            "a body with 103",
            http(format!(
                "HTTP/1.1 103 Early Hints\nContent-Length: {length}\n\nHTTP/1.1 200 OK\nContent-Length: {length}\n"
            )),
        ),
    ];
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        for (form, bytes) in &forms {
            let bytes = bytes.clone().into_bytes();
            canned.on_call(move |peer, _| _ = peer.say(&bytes));
            // The call may succeed or fail: a careful reader finds no end in some of these forms.
            let _ = session.ping_with(&Options::timeout(1000));
            let on = canned.last_connection();
            canned.well();
            session.ping().unwrap_or_else(|e| panic!("after {form}: {e:?}"));
            assert_ne!(canned.last_connection(), on, "{form}");
        }
        session.close().unwrap();
    }
}

#[test]
fn a_reply_may_be_as_large_as_the_limit_and_no_larger() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let sized = |size: usize| {
        let response = |text: &str| {
            envelope(&format!(
                "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>{text}</returnval></CurrentTimeResponse>"
            ))
        };
        let body = response(&"x".repeat(size - response("").len())).into_bytes();
        assert_eq!(body.len(), size);
        body
    };
    let gz = "Content-Encoding: gzip\r\n";
    type Form = fn(&[u8]) -> Vec<u8>;
    let forms: [Form; 5] = [
        |body| with_length("", body),
        |body| in_chunks("", body, 5000),
        |body| until_close("", body),
        |body| with_length("Content-Encoding: gzip\r\n", &gzip(body)),
        |body| in_chunks("Content-Encoding: gzip\r\n", &gzip(body), 50),
    ];
    assert!(gzip(&sized(MOST + 1)).len() < 2000, "{gz}: the limit applies to the decompressed size");
    for form in forms {
        answered_by(&canned, session, form(&sized(MOST))).unwrap();
        let error = answered_by(&canned, session, form(&sized(MOST + 1))).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_REPLY_TOO_LARGE);
    }
    good_again(session);
}

#[test]
fn stale_connections_are_replaced_silently_and_calls_run_once() {
    for tls in [true, false] {
        let simulator = Simulator::with(&[&format!("-tls={tls}")]);
        let session = simulator.session();
        session.login().unwrap();
        for fate in ["/connections/close", "/connections/close?idle", "/connections/close?reset"] {
            for round in 0..5 {
                // Several connections, so that a replacement can meet the next stale one.
                eventually("several connections are open", || {
                    simulator.rule(json!({"method": "CurrentTime", "times": 4, "delay_ms": 50}));
                    for result in together(4, |_| session.ping()) {
                        result.unwrap();
                    }
                    simulator.stat("connections_open") >= 2
                });
                simulator.close_connections(fate);
                let before = simulator.calls("CurrentTime");
                for result in together(4, |_| session.ping()) {
                    result.unwrap_or_else(|e| panic!("{fate}, round {round}: {e:?}"));
                }
                assert_eq!(simulator.calls("CurrentTime"), before + 4, "{fate}: no call runs twice");
            }
        }
        assert_eq!(simulator.stat("logins"), 1);
        session.close().unwrap();
    }
}

#[test]
fn a_server_that_restarts_with_a_new_certificate_is_found_again() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.post("/listener/stop");
    simulator.close_connections("/connections/close");
    let error = session.ping().unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_CONNECT, VSESSION_EXECUTED_NO));
    // Signed by the same authority, which is the trusted one.
    simulator.post("/certificate/rotate");
    simulator.post("/listener/start");
    session.ping().unwrap();
    // Signed by another authority.
    simulator.post_json("/certificate/rotate", json!({"new_ca": true}));
    session.ping().expect("open connections are not verified again");
    simulator.close_connections("/connections/close");
    let error = session.ping().unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_UNTRUSTED, VSESSION_EXECUTED_NO));
    session.close().expect_err("no cookie is sent to an untrusted server");
    assert_eq!(simulator.kill_sessions(), 1);
}

#[test]
fn gzip_is_requested_as_the_option_says() {
    let simulator = Simulator::with(&["-like", "9.0.1"]);
    for (value, asked) in [("on", "gzip"), ("off", ""), ("auto", "")] {
        let session = simulator.config().with("http.compression", value).open().unwrap();
        session.login().unwrap();
        session.close().unwrap();
        let login = simulator.log().into_iter().rfind(|entry| entry["method"] == "Login").unwrap();
        assert_eq!(
            login["accept_encoding"].as_str().unwrap_or(""),
            asked,
            "{value}, a server on this machine"
        );
    }
}
