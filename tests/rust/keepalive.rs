//! Keep-alive: it holds a session, survives failures, and is in nobody's way.

use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use vsession::vsession_event_kind::*;
use vsession::vsession_state::*;

use crate::support::*;

/// Probes every second; failures are retried at once.
fn lively(simulator: &Simulator) -> Config {
    simulator.config().with("keepalive.interval_ms", "1000").with("relogin.backoff_ms", "50")
}

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
fn an_idle_session_is_kept_alive_and_without_it_the_server_ends_it() {
    let simulator = Simulator::with(&["-session-timeout", "2s"]);
    let kept = lively(&simulator).open().unwrap();
    let left = lively(&simulator).with("keepalive.interval_ms", "0").open().unwrap();
    kept.login().unwrap();
    left.login().unwrap();
    eventually("the server ends the idle one", || simulator.stat("expired") == 1);
    sleep(1500);
    assert_eq!(simulator.stat("sessions"), 1);
    assert!(kept.is_active().unwrap());
    assert_eq!(kept.epoch(), 1);
    kept.close().unwrap();
    left.close().unwrap();
}

#[test]
fn both_probes_work_and_other_traffic_puts_them_off() {
    let simulator = Simulator::start();
    for (probe, method) in [("current_time", "CurrentTime"), ("current_session", "RetrievePropertiesEx")] {
        let session = lively(&simulator).with("keepalive.probe", probe).open().unwrap();
        session.login().unwrap();
        let before = simulator.calls(method);
        eventually("a probe goes out", || simulator.calls(method) > before);
        session.close().unwrap();
    }
    let session = lively(&simulator).with("keepalive.probe", "current_session").open().unwrap();
    session.login().unwrap();
    // Again where the machine was too busy to use the session all the time.
    for _ in 0..10 {
        session.ping().unwrap();
        let before = simulator.calls("RetrievePropertiesEx");
        let start = Instant::now();
        let (mut last, mut longest) = (start, Duration::ZERO);
        while start.elapsed() < Duration::from_millis(2500) {
            session.ping().unwrap();
            longest = longest.max(last.elapsed());
            last = Instant::now();
            sleep(100);
        }
        if longest < Duration::from_millis(400) {
            assert_eq!(
                simulator.calls("RetrievePropertiesEx"),
                before,
                "the session was in use all the time"
            );
            break;
        }
    }
    session.close().unwrap();
}

#[test]
fn keep_alive_survives_an_outage_and_tells_of_it() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = lively(&simulator).with_queue(&queue).open().unwrap();
    session.login().unwrap();
    simulator.post("/listener/stop");
    simulator.post("/connections/close");
    eventually("the outage is noticed", || session.state() == VSESSION_STATE_UNREACHABLE);
    sleep(300);
    simulator.post("/listener/start");
    eventually("and its end", || session.state() == VSESSION_STATE_ACTIVE);
    assert_eq!(session.epoch(), 1);
    let events = queue.drain();
    let failed: Vec<_> = events.iter().filter(|e| e.kind == VSESSION_EVENT_KEEPALIVE_FAILED).collect();
    assert!(!failed.is_empty());
    assert_eq!(failed[0].error.as_ref().unwrap().status, status::VSESSION_E_CONNECT);
    session.close().unwrap();
    queue.free();
}

#[test]
fn a_session_that_died_is_replaced_by_keep_alive() {
    let simulator = Simulator::start();
    for probe in ["current_time", "current_session"] {
        let session = lively(&simulator).with("keepalive.probe", probe).open().unwrap();
        session.login().unwrap();
        simulator.kill_sessions();
        eventually("it is replaced without any call", || session.epoch() == 2);
        sleep(1500);
        assert_eq!(session.epoch(), 2, "once");
        simulator.kill_sessions();
        eventually("keep-alive has gone on: it finds the next end too", || session.epoch() == 3);
        session.close().unwrap();
    }
}

