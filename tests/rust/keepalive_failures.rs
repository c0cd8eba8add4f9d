//! Keep-alive survives failures of the server and refused credentials, and retries when it should.

use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vsession::vsession_event_kind::*;
use vsession::vsession_state::*;

use crate::keepalive::{lively, sleep};
use crate::support::*;

/// The arrival times of the probes in the server's log.
fn probes(simulator: &Simulator) -> Vec<Duration> {
    let log = simulator.log();
    let probes = log.iter().filter(|e| e["method"] == "CurrentTime");
    probes.map(|e| Duration::from_nanos(e["start_ns"].as_u64().unwrap())).collect()
}

#[test]
fn keep_alive_survives_and_reports_an_outage() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = lively(&simulator).with_queue(&queue).open().unwrap();
    session.login().unwrap();
    simulator.post("/listener/stop");
    simulator.close_connections("/connections/close");
    eventually("the outage is noticed", || session.state() == VSESSION_STATE_UNREACHABLE);
    sleep(300);
    simulator.post("/listener/start");
    eventually("the end of the outage is noticed", || session.state() == VSESSION_STATE_ACTIVE);
    assert_eq!(session.epoch(), 1);
    let events = queue.drain();
    let failed: Vec<_> = events.iter().filter(|e| e.kind == VSESSION_EVENT_KEEPALIVE_FAILED).collect();
    assert!(!failed.is_empty());
    assert_eq!(failed[0].error.as_ref().unwrap().status, status::VSESSION_E_CONNECT);
    session.close().unwrap();
    queue.free();
}

#[test]
fn no_failure_ends_keep_alive() {
    let simulator = Simulator::start();
    let session = lively(&simulator).with("timeout_ms", "2000").open().unwrap();
    session.login().unwrap();
    for failure in [
        json!({"status": 503}),
        json!({"status": 500, "body": "<html>"}),
        json!({"status": 404}),
        json!({"status": 200, "body": "<a>"}),
        json!({"status": 200, "body": ""}),
        json!({"fault": "NoPermission"}),
        json!({"fault": "NotAuthenticated"}),
        json!({"fault": "InvalidState"}),
        json!({"reset": "before"}),
        json!({"reset": "after"}),
        json!({"close": "before"}),
        json!({"truncate_at": 10}),
        json!({"hang": true}),
    ] {
        let mut rule = failure.clone();
        rule["method"] = json!("CurrentTime");
        // The library sends a probe again on another connection.
        rule["times"] = json!(2);
        simulator.rule(rule);
        let (hits, calls) = (simulator.stat("rule_hits"), simulator.calls("CurrentTime"));
        eventually(&format!("probes continue after {failure}"), || {
            simulator.stat("rule_hits") == hits + 2 && simulator.calls("CurrentTime") >= calls + 3
        });
        eventually("the session is active", || session.state() == VSESSION_STATE_ACTIVE);
    }
    assert_eq!((session.epoch(), simulator.stat("logins")), (1, 1));
    session.close_with(&Options::timeout(20_000)).unwrap();
}

/// The front of a vCenter says 502 to 504 where the service behind it is gone. With 500 the service itself fails, and a call of the program
/// may be the cause. The library's own question is answered by every service that is well.
#[test]
fn http_500_in_answer_to_a_probe_is_an_outage_and_in_answer_to_a_call_it_is_not() {
    let simulator = Simulator::start();
    for probe in ["current_time", "current_session"] {
        let queue = Queue::new();
        let config = lively(&simulator).with("keepalive.probe", probe).with("keepalive.interval_ms", "0");
        let session = config.with_queue(&queue).open().unwrap();
        session.login().unwrap();
        simulator.rule(json!({"method": "*", "status": 500, "body": ""}));
        let error = session.ping().unwrap_err();
        assert_eq!((error.status, error.http_status, error.retriable), (status::VSESSION_E_HTTP, 500, false));
        assert_eq!(error.executed, vsession::vsession_executed::VSESSION_EXECUTED_MAYBE);
        assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
        session.keepalive_start(1000).unwrap();
        eventually("a probe notices it", || session.state() == VSESSION_STATE_UNREACHABLE);
        simulator.clear_rules();
        eventually("a probe notices its end", || session.state() == VSESSION_STATE_ACTIVE);
        assert_eq!(session.epoch(), 1);
        let failed = queue.drain().into_iter().find(|e| e.kind == VSESSION_EVENT_KEEPALIVE_FAILED);
        assert_eq!(failed.expect("an event").error.unwrap().http_status, 500);
        session.close().unwrap();
        queue.free();
    }
}

