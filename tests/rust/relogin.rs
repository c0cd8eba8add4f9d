//! A session that ends on the server is replaced once for all threads, and only when it is really gone.

use serde_json::json;
use vsession::vsession_executed::*;
use vsession::vsession_state::*;

use crate::support::*;

const READ_TIME_ZONE: &str = "<specSet><propSet><type>SessionManager</type><pathSet>currentSession</pathSet></propSet><objectSet><obj type=\"SessionManager\">SessionManager</obj></objectSet></specSet><options/>";

#[test]
fn a_killed_session_is_replaced_once_for_all_threads_and_every_call_succeeds() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    assert_eq!(simulator.kill_sessions(), 1);
    let results = together(64, |_| (0..5).map(|_| session.ping()).collect::<Result<Vec<_>, _>>());
    for result in &results {
        assert!(result.as_ref().is_ok_and(|r| r.iter().all(|r| r.epoch == 2)), "{result:?}");
    }
    assert_eq!(simulator.stat("logins"), 2);
    assert_eq!(session.epoch(), 2);
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn sessions_killed_again_and_again_cost_one_login_each() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for round in 2..8 {
        simulator.kill_sessions();
        let results = together(16, |_| session.ping());
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(simulator.stat("logins"), round);
    }
    session.close().unwrap();
}

#[test]
fn not_authenticated_from_missing_privileges_causes_no_login() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "fault": "NotAuthenticated"}));
    let results = together(16, |_| session.ping());
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_NOT_AUTHENTICATED);
        assert_eq!(error.fault.as_deref(), Some("NotAuthenticated"));
    }
    assert_eq!(simulator.stat("logins"), 1);
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    simulator.clear_rules();
    session.ping().unwrap();
    assert_eq!(session.epoch(), 1);
    session.close().unwrap();
}

#[test]
fn no_permission_is_no_reason_to_log_in() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "fault": "NoPermission"}));
    let error = session.ping().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_NO_PERMISSION);
    assert_eq!(simulator.stat("logins"), 1);
    session.close().unwrap();
}

#[test]
fn a_property_withheld_from_an_unauthenticated_caller_is_read_again_after_a_login() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.kill_sessions();
    let call =
        Call { method: "RetrievePropertiesEx", this_type: "PropertyCollector", arguments: READ_TIME_ZONE };
    let reply = session.call(call, &Options::default()).unwrap();
    assert!(reply.xml.contains("<userName>user</userName>"), "{}", reply.xml);
    assert_eq!(reply.epoch, 2);
    session.close().unwrap();
}

#[test]
fn relogin_never_reports_the_end_of_the_session() {
    let simulator = Simulator::start();
    let session = simulator.config().with("relogin", "never").open().unwrap();
    assert_eq!(session.ping().unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert_eq!(simulator.stat("requests"), 0);
    session.login().unwrap();
    session.ping().unwrap();
    simulator.kill_sessions();
    let results = together(8, |_| session.ping());
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_NOT_AUTHENTICATED);
        assert_eq!(error.executed, VSESSION_EXECUTED_NO);
    }
    assert_eq!(session.state(), VSESSION_STATE_EXPIRED);
    assert_eq!(simulator.stat("logins"), 1);
    session.login().unwrap();
    session.ping().unwrap();
    assert_eq!(session.epoch(), 2);
    session.close().unwrap();
}

