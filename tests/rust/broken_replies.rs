//! Replies of broken or hostile servers. Each is an error, takes bounded time and memory, and leaves the session usable.
//! The servers are canned.

use std::time::Instant;

use crate::support::answers::*;
use crate::support::canned::{Greeting, Peer, envelope, good_body, in_chunks, with_length};
use crate::support::*;

#[test]
fn a_reply_that_is_cut_off_anywhere_is_an_error() {
    let body = good_body().into_bytes();
    let chunks = in_chunks("", &body, 100);
    let replies = [with_length("", &body), chunks, with_length("Content-Encoding: gzip\r\n", &gzip(&body))];
    std::thread::scope(|scope| {
        for (make, step) in [(Canned::http as fn() -> Canned, 1), (Canned::https, 7)] {
            for (number, whole) in replies.iter().enumerate() {
                scope.spawn(move || {
                    let canned = make();
                    let session = logged_in(&canned);
                    for cut in (0..whole.len()).step_by(step).chain([whole.len() - 2, whole.len() - 1]) {
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
fn a_server_that_speaks_first_does_not_hang_a_call() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let early = with_length(
        "",
        envelope(
            "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>early</returnval></CurrentTimeResponse>",
        )
        .as_bytes(),
    );
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
                // When the greeting arrives just before the request, nobody can tell that it is not the reply.
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
fn impossible_lengths_are_refused() {
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
    // A chunk that is announced larger than it is.
    assert_eq!(error_for(chunked("ffffffffffffffff\r\nhello")), status::VSESSION_E_CONNECTION);
}

#[test]
fn replies_that_are_not_http_are_protocol_errors() {
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
    // An upgrade to a protocol that the request did not offer.
    assert_eq!(
        error_for(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n".to_vec()),
        status::VSESSION_E_PROTOCOL
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
            // The noise in the head breaks at least the status line.
            1 => drop(bytes.splice(next() % 8..head, noise)),
            _ => drop(bytes.splice(head + 4..head + 60, noise)),
        }
        let error = answered_by(&canned, session, bytes).unwrap_err();
        assert!(error.status as i32 >= status::VSESSION_E_CONNECTION as i32, "{error:?}");
    }
    good_again(session);
}

#[test]
fn oversized_heads_are_refused() {
    let many =
        format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X-Header: value\r\n".repeat(10_000));
    let few_but_long = format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "y".repeat(70_000));
    for head in [many, few_but_long] {
        assert_eq!(error_for(head.into_bytes()), status::VSESSION_E_REPLY_TOO_LARGE);
    }
}

/// The server reads nothing more, and keeps the connection open.
#[test]
fn a_refusal_is_told_at_once_while_the_request_is_being_sent() {
    let refusal = b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    let arguments = format!("<a>{}</a>", "x".repeat(6 << 20));
    let call = Call { arguments: &arguments, ..client::CURRENT_TIME };
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        for pieces in [1, 2] {
            canned.on_call(move |peer, _| {
                // Something that is no part of the answer.
                let new_keys = peer.new_keys();
                peer.say_sealed(&new_keys);
                for piece in refusal.chunks(refusal.len() / pieces + 1) {
                    peer.say(piece);
                    eventually("the client has read it", || peer.unread().is_none_or(|unread| unread == 0));
                }
                peer.hang_deaf();
            });
            let start = Instant::now();
            let error = session.call(call, &Options::timeout(4 * DEADLINE.as_millis() as u32)).unwrap_err();
            assert!(start.elapsed() < 2 * DEADLINE, "told after {:?}: {error:?}", start.elapsed());
            assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, 401), "{error:?}");
            assert_eq!(error.executed, vsession::vsession_executed::VSESSION_EXECUTED_NO, "{error:?}");
        }
        canned.well();
        let before = canned.accepted();
        good_again(session);
        assert_eq!(canned.accepted(), before + 1, "the connection was used again");
    }
}

#[test]
fn an_interim_reply_does_not_end_the_sending() {
    let arguments = format!("<a>{}</a>", "x".repeat(6 << 20));
    let call = Call { arguments: &arguments, ..client::CURRENT_TIME };
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        canned.on_call(|peer, request| {
            peer.say(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Proc");
            eventually("the client has read it", || peer.unread() == Some(0));
            peer.read_body(request);
            peer.say(b"essing\r\n\r\n");
            peer.say(&with_length("", good_body().as_bytes()));
        });
        let reply = session.call(call, &Options::timeout(4 * DEADLINE.as_millis() as u32)).unwrap();
        assert_eq!(reply.text.as_deref(), Some(TIME));
        canned.well();
        good_again(session);
    }
}

#[test]
fn a_reply_sent_before_the_whole_request_was_read_counts() {
    let refusal = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let arguments = format!("<a>{}</a>", "x".repeat(4 << 20));
    let call = Call { arguments: &arguments, ..client::CURRENT_TIME };
    // The ways in which a server that stops reading the request ends the connection.
    let ends: [fn(&mut Peer); 3] = [Peer::cut, Peer::end, Peer::reset];
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        for (number, end) in ends.into_iter().enumerate() {
            canned.on_call(move |peer, _| {
                peer.say(refusal);
                eventually("the reply arrives", || peer.has_arrived());
                end(peer);
            });
            // A call that hangs ends at its deadline.
            let error = session.call(call, &Options::timeout(20_000)).unwrap_err();
            assert_eq!(
                (error.status, error.http_status),
                (status::VSESSION_E_HTTP, 413),
                "{number}: {error:?}"
            );
        }
        canned.well();
        good_again(session);
    }
}

#[test]
fn a_request_that_is_not_read_to_its_end_ends_with_the_connection_or_with_an_answer_that_comes_in_parts() {
    let refusal = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let arguments = format!("<a>{}</a>", "x".repeat(4 << 20));
    let call = Call { arguments: &arguments, ..client::CURRENT_TIME };
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        for answers in [false, true] {
            canned.on_call(move |peer, _| {
                if answers {
                    // The client has no room to write, and reads a part of a record.
                    let sealed = peer.sealed(refusal);
                    for part in [&sealed[..7], &sealed[7..]] {
                        peer.say_sealed(part);
                        eventually("the client has read it", || peer.unread().is_none_or(|n| n == 0));
                    }
                }
                peer.cut();
            });
            let error = session.call(call, &Options::timeout(20_000)).unwrap_err();
            let expected =
                if answers { (status::VSESSION_E_HTTP, 413) } else { (status::VSESSION_E_CONNECTION, 0) };
            assert_eq!((error.status, error.http_status), expected, "{error:?}");
        }
        canned.well();
        good_again(session);
    }
}

#[test]
fn a_refusal_that_is_cut_off_says_as_much_as_a_whole_one() {
    let ends: [fn(&mut Peer); 3] = [Peer::cut, Peer::reset, Peer::hang];
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        use vsession::vsession_executed::*;
        // The method's own response, of which the end is missing.
        let own = "<e:Envelope xmlns:e='e'><e:Body><CurrentTimeResponse xmlns='urn:vim25'>";
        for (status, body, executed) in [
            (413, "", VSESSION_EXECUTED_NO),
            (413, "<html>too la", VSESSION_EXECUTED_NO),
            (413, "<s:Envelope><s:B", VSESSION_EXECUTED_MAYBE),
            (413, own, VSESSION_EXECUTED_YES),
            (503, "<html>b", VSESSION_EXECUTED_MAYBE),
        ] {
            for (number, end) in ends.into_iter().enumerate() {
                canned.on_call(move |peer, _| {
                    peer.say(
                        format!("HTTP/1.1 {status} x\r\nRetry-After: 7\r\nContent-Length: 200\r\n\r\n{body}")
                            .as_bytes(),
                    );
                    eventually("the reply is read", || peer.unread().is_none_or(|unread| unread == 0));
                    end(peer);
                });
                let calls = canned.calls();
                // One that stalls is told at the deadline.
                let options = Options { idempotent: true, ..Options::timeout(1500) };
                let error = session.call(client::CURRENT_TIME, &options).unwrap_err();
                let what = format!("{status} {body}, end {number}: {error:?}");
                assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, status), "{what}");
                assert_eq!(error.executed, executed, "{what}");
                assert_eq!(error.retry_after_ms, if status == 413 { 0 } else { 7000 }, "{what}");
                assert_eq!(canned.calls(), calls + 1, "{what}");
                // An overload is an outage.
                let active = session.state() == vsession::vsession_state::VSESSION_STATE_ACTIVE;
                assert_eq!(active, status == 413, "{what}");
            }
        }
        canned.well();
        good_again(session);
    }
}

