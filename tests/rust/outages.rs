//! Outages: nothing is sent beyond what was asked for but a little, and after the outage all goes on at once.

use serde_json::json;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vsession::vsession_executed::*;

use crate::support::*;

/// Has threads call until so much time has passed and so many calls were made. Returns the number of calls.
fn load(session: Session, threads: usize, duration: Duration, least: u64, options: &Options) -> u64 {
    let asked = AtomicU64::new(0);
    let begin = Instant::now();
    together(threads, |_| {
        while begin.elapsed() < duration || asked.load(Ordering::Relaxed) < least {
            asked.fetch_add(1, Ordering::Relaxed);
            if session.ping_with(options).is_err() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    asked.into_inner()
}

fn idempotent() -> Options {
    Options { idempotent: true, ..Options::timeout(60_000) }
}

#[test]
fn an_outage_is_not_amplified_by_calls_that_may_be_repeated() {
    let simulator = Simulator::start();
    let session = simulator.config().with("max_connections", "16").open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "*", "reset": "before"}));
    let before = simulator.stat("requests");
    let asked = load(session, 64, Duration::from_secs(3), 400, &idempotent());
    let sent = simulator.stat("requests") - before;
    assert!(sent * 10 <= asked * 11, "{sent} requests for {asked} calls");
    simulator.clear_rules();
    let start = Instant::now();
    let answers = together(64, |_| session.ping_with(&idempotent()));
    assert!(answers.iter().all(Result::is_ok), "the server is well again: {answers:?}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    session.close().unwrap();
}

#[test]
fn connections_that_are_lost_one_at_a_time_cost_no_call() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for _ in 0..60 {
        simulator.rule(json!({"method": "CurrentTime", "reset": "before", "times": 1}));
        session.ping_with(&idempotent()).unwrap();
    }
    session.close().unwrap();
}

/// Sessions without a login, each with a long backoff.
fn open(simulator: &Simulator, sessions: usize) -> Vec<Session> {
    let config = || simulator.config().with("relogin.backoff_ms", "60000").with("keepalive.interval_ms", "0");
    (0..sessions).map(|_| config().open().unwrap()).collect()
}

/// A request that precedes the first Login: as long as it fails, no Login is sent.
const BEFORE_THE_LOGIN: &str = "RetrieveServiceContent";

