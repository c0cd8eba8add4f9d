//! Deadlines and cancellation: every wait ends, and ends only for whom it should.

use serde_json::json;
use std::time::{Duration, Instant};
use vsession::vsession_state::*;

use crate::support::*;

/// Runs `call` while the token is fired from another thread after 50 ms, and returns the time from fire to return.
fn after_fire<T>(token: &Token, call: impl FnOnce() -> T) -> (T, Duration) {
    std::thread::scope(|scope| {
        let firing = scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            let moment = Instant::now();
            token.fire();
            moment
        });
        let result = call();
        let end = Instant::now();
        (result, end.saturating_duration_since(firing.join().unwrap()))
    })
}

#[test]
fn a_token_ends_a_call_that_waits_for_its_reply() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "hang": true}));
    let token = Token::new();
    promptly(Duration::from_millis(50), || {
        token.reset();
        let (result, took) = after_fire(&token, || session.ping_with(&token.options()));
        assert_eq!(result.unwrap_err().status, status::VSESSION_E_CANCELLED);
        took
    });
    // Fired before: at once, without a request.
    let before = simulator.stat("requests");
    assert_eq!(session.ping_with(&token.options()).unwrap_err().status, status::VSESSION_E_CANCELLED);
    assert_eq!(simulator.stat("requests"), before);
    simulator.clear_rules();
    token.reset();
    session.ping_with(&token.options()).unwrap();
    session.close().unwrap();
}

#[test]
fn a_deadline_ends_a_call_in_time() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "hang": true}));
    promptly(Duration::from_millis(150), || {
        let start = Instant::now();
        let error = session.ping_with(&Options::timeout(100)).unwrap_err();
        let took = start.elapsed();
        assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
        assert!(error.message.contains("timeout_ms"));
        assert!(took >= Duration::from_millis(100), "{took:?}");
        took
    });
    session.close().unwrap();
}

#[test]
fn a_waiter_that_leaves_does_not_take_the_login_with_it() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "delay_ms": 2000}));
    let session = simulator.session();
    std::thread::scope(|scope| {
        // The first one starts the login and has the shortest patience.
        let hasty = scope.spawn(|| session.login_with(&Options::timeout(50)));
        eventually("the login is under way", || session.state() == VSESSION_STATE_LOGGING_IN);
        let patient = scope.spawn(|| session.login());
        assert_eq!(hasty.join().unwrap().unwrap_err().status, status::VSESSION_E_TIMEOUT);
        patient.join().unwrap().unwrap();
    });
    assert_eq!(simulator.stat("logins"), 1);
    session.close().unwrap();
}

#[test]
fn a_login_that_nobody_waits_for_is_given_up_before_it_is_sent_and_kept_after() {
    let simulator = Simulator::start();
    // Before: the document of versions never comes.
    simulator.rule(json!({"method": "GET", "hang": true}));
    let session = simulator.session();
    let token = Token::new();
    let (result, _) = after_fire(&token, || session.login_with(&token.options()));
    assert_eq!(result.unwrap_err().status, status::VSESSION_E_CANCELLED);
    eventually("the attempt is given up", || session.state() == VSESSION_STATE_LOGGED_OUT);
    assert_eq!(simulator.calls("Login"), 0);
    simulator.clear_rules();
    // After: the server has the credentials, so its session is kept and not left behind.
    simulator.rule(json!({"method": "Login", "delay_ms": 1000}));
    token.reset();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| (session.login_with(&token.options()), Instant::now()));
        eventually("the credentials are out", || simulator.calls("Login") == 1);
        let fired = Instant::now();
        token.fire();
        let (result, ended) = waiter.join().unwrap();
        assert_eq!(result.unwrap_err().status, status::VSESSION_E_CANCELLED);
        // The login itself takes a second.
        let took = ended - fired;
        assert!(took < Duration::from_millis(500), "{took:?}");
    });
    eventually("the login is kept", || session.state() == VSESSION_STATE_ACTIVE);
    session.ping().unwrap();
    assert_eq!(simulator.stat("logins"), 1);
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn a_deadline_covers_the_login_that_a_call_needs() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "delay_ms": 2000}));
    let session = simulator.session();
    let start = Instant::now();
    assert_eq!(session.ping_with(&Options::timeout(100)).unwrap_err().status, status::VSESSION_E_TIMEOUT);
    assert!(start.elapsed() < Duration::from_millis(1000), "{:?}", start.elapsed());
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn a_deadline_covers_the_check_the_login_and_the_repetition_that_a_call_comes_to() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    // Each is well within the deadline: the call, the question whether the session lives, the login, the call again.
    for method in ["CurrentTime", "RetrievePropertiesEx", "Login"] {
        simulator.rule(json!({"method": method, "delay_ms": 200}));
    }
    for (deadline, last) in [(300, "RetrievePropertiesEx"), (500, "Login"), (700, "CurrentTime")] {
        promptly(Duration::from_millis(deadline + 20), || {
            session.login().unwrap();
            simulator.kill_sessions();
            let before = simulator.calls(last);
            let start = Instant::now();
            let error = session.ping_with(&Options::timeout(deadline as u32)).unwrap_err();
            let took = start.elapsed();
            assert_eq!(error.status, status::VSESSION_E_TIMEOUT, "{error:?}");
            assert!(took >= Duration::from_millis(deadline), "{took:?}");
            let came_to_it = simulator.calls(last) - before;
            eventually("the login that it began is over", || session.state() != VSESSION_STATE_LOGGING_IN);
            // On a busy machine it does not come so far; CurrentTime is to be the second one.
            if came_to_it < 1 + u64::from(last == "CurrentTime") { Duration::MAX } else { took }
        });
    }
    session.close().unwrap();
}

#[test]
fn a_deadline_covers_the_repetition_of_a_call_whose_connection_was_lost() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    promptly(Duration::from_millis(320), || {
        simulator.rule(json!({"method": "CurrentTime", "times": 1, "delay_ms": 200, "reset": "before"}));
        simulator.rule(json!({"method": "CurrentTime", "delay_ms": 200}));
        let before = simulator.calls("CurrentTime");
        let start = Instant::now();
        let error = session.ping_with(&Options { idempotent: true, ..Options::timeout(300) }).unwrap_err();
        let took = start.elapsed();
        assert_eq!(error.status, status::VSESSION_E_TIMEOUT, "{error:?}");
        assert!(took >= Duration::from_millis(300), "{took:?}");
        assert_eq!(simulator.calls("CurrentTime"), before + 2, "it was repeated");
        simulator.clear_rules();
        took
    });
    session.close().unwrap();
}

#[test]
fn a_call_waits_for_a_connection_when_all_are_taken_and_can_be_cancelled_there() {
    let simulator = Simulator::start();
    let session = simulator.config().with("max_connections", "2").open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "delay_ms": 1000}));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..6).map(|_| scope.spawn(|| session.ping())).collect();
        eventually("two calls are under way", || simulator.stat("requests_in_flight") == 2);
        let token = Token::new();
        promptly(Duration::from_millis(50), || {
            token.reset();
            let (result, took) = after_fire(&token, || session.ping_with(&token.options()));
            assert_eq!(result.unwrap_err().status, status::VSESSION_E_CANCELLED);
            took
        });
        for caller in callers {
            caller.join().unwrap().unwrap();
        }
    });
    assert!(simulator.stat("connections_open") <= 2);
    session.close().unwrap();
}