#[test]
fn endless_interim_responses_and_trailers_end_in_an_error() {
    let chunk = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    for (start_with, repeat) in [("", "HTTP/1.1 100 Continue\r\n\r\n"), (chunk, "X-Trailer: value\r\n")] {
        let canned = Canned::http();
        let session = canned.config().with("max_reply_bytes", "65536").open().unwrap();
        session.login().unwrap();
        canned.on_call(move |peer, _| {
            peer.say(start_with.as_bytes());
            peer.flood(repeat.as_bytes(), 512 << 20);
        });
        // A call that keeps reading ends at its deadline, or when the flood is over.
        let error = session.ping_with(&Options::timeout(30_000)).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_PROTOCOL);
        assert!(error.message.contains("without an end"), "{error:?}");
        canned.well();
        good_again(session);
    }
}

#[test]
fn endless_replies_take_bounded_memory() {
    let told = child::held(child::child("broken_replies::child_that_gets_endless_replies"));
    eprintln!("{}", told.lines().filter(|line| line.starts_with("memory")).collect::<Vec<_>>().join("\n"));
}

/// The memory of the process in kilobytes: its size now, and its peak since the last call of this function.
fn memory() -> (u64, u64) {
    let field = |name: &str| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|l| l.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    let peak = field("VmHWM:");
    std::fs::write("/proc/self/clear_refs", "5").expect("the peak is reset");
    (field("VmRSS:"), peak)
}

#[test]
#[ignore = "run by endless_replies_take_bounded_memory"]
fn child_that_gets_endless_replies() {
    const GIB: u64 = 1 << 30;
    const MIB: usize = 1 << 20;
    /// What a call may take: twice the limit of four MiB, buffers, and what the allocator keeps.
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
        ("announced gzip that is not gzip", head(&gz), vec![0; 65536], no_http),
        ("a head without end", b"HTTP/1.1 200 OK\r\n".to_vec(), b"X-Header: value\r\n".to_vec(), too_large),
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