#[test]
fn a_login_is_tried_each_second_while_somebody_asks_and_callers_are_told_when() {
    let simulator = Simulator::start();
    let [session] = open(&simulator, 1)[..] else { unreachable!() };
    simulator.rule(json!({"method": BEFORE_THE_LOGIN, "status": 503}));
    let begin = Instant::now();
    together(16, |_| {
        while begin.elapsed() < Duration::from_millis(3500) {
            let error = session.ping().unwrap_err();
            if error.message.contains("next automatic one") {
                assert!((1..=1000).contains(&error.retry_after_ms), "{error:?}");
                let named = format!("may start in {} ms", error.retry_after_ms);
                assert!(error.message.contains(&named), "{error:?}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let tried = simulator.calls(BEFORE_THE_LOGIN);
    let allowed = 1 + begin.elapsed().as_secs();
    assert!((2..=allowed).contains(&tried), "{tried} logins for all threads");
    simulator.clear_rules();
    within(Duration::from_secs(10), "the next trial succeeds", || session.ping().is_ok());
    session.close().unwrap();
}

/// It cannot succeed, and it says nothing of the server.
#[test]
fn a_login_that_the_sessions_own_options_make_fail_is_not_tried_each_second() {
    let simulator = Simulator::with(&["-tls-max", "1.2"]);
    let config = simulator.config().with("relogin.backoff_ms", "60000").with("keepalive.interval_ms", "0");
    let session = config.with("tls.min_version", "1.3").open().unwrap();
    let before = simulator.stat("connections_accepted");
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(2500) {
        let error = session.ping().unwrap_err();
        assert_eq!((error.status, error.retriable), (status::VSESSION_E_TLS, false), "{error:?}");
        assert!(error.retry_after_ms > 2000, "the one who was first is told, too: {error:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(simulator.stat("connections_accepted") - before, 1, "connections");
    session.close().unwrap();
}

#[test]
fn a_session_whose_logins_fail_takes_no_repeats_from_others() {
    let simulator = Simulator::start();
    let healthy = simulator.config().with("keepalive.interval_ms", "0").open().unwrap();
    healthy.login().unwrap();
    let neighbours = open(&simulator, 20);
    simulator.rule(json!({"method": BEFORE_THE_LOGIN, "status": 503}));
    let begin = Instant::now();
    let ask_all = || neighbours.iter().for_each(|session| drop(session.ping().unwrap_err()));
    // Until they have used up what there is for trials.
    while begin.elapsed() < Duration::from_millis(2500) {
        ask_all();
        std::thread::sleep(Duration::from_millis(20));
    }
    for number in 0..10 {
        simulator.rule(json!({"method": "CurrentTime", "reset": "before", "times": 1}));
        let answer = healthy.ping_with(&idempotent());
        assert!(answer.is_ok(), "call {number}: {answer:?}");
        simulator.rule(json!({"method": "RetrievePropertiesEx", "reset": "before", "times": 1}));
        let answer = healthy.refresh().map(|_| ());
        assert!(answer.is_ok(), "check {number}: {answer:?}");
        ask_all();
    }
    neighbours.into_iter().chain([healthy]).for_each(|session| session.close().unwrap());
}

/// The server gives the same answer to everybody, so it is starting.
#[test]
fn a_question_before_the_login_that_the_server_fails_at_may_be_asked_again() {
    let simulator = Simulator::start();
    let [session] = open(&simulator, 1)[..] else { unreachable!() };
    simulator.rule(json!({"method": BEFORE_THE_LOGIN, "status": 500}));
    for asked in ["now", "during the backoff"] {
        let error = session.ping().unwrap_err();
        assert_eq!((error.http_status, error.retriable), (500, true), "{asked}: {error:?}");
        assert!((1..=1000).contains(&error.retry_after_ms), "{asked}: {error:?}");
    }
    simulator.clear_rules();
    within(Duration::from_secs(10), "the next trial succeeds", || session.ping().is_ok());
    session.close().unwrap();
}

#[test]
fn a_login_whose_credentials_may_have_been_judged_is_not_tried_during_the_backoff() {
    let simulator = Simulator::start();
    // A refusal that the library does not recognize; gateways that may have passed the Login on; a reply that is lost.
    for fault in [
        json!({"method": "Login", "fault": "InvalidState"}),
        json!({"method": "Login", "status": 503}),
        json!({"method": "Login", "status": 504}),
        json!({"method": "Login", "reset": "after"}),
    ] {
        let [session] = open(&simulator, 1)[..] else { unreachable!() };
        simulator.rule(fault);
        let before = simulator.calls("Login");
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_millis(2500) {
            let error = session.ping().unwrap_err();
            assert!(error.retry_after_ms > 2000, "{error:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(simulator.calls("Login") - before, 1);
        simulator.clear_rules();
        session.close().unwrap();
        // The one whose reply was lost.
        simulator.kill_sessions();
    }
}

#[test]
fn many_sessions_share_the_trials_and_recover_soon_after_the_first() {
    const SESSIONS: usize = 100;
    let simulator = Simulator::start();
    let sessions = open(&simulator, SESSIONS);
    simulator.rule(json!({"method": BEFORE_THE_LOGIN, "status": 503}));
    let begin = Instant::now();
    let ask_all = || {
        together(10, |number| {
            let of_thread = sessions[number * SESSIONS / 10..].iter().take(SESSIONS / 10);
            of_thread.map(|session| session.ping().is_ok()).filter(|answered| *answered).count()
        })
    };
    while begin.elapsed() < Duration::from_secs(4) {
        ask_all();
        std::thread::sleep(Duration::from_millis(100));
    }
    let tried = simulator.calls(BEFORE_THE_LOGIN) - SESSIONS as u64;
    let seconds = begin.elapsed().as_secs();
    assert!((2..=seconds + 12).contains(&tried), "{tried} trials of {SESSIONS} sessions in {seconds} s");
    simulator.clear_rules();
    within(Duration::from_secs(15), "all sessions have recovered", || {
        std::thread::sleep(Duration::from_millis(100));
        ask_all().into_iter().sum::<usize>() == SESSIONS
    });
    together(10, |number| {
        sessions[number * SESSIONS / 10..]
            .iter()
            .take(SESSIONS / 10)
            .for_each(|session| session.close().unwrap());
    });
}

#[test]
fn checks_that_get_no_answer_are_not_made_for_each_call() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "fault": "NotAuthenticated"}));
    simulator.rule(json!({"method": "RetrievePropertiesEx", "status": 503}));
    for _ in 0..100 {
        session.ping().unwrap_err();
    }
    let checks = simulator.calls("RetrievePropertiesEx");
    // Those that a full budget has, and one for ten answers.
    assert!((1..=30).contains(&checks), "{checks} checks for 100 calls");
    simulator.clear_rules();
    simulator.kill_sessions();
    within(Duration::from_secs(10), "the loss of the session is noticed", || session.ping().is_ok());
    assert_eq!(session.epoch(), 2);
    session.close().unwrap();
}

/// Repeats idempotent calls after these statuses.
fn repeating(simulator: &Simulator) -> Config {
    simulator.config().with("keepalive.interval_ms", "0").with("http.retry_statuses", "429, 503")
}

#[test]
fn an_idempotent_call_is_repeated_after_a_listed_status_and_no_other_call_is() {
    let simulator = Simulator::start();
    let session = repeating(&simulator).open().unwrap();
    session.login().unwrap();
    let refuse = |times: u64, status: u16| {
        simulator.clear_rules();
        simulator.rule(json!({"method": "CurrentTime", "status": status, "times": times}));
        simulator.calls("CurrentTime")
    };
    for status in [429, 503] {
        let before = refuse(2, status);
        session.ping_with(&idempotent()).unwrap();
        assert_eq!(simulator.calls("CurrentTime") - before, 3, "{status}");
        let before = refuse(1, status);
        let error = session.ping_with(&Options::timeout(60_000)).unwrap_err();
        assert_eq!((error.http_status, simulator.calls("CurrentTime") - before), (status.into(), 1));
    }
    for status in [500, 502, 504, 400, 404] {
        let before = refuse(1, status);
        let error = session.ping_with(&idempotent()).unwrap_err();
        assert_eq!((error.http_status, simulator.calls("CurrentTime") - before), (status.into(), 1));
    }
    let silent = simulator.session();
    let before = refuse(1, 503);
    let error = silent.ping_with(&idempotent()).unwrap_err();
    assert_eq!((error.http_status, simulator.calls("CurrentTime") - before), (503, 1), "nothing is listed");
    // A proxy may change the status of a fault.
    simulator.clear_rules();
    let fault = "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body><Fault><faultcode>x</faultcode>\
        <faultstring>planted</faultstring><detail><NoPermissionFault xmlns=\"urn:vim25\" \
        xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"NoPermission\"/></detail></Fault></Body></Envelope>";
    let before = simulator.calls("CurrentTime");
    simulator
        .rule(json!({"method": "CurrentTime", "status": 503, "content_type": "text/xml", "body": fault}));
    let error = session.ping_with(&idempotent()).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_NO_PERMISSION, "{error:?}");
    assert_eq!(simulator.calls("CurrentTime") - before, 1, "a fault stands");
    [session, silent].into_iter().for_each(|session| session.close().unwrap());
}

#[test]
fn a_repeat_waits_as_the_server_asks_and_never_until_the_deadline() {
    let simulator = Simulator::start();
    let session = repeating(&simulator).open().unwrap();
    session.login().unwrap();
    let refuse = |seconds: &str| {
        simulator.rule(json!({"method": "CurrentTime", "status": 503, "times": 1,
            "headers": {"Retry-After": seconds}}));
        simulator.calls("CurrentTime")
    };
    let before = refuse("2");
    let begin = Instant::now();
    session.ping_with(&idempotent()).unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(simulator.calls("CurrentTime") - before, 2);
    let before = refuse("3600");
    let begin = Instant::now();
    let error = session.ping_with(&idempotent()).unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    assert_eq!((error.http_status, error.retry_after_ms), (503, 3_600_000));
    assert_eq!(simulator.calls("CurrentTime") - before, 1);
    // A token ends the pause, and what has run may have run.
    let before = refuse("3600");
    let token = Token::new();
    let patient = Options { timeout_ms: u32::MAX, cancel: token.0, ..idempotent() };
    let error = std::thread::scope(|scope| {
        let call = scope.spawn(|| session.ping_with(&patient).unwrap_err());
        eventually("the answer", || simulator.calls("CurrentTime") - before == 1);
        token.fire();
        call.join().unwrap()
    });
    assert_eq!(error.status, status::VSESSION_E_CANCELLED, "{error:?}");
    assert_eq!(error.executed, VSESSION_EXECUTED_MAYBE);
    session.close().unwrap();
}

#[test]
fn a_repeat_hides_nothing_of_whether_the_call_ran() {
    let simulator = Simulator::start();
    let session = repeating(&simulator).open().unwrap();
    session.login().unwrap();
    // 429: nobody has run it. 503: a gateway may have passed it on.
    for (status, executed) in [(429, VSESSION_EXECUTED_NO), (503, VSESSION_EXECUTED_MAYBE)] {
        simulator.rule(json!({"method": "CurrentTime", "status": status, "times": 1}));
        simulator.rule(json!({"method": "CurrentTime", "fault": "NoPermission", "times": 1}));
        let error = session.ping_with(&idempotent()).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_NO_PERMISSION, "{error:?}");
        assert_eq!(error.executed, executed, "{status}");
    }
    session.close().unwrap();
}

#[test]
fn an_outage_is_not_amplified_by_calls_that_are_repeated_after_a_status() {
    let simulator = Simulator::start();
    let session = repeating(&simulator).with("max_connections", "16").open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "status": 503}));
    let before = simulator.stat("requests");
    let asked = load(session, 64, Duration::from_secs(3), 400, &idempotent());
    let sent = simulator.stat("requests") - before;
    assert!(sent > asked && sent * 10 <= asked * 11, "{sent} requests for {asked} calls");
    simulator.clear_rules();
    within(Duration::from_secs(10), "the server is well again", || session.ping_with(&idempotent()).is_ok());
    session.close().unwrap();
}
