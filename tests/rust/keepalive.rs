//! Keep-alive: it holds a session, starts and stops when it should, and delays nobody.

use serde_json::json;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use vsession::vsession_event_kind::*;
use vsession::vsession_state::*;

use crate::support::*;

/// Probes every second and retries failures at once.
pub fn lively(simulator: &Simulator) -> Config {
    simulator.config().with("keepalive.interval_ms", "1000").with("relogin.backoff_ms", "50")
}

pub fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

#[test]
fn keep_alive_keeps_an_idle_session_that_would_expire_without_it() {
    // Several probe intervals long, so that one probe may be late.
    let simulator = Simulator::with(&["-session-timeout", "5s"]);
    let kept = lively(&simulator).open().unwrap();
    let left = lively(&simulator).with("keepalive.interval_ms", "0").open().unwrap();
    kept.login().unwrap();
    left.login().unwrap();
    eventually("the server ends the idle session", || simulator.stat("expired") == 1);
    sleep(1500);
    assert_eq!(simulator.stat("sessions"), 1);
    assert!(kept.is_active().unwrap());
    assert_eq!(kept.epoch(), 1);
    kept.close().unwrap();
    left.close().unwrap();
}

#[test]
fn both_probes_work_and_other_traffic_postpones_them() {
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
    // Repeated where the machine was too busy to keep the session in use all the time.
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
fn a_session_that_died_is_replaced_by_keep_alive() {
    let simulator = Simulator::start();
    for probe in ["current_time", "current_session"] {
        let session = lively(&simulator).with("keepalive.probe", probe).open().unwrap();
        session.login().unwrap();
        simulator.kill_sessions();
        eventually("the session is replaced without a call", || session.epoch() == 2);
        sleep(1500);
        assert_eq!(session.epoch(), 2, "once");
        simulator.kill_sessions();
        eventually("keep-alive continues and notices the next end too", || session.epoch() == 3);
        session.close().unwrap();
    }
}

#[test]
fn a_logout_or_close_does_not_wait_for_a_running_probe() {
    let simulator = Simulator::start();
    let ends: [fn(&Session) -> client::Result<()>; 3] = [
        |session| session.logout(),
        |session| session.close(),
        // The session must survive each round.
        |session| session.keepalive_stop().and_then(|()| session.logout()),
    ];
    for end in ends {
        promptly(Duration::from_millis(1000), || {
            let session = lively(&simulator).open().unwrap();
            session.login().unwrap();
            simulator.rule(json!({"method": "CurrentTime", "delay_ms": 2000, "times": 1}));
            eventually("a probe is under way", || simulator.stat("requests_in_flight") > 0);
            let start = Instant::now();
            end(&session).unwrap();
            let took = start.elapsed();
            eventually("no session is left", || simulator.stat("sessions") == 0);
            eventually("the probe is answered", || simulator.stat("requests_in_flight") == 0);
            sleep(200);
            assert_eq!(simulator.stat("sessions"), 0, "the probe does not bring a session back");
            let _ = session.close();
            took
        });
    }
}

#[test]
fn a_stop_during_a_running_probe_makes_it_the_last_one() {
    let simulator = Simulator::start();
    let session = lively(&simulator).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "delay_ms": 3000, "times": 1}));
    eventually("a probe is under way", || simulator.stat("requests_in_flight") > 0);
    let start = Moment::now();
    session.keepalive_stop().unwrap();
    let took = start.elapsed();
    assert!(took < Duration::from_millis(1000), "{took:?}");
    eventually("the probe ends", || simulator.stat("requests_in_flight") == 0);
    let before = simulator.calls("CurrentTime");
    sleep(2200);
    assert_eq!(simulator.calls("CurrentTime"), before);
    assert_eq!((session.state(), session.epoch()), (VSESSION_STATE_ACTIVE, 1));
    session.keepalive_start(1000).unwrap();
    eventually("probes go out again", || simulator.calls("CurrentTime") > before);
    session.close().unwrap();
    let before = simulator.calls("CurrentTime");
    sleep(1500);
    assert_eq!(simulator.calls("CurrentTime"), before, "no probe after a close");
}

#[test]
fn many_logouts_during_a_running_probe_end_the_session_once_without_waiting() {
    let simulator = Simulator::start();
    let session = lively(&simulator).open().unwrap();
    promptly(Duration::from_millis(1000), || {
        session.login().unwrap();
        simulator.post("/stats/reset");
        simulator.rule(json!({"method": "CurrentTime", "delay_ms": 3000}));
        eventually("a probe is under way", || simulator.stat("requests_in_flight") > 0);
        let start = Instant::now();
        for result in together(16, |_| session.logout()) {
            result.unwrap();
        }
        let took = start.elapsed();
        assert_eq!((simulator.stat("logouts"), simulator.calls("Logout")), (1, 1));
        eventually("the probe ends", || simulator.stat("requests_in_flight") == 0);
        sleep(200);
        assert_eq!((simulator.stat("sessions"), session.state()), (0, VSESSION_STATE_LOGGED_OUT));
        simulator.clear_rules();
        took
    });
    session.login().unwrap();
    let before = simulator.calls("CurrentTime");
    eventually("keep-alive begins again", || simulator.calls("CurrentTime") > before);
    session.close().unwrap();
}

