//! Deadlines and cancellation: every wait ends, and only for the caller that gave up.

use serde_json::json;
use std::time::Duration;
use vsession::vsession_state::*;

use crate::support::*;

/// A token ends a wait within this time; phases.rs is stricter.
const MOST_AFTER_FIRE: Duration = Duration::from_millis(50);
/// A call returns within this time after its deadline.
const MOST_AFTER_DEADLINE: Duration = Duration::from_millis(20);

#[test]
fn a_token_ends_a_call_that_waits_for_its_reply() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "hang": true}));
    let token = Token::new();
    promptly(MOST_AFTER_FIRE, || {
        token.reset();
        let before = simulator.calls("CurrentTime");
        let waits = |caller: &Task| simulator.calls("CurrentTime") > before && caller.sleeps();
        let (result, took) = ended(waits, || session.ping_with(&token.options()), || token.fire());
        assert_eq!(result.unwrap_err().status, status::VSESSION_E_CANCELLED);
        took
    });
    // A token that fired before the call ends it at once, without a request.
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
        let start = Moment::now();
        let error = session.ping_with(&Options::timeout(100)).unwrap_err();
        let took = start.elapsed();
        assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
        assert!(error.message.contains("timeout_ms"));
        assert!(start.at.elapsed() >= Duration::from_millis(100), "{took:?}");
        took
    });
    session.close().unwrap();
}

#[test]
fn a_waiter_that_leaves_does_not_end_the_login() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "delay_ms": 2000}));
    let session = simulator.session();
    std::thread::scope(|scope| {
        // The first caller starts the login and has the shortest deadline.
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
fn a_login_that_nobody_waits_for_is_abandoned_before_the_credentials_are_sent_and_kept_after() {
    let simulator = Simulator::start();
    // Before: the version document never arrives.
    simulator.rule(json!({"method": "GET", "hang": true}));
    let session = simulator.session();
    let token = Token::new();
    let waits = |caller: &Task| simulator.stat("requests_in_flight") == 1 && caller.sleeps();
    let (result, _) = ended(waits, || session.login_with(&token.options()), || token.fire());
    assert_eq!(result.unwrap_err().status, status::VSESSION_E_CANCELLED);
    eventually("the attempt is given up", || session.state() == VSESSION_STATE_LOGGED_OUT);
    assert_eq!(simulator.calls("Login"), 0);
    simulator.clear_rules();
    // After: the server has the credentials, so the library keeps the session instead of leaving it behind.
    simulator.rule(json!({"method": "Login", "delay_ms": 2000}));
    token.reset();
    let waits = |caller: &Task| simulator.calls("Login") == 1 && caller.sleeps();
    let (result, took) = ended(waits, || session.login_with(&token.options()), || token.fire());
    assert_eq!(result.unwrap_err().status, status::VSESSION_E_CANCELLED);
    // The login itself takes two seconds.
    assert!(took < Duration::from_millis(500), "{took:?}");
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
    let start = Moment::now();
    assert_eq!(session.ping_with(&Options::timeout(100)).unwrap_err().status, status::VSESSION_E_TIMEOUT);
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1000), "{took:?}");
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn a_deadline_covers_the_check_the_login_and_the_repetition_of_a_call() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    // Each of the steps alone is well within the deadline: the call, the session check, the login, the repeated call.
    for (steps, last) in [(1, "RetrievePropertiesEx"), (2, "Login"), (3, "CurrentTime")] {
        promptly_or_slower(MOST_AFTER_DEADLINE, |slower| {
            let step = 200 * slower;
            let deadline = Duration::from_millis((step * steps + step / 2).into());
            simulator.clear_rules();
            session.login().unwrap();
            // Only a session that has carried a successful call is replaced at once.
            session.ping().unwrap();
            for method in ["CurrentTime", "RetrievePropertiesEx", "Login"] {
                simulator.rule(json!({"method": method, "delay_ms": step}));
            }
            simulator.kill_sessions();
            let before = simulator.calls(last);
            let start = Moment::now();
            let error = session.ping_with(&Options::timeout(deadline.as_millis() as u32)).unwrap_err();
            let late = start.elapsed().saturating_sub(deadline);
            assert_eq!(error.status, status::VSESSION_E_TIMEOUT, "{error:?}");
            assert!(start.at.elapsed() >= deadline);
            let came_to_it = simulator.calls(last) - before;
            eventually("the login that the call started is over", || {
                session.state() != VSESSION_STATE_LOGGING_IN
            });
            // On a busy machine the call may not get that far; the second CurrentTime is its repetition.
            if came_to_it < 1 + u64::from(last == "CurrentTime") { Duration::MAX } else { late }
        });
    }
    session.close().unwrap();
}

#[test]
fn a_deadline_covers_the_repetition_of_a_call_whose_connection_was_lost() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    promptly_or_slower(MOST_AFTER_DEADLINE, |slower| {
        let (step, deadline) = (200 * slower, 300 * slower);
        simulator.rule(json!({"method": "CurrentTime", "times": 1, "delay_ms": step, "reset": "before"}));
        simulator.rule(json!({"method": "CurrentTime", "delay_ms": step}));
        let before = simulator.calls("CurrentTime");
        let start = Moment::now();
        let options = Options { idempotent: true, ..Options::timeout(deadline) };
        let error = session.ping_with(&options).unwrap_err();
        let deadline = Duration::from_millis(deadline.into());
        let late = start.elapsed().saturating_sub(deadline);
        assert_eq!(error.status, status::VSESSION_E_TIMEOUT, "{error:?}");
        assert!(start.at.elapsed() >= deadline);
        let repeated = simulator.calls("CurrentTime") == before + 2;
        simulator.clear_rules();
        // On a busy machine the call may not get that far.
        if repeated { late } else { Duration::MAX }
    });
    session.close().unwrap();
}

#[test]
fn a_call_that_waits_for_a_connection_can_be_cancelled() {
    let simulator = Simulator::start();
    let session = simulator.config().with("max_connections", "2").open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "times": 2, "hang": true}));
    let holding = Token::new();
    std::thread::scope(|scope| {
        let holders: Vec<_> = (0..2).map(|_| scope.spawn(|| session.ping_with(&holding.options()))).collect();
        eventually("all connections are taken", || simulator.stat("requests_in_flight") == 2);
        let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| session.ping())).collect();
        let token = Token::new();
        promptly(MOST_AFTER_FIRE, || {
            token.reset();
            let call = || session.ping_with(&token.options());
            let (result, took) = ended(Task::sleeps, call, || token.fire());
            assert_eq!(result.unwrap_err().status, status::VSESSION_E_CANCELLED);
            took
        });
        assert_eq!(simulator.calls("CurrentTime"), 2, "no other call got a connection");
        holding.fire();
        for holder in holders {
            assert_eq!(holder.join().unwrap().unwrap_err().status, status::VSESSION_E_CANCELLED);
        }
        for waiter in waiters {
            waiter.join().unwrap().unwrap();
        }
    });
    assert!(simulator.stat("connections_open") <= 2);
    session.close().unwrap();
}
