//! Logout and close.

use serde_json::json;
use std::time::{Duration, Instant};
use vsession::vsession_state::*;

use crate::support::*;

#[test]
fn close_during_calls_ends_them_and_logs_the_session_out() {
    let simulator = Simulator::start();
    promptly(Duration::from_secs(2), || {
        let session = simulator.session();
        session.login().unwrap();
        simulator.post("/stats/reset");
        simulator.rule(json!({"method": "CurrentTime", "hang": true}));
        let took = std::thread::scope(|scope| {
            let callers: Vec<_> = (0..16).map(|_| scope.spawn(|| session.ping().unwrap_err())).collect();
            eventually("the calls are under way", || simulator.stat("requests_in_flight") == 16);
            let start = Instant::now();
            session.close().unwrap();
            for caller in callers {
                let error = caller.join().unwrap();
                assert_eq!(error.status, status::VSESSION_E_CLOSED);
            }
            start.elapsed()
        });
        assert_eq!(session.state(), VSESSION_STATE_CLOSED);
        assert_eq!(session.ping().unwrap_err().status, status::VSESSION_E_CLOSED);
        assert_eq!((simulator.stat("sessions"), simulator.stat("logouts")), (0, 1));
        simulator.clear_rules();
        took
    });
}

#[test]
fn a_session_can_be_closed_twice_and_from_many_threads() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let results = together(16, |_| session.close());
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    session.close().unwrap();
    assert_eq!(simulator.stat("logouts"), 1);
    assert_eq!(session.login().unwrap_err().status, status::VSESSION_E_CLOSED);
}

#[test]
fn close_during_a_login_leaves_no_session_behind() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "delay_after_ms": 2000}));
    // Waiters do not wait for the login to end.
    promptly(Duration::from_millis(1000), || {
        let session = simulator.session();
        simulator.post("/stats/reset");
        let took = std::thread::scope(|scope| {
            let logins: Vec<_> = (0..8).map(|_| scope.spawn(|| session.login().unwrap_err())).collect();
            eventually("the login is under way", || simulator.calls("Login") == 1);
            let start = Instant::now();
            let closing = scope.spawn(|| session.close());
            for login in logins {
                assert_eq!(login.join().unwrap().status, status::VSESSION_E_CLOSED);
            }
            let took = start.elapsed();
            closing.join().unwrap().unwrap();
            took
        });
        assert_eq!(simulator.stat("logins"), 1, "the login reached the server");
        assert_eq!(simulator.stat("sessions"), 0, "its session was logged out");
        took
    });
}

#[test]
fn a_login_that_a_close_ends_before_the_login_is_sent_has_not_run() {
    let simulator = Simulator::start();
    for before in ["GET", "RetrieveServiceContent"] {
        simulator.rule(json!({"method": before, "hang": true}));
        // Each thread learns of the close or of the end of the login, whichever comes first.
        for _ in 0..8 {
            let session = simulator.session();
            std::thread::scope(|scope| {
                let logins: Vec<_> = (0..4).map(|_| scope.spawn(|| session.login().unwrap_err())).collect();
                eventually("the login is under way", || simulator.stat("requests_in_flight") == 1);
                session.close().unwrap();
                for login in logins {
                    let error = login.join().unwrap();
                    let expected =
                        (status::VSESSION_E_CLOSED, vsession::vsession_executed::VSESSION_EXECUTED_NO);
                    assert_eq!((error.status, error.executed), expected, "{before}: {error:?}");
                }
            });
            eventually("the server sees its end", || simulator.stat("requests_in_flight") == 0);
        }
        simulator.clear_rules();
    }
    assert_eq!(simulator.calls("Login"), 0);
}

#[test]
fn close_can_leave_the_session_on_the_server() {
    let simulator = Simulator::start();
    let session = simulator.config().with("close.logout", "false").open().unwrap();
    session.login().unwrap();
    session.close().unwrap();
    assert_eq!((simulator.stat("sessions"), simulator.stat("logouts")), (1, 0));
    assert_eq!(simulator.kill_sessions(), 1);
}

#[test]
fn close_reports_a_failed_logout_and_closes_the_handle_anyway() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "Logout", "hang": true}));
    let start = Moment::now();
    let error = session.close_with(&Options::timeout(200)).unwrap_err();
    let took = start.elapsed();
    assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
    assert!(error.message.contains("handle is closed"), "{}", error.message);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(session.state(), VSESSION_STATE_CLOSED);
    session.close().unwrap();
    assert_eq!(simulator.kill_sessions(), 1);
}

