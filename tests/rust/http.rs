//! HTTP as servers really speak it, and as broken ones and enemies do. A reply is whole or an error, in bounded time and
//! memory, and the session is usable afterwards. Most servers here are canned.

use std::io::Write;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use serde_json::json;
use vsession::vsession_executed::*;

use crate::support::canned::{Greeting, Peer, envelope, good_body, in_chunks, with_length};
use crate::support::client::Reply;
use crate::support::*;

/// The option `max_reply_bytes` of these sessions.
const MOST: usize = 100_000;
/// The deadline of calls that should never come near it, on a machine however slow.
const DEADLINE: Duration = Duration::from_secs(30);
const TIME: &str = "2024-02-29T12:34:56Z";

fn logged_in(canned: &Canned) -> Session {
    let session = canned.config().with("max_reply_bytes", &MOST.to_string()).open().unwrap();
    session.login().unwrap();
    session
}

/// A call that is answered by `play`, in time.
fn answered(
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

/// As `answered`, with bytes that end with the connection.
fn answered_by(canned: &Canned, session: Session, bytes: Vec<u8>) -> Result<Reply, ApiError> {
    let (over, ended) = std::sync::mpsc::channel();
    let result = answered(canned, session, move |peer| {
        peer.say(&bytes);
        peer.cut();
        eventually("the end arrives", || peer.has_arrived());
        let _ = over.send(());
    });
    // So that the end of the connection is there before the next call looks for it: also an error may be a whole reply.
    ended.recv_timeout(DEADLINE).expect("the connection was cut");
    result
}

/// A call that is answered badly, and then one that is answered well.
fn error_for(bytes: Vec<u8>) -> status {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(100)]).into_owned();
    let error = answered_by(&canned, session, bytes).expect_err(&shown);
    good_again(session);
    error.status
}

fn good_again(session: Session) {
    // The canned server may be about to close the connection without having said so; only a call that may run twice is
    // spared from seeing that.
    let reply = session.ping_with(&Options { idempotent: true, ..Options::default() });
    assert_eq!(reply.expect("the session is usable afterwards").text.as_deref(), Some(TIME));
    session.close().unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A body that ends with the connection.
fn until_close(extra: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n{extra}\r\n").as_bytes(), body].concat()
}

#[test]
fn replies_of_every_form_are_read_and_connections_kept_where_they_may_be() {
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
        ("chunks win over a length", in_chunks("Content-Length: 3\r\n", &body, 50), KEPT),
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
                    "{form}: the connection is kept where it may be"
                );
            }
        }
        session.close().unwrap();
    }
}

#[test]
fn a_reply_that_is_cut_off_anywhere_is_an_error() {
    let body = good_body().into_bytes();
    let chunks = in_chunks("", &body, 100);
    // With the chunk of length zero the body is complete, whatever becomes of the empty line after it.
    let complete = chunks.len() - b"\r\n".len();
    let replies = [
        with_length("", &body),
        chunks[..complete].to_vec(),
        with_length("Content-Encoding: gzip\r\n", &gzip(&body)),
    ];
    std::thread::scope(|scope| {
        for (make, step) in [(Canned::http as fn() -> Canned, 1), (Canned::https, 7)] {
            for (number, whole) in replies.iter().enumerate() {
                scope.spawn(move || {
                    let canned = make();
                    let session = logged_in(&canned);
                    for cut in (0..whole.len()).step_by(step).chain([whole.len() - 1]) {
                        let error = answered_by(&canned, session, whole[..cut].to_vec())
                            .expect_err(&format!("reply {number} cut at {cut}"));
                        assert_eq!(
                            error.status,
                            status::VSESSION_E_CONNECTION,
                            "reply {number} cut at {cut}: {error:?}"
                        );
                    }
                    good_again(session);
                });
            }
        }
    });
}

#[test]
fn a_reply_that_ends_with_its_connection_is_whole_or_an_error() {
    let whole = until_close("", good_body().as_bytes());
    // Without TLS only the XML shows that something is missing.
    let canned = Canned::http();
    let session = logged_in(&canned);
    for cut in 0..whole.len() {
        answered_by(&canned, session, whole[..cut].to_vec()).expect_err(&format!("cut at {cut}"));
    }
    answered_by(&canned, session, whole.clone()).unwrap();
    // A reset is no end, even after the last byte.
    let bytes = whole.clone();
    let error = answered(&canned, session, move |peer| {
        peer.say(&bytes);
        eventually("all is read", || peer.unread() == Some(0));
        peer.reset();
    })
    .unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONNECTION);
    good_again(session);
    // With TLS the end must be said: anybody could have cut the connection.
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