#[test]
fn a_call_can_rule_out_a_login_and_a_new_session() {
    let simulator = Simulator::start();
    let session = simulator.session();
    let no_relogin = Options { no_relogin: true, ..Options::default() };
    assert_eq!(session.ping_with(&no_relogin).unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
    session.login().unwrap();
    let epoch_1 = Options { require_epoch: 1, ..Options::default() };
    session.ping_with(&epoch_1).unwrap();
    simulator.kill_sessions();
    assert_eq!(session.ping_with(&no_relogin).unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert_eq!(simulator.stat("logins"), 1);
    // The dead session is replaced, but the call is not sent through the new one.
    assert_eq!(session.ping_with(&epoch_1).unwrap_err().status, status::VSESSION_E_SESSION_CHANGED);
    assert_eq!(session.epoch(), 2);
    session.ping_with(&Options { require_epoch: 2, ..Options::default() }).unwrap();
    session.close().unwrap();
}

#[test]
fn refresh_and_is_active_find_a_dead_session_without_logging_in() {
    let simulator = Simulator::start();
    for check in [0, 1] {
        let session = simulator.session();
        session.login().unwrap();
        let logins = simulator.stat("logins");
        simulator.kill_sessions();
        match check {
            0 => assert_eq!(session.refresh().err().unwrap().status, status::VSESSION_E_NOT_AUTHENTICATED),
            _ => assert!(!session.is_active().unwrap()),
        }
        assert_eq!(session.state(), VSESSION_STATE_EXPIRED);
        assert_eq!(simulator.stat("logins"), logins);
        session.ping().unwrap();
        assert_eq!(simulator.stat("logins"), logins + 1);
        session.close().unwrap();
    }
}

#[test]
fn is_active_asks_the_server_each_time() {
    let simulator = Simulator::start();
    let session = simulator.session();
    assert!(!session.is_active().unwrap(), "there is no session, and none is made");
    assert_eq!(simulator.stat("requests"), 0);
    session.login().unwrap();
    for asked in 1..=3 {
        assert!(session.is_active().unwrap());
        assert_eq!(simulator.calls("SessionIsActive"), asked);
    }
    // The session counts as unreachable, and the check asks the server anyway.
    simulator.rule(json!({"method": "CurrentTime", "status": 503, "times": 1}));
    session.ping().unwrap_err();
    assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE);
    assert!(session.is_active().unwrap());
    assert_eq!((simulator.calls("SessionIsActive"), session.state()), (4, VSESSION_STATE_ACTIVE));
    session.close().unwrap();
}

#[test]
fn without_the_privilege_for_session_is_active_a_living_session_is_kept() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "SessionIsActive", "fault": "NoPermission"}));
    for _ in 0..10 {
        assert!(session.is_active().unwrap());
        session.login().unwrap();
        session.ping().unwrap();
    }
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    assert_eq!((simulator.stat("logins"), simulator.stat("sessions")), (1, 1));
    session.close().unwrap();
}

#[test]
fn only_a_fault_about_the_question_itself_leads_from_session_is_active_to_current_session() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let answered = |fault: &str| {
        let asked = simulator.calls("RetrievePropertiesEx");
        simulator.rule(json!({"method": "SessionIsActive", "fault": fault, "times": 1}));
        (session.is_active(), simulator.calls("RetrievePropertiesEx") - asked)
    };
    // The account lacks the privilege, or the server lacks the method.
    let lacking = [
        "NoPermission", "NotAuthenticated", "NotSupported", "NotImplemented", "MethodNotFound",
        "InvalidRequest",
    ];
    for fault in lacking {
        let (active, asked) = answered(fault);
        assert!(active.unwrap(), "{fault}");
        assert_eq!(asked, 1, "{fault}");
    }
    for fault in ["InvalidArgument", "InvalidState", "SystemError"] {
        let (active, asked) = answered(fault);
        assert_eq!(active.unwrap_err().fault.as_deref(), Some(fault));
        assert_eq!((asked, session.state()), (0, VSESSION_STATE_ACTIVE), "{fault}");
    }
    session.close().unwrap();
}

#[test]
fn a_session_check_that_fails_is_an_error_and_not_false() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for method in ["SessionIsActive", "RetrievePropertiesEx"] {
        simulator.rule(json!({"method": method, "status": 503}));
    }
    assert_eq!(session.is_active().unwrap_err().status, status::VSESSION_E_HTTP);
    assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE);
    simulator.clear_rules();
    assert!(session.is_active().unwrap());
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    session.close().unwrap();
}

#[test]
fn a_session_that_idles_out_is_replaced() {
    let simulator = Simulator::with(&["-session-timeout", "1s"]);
    let session = simulator.session();
    session.login().unwrap();
    eventually("the server ends the session", || simulator.stat("expired") == 1);
    session.ping().unwrap();
    assert_eq!(session.epoch(), 2);
    session.close().unwrap();
}