#[test]
fn refused_credentials_end_the_attempts_of_keep_alive() {
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
fn keep_alive_finds_a_rotated_password_without_a_call_and_tells_once() {
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
    assert_eq!((wanted, rejected), (1, 1), "looks that find nothing new are not told");
    std::fs::write(&file, "wrong, too\n").unwrap();
    eventually("the next ones are tried", || simulator.stat("login_failures") == 2);
    // The first ones again: they were refused before.
    std::fs::write(&file, "pass\n").unwrap();
    sleep(1000);
    assert_eq!(simulator.stat("login_failures"), 2, "once for each set of credentials");
    std::fs::write(&file, "rotated\n").unwrap();
    eventually("the new ones are found", || session.state() == VSESSION_STATE_ACTIVE);
    assert_eq!((simulator.stat("login_failures"), session.epoch()), (2, 2));
    session.close().unwrap();
    std::fs::remove_file(file).unwrap();
    queue.free();
}

#[test]
fn a_logout_or_close_does_not_wait_for_a_running_probe() {
    let simulator = Simulator::start();
    for close in [false, true] {
        let session = lively(&simulator).open().unwrap();
        session.login().unwrap();
        simulator.rule(json!({"method": "CurrentTime", "delay_ms": 3000}));
        eventually("a probe is under way", || simulator.stat("requests_in_flight") > 0);
        let start = Instant::now();
        match close {
            true => session.close().unwrap(),
            false => session.logout().unwrap(),
        }
        assert!(start.elapsed() < Duration::from_millis(1000), "{:?}", start.elapsed());
        eventually("no session is left", || simulator.stat("sessions") == 0);
        simulator.clear_rules();
        sleep(200);
        assert_eq!(simulator.stat("sessions"), 0, "and the probe brings none back");
        let _ = session.close();
    }
}

#[test]
fn many_logouts_during_a_running_probe_end_the_session_once_and_at_once() {
    let simulator = Simulator::start();
    let session = lively(&simulator).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "delay_ms": 3000}));
    eventually("a probe is under way", || simulator.stat("requests_in_flight") > 0);
    let start = Instant::now();
    for result in together(16, |_| session.logout()) {
        result.unwrap();
    }
    assert!(start.elapsed() < Duration::from_millis(1000), "{:?}", start.elapsed());
    assert_eq!((simulator.stat("logouts"), simulator.calls("Logout")), (1, 1));
    eventually("the probe ends", || simulator.stat("requests_in_flight") == 0);
    assert_eq!((simulator.stat("sessions"), session.state()), (0, VSESSION_STATE_LOGGED_OUT));
    simulator.clear_rules();
    session.login().unwrap();
    let before = simulator.calls("CurrentTime");
    eventually("keep-alive begins again", || simulator.calls("CurrentTime") > before);
    session.close().unwrap();
}

#[test]
fn keep_alive_starts_and_stops_when_told() {
    let simulator = Simulator::start();
    let session = simulator.config().with("keepalive.interval_ms", "0").open().unwrap();
    session.login().unwrap();
    assert_eq!(session.keepalive_start(0).unwrap_err().status, status::VSESSION_E_INVALID_ARGUMENT);
    assert_eq!(session.keepalive_start(999).unwrap_err().status, status::VSESSION_E_INVALID_ARGUMENT);
    sleep(1300);
    assert_eq!(simulator.calls("CurrentTime"), 0);
    session.keepalive_start(1000).unwrap();
    eventually("probes go out", || simulator.calls("CurrentTime") >= 2);
    session.keepalive_stop().unwrap();
    sleep(100);
    let before = simulator.calls("CurrentTime");
    sleep(2200);
    assert_eq!(simulator.calls("CurrentTime"), before);
    session.close().unwrap();
    assert_eq!(session.keepalive_start(1000).unwrap_err().status, status::VSESSION_E_CLOSED);
    assert_eq!(session.keepalive_stop().unwrap_err().status, status::VSESSION_E_CLOSED);
}

