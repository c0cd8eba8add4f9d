//! One answer that stays away, as where a firewall or a load balancer forgets a connection. A question of the library's own, for whose
//! answer all threads may wait, is asked again; the credentials are not sent again.

use serde_json::json;
use std::time::{Duration, Instant};

use crate::support::*;

/// What the library asks before it logs in.
const BEFORE_THE_LOGIN: [&str; 2] = ["GET", "RetrieveServiceContent"];

/// How often a question was asked; the counter's name of the GET has a path.
fn asked(simulator: &Simulator, question: &str) -> u64 {
    simulator.calls(if question == "GET" { "GET /sdk/vimServiceVersions.xml" } else { question })
}

/// The limit of a login is far above the time after which a question is asked again.
fn open(simulator: &Simulator) -> Session {
    simulator.config().with("timeout_ms", "40000").with("keepalive.interval_ms", "0").open().unwrap()
}

/// Threads with short deadlines, which do not pass at the same time, keep the login alive for each other.
fn call_in_a_hurry(session: Session) -> Duration {
    let begin = Instant::now();
    together(4, |number| {
        let in_a_hurry = Options::timeout(1000 + 130 * number as u32);
        within(Duration::from_secs(30), "a call is answered", || session.ping_with(&in_a_hurry).is_ok());
    });
    begin.elapsed()
}

#[test]
fn a_question_before_the_login_is_asked_again() {
    together(BEFORE_THE_LOGIN.len(), |number| {
        let (simulator, question) = (Simulator::start(), BEFORE_THE_LOGIN[number]);
        simulator.rule(json!({"method": question, "hang": true, "times": 1}));
        let session = open(&simulator);
        let took = call_in_a_hurry(session);
        assert_eq!(asked(&simulator, question), 2, "{question} after {took:?}");
        assert_eq!(simulator.stat("logins"), 1);
        session.close().unwrap();
    });
}

/// Its head has arrived, or all but its last byte.
#[test]
fn a_question_whose_answer_stops_is_asked_again() {
    together(2, |number| {
        let simulator = Simulator::start();
        let byte = [300, -1][number];
        let stop = json!({"byte": byte, "then": "stall"});
        simulator.rule(json!({"method": "RetrieveServiceContent", "stop": stop, "times": 1}));
        let session = open(&simulator);
        session.login_with(&Options::timeout(30_000)).unwrap();
        assert_eq!(simulator.calls("RetrieveServiceContent"), 2);
        session.close().unwrap();
    });
}

#[test]
fn the_question_whether_the_session_lives_is_asked_again() {
    let simulator = Simulator::start();
    let session = open(&simulator);
    session.login().unwrap();
    simulator.kill_sessions();
    simulator.rule(json!({"method": "RetrievePropertiesEx", "hang": true, "times": 1}));
    let took = call_in_a_hurry(session);
    assert_eq!(simulator.calls("RetrievePropertiesEx"), 2, "after {took:?}");
    assert_eq!((session.epoch(), simulator.stat("logins")), (2, 2));
    session.close().unwrap();
}

#[test]
fn a_server_that_answers_late_is_logged_in_to() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "GET", "delay_ms": 7000}));
    let session = open(&simulator);
    session.login().unwrap();
    assert_eq!(asked(&simulator, "GET"), 2, "the second answer had time enough");
    session.close().unwrap();
}

#[test]
fn credentials_are_sent_once() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "hang": true}));
    let session = open(&simulator);
    let error = session.login_with(&Options::timeout(7000)).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
    assert_eq!(simulator.calls("Login"), 1);
    let _ = session.close_with(&Options::timeout(1));
}

#[test]
fn a_server_that_never_answers_is_named_with_what_it_owes() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "GET", "hang": true}));
    let session = simulator.config().with("timeout_ms", "7000").open().unwrap();
    let error = session.login_with(&Options::timeout(30_000)).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
    assert!(error.message.contains("had not answered"), "{error:?}");
    assert!(error.message.contains("127.0.0.1:"), "{error:?}");
    assert_eq!(error.executed, vsession::vsession_executed::VSESSION_EXECUTED_NO);
    session.close().unwrap();
}
