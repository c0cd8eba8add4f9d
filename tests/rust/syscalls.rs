//! The system calls of a call on a warm connection: a check of it, one write, one wait and one read.

use std::process::Command;

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

/// The system calls of all threads of a child between the marks.
fn traced(scheme: &str, canned: &Canned) -> Vec<String> {
    let trace = std::env::temp_dir().join(format!("vsession-trace-{}-{scheme}", std::process::id()));
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o"]).arg(&trace);
    let mut child = child::child_of(strace, "syscalls::child_that_calls");
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
        text.contains(END) && between.len() >= 2 * CALLS,
        "the trace shows the marks and the calls: {between:?}"
    );
    between
}

#[test]
fn a_warm_call_takes_few_system_calls() {
    for (scheme, canned, most) in
        [("http", Canned::http(), MOST_HTTP), ("https", Canned::https(), MOST_HTTPS)]
    {
        let lines = traced(scheme, &canned);
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
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("{name} must name the server"));
    let url = format!(
        "{}://user:pass@127.0.0.1:{}/sdk",
        variable("VSESSION_TEST_SCHEME"),
        variable("VSESSION_TEST_PORT")
    );
    let config = Config::new(&url).unwrap().with("tls.ca_file", canned::PEM).with("api_version", "8.0.2.0");
    let session = config.open().unwrap();
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