#[test]
fn every_kind_of_login_starts_keep_alive_and_a_refused_one_does_not() {
    let simulator = Simulator::start();
    let probed = |session: &Session, what: &str| {
        let before = simulator.calls("CurrentTime");
        eventually(what, || simulator.calls("CurrentTime") > before);
        assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    };
    let by_hand = lively(&simulator).open().unwrap();
    by_hand.login().unwrap();
    probed(&by_hand, "after a login by hand");
    by_hand.close().unwrap();

    let by_a_call = lively(&simulator).open().unwrap();
    by_a_call.ping().unwrap();
    probed(&by_a_call, "after the login of a call");
    simulator.kill_sessions();
    eventually("the session is replaced", || by_a_call.epoch() == 2);
    probed(&by_a_call, "after a login by itself");
    by_a_call.close().unwrap();

    let refused = lively(&simulator).with("password", "wrong").open().unwrap();
    refused.login().unwrap_err();
    let requests = simulator.stat("requests");
    sleep(1500);
    assert_eq!(simulator.stat("requests"), requests, "a refused login starts nothing");
    refused.set_password(&simulator.text("password")).unwrap();
    refused.login().unwrap();
    probed(&refused, "after a login with another password");
    refused.close().unwrap();
}

#[test]
fn after_a_logout_there_are_no_probes_and_after_a_login_there_are() {
    let simulator = Simulator::start();
    let session = lively(&simulator).open().unwrap();
    session.login().unwrap();
    eventually("probes go out", || simulator.calls("CurrentTime") >= 1);
    session.logout().unwrap();
    let requests = simulator.stat("requests");
    sleep(1500);
    assert_eq!(simulator.stat("requests"), requests);
    session.login().unwrap();
    let before = simulator.calls("CurrentTime");
    eventually("probes go out again", || simulator.calls("CurrentTime") > before);
    session.close().unwrap();
}

#[test]
fn a_keep_alive_function_may_do_anything_with_the_session() {
    let simulator = Simulator::start();
    let rounds = Arc::new(AtomicU32::new(0));
    let seen = rounds.clone();
    let session = lively(&simulator)
        .with_probe(move |session| match seen.fetch_add(1, Ordering::SeqCst) {
            0 => {
                session.ping().unwrap();
                session.login().unwrap();
                status::VSESSION_OK
            }
            1 => {
                session.logout().unwrap();
                session.login().unwrap();
                status::VSESSION_OK
            }
            2 => status::VSESSION_E_CONNECT,
            _ => {
                session.close().unwrap();
                status::VSESSION_OK
            }
        })
        .open()
        .unwrap();
    session.login().unwrap();
    eventually("the function closed the session", || session.state() == VSESSION_STATE_CLOSED);
    assert_eq!(rounds.load(Ordering::SeqCst), 4);
    assert_eq!((simulator.stat("logins"), simulator.stat("sessions")), (2, 0));
}

#[test]
fn a_keep_alive_function_can_say_that_the_session_is_gone() {
    let simulator = Simulator::start();
    let session = lively(&simulator)
        .with_probe(|session| match session.refresh() {
            Ok(_) => status::VSESSION_OK,
            Err(error) => error.status,
        })
        .open()
        .unwrap();
    session.login().unwrap();
    simulator.kill_sessions();
    eventually("the session is replaced", || session.epoch() == 2);
    assert_eq!(simulator.stat("logins"), 2);
    session.close().unwrap();
}

#[test]
fn many_sessions_are_kept_alive_by_a_few_threads_and_not_all_at_once() {
    let simulator = Simulator::start();
    let config = lively(&simulator);
    let sessions: Vec<_> = (0..100).map(|_| config.open().unwrap()).collect();
    together(10, |n| sessions.iter().skip(n).step_by(10).for_each(|s| s.login().unwrap()));
    let before = simulator.calls("CurrentTime");
    eventually("each has been probed", || simulator.calls("CurrentTime") >= before + 100);
    // Other tests of this process use the workers too; their bounds hold for all together.
    let of_the_library = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("vsession-timer") || name.starts_with("vsession-probe"))
        .count();
    assert!(
        of_the_library <= 4 + 4,
        "{of_the_library} threads for probes, with four more where other tests are slow"
    );
    for session in &sessions {
        assert_eq!(session.epoch(), 1);
    }
    together(10, |n| sessions.iter().skip(n).step_by(10).for_each(|s| s.close().unwrap()));
    assert_eq!(simulator.stat("sessions"), 0);
}