/// When bytes come that nobody asked for.
#[derive(Clone, Copy)]
enum Stray {
    With,
    Behind,
    /// When the call is over.
    Later,
}

#[test]
fn bytes_after_the_end_of_a_reply_never_answer_the_next_call() {
    use Stray::*;
    let stray = with_length("", envelope("<R><returnval>stray</returnval></R>").as_bytes());
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
                assert_eq!(result.unwrap().text.as_deref(), Some(TIME), "the reply counts");
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
fn a_server_that_speaks_first_does_not_hang_a_call() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let early = with_length("", envelope("<R><returnval>early</returnval></R>").as_bytes());
    for (greeting, is_reply) in
        [(&early[..], true), (b"220 mail.example.com ESMTP\r\n", false), (b"SSH-2.0-OpenSSH_9.6\r\n", false)]
    {
        canned.greet(Greeting::Says(greeting.to_vec()));
        for _ in 0..10 {
            canned.close_connections();
            let start = Instant::now();
            let result = session.ping_with(&Options::timeout(DEADLINE.as_millis() as u32));
            assert!(start.elapsed() < DEADLINE / 2);
            match result {
                Err(error) => assert_eq!(error.status, status::VSESSION_E_PROTOCOL),
                // Where it comes only just before the request, nobody can tell that it is not the answer.
                Ok(reply) => assert_eq!((reply.text.as_deref(), is_reply), (Some("early"), true)),
            }
        }
        canned.close_connections();
        canned.well();
        assert_eq!(session.ping().unwrap().text.as_deref(), Some(TIME));
    }
    session.close().unwrap();
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let body = good_body();
    let with = |lengths: &str| {
        format!("HTTP/1.1 200 OK\r\n{}\r\n{body}", lengths.replace('\n', "\r\n")).into_bytes()
    };
    let length = body.len();
    for lengths in [
        format!("Content-Length: {length}\nContent-Length: {}\n", length + 1),
        format!("Content-Length: {length}, {}\n", length - 1),
        "Content-Length: -1\n".into(),
        format!("Content-Length: +{length}\n"),
        format!("Content-Length: 0x{length:x}\n"),
        format!("Content-Length: {length} {length}\n"),
        "Content-Length: many\n".into(),
        "Content-Length:\n".into(),
        "Content-Length: 99999999999999999999999\n".into(),
    ] {
        assert_eq!(error_for(with(&lengths)), status::VSESSION_E_PROTOCOL, "{lengths}");
    }
    for huge in [u64::MAX, 1 << 40, MOST as u64 + 1] {
        assert_eq!(error_for(with(&format!("Content-Length: {huge}\n"))), status::VSESSION_E_REPLY_TOO_LARGE);
    }
    let chunked =
        |chunks: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes();
    for chunks in [
        "zz\r\n",
        "-5\r\nhello\r\n",
        "5\r\nhelloworld\r\n",
        "\r\n",
        "11111111111111111\r\n",
        "5 5\r\nhello\r\n",
    ] {
        assert_eq!(error_for(chunked(chunks)), status::VSESSION_E_PROTOCOL, "{chunks:?}");
    }
    // A chunk announced larger than it is.
    assert_eq!(error_for(chunked("ffffffffffffffff\r\nhello")), status::VSESSION_E_CONNECTION);
}

#[test]
fn a_reply_may_be_as_large_as_the_limit_and_no_larger() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let sized = |size: usize| {
        let frame = envelope("<R><returnval></returnval></R>").len();
        let body =
            envelope(&format!("<R><returnval>{}</returnval></R>", "x".repeat(size - frame))).into_bytes();
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
    assert!(gzip(&sized(MOST + 1)).len() < 2000, "{gz}: the limit holds for what comes out");
    for form in forms {
        answered_by(&canned, session, form(&sized(MOST))).unwrap();
        let error = answered_by(&canned, session, form(&sized(MOST + 1))).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_REPLY_TOO_LARGE);
    }
    good_again(session);
}