#[test]
fn a_server_that_restarts_is_found_again() {
    let simulator = Simulator::start();
    let session = simulator.config().with("relogin.backoff_ms", "50").open().unwrap();
    session.login().unwrap();
    simulator.post("/listener/stop");
    simulator.close_connections("/connections/close");
    let error = session.ping().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONNECT);
    assert_eq!(error.executed, VSESSION_EXECUTED_NO);
    assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE);
    simulator.kill_sessions();
    simulator.post("/listener/start");
    session.ping().unwrap();
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    assert_eq!(session.epoch(), 2);
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn an_answer_ends_an_outage_even_if_it_is_a_fault() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for fault in ["NoPermission", "NotAuthenticated", "InvalidState"] {
        simulator.rule(json!({"method": "CurrentTime", "status": 503, "times": 1}));
        session.ping().unwrap_err();
        assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE);
        simulator.rule(json!({"method": "CurrentTime", "fault": fault, "times": 1}));
        assert_eq!(session.ping().unwrap_err().fault.as_deref(), Some(fault));
        assert_eq!(session.state(), VSESSION_STATE_ACTIVE, "{fault}");
    }
    session.close().unwrap();
}

#[test]
fn a_refresh_overtaken_by_a_logout_returns_no_empty_identity() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "RetrievePropertiesEx", "delay_after_ms": 2000}));
    std::thread::scope(|scope| {
        let refreshing = scope.spawn(|| session.refresh().map(|info| info.key()));
        eventually("the refresh is under way", || simulator.calls("RetrievePropertiesEx") == 1);
        session.logout().unwrap();
        let error = refreshing.join().unwrap().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_NOT_AUTHENTICATED);
    });
    session.close().unwrap();
}

#[test]
fn every_form_of_an_xml_boolean_is_read() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let answered = |text: &str| {
        // Canned: the simulator writes true and false; XML Schema also allows 1 and 0.
        let body = format!(
            "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body><SessionIsActiveResponse xmlns=\"urn:vim25\"><returnval>{text}</returnval></SessionIsActiveResponse></Body></Envelope>"
        );
        simulator.rule(json!({"method": "SessionIsActive", "times": 1, "status": 200, "body": body}));
        session.is_active()
    };
    for text in ["true", "1"] {
        assert!(answered(text).unwrap(), "{text}");
    }
    assert_eq!(answered("perhaps").unwrap_err().status, status::VSESSION_E_PROTOCOL);
    for text in ["false", "0"] {
        assert!(!answered(text).unwrap(), "{text}");
        eventually("the abandoned session is logged out, because it still lived", || {
            simulator.stat("sessions") == 0
        });
        session.login().unwrap();
    }
    session.close().unwrap();
}

const NOBODY: &str = "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body><RetrievePropertiesExResponse xmlns=\"urn:vim25\"/></Body></Envelope>";

/// Logins succeed but their sessions are unknown, as behind two nodes with one address or a proxy that drops cookies.
fn forgets_its_sessions(simulator: &Simulator) {
    simulator.rule(json!({"method": "CurrentTime", "fault": "NotAuthenticated"}));
    // Canned: the simulator knows the sessions it has made.
    simulator.rule(json!({"method": "RetrievePropertiesEx", "status": 200, "body": NOBODY}));
}

#[test]
fn useless_logins_are_followed_by_pauses_and_leave_no_sessions() {
    let simulator = Simulator::start();
    let session = simulator.config().with("relogin.backoff_ms", "60000").open().unwrap();
    forgets_its_sessions(&simulator);
    let failed = together(16, |_| {
        for _ in 0..20 {
            let error = session.ping().unwrap_err();
            assert_eq!(error.status, status::VSESSION_E_NOT_AUTHENTICATED);
            assert_eq!(error.executed, VSESSION_EXECUTED_NO);
        }
        session.ping().unwrap_err()
    });
    // The first login, and the one that replaced its session.
    assert_eq!(simulator.stat("logins"), 2);
    let error = &failed[0];
    assert!(error.message.contains("did not know its session"), "{}", error.message);
    assert!(error.retriable && (1..=60_000).contains(&error.retry_after_ms), "{error:?}");
    let named = format!("may start in {} ms", error.retry_after_ms);
    assert!(error.message.contains(&named), "{error:?}");
    assert_eq!(session.state(), VSESSION_STATE_EXPIRED);
    eventually("the abandoned session is logged out", || simulator.stat("sessions") == 0);
    // An explicit login is sent at once.
    simulator.clear_rules();
    session.login().unwrap();
    session.ping().unwrap();
    simulator.kill_sessions();
    session.ping().unwrap();
    assert_eq!(simulator.stat("logins"), 4);
    session.close().unwrap();
}