#[test]
fn a_failed_probe_is_repeated_well_within_the_interval() {
    let simulator = Simulator::start();
    // The pause is at most the interval, and usually much shorter.
    for (interval, backoff, most) in [("4000", "50", 1500), ("1000", "60000", 2500)] {
        let config = lively(&simulator)
            .with("keepalive.interval_ms", interval)
            .with("relogin.max_backoff_ms", "60000")
            .with("relogin.backoff_ms", backoff);
        promptly(Duration::from_millis(most), || {
            simulator.post("/log/reset");
            let session = config.open().unwrap();
            session.login().unwrap();
            simulator.rule(json!({"method": "CurrentTime", "status": 503, "times": 3}));
            eventually("the probe is repeated until it succeeds", || probes(&simulator).len() >= 4);
            session.close().unwrap();
            let times = probes(&simulator);
            times[..4].windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
        });
    }
}

#[test]
fn a_probe_waits_as_long_as_the_server_asks() {
    let simulator = Simulator::start();
    let config = lively(&simulator).with("keepalive.interval_ms", "3000");
    promptly(Duration::from_millis(2900), || {
        simulator.post("/log/reset");
        let session = config.open().unwrap();
        session.login().unwrap();
        let headers = json!({"Retry-After": "1"});
        simulator.rule(json!({"method": "CurrentTime", "status": 503, "times": 1, "headers": headers}));
        eventually("the probe is repeated", || probes(&simulator).len() >= 2);
        session.close().unwrap();
        let times = probes(&simulator);
        let pause = times[1] - times[0];
        assert!(pause >= Duration::from_secs(1), "{pause:?}");
        pause
    });
}

#[test]
fn no_event_tells_of_a_probe_that_the_pause_after_a_failed_login_forbids() {
    for probe in ["current_time", "current_session"] {
        let simulator = Simulator::start();
        let queue = Queue::new();
        let session = lively(&simulator)
            .with("keepalive.probe", probe)
            .with("relogin.backoff_ms", "60000")
            .with("relogin.max_backoff_ms", "60000")
            .with_queue(&queue)
            .open()
            .unwrap();
        session.login().unwrap();
        simulator.rule(json!({"method": "Login", "status": 503}));
        simulator.kill_sessions();
        eventually("the login fails", || {
            session.state() == VSESSION_STATE_EXPIRED && simulator.calls("Login") == 2
        });
        // Some intervals of keep-alive.
        sleep(3500);
        let failed = queue.drain().iter().filter(|e| e.kind == VSESSION_EVENT_KEEPALIVE_FAILED).count();
        assert_eq!((failed, simulator.calls("Login")), (1, 2), "{probe}");
        session.close().unwrap();
        queue.free();
    }
}

#[test]
fn keep_alive_stops_logging_in_when_the_credentials_are_refused() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = lively(&simulator).with_queue(&queue).open().unwrap();
    session.login().unwrap();
    simulator.set_password("rotated");
    simulator.kill_sessions();
    eventually("the credentials are refused", || session.state() == VSESSION_STATE_REJECTED);
    sleep(2000);
    assert_eq!(simulator.stat("login_failures"), 1);
    assert!(queue.drain().iter().any(|e| e.kind == VSESSION_EVENT_CREDENTIALS_WANTED));
    session.set_password("rotated").unwrap();
    eventually("keep-alive brings the session back", || session.state() == VSESSION_STATE_ACTIVE);
    assert_eq!((simulator.stat("login_failures"), session.epoch()), (1, 2));
    session.close().unwrap();
    queue.free();
}

