//! The system calls of a call on a warm connection: a check of it, one write, one wait and one read. Those with which an asynchronous
//! call keeps its worker.

use std::process::Command;
use std::time::Duration;

use crate::support::*;

const CALLS: usize = 50;
/// The most system calls that a warm call over HTTP may make.
const MOST_HTTP: f64 = 5.0;
/// The same over HTTPS. TLS costs no more, because one read takes a reply of one record.
const MOST_HTTPS: f64 = 5.0;

/// Marks in the trace where the calls to be counted begin and end.
const BEGIN: &str = "/vsession-begin";
const END: &str = "/vsession-end";

fn mark(name: &str) {
    assert!(std::fs::metadata(name).is_err());
}

/// The system calls of all threads of a child between the marks, at least `least`.
fn traced(name: &str, scheme: &str, canned: &Canned, least: usize) -> Vec<String> {
    let trace = std::env::temp_dir().join(format!("vsession-trace-{}-{name}-{scheme}", std::process::id()));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&trace);
    let mut child = child::child_of(strace, &format!("syscalls::{name}"));
    child.env("VSESSION_TEST_PORT", canned.address().port().to_string()).env("VSESSION_TEST_SCHEME", scheme);
    child::held(child);
    let text = std::fs::read_to_string(&trace).unwrap();
    let _ = std::fs::remove_file(&trace);
    let between: Vec<String> = text
        .lines()
        .skip_while(|line| !line.contains(BEGIN))
        .skip(1)
        .take_while(|line| !line.contains(END))
        // The second half of a call that the trace of another thread interrupted.
        .filter(|line| !line.contains("resumed>"))
        .map(str::to_string)
        .collect();
    assert!(
        text.contains(END) && between.len() >= least,
        "the trace shows the marks and the calls: {between:?}"
    );
    between
}

#[test]
fn a_warm_call_takes_few_system_calls() {
    for (scheme, canned, most) in
        [("http", Canned::http(), MOST_HTTP), ("https", Canned::https(), MOST_HTTPS)]
    {
        let lines = traced("child_that_calls", scheme, &canned, 2 * CALLS);
        let each = lines.len() as f64 / CALLS as f64;
        eprintln!("{scheme}: {each} system calls for a warm call");
        let last = lines[lines.len() - 12..].join("\n");
        assert!(
            each <= most,
            "{scheme}: {each} system calls for a warm call, at most {most} are allowed:\n{last}"
        );
    }
}

#[test]
#[ignore = "run by a_warm_call_takes_few_system_calls"]
fn child_that_calls() {
    let session = session_of_child();
    for _ in 0..10 {
        session.ping().unwrap();
    }
    mark(BEGIN);
    for _ in 0..CALLS {
        session.ping().unwrap();
    }
    mark(END);
    session.close().unwrap();
}

/// The wait for a moment of `Watch::is_ready_soon`, which keeps the worker.
const A_MOMENT: &str = "{tv_sec=0, tv_nsec=1000000}";

#[test]
fn an_asynchronous_call_keeps_its_worker_for_one_moment_and_a_long_poll_for_none() {
    for (child, moments) in [("child_with_a_slow_call", 1), ("child_with_a_long_poll", 0)] {
        let canned = Canned::http();
        // Whatever arrives wakes the call, and is not its reply.
        canned.on_call(|peer, _| {
            for _ in 0..5 {
                std::thread::sleep(Duration::from_millis(20));
                peer.say(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            peer.hang();
        });
        let lines = traced(child, "http", &canned, 20);
        let kept: Vec<_> = lines.iter().filter(|line| line.contains(A_MOMENT)).collect();
        assert_eq!(kept.len(), moments, "{child}: {kept:?}");
    }
}

#[test]
#[ignore = "run by an_asynchronous_call_keeps_its_worker_for_one_moment_and_a_long_poll_for_none"]
fn child_with_a_slow_call() {
    wait_for("CurrentTime", "ServiceInstance");
}

#[test]
#[ignore = "run by an_asynchronous_call_keeps_its_worker_for_one_moment_and_a_long_poll_for_none"]
fn child_with_a_long_poll() {
    wait_for("WaitForUpdatesEx", "PropertyCollector");
}

/// Makes an asynchronous call that its deadline ends.
fn wait_for(method: &str, this_type: &str) {
    let session = session_of_child();
    session.login().unwrap();
    let queue = Queue::new();
    mark(BEGIN);
    let call = Call { method, this_type, arguments: "" };
    session.call_async(call, &queue, 1, &Options::timeout(1000)).unwrap();
    let event = queue.next(PATIENCE.as_millis() as u32).unwrap().expect("a completion arrives");
    mark(END);
    assert_eq!(event.error.unwrap().status, status::VSESSION_E_TIMEOUT);
    session.close().unwrap();
    queue.free();
}

fn session_of_child() -> Session {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} must name the server"));
    let url = format!(
        "{}://user:pass@127.0.0.1:{}/sdk",
        variable("VSESSION_TEST_SCHEME"),
        variable("VSESSION_TEST_PORT")
    );
    let config = Config::new(&url).unwrap().with("tls.ca_file", canned::PEM).with("api_version", "8.0.2.0");
    config.open().unwrap()
}