#[test]
fn the_pause_after_useless_logins_doubles_and_ends_with_a_successful_call() {
    let simulator = Simulator::start();
    let session = simulator.config().with("relogin.backoff_ms", "300").open().unwrap();
    forgets_its_sessions(&simulator);
    let times = || {
        let log = simulator.log();
        let logins = log.iter().filter(|e| e["method"] == "Login");
        logins.map(|e| e["start_ns"].as_u64().unwrap() / 1_000_000).collect::<Vec<_>>()
    };
    eventually("five logins", || {
        session.ping().unwrap_err();
        times().len() == 5
    });
    let times = times();
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Half of each pause is random.
    assert!(pauses[1] >= 150 && pauses[2] >= 300 && pauses[3] >= 600, "{pauses:?}");
    simulator.clear_rules();
    eventually("a call succeeds again", || session.ping().is_ok());
    for _ in 0..3 {
        simulator.kill_sessions();
        session.ping().unwrap();
    }
    session.close().unwrap();
}

#[test]
fn an_abandoned_session_is_not_logged_out_during_a_call() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    // Canned: another node with the same address, which does not know the session.
    simulator.rule(json!({"method": "RetrievePropertiesEx", "status": 200, "body": NOBODY, "times": 1}));
    simulator.rule(json!({"method": "CurrentTime", "delay_ms": 1500, "times": 1}));
    std::thread::scope(|scope| {
        let long = scope.spawn(|| session.ping());
        eventually("the call is under way", || simulator.calls("CurrentTime") == 1);
        simulator.rule(json!({"method": "CurrentTime", "fault": "NotAuthenticated", "times": 1}));
        assert_eq!(session.ping().unwrap().epoch, 2);
        assert_eq!(simulator.calls("Logout"), 0);
        assert_eq!(long.join().unwrap().unwrap().epoch, 1);
    });
    eventually("the session is logged out after the call", || simulator.stat("sessions") == 1);
    assert_eq!((simulator.calls("Logout"), simulator.stat("logins")), (1, 2));
    session.close().unwrap();
}

#[test]
fn replies_to_unauthenticated_calls_do_not_make_a_login_useful() {
    let simulator = Simulator::start();
    let session = simulator.config().with("relogin.backoff_ms", "60000").open().unwrap();
    forgets_its_sessions(&simulator);
    let content = Call { method: "RetrieveServiceContent", this_type: "ServiceInstance", arguments: "" };
    for _ in 0..5 {
        session.ping().unwrap_err();
        let _ = session.call(content, &Options::default());
    }
    assert_eq!(simulator.stat("logins"), 2);
    session.close().unwrap();
}

#[test]
fn a_session_known_to_be_dead_has_no_identity_and_no_cookie() {
    let simulator = Simulator::start();
    let session = simulator.config().with("relogin", "never").open().unwrap();
    session.login().unwrap();
    simulator.kill_sessions();
    assert!(session.info().is_ok(), "the client does not know yet");
    session.ping().unwrap_err();
    assert_eq!(session.state(), VSESSION_STATE_EXPIRED);
    assert_eq!(session.info().err().unwrap().status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert_eq!(session.cookie().err().unwrap().status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert_eq!(session.epoch(), 1);
    session.login().unwrap();
    assert!(session.info().is_ok() && session.cookie().is_ok());
    session.close().unwrap();
}

#[test]
fn while_a_session_is_replaced_its_identity_is_shown_until_the_login_fails() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.set_password("rotated");
    simulator.kill_sessions();
    simulator.rule(json!({"method": "Login", "delay_ms": 1500, "times": 1}));
    std::thread::scope(|scope| {
        let refused = scope.spawn(|| session.ping().unwrap_err());
        eventually("the login is under way", || simulator.calls("Login") == 2);
        assert_eq!(session.state(), VSESSION_STATE_LOGGING_IN);
        assert!(session.info().is_ok());
        assert_eq!(refused.join().unwrap().status, status::VSESSION_E_INVALID_LOGIN);
    });
    assert_eq!(session.state(), VSESSION_STATE_REJECTED);
    assert_eq!(session.info().err().unwrap().status, status::VSESSION_E_NOT_AUTHENTICATED);
    // A later attempt does not show it again.
    simulator.set_password("pass");
    simulator.rule(json!({"method": "Login", "delay_ms": 1500, "times": 1}));
    std::thread::scope(|scope| {
        let login = scope.spawn(|| session.login());
        eventually("the login is under way", || session.state() == VSESSION_STATE_LOGGING_IN);
        assert!(session.info().is_err());
        login.join().unwrap().unwrap();
    });
    assert!(session.info().is_ok());
    session.close().unwrap();
}