#[test]
fn after_a_logout_only_an_explicit_login_logs_in() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let cookie = session.cookie().unwrap();
    session.logout().unwrap();
    assert_eq!(session.state(), VSESSION_STATE_LOGGED_OUT);
    assert_eq!(simulator.stat("sessions"), 0);
    assert_eq!(session.info().err().unwrap().status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert_eq!(session.cookie().unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert!(!session.is_active().unwrap());
    let error = session.ping().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert!(error.message.contains("vsession_login"), "{}", error.message);
    let requests = simulator.stat("requests");
    session.logout().unwrap();
    assert_eq!(simulator.stat("requests"), requests, "a logout without a session makes no request");
    session.login().unwrap();
    assert_eq!(session.epoch(), 2);
    assert_ne!(session.cookie().unwrap(), cookie);
    session.close().unwrap();
}

#[test]
fn concurrent_logouts_and_logins_leave_nothing_behind() {
    let simulator = Simulator::start();
    let session = simulator.session();
    together(12, |number| {
        for _ in 0..20 {
            match number % 3 {
                0 => session.login().unwrap(),
                1 => session.logout().unwrap(),
                _ => drop(session.ping()),
            }
        }
    });
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
    assert_eq!(simulator.stat("logins"), simulator.stat("logouts"));
    assert_eq!(simulator.stat("login_failures"), 0);
}

#[test]
fn a_logout_that_fails_can_be_repeated() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "Logout", "status": 503, "times": 1}));
    assert_eq!(session.logout().unwrap_err().status, status::VSESSION_E_HTTP);
    assert_eq!(simulator.stat("sessions"), 1);
    session.ping().unwrap();
    session.logout().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
    session.close().unwrap();
}

#[test]
fn a_session_can_be_closed_while_its_thread_ends() {
    struct AtExit(std::cell::Cell<Option<Session>>);
    impl Drop for AtExit {
        fn drop(&mut self) {
            if let Some(session) = self.0.take() {
                session.ping().unwrap();
                session.close().unwrap();
            }
        }
    }
    thread_local! {
        static AT_EXIT: AtExit = const { AtExit(std::cell::Cell::new(None)) };
    }
    let simulator = Simulator::start();
    let session = simulator.session();
    std::thread::spawn(move || {
        // Initialized first, so its destructor runs last, after the library's own thread-locals are gone.
        AT_EXIT.with(|at_exit| at_exit.0.set(Some(session)));
        session.login().unwrap();
        session.ping().unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(session.state(), VSESSION_STATE_CLOSED);
    assert_eq!(simulator.stat("sessions"), 0);
    assert_eq!(simulator.calls("CurrentTime"), 2);
}

#[test]
fn calls_concurrent_with_a_close_succeed_or_report_the_close() {
    let simulator = Simulator::start();
    let config = simulator.config();
    for _ in 0..40 {
        let session = config.open().unwrap();
        session.login().unwrap();
        let no_relogin = Options { no_relogin: true, ..Options::default() };
        let epoch_1 = Options { require_epoch: 1, ..Options::default() };
        let results = together(6, |number| {
            let mut seen = Vec::new();
            while session.state() != VSESSION_STATE_CLOSED {
                seen.push(match number {
                    0 => session.close(),
                    1 => session.is_active().map(|active| assert!(active)),
                    2 => session.ping_with(&no_relogin).map(drop),
                    3 => session.ping_with(&epoch_1).map(drop),
                    4 => session.refresh().map(|info| assert!(!info.key().is_empty())),
                    _ => session.info().map(|info| assert!(!info.key().is_empty())),
                });
            }
            seen
        });
        for result in results.into_iter().flatten() {
            let status = result.map_or_else(|error| error.status, |_| status::VSESSION_OK);
            assert!(matches!(status, status::VSESSION_OK | status::VSESSION_E_CLOSED), "{status:?}");
        }
    }
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn close_with_bad_options_closes_the_handle_anyway() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let freed = Token::new().options();
    let error = session.close_with(&freed).unwrap_err();
    assert!(error.message.contains("options.cancel"), "{}", error.message);
    assert_eq!(session.state(), VSESSION_STATE_CLOSED);
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn close_reports_when_a_login_under_way_left_a_session_behind() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "delay_after_ms": 2000}));
    simulator.rule(json!({"method": "Logout", "status": 503}));
    let session = simulator.session();
    std::thread::scope(|scope| {
        let login = scope.spawn(|| session.login().unwrap_err());
        eventually("the login is under way", || simulator.calls("Login") == 1);
        let error = session.close().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_HTTP);
        assert!(error.message.contains("handle is closed"), "{}", error.message);
        assert_eq!(login.join().unwrap().status, status::VSESSION_E_CLOSED);
    });
    assert_eq!(session.state(), VSESSION_STATE_CLOSED);
    assert_eq!(simulator.kill_sessions(), 1);
}

/// Tests the check for leftover sessions in `Simulator`'s drop.
#[test]
fn a_test_that_leaves_a_session_fails() {
    let mut simulator = Simulator::start();
    simulator.patience = Duration::from_millis(500);
    let session = simulator.config().with("close.logout", "false").open().unwrap();
    session.login().unwrap();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(simulator)));
    let message = *ended.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("no session is left"), "{message}");
}