#[test]
fn keep_alive_finds_new_credentials_of_a_function() {
    let simulator = Simulator::start();
    let password = Arc::new(Mutex::new("pass"));
    let told = password.clone();
    let session = lively(&simulator)
        .with("relogin.max_backoff_ms", "200")
        .with_credentials(move |_| Credentials::Pair("user", told.lock().unwrap().to_string()))
        .open()
        .unwrap();
    session.login().unwrap();
    simulator.set_password("rotated");
    simulator.kill_sessions();
    eventually("the credentials are refused", || session.state() == VSESSION_STATE_REJECTED);
    sleep(1000);
    assert_eq!(simulator.stat("login_failures"), 1);
    *password.lock().unwrap() = "rotated";
    eventually("the new credentials are found", || session.state() == VSESSION_STATE_ACTIVE);
    assert_eq!((simulator.stat("login_failures"), session.epoch()), (1, 2));
    session.close().unwrap();
}

#[test]
fn keep_alive_finds_a_rotated_password_without_a_call_and_reports_the_refusal_once() {
    let simulator = Simulator::start();
    let file = std::env::temp_dir().join(format!("vsession-rotated-{}", std::process::id()));
    std::fs::write(&file, "pass\n").unwrap();
    let queue = Queue::new();
    let session = lively(&simulator)
        .with("password", "")
        .with("password_file", file.to_str().unwrap())
        .with("relogin.max_backoff_ms", "200")
        .with_queue(&queue)
        .open()
        .unwrap();
    session.login().unwrap();
    simulator.set_password("rotated");
    simulator.kill_sessions();
    eventually("the credentials are refused", || session.state() == VSESSION_STATE_REJECTED);
    sleep(1500);
    assert_eq!(session.state(), VSESSION_STATE_REJECTED);
    let events = queue.drain();
    let wanted = events.iter().filter(|e| e.kind == VSESSION_EVENT_CREDENTIALS_WANTED).count();
    let rejected = events
        .iter()
        .filter(|e| e.kind == VSESSION_EVENT_STATE_CHANGED && e.new_state == VSESSION_STATE_REJECTED)
        .count();
    assert_eq!((wanted, rejected), (1, 1), "looks that find nothing new are not reported");
    rewrite(&file, "wrong, too\n");
    eventually("the next credentials are tried", || simulator.stat("login_failures") == 2);
    // The first credentials again: they were refused before.
    rewrite(&file, "pass\n");
    sleep(1000);
    assert_eq!(simulator.stat("login_failures"), 2, "once for each set of credentials");
    rewrite(&file, "rotated\n");
    eventually("the new credentials are found", || session.state() == VSESSION_STATE_ACTIVE);
    assert_eq!((simulator.stat("login_failures"), session.epoch()), (2, 2));
    session.close().unwrap();
    std::fs::remove_file(file).unwrap();
    queue.free();
}

#[test]
fn a_probe_refused_for_a_missing_privilege_is_a_sign_of_life() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    simulator.rule(json!({"method": "CurrentTime", "fault": "NoPermission"}));
    let session = lively(&simulator).with_queue(&queue).open().unwrap();
    session.login().unwrap();
    // Other sessions are closed at the moment at which their probe is answered.
    let others: Vec<_> = (0..20).map(|_| lively(&simulator).with_queue(&queue).open().unwrap()).collect();
    others.iter().for_each(|other| other.login().unwrap());
    std::thread::scope(|scope| {
        for (number, other) in others.iter().enumerate() {
            let simulator = &simulator;
            scope.spawn(move || {
                eventually("a probe", || simulator.calls("CurrentTime") > number as u64);
                other.close().unwrap();
            });
        }
    });
    eventually("probes continue", || simulator.calls("CurrentTime") >= 22);
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    session.close().unwrap();
    let told = queue.drain();
    assert!(told.iter().all(|e| e.kind != VSESSION_EVENT_KEEPALIVE_FAILED), "{told:?}");
    queue.free();
}