#[test]
fn what_is_not_http_is_told() {
    for bytes in [
        &b"HTTP/2.0 200 OK\r\n\r\n"[..],
        b"HTTP/1.1 000 Nothing\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"\x16\x03\x01\x00\x05hello",
        b"\x15\x03\x01\x00\x02\x02\x50\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nNo colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nB\0d: name\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: bad\0value\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n folded: line\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello",
        b"<soapenv:Envelope/>\r\n\r\n",
    ] {
        assert_eq!(
            error_for(bytes.to_vec()),
            status::VSESSION_E_PROTOCOL,
            "{:?}",
            String::from_utf8_lossy(bytes)
        );
    }
    // A protocol that was never asked for.
    assert_eq!(
        error_for(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n".to_vec()),
        status::VSESSION_E_HTTP
    );
    assert_eq!(
        error_for(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec()),
        status::VSESSION_E_HTTP
    );
    assert_eq!(
        error_for(with_length("Content-Encoding: gzip\r\n", b"not gzip")),
        status::VSESSION_E_PROTOCOL
    );
    let mut damaged = gzip(good_body().as_bytes());
    let end = damaged.len();
    damaged[end - 5] ^= 1;
    assert_eq!(error_for(with_length("Content-Encoding: gzip\r\n", &damaged)), status::VSESSION_E_PROTOCOL);
}

#[test]
fn garbage_is_an_error() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize
    };
    let good = with_length("", good_body().as_bytes());
    let head = good.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    for round in 0..300 {
        let mut bytes = good.clone();
        let noise: Vec<u8> = (0..1 + next() % 200).map(|_| next() as u8).collect();
        match round % 3 {
            0 => bytes = noise,
            // In the head, at least the status line is broken.
            1 => drop(bytes.splice(next() % 8..head, noise)),
            _ => drop(bytes.splice(head + 4..head + 60, noise)),
        }
        let error = answered_by(&canned, session, bytes).unwrap_err();
        assert!(error.status as i32 >= status::VSESSION_E_CONNECTION as i32, "{error:?}");
    }
    good_again(session);
}

#[test]
fn heads_beyond_all_bounds_are_refused() {
    let many =
        format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X-Header: value\r\n".repeat(10_000));
    let few_but_long = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "y".repeat(70_000));
    for head in [many, few_but_long] {
        let status = error_for(head.into_bytes());
        assert!(
            matches!(status, status::VSESSION_E_PROTOCOL | status::VSESSION_E_REPLY_TOO_LARGE),
            "{status:?}"
        );
    }
}

#[test]
fn a_reply_that_comes_before_the_whole_request_was_read_does_not_hang_a_call() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let refusal = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    canned.on_call(move |peer, _| {
        peer.say(refusal);
        peer.cut();
    });
    let arguments = format!("<a>{}</a>", "x".repeat(4 << 20));
    let call = Call { arguments: &arguments, ..client::CURRENT_TIME };
    // One that hangs ends by its deadline.
    let error = session.call(call, &Options::timeout(20_000)).unwrap_err();
    assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, 413), "{error:?}");
    canned.well();
    good_again(session);
}

#[test]
fn endless_preliminaries_are_an_error_in_time() {
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    for (start_with, repeat) in [("", "HTTP/1.1 100 Continue\r\n\r\n"), (chunk, "X-Trailer: value\r\n")] {
        let canned = Canned::http();
        let session = canned.config().with("max_reply_bytes", "65536").open().unwrap();
        session.login().unwrap();
        canned.on_call(move |peer, _| {
            peer.say(start_with.as_bytes());
            peer.flood(repeat.as_bytes(), 512 << 20);
        });
        // One that reads on ends by its deadline, or when all of the flood is over.
        let error = session.ping_with(&Options::timeout(30_000)).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_PROTOCOL);
        assert!(error.message.contains("without an end"), "{error:?}");
        canned.well();
        good_again(session);
    }
}

#[test]
fn replies_without_an_end_take_bounded_memory() {
    let told = child::held(child::child("http::child_that_is_bombed"));
    eprintln!("{}", told.lines().filter(|line| line.starts_with("memory")).collect::<Vec<_>>().join("\n"));
}

/// In kilobytes: what the process holds now, and the most since the last question.
fn memory() -> (u64, u64) {
    let field = |name: &str| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let peak = field("VmHWM:");
    std::fs::write("/proc/self/clear_refs", "5").expect("resets the peak");
    (field("VmRSS:"), peak)
}