#[test]
fn keep_alive_starts_and_stops_on_request() {
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
    let before = simulator.calls("CurrentTime");
    sleep(2200);
    // One probe may have been under way.
    assert!(simulator.calls("CurrentTime") <= before + 1);
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
    probed(&by_hand, "after an explicit login");
    by_hand.close().unwrap();

    let by_a_call = lively(&simulator).open().unwrap();
    by_a_call.ping().unwrap();
    probed(&by_a_call, "after the login of a call");
    simulator.kill_sessions();
    eventually("the session is replaced", || by_a_call.epoch() == 2);
    probed(&by_a_call, "after an automatic login");
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

/// Runs in its own process, because other tests use the workers of this one too.
#[test]
fn a_few_threads_keep_many_sessions_alive_and_spread_their_probes() {
    child::held(child::child("keepalive::child_that_keeps_many_alive"));
}

#[test]
#[ignore = "run by a_few_threads_keep_many_sessions_alive_and_spread_their_probes"]
fn child_that_keeps_many_alive() {
    const SESSIONS: usize = 100;
    let simulator = Simulator::start();
    let config = lively(&simulator).with("keepalive.interval_ms", "2000");
    let sessions: Vec<_> = (0..SESSIONS).map(|_| config.open().unwrap()).collect();
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("vsession"))
            .count()
    };
    let time = |e: &serde_json::Value, field: &str| e[field].as_u64().unwrap() / 1_000_000;
    together(10, |n| sessions.iter().skip(n).step_by(10).for_each(|s| s.login().unwrap()));
    // All sessions logged in at once; each waits between half an interval and a whole one for its first probe.
    eventually("each has been probed", || simulator.calls("CurrentTime") as usize >= SESSIONS);
    let log = simulator.log();
    let mut logins: HashMap<_, _> = log
        .iter()
        .filter(|e| e["method"] == "Login")
        .map(|e| (e["new_session_key"].as_str().unwrap(), time(e, "end_ns")))
        .collect();
    let firsts: Vec<_> = log
        .iter()
        .filter(|e| e["method"] == "CurrentTime")
        .filter_map(|e| Some(time(e, "start_ns") - logins.remove(e["session_key"].as_str().unwrap())?))
        .collect();
    assert!(firsts.len() > SESSIONS / 2 && firsts.iter().min() >= Some(&950), "{firsts:?}");
    let spread = firsts.iter().max().unwrap() - firsts.iter().min().unwrap();
    assert!(spread > 600, "all within {spread} ms");
    // Long enough that probes would pile up if they were not spread.
    simulator.rule(json!({"method": "CurrentTime", "delay_ms": 40}));
    let look = || {
        simulator.post("/log/reset");
        let mut most_threads = 0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(4) {
            most_threads = most_threads.max(threads());
            sleep(20);
        }
        let log = simulator.log();
        let probes: Vec<_> = log.iter().filter(|e| e["method"] == "CurrentTime").collect();
        // For each probe: how many were under way when it began, itself included.
        let at_once = probes.iter().map(|p| {
            let now = time(p, "start_ns");
            probes.iter().filter(|q| time(q, "start_ns") <= now && now < time(q, "end_ns")).count()
        });
        (probes.len(), at_once.max().unwrap_or(0), most_threads)
    };
    // Repeated where the machine was so busy that a worker counted as slow, or few probes went out.
    let mut seen = Vec::new();
    while !seen
        .iter()
        .any(|(probes, at_once, most_threads)| *probes > SESSIONS && *at_once <= 3 && *most_threads <= 9)
    {
        assert!(seen.len() < 10, "probes, those at once, threads: {seen:?}");
        seen.push(look());
    }
    for session in &sessions {
        assert_eq!(session.epoch(), 1);
    }
    simulator.clear_rules();
    together(10, |n| sessions.iter().skip(n).step_by(10).for_each(|s| s.close().unwrap()));
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn a_logout_during_a_probe_does_not_make_the_probe_fail() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = lively(&simulator).with_queue(&queue).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "delay_ms": 1000, "times": 1}));
    eventually("a probe is under way", || simulator.stat("rule_hits") == 1);
    let probes = |n| simulator.log().iter().filter(|e| e["method"] == "CurrentTime").count() >= n;
    let before = simulator.calls("CurrentTime") as usize;
    session.logout().unwrap();
    eventually("the probe is answered", || probes(before));
    session.login().unwrap();
    eventually("the next probe is answered", || probes(before + 1));
    session.close().unwrap();
    let told = queue.drain();
    assert!(told.iter().all(|e| e.kind != VSESSION_EVENT_KEEPALIVE_FAILED), "{told:?}");
    queue.free();
}

#[test]
fn a_logout_and_a_close_do_not_wait_for_a_probe_that_holds_the_only_connection() {
    let simulator = Simulator::start();
    let config = lively(&simulator).with("max_connections", "1");
    for closes in [false, true] {
        let session = config.open().unwrap();
        // The probe of another session holds the connection, so a close does not end it.
        let other = config.open().unwrap();
        session.login().unwrap();
        other.login().unwrap();
        simulator.rule(json!({"method": "CurrentTime", "hang": true}));
        let hits = simulator.stat("rule_hits");
        eventually("a probe is under way", || simulator.stat("rule_hits") > hits);
        let options = Options::timeout(20_000);
        if closes {
            session.close_with(&options).unwrap();
            other.close_with(&options).unwrap();
        } else {
            session.logout_with(&options).unwrap();
            other.logout_with(&options).unwrap();
        }
        simulator.clear_rules();
        assert_eq!(simulator.stat("sessions"), 0);
        if !closes {
            session.close().unwrap();
            other.close().unwrap();
        }
    }
}
