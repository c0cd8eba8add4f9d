//! Servers and names that hang. Nobody waits for a server that is not theirs, though all sessions of a process share its threads.

use serde_json::json;
use std::time::{Duration, Instant};

use crate::support::name_server::NameServer;
use crate::support::*;

/// A login at a server that is well takes some ten milliseconds, and more on a busy machine. Where the library makes it wait for
/// others, it takes seconds.
const SOON: Duration = Duration::from_secs(1);

/// Asynchronous calls of so many sessions, each of which has to log in first. When this is dropped, they end.
struct Hung {
    sessions: Vec<Session>,
    token: Token,
    queue: Queue,
}

impl Hung {
    fn begin(count: usize, open: impl Fn(usize) -> Session) -> Hung {
        let mut hung = Hung { sessions: Vec::new(), token: Token::new(), queue: Queue::new() };
        for number in 0..count {
            let session = open(number);
            session.ping_async(&hung.queue, 0, &hung.token.options()).unwrap();
            hung.sessions.push(session);
        }
        hung
    }
}

impl Drop for Hung {
    fn drop(&mut self) {
        self.token.fire();
        for session in &self.sessions {
            let _ = self.queue.next(60_000).unwrap().expect("every call completes");
            let _ = session.close_with(&Options::timeout(1));
        }
        self.queue.free();
    }
}

fn logs_in_soon(session: Session) {
    let before = Instant::now();
    session.login().unwrap();
    let took = before.elapsed();
    assert!(took < SOON, "{took:?}");
    session.close().unwrap();
}

#[test]
fn logins_that_hang_do_not_hold_up_a_login_at_another_server() {
    child::held(child::child("hung::child_with_logins_that_hang"));
}

#[test]
#[ignore = "run by logins_that_hang_do_not_hold_up_a_login_at_another_server"]
fn child_with_logins_that_hang() {
    let well = Simulator::start();
    // Silent in the TLS handshake, and after the first request.
    for silent in [Canned::http(), Canned::https()] {
        silent.greet(canned::Greeting::Silent);
        let config = silent.config().with("max_connections", "1024");
        let hung = Hung::begin(256, |_| config.open().unwrap());
        eventually("all of them wait for the server", || silent.held() == 256);
        logs_in_soon(well.session());
        drop(hung);
    }
}

#[test]
fn probes_that_hang_do_not_hold_up_a_probe_of_another_server() {
    child::held(child::child("hung::child_with_probes_that_hang"));
}

#[test]
#[ignore = "run by probes_that_hang_do_not_hold_up_a_probe_of_another_server"]
fn child_with_probes_that_hang() {
    const PROBES: u64 = 64;
    let (well, sick) = (Simulator::start(), Simulator::start());
    // Each with connections of its own, as for as many servers: one server gets three probes at a time.
    let open = |simulator: &Simulator, number: u64| {
        let config = crate::keepalive::lively(simulator).with("timeout_ms", "60000");
        config.with("user_agent", &format!("vsession-test/{number}")).open()
    };
    let hung: Vec<_> = (0..PROBES).map(|number| open(&sick, number).unwrap()).collect();
    sick.rule(json!({"method": "CurrentTime", "hang": true}));
    hung.iter().for_each(|session| session.login().unwrap());
    eventually("all probes are under way", || sick.calls("CurrentTime") == PROBES);
    let session = open(&well, 0).unwrap();
    session.login().unwrap();
    within(Duration::from_secs(5), "probes go on", || well.calls("CurrentTime") >= 2);
    sick.clear_rules();
    hung.into_iter().chain([session]).for_each(|session| session.close().unwrap());
}

/// A session whose server has a name of its own, which hangs. They come a few at a time, so that no question to the name server is lost.
fn open_hung(canned: &Canned, names: &NameServer, number: usize) -> Session {
    if number.is_multiple_of(32) {
        eventually("the names so far are asked for", || names.asked() >= 2 * number.min(256));
    }
    canned.config_for(&format!("hung{number}.canned.test")).open().unwrap()
}

#[test]
fn names_that_hang_do_not_hold_up_the_lookup_of_another() {
    NameServer::held("127.0.0.78", 20, "hung::child_with_names_that_hang");
}

#[test]
#[ignore = "run by names_that_hang_do_not_hold_up_the_lookup_of_another"]
fn child_with_names_that_hang() {
    let names = NameServer::start("127.0.0.78");
    names.answer(true);
    let canned = Canned::http();
    let hung = Hung::begin(256, |number| open_hung(&canned, &names, number));
    eventually("all names are asked for", || names.asked() == 2 * 256);
    logs_in_soon(canned.config_for("well.canned.test").open().unwrap());
    drop(hung);
}

#[test]
fn nobody_looks_up_a_name_that_nobody_waits_for_any_more() {
    NameServer::held("127.0.0.79", 10, "hung::child_with_abandoned_names");
}

/// More names than there may be lookups at a time. Those that had to wait are not looked up after their callers have left, so
/// that the next one need not wait for them.
#[test]
#[ignore = "run by nobody_looks_up_a_name_that_nobody_waits_for_any_more"]
fn child_with_abandoned_names() {
    let names = NameServer::start("127.0.0.79");
    let canned = Canned::http();
    let hung = Hung::begin(300, |number| open_hung(&canned, &names, number));
    eventually("all threads for names are in use", || names.asked() >= 2 * 264);
    drop(hung);
    let session =
        canned.config_for("hung-last.canned.test").with("connect_timeout_ms", "40000").open().unwrap();
    let token = Token::new();
    std::thread::scope(|scope| {
        scope.spawn(|| session.login_with(&token.options()));
        // The system gives the first ones up after ten seconds.
        eventually("its turn comes", || names.was_asked("hung-last.canned.test"));
        token.fire();
    });
    assert!(!names.was_asked("hung299.canned.test"), "a lookup for nobody");
    let _ = session.close_with(&Options::timeout(1));
}