#[test]
#[ignore = "run by replies_without_an_end_take_bounded_memory"]
fn child_that_is_bombed() {
    const GIB: u64 = 1 << 30;
    const MIB: usize = 1 << 20;
    /// What a call may take: the limit of four MiB twice, buffers, and what the allocator keeps.
    const MOST_KB: u64 = 24 << 10;
    let canned = Canned::http();
    let session = canned.config().with("max_reply_bytes", &(4 * MIB).to_string()).open().unwrap();
    session.login().unwrap();
    let head = |extra: &str| format!("HTTP/1.1 200 OK\r\n{extra}\r\n").into_bytes();
    let gz = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", 1 << 30);
    let member = gzip(&vec![b' '; MIB]);
    let whole = gzip(&vec![b' '; 16 * MIB]);
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 65536], b"\r\n"].concat();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let too_large = status::VSESSION_E_REPLY_TOO_LARGE;
    let no_http = status::VSESSION_E_PROTOCOL;
    let bombs: Vec<(&str, Vec<u8>, Vec<u8>, status)> = vec![
        ("1 GiB, announced", head("Content-Length: 1073741824\r\n"), vec![b'x'; 65536], too_large),
        ("1 GiB in chunks", head(chunked), chunk, too_large),
        (
            "1 GiB in one chunk",
            [head(chunked), b"40000000\r\n".to_vec()].concat(),
            vec![b'x'; 65536],
            too_large,
        ),
        ("1 GiB until close", head(""), vec![b'x'; 65536], too_large),
        ("gzip of a thousand members", head("Content-Encoding: gzip\r\n"), member, too_large),
        ("gzip of one", head("Content-Encoding: gzip\r\n"), whole, too_large),
        ("announced gzip that is none", head(&gz), vec![0; 65536], no_http),
        ("a head without end", b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Header: value\r\n".to_vec(), no_http),
        ("a header without end", b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 65536], too_large),
        ("a status line without end", b"HTTP/1.1 200 ".to_vec(), vec![b'x'; 65536], too_large),
        ("a chunk length without end", head(chunked), vec![b'1'; 65536], no_http),
        (
            "a chunk extension without end",
            [head(chunked), b"5;".to_vec()].concat(),
            vec![b'x'; 65536],
            no_http,
        ),
        ("a trailer without end", [head(chunked), b"0\r\nX: ".to_vec()].concat(), vec![b'x'; 65536], no_http),
        (
            "a chunk without its line end",
            [head(chunked), b"1\r\nx".to_vec()].concat(),
            vec![b'x'; 65536],
            no_http,
        ),
    ];
    for (bomb, start, repeat, expected) in bombs {
        let (before, _) = memory();
        let result = answered(&canned, session, move |peer| {
            peer.say(&start);
            peer.flood(&repeat, GIB);
        });
        session.ping().expect("the session is usable afterwards");
        let (_, peak) = memory();
        let grown = peak.saturating_sub(before);
        eprintln!("memory: {bomb}: {grown} kB");
        assert!(grown < MOST_KB, "{bomb}: {grown} kB");
        assert_eq!(result.unwrap_err().status, expected, "{bomb}");
    }
    session.close().unwrap();
}

#[test]
fn connections_that_went_stale_are_replaced_without_a_word_and_calls_run_once() {
    for tls in [true, false] {
        let simulator = Simulator::with(&[&format!("-tls={tls}")]);
        let session = simulator.session();
        session.login().unwrap();
        for fate in ["/connections/close", "/connections/close?idle", "/connections/close?reset"] {
            for round in 0..5 {
                // Several connections, so that a replacement may meet the next stale one.
                eventually("there are several connections", || {
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
    // Of the same authority, which is what is trusted.
    simulator.post("/certificate/rotate");
    simulator.post("/listener/start");
    session.ping().unwrap();
    // Of another one.
    simulator.post_json("/certificate/rotate", json!({"new_ca": true}));
    session.ping().expect("connections that stand are not judged again");
    simulator.close_connections("/connections/close");
    let error = session.ping().unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_UNTRUSTED, VSESSION_EXECUTED_NO));
    session.close().expect_err("no cookie is sent to a server that is not trusted");
    assert_eq!(simulator.kill_sessions(), 1);
}
