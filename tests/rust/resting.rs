//! What an idle session costs.

use crate::support::*;

#[test]
fn idle_connections_are_closed() {
    let simulator = Simulator::start();
    let session = simulator.config().with("idle_timeout_ms", "200").open().unwrap();
    session.login().unwrap();
    let results = together(8, |_| session.ping());
    assert!(results.iter().all(Result::is_ok));
    eventually("the connections are closed", || simulator.stat("connections_open") == 0);
    session.ping().unwrap();
    assert_eq!(session.epoch(), 1, "the session lives on without a connection");
    eventually("the connections are closed again", || simulator.stat("connections_open") == 0);
    session.close().unwrap();
}

#[test]
fn a_call_longer_than_the_idle_timeout_is_not_disturbed() {
    let simulator = Simulator::start();
    let session = simulator.config().with("idle_timeout_ms", "50").open().unwrap();
    session.login().unwrap();
    simulator.rule(serde_json::json!({"method": "CurrentTime", "delay_ms": 400, "times": 1}));
    session.ping().unwrap();
    session.close().unwrap();
}
