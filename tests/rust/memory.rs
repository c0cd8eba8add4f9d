//! Running out of memory for a reply.

use vsession::vsession_executed::*;

use crate::support::canned::{Canned, envelope, in_chunks, with_length};
use crate::support::*;

/// Runs in its own process, whose address space is limited.
#[test]
fn running_out_of_memory_for_a_reply_is_an_error() {
    child::held(child::child("memory::child_with_little_memory"));
}

#[test]
#[ignore = "run by running_out_of_memory_for_a_reply_is_an_error"]
fn child_with_little_memory() {
    let canned = Canned::http();
    let session = canned.config().with("max_reply_bytes", "1073741824").open().unwrap();
    session.login().unwrap();
    session.ping().unwrap();
    // Canned: the simulator never sends this much.
    let announced = |size: usize| {
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").into_bytes(), vec![b' '; 65536]]
            .concat()
    };
    let chunks = in_chunks("", &[b' '; 65536], 65536);
    let endless = chunks[..chunks.len() - 5].to_vec();
    for reply in [announced(1 << 30), endless] {
        canned.on_call(move |peer, _| {
            peer.say(&reply);
            let body = reply.iter().position(|b| *b == b' ').unwrap();
            let again = if reply.starts_with(b"HTTP/1.1 200 OK\r\nContent-Length") {
                reply[body..].to_vec()
            } else {
                [b"10000\r\n".as_slice(), &[b' '; 65536], b"\r\n"].concat()
            };
            peer.flood(&again, 1 << 30);
        });
        let usual = limit_address_space(Some(96 << 20));
        let result = session.ping_with(&Options::timeout(60_000));
        limit_address_space(usual);
        let error = result.unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_RESOURCE, "{error:?}");
        assert!(error.message.contains("memory"), "{error:?}");
        canned.well();
        session.ping().unwrap();
    }
    session.close().unwrap();
}

/// Runs in its own process, whose address space is limited.
#[test]
fn running_out_of_memory_while_reading_a_reply_does_not_end_the_process() {
    child::held(child::child("memory::child_with_little_memory_for_reading"));
}

#[test]
#[ignore = "run by running_out_of_memory_while_reading_a_reply_does_not_end_the_process"]
fn child_with_little_memory_for_reading() {
    const SIZE: usize = 8 << 20;
    let canned = Canned::http();
    let session = canned.config().open().unwrap();
    session.login().unwrap();
    session.ping().unwrap();
    let own = |inside: &str| {
        envelope(&format!("<CurrentTimeResponse xmlns=\"urn:vim25\">{inside}</CurrentTimeResponse>"))
    };
    let faulty = |inside: &str| envelope(&format!("<soapenv:Fault>{inside}</soapenv:Fault>"));
    // Canned: the simulator never sends this much. None of these is a reply that the library would hand out, because this
    // test would have to copy it: it is broken at its end, or a fault.
    let bodies: [(&str, String); 11] = [
        ("a text", own(&format!("<returnval>{}</a>", "x".repeat(SIZE)))),
        ("an escaped text", own(&format!("<returnval>{}</a>", "&amp;".repeat(SIZE / 5)))),
        ("elements", own(&format!("<!-- c -->{}</b>", "<a/>".repeat(SIZE / 4)))),
        ("depth", own(&"<a>".repeat(SIZE / 3))),
        ("declarations", own(&format!("<!-- c -->{}</b>", "<a xmlns:b='c'/>".repeat(SIZE / 16)))),
        ("the text of a fault", faulty(&format!("<faultstring>{}</faultstring>", "x".repeat(SIZE)))),
        ("the name of a fault", faulty(&format!("<detail><{}/></detail>", "x".repeat(SIZE)))),
        ("the detail of a fault", faulty(&format!("<detail><x>{}</x></detail>", "<a/>".repeat(SIZE / 4)))),
        ("control characters", own(&format!("<x/><x>{}</a>", "\u{1}".repeat(SIZE)))),
        (
            "control characters in the text of a fault",
            faulty(&format!("<faultstring>{}</faultstring>", "\u{1}".repeat(SIZE))),
        ),
        (
            "bad references in the text of a fault",
            faulty(&format!("<faultstring>{}</faultstring>", "&#1;".repeat(SIZE / 4))),
        ),
    ];
    for (name, body) in bodies {
        let reply = with_length("", body.as_bytes());
        drop(body);
        canned.on_call(move |peer, _| {
            peer.say(&reply);
        });
        // There is room for what has arrived, and for half as much again.
        let usual = limit_address_space(Some(SIZE as u64 * 3 / 2 + (4 << 20)));
        let options = Options { no_relogin: true, ..Options::timeout(60_000) };
        let result = session.ping_with(&options);
        limit_address_space(usual);
        let error = result.expect_err(name);
        assert_ne!(error.executed, VSESSION_EXECUTED_NO, "{name}: the call was answered: {error:?}");
        let expected = if name.ends_with("of a fault") {
            status::VSESSION_E_FAULT
        } else {
            status::VSESSION_E_MALFORMED_XML
        };
        // How much memory is free besides depends on malloc.
        assert!([expected, status::VSESSION_E_RESOURCE].contains(&error.status), "{name}: {error:?}");
        canned.well();
        session.ping().unwrap();
    }
    session.close().unwrap();
}

/// Sets the limit of the address space to this many bytes more than are in use, or resets it. Returns the previous
/// limit.
fn limit_address_space(more: Option<u64>) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) }, 0);
    let usual = limit.rlim_cur;
    limit.rlim_cur = match more {
        Some(more) if more < 1 << 40 => {
            let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
            pages.split(' ').next().unwrap().parse::<u64>().unwrap() * 4096 + more
        }
        Some(value) => value,
        None => libc::RLIM_INFINITY,
    };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    Some(usual)
}
