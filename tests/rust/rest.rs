//! The REST session beside the vim25 session: one login, one renewal, one budget of failed logins, and the outage of one service is not
//! the other's.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use vsession::vsession_event_kind::*;
use vsession::vsession_executed::*;
use vsession::vsession_service::*;
use vsession::vsession_state::*;

use crate::support::*;

const MACHINES: HttpRequest = HttpRequest::get("/api/vcenter/vm").of_rest();
const OLD: HttpRequest = HttpRequest::get("/rest/com/vmware/cis/tagging/category").of_rest();
const API: &str = "/api/session";
const LEGACY: &str = "/rest/com/vmware/cis/session";

/// A vCenter that combines REST with vim25 in this way, and states this version.
fn vcenter(like: &str, rest: &str) -> Simulator {
    Simulator::with(&["-endpoints", "all", "-like", like, "-rest", rest])
}

/// Each way that a server may have, with a request that it serves, and whether REST has a session of its own.
fn ways() -> [(Simulator, HttpRequest<'static>, bool); 4] {
    [
        (vcenter("8.0.3", "unified"), MACHINES, false),
        (vcenter("8.0.3", "separate"), MACHINES, true),
        (vcenter("plain", "separate"), MACHINES, true),
        (vcenter("6.7", "legacy"), OLD, true),
    ]
}

/// With the answer to a request that only rules serve.
fn rest_logins(simulator: &Simulator) -> u64 {
    simulator.calls(&format!("POST {API}")) + simulator.calls(&format!("POST {LEGACY}"))
}

#[test]
fn one_login_serves_all_threads_in_the_way_that_the_server_has() {
    for (simulator, request, apart) in ways() {
        let session = simulator.session();
        assert_eq!((session.rest_state(), session.rest_epoch()), (VSESSION_STATE_LOGGED_OUT, 0));
        let replies = together(64, |number| match number % 2 {
            0 => session.http(request).map(|reply| (reply.status, reply.epoch)),
            _ => session.ping().map(|reply| (200, reply.epoch)),
        });
        for reply in replies {
            assert_eq!(reply.unwrap(), (200, 1));
        }
        let stats = simulator.stats();
        assert_eq!(simulator.stat("logins"), 1 + u64::from(apart), "{stats}");
        assert_eq!(simulator.stat("rest_sessions"), u64::from(apart), "{stats}");
        assert_eq!((session.rest_state(), session.rest_epoch()), (VSESSION_STATE_ACTIVE, 1));
        session.close().unwrap();
        assert_eq!(simulator.stat("sessions"), 0, "the close ends both");
        assert_eq!((session.rest_state(), session.rest_epoch()), (VSESSION_STATE_CLOSED, 0));
    }
}

#[test]
fn a_server_without_a_shared_session_is_not_logged_in_to_by_soap() {
    let simulator = vcenter("6.7", "legacy");
    let session = simulator.session();
    assert_eq!(session.http(OLD).unwrap().status, 200);
    assert_eq!((simulator.stat("logins"), simulator.stat("soap_sessions")), (1, 0));
    assert_eq!((session.state(), session.rest_state()), (VSESSION_STATE_LOGGED_OUT, VSESSION_STATE_ACTIVE));
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn both_services_use_the_idle_connections_of_either() {
    for (like, rest) in [("plain", "separate"), ("8.0.3", "unified"), ("6.7", "legacy")] {
        let simulator = vcenter(like, rest);
        let session = simulator.session();
        let request = if rest == "legacy" { OLD } else { MACHINES };
        session.http(request).unwrap();
        session.ping().unwrap();
        session.http(request).unwrap();
        session.close().unwrap();
        // The logouts of two sessions go out at the same time.
        let most = if rest == "unified" { 1 } else { 2 };
        assert!(simulator.stat("connections_accepted") <= most, "{like}: {}", simulator.stats());
    }
}

#[test]
fn a_login_to_rest_goes_out_on_the_connection_on_which_the_server_told_its_version() {
    let simulator = vcenter("plain", "separate");
    let session = simulator.session();
    session.http(MACHINES).unwrap();
    assert_eq!((simulator.stat("requests"), simulator.stat("connections_accepted")), (4, 1));
    session.close().unwrap();
    assert_eq!(simulator.stat("connections_accepted"), 1);
}

#[test]
fn the_option_chooses_the_way() {
    let simulator = vcenter("8.0.3", "unified");
    for (way, path, request, vim) in
        [("api", API, MACHINES, false), ("legacy", LEGACY, OLD, false), ("unified", API, MACHINES, true)]
    {
        let session = simulator.config().with("rest", way).open().unwrap();
        let before = simulator.calls(&format!("POST {path}"));
        assert_eq!(session.http(request).unwrap().status, 200, "{way}");
        assert_eq!(simulator.calls(&format!("POST {path}")) - before, u64::from(!vim), "{way}");
        assert_eq!(session.state() == VSESSION_STATE_ACTIVE, vim, "{way}");
        session.close().unwrap();
        assert_eq!(simulator.stat("sessions"), 0, "{way}");
    }
    let simulator = vcenter("8.0.3", "separate");
    let session = simulator.config().with("rest", "unified").open().unwrap();
    let error = session.http(MACHINES).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONFIG, "{error:?}");
    assert!(error.message.contains("set 'rest' to 'auto'"), "{error:?}");
    assert!(simulator.config().set("rest", "soap").is_err());
}

#[test]
fn a_session_that_the_server_ended_is_replaced_once_and_each_request_runs_once() {
    for (simulator, request, apart) in ways() {
        let session = simulator.session();
        session.http(request).unwrap();
        session.ping().unwrap();
        for round in 1..=3 {
            let logins = simulator.stat("logins");
            simulator.kill_sessions();
            let replies = together(16, |number| match number % 2 {
                0 => session.http(request).map(|reply| reply.epoch),
                _ => session.ping().map(|reply| reply.epoch),
            });
            for reply in replies {
                assert_eq!(reply.unwrap(), round + 1);
            }
            assert_eq!(simulator.stat("logins"), logins + 1 + u64::from(apart));
            assert_eq!(session.rest_epoch(), round + 1);
        }
        session.close().unwrap();
        assert_eq!(simulator.stat("sessions"), 0);
    }
}

#[test]
fn a_shared_session_that_vim25_has_replaced_is_used_without_another_question_to_rest() {
    let simulator = vcenter("8.0.3", "unified");
    let session = simulator.session();
    session.http(MACHINES).unwrap();
    simulator.kill_sessions();
    session.ping().unwrap();
    let log = simulator.log().len();
    assert_eq!(session.http(MACHINES).unwrap().epoch, 2);
    let sent: Vec<_> = simulator.log()[log..].iter().map(|entry| entry["path"].clone()).collect();
    // The logout of the session that was replaced may be under way.
    let sent: Vec<_> = sent.into_iter().filter(|path| path != "/sdk").collect();
    assert_eq!(sent, [MACHINES.path], "the request runs at once");
    assert_eq!((session.epoch(), session.rest_epoch(), simulator.stat("logins")), (2, 2, 2));
    session.close().unwrap();
}

/// State and epoch, of vim25 and of REST.
fn seen(session: &Session) -> [(vsession::vsession_state, u64); 2] {
    [(session.state(), session.epoch()), (session.rest_state(), session.rest_epoch())]
}

#[test]
fn a_shared_session_ends_and_comes_back_for_both_services_at_once() {
    let simulator = vcenter("8.0.3", "unified");
    let queue = Queue::new();
    let session = simulator.config().with("relogin", "never").with_queue(&queue).open().unwrap();
    session.login().unwrap();
    session.http(MACHINES).unwrap();
    simulator.kill_sessions();
    queue.drain();
    assert_eq!(session.ping().unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert_eq!(seen(&session), [(VSESSION_STATE_EXPIRED, 1); 2]);
    let asked = simulator.calls(&format!("GET {API}"));
    session.login().unwrap();
    assert_eq!(seen(&session), [(VSESSION_STATE_ACTIVE, 2); 2]);
    let info = session.info().unwrap();
    assert_eq!((info.rest_id(), info.rest_epoch()), (Some(info.cookie_value()), 2));
    let told: Vec<_> = queue
        .drain()
        .into_iter()
        .filter(|event| event.service == VSESSION_SERVICE_REST as i32)
        .map(|event| (event.kind, event.new_state, event.old_epoch, event.new_epoch))
        .collect();
    assert_eq!(
        told,
        [
            (VSESSION_EVENT_STATE_CHANGED, VSESSION_STATE_EXPIRED, 1, 1),
            (VSESSION_EVENT_STATE_CHANGED, VSESSION_STATE_ACTIVE, 1, 2),
            (VSESSION_EVENT_SESSION_REPLACED, VSESSION_STATE_ACTIVE, 1, 2),
        ]
    );
    assert_eq!(session.http(MACHINES).unwrap().epoch, 2);
    assert_eq!(simulator.calls(&format!("GET {API}")), asked, "nobody has to ask");
    session.logout().unwrap();
    assert_eq!(seen(&session), [(VSESSION_STATE_LOGGED_OUT, 2); 2]);
    session.close().unwrap();
}

#[test]
fn a_shared_session_that_keep_alive_replaces_stays_shared() {
    let simulator = vcenter("8.0.3", "unified");
    let session = lively(&simulator).open().unwrap();
    session.http(MACHINES).unwrap();
    let asked = simulator.calls(&format!("GET {API}"));
    simulator.kill_sessions();
    eventually("REST has the next session", || session.rest_epoch() == 2);
    assert_eq!(session.rest_state(), VSESSION_STATE_ACTIVE);
    assert_eq!((session.epoch(), simulator.calls(&format!("GET {API}"))), (2, asked));
    session.close().unwrap();
}

#[test]
fn a_server_that_shares_no_more_is_found_out_by_the_next_request() {
    let simulator = vcenter("8.0.3", "unified");
    let session = simulator.session();
    session.http(MACHINES).unwrap();
    simulator.post_json("/profile", json!({"rest": "separate"}));
    simulator.kill_sessions();
    session.ping().unwrap();
    assert_eq!(session.rest_state(), VSESSION_STATE_ACTIVE, "nothing else is known yet");
    assert_eq!(session.http(MACHINES).unwrap().status, 200);
    assert_eq!((simulator.stat("rest_sessions"), simulator.stat("soap_sessions")), (1, 1));
    // From now on each has its own.
    simulator.kill_sessions();
    session.ping().unwrap();
    assert_eq!((session.rest_state(), session.http(MACHINES).unwrap().status), (VSESSION_STATE_ACTIVE, 200));
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn a_rest_service_that_was_out_of_reach_is_not_said_to_be_back_by_vim25() {
    let simulator = vcenter("8.0.3", "unified");
    let session = simulator.session();
    session.http(MACHINES).unwrap();
    simulator.rule(json!({"path": "/api/*", "method": "*", "status": 503}));
    session.http(MACHINES).unwrap_err();
    assert_eq!(session.rest_state(), VSESSION_STATE_UNREACHABLE);
    simulator.kill_sessions();
    session.ping().unwrap();
    assert_eq!(seen(&session), [(VSESSION_STATE_ACTIVE, 2), (VSESSION_STATE_EXPIRED, 1)]);
    simulator.clear_rules();
    assert_eq!(session.http(MACHINES).unwrap().epoch, 2);
    session.close().unwrap();
}

#[test]
fn after_a_logout_that_vim25_survived_a_login_brings_rest_back() {
    for (simulator, request, _) in ways() {
        let session = simulator.session();
        session.ping().unwrap();
        session.http(request).unwrap();
        simulator.rule(json!({"method": "Logout", "status": 503}));
        session.logout().unwrap_err();
        assert_eq!(session.rest_state(), VSESSION_STATE_LOGGED_OUT);
        assert_eq!(session.http(request).unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
        simulator.clear_rules();
        session.login().unwrap();
        assert_eq!(session.http(request).unwrap().status, 200);
        session.close().unwrap();
        assert_eq!(simulator.stat("sessions"), 0);
    }
}

#[test]
fn an_account_that_rest_alone_refuses_is_told_what_to_do() {
    let simulator = vcenter("8.0.3", "separate");
    let session = simulator.session();
    session.ping().unwrap();
    // Canned: the simulator has one account for both services.
    simulator.rule(json!({"method": "POST", "path": API, "status": 401}));
    for _ in 0..3 {
        let error = session.http(MACHINES).unwrap_err();
        assert_eq!((error.status, error.executed), (status::VSESSION_E_INVALID_LOGIN, VSESSION_EXECUTED_NO));
        assert!(error.message.contains("call vsession_logout before it"), "{error:?}");
        assert_eq!(seen(&session), [(VSESSION_STATE_ACTIVE, 1), (VSESSION_STATE_REJECTED, 0)]);
        session.login().unwrap();
        session.ping().unwrap();
    }
    assert_eq!(rest_logins(&simulator), 1, "the password is sent once");
    simulator.clear_rules();
    session.logout().unwrap();
    session.login().unwrap();
    assert_eq!(session.http(MACHINES).unwrap().status, 200);
    session.close().unwrap();
}

#[test]
fn a_shared_session_is_not_logged_out_under_a_rest_request() {
    let simulator = vcenter("8.0.3", "unified");
    let session = simulator.session();
    session.http(MACHINES).unwrap();
    simulator.rule(json!({"path": MACHINES.path, "method": "GET", "delay_ms": 1500}));
    std::thread::scope(|scope| {
        let request = scope.spawn(|| session.http(MACHINES).unwrap());
        eventually("the request is under way", || simulator.stat("requests_in_flight") == 1);
        // Canned: the session is given up although it lives, as behind another node.
        for method in ["CurrentTime", "RetrievePropertiesEx"] {
            simulator.rule(json!({"method": method, "fault": "NotAuthenticated", "times": 1}));
        }
        assert_eq!(session.ping().unwrap().epoch, 2);
        assert_eq!(request.join().unwrap().epoch, 1);
    });
    eventually("the session that was given up is logged out", || simulator.calls("Logout") == 1);
    let log = simulator.log();
    let last = |name: &str, value: &str| log.iter().rfind(|entry| entry[name] == value).unwrap();
    let (logout, request) = (last("method", "Logout"), last("path", MACHINES.path));
    assert!(
        logout["start_ns"].as_u64() >= request["end_ns"].as_u64(),
        "the request had its session to its end: {logout} {request}"
    );
    session.close().unwrap();
}

#[test]
fn an_answer_that_the_living_session_is_none_stands() {
    for (simulator, request, _) in ways() {
        let session = simulator.session();
        session.http(request).unwrap();
        let logins = simulator.stat("logins");
        // Canned: the simulator has no privileges.
        simulator.rule(
            json!({"path": request.path, "times": 1, "status": 401, "content_type": "application/json",
            "body": r#"{"error_type":"UNAUTHENTICATED","messages":[]}"#}),
        );
        let error = session.http(request).unwrap_err();
        assert_eq!(
            (error.status, error.executed),
            (status::VSESSION_E_NOT_AUTHENTICATED, VSESSION_EXECUTED_NO),
            "{error:?}"
        );
        assert_eq!((simulator.stat("logins"), session.rest_epoch()), (logins, 1));
        assert_eq!(session.http(request).unwrap().status, 200);
        session.close().unwrap();
    }
}

#[test]
fn a_wrong_password_costs_the_account_one_failed_login_whatever_is_under_way() {
    for (simulator, request, _) in ways() {
        for way in ["auto", "api"] {
            if way == "api" && request.path == OLD.path {
                continue;
            }
            let failures = simulator.stat("login_failures");
            let session = simulator.config().with("rest", way).with("password", "wrong").open().unwrap();
            let statuses = together(24, |number| match number % 2 {
                0 => session.http(request).map(|_| ()),
                _ => session.ping().map(|_| ()),
            });
            for result in statuses {
                assert_eq!(result.unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
            }
            for _ in 0..3 {
                assert_eq!(session.http(request).unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
                assert_eq!(session.ping().unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
            }
            let stats = simulator.stats();
            assert_eq!(simulator.stat("login_failures") - failures, 1, "{way}: {stats}");
            session.set_password("pass").unwrap();
            session.http(request).unwrap();
            session.ping().unwrap();
            session.close().unwrap();
            assert_eq!(simulator.stat("sessions"), 0);
        }
    }
}

#[test]
fn a_login_by_hand_beside_a_rest_login_learns_from_it_that_the_password_is_wrong() {
    let simulator = vcenter("plain", "separate");
    let session = simulator.config().with("password", "wrong").open().unwrap();
    simulator.rule(json!({"method": "POST", "path": API, "delay_ms": 1000}));
    std::thread::scope(|scope| {
        let rest = scope.spawn(|| session.http(MACHINES).unwrap_err());
        eventually("the REST login is under way", || simulator.stat("requests_in_flight") == 1);
        let error = session.login().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_LOGIN, "{error:?}");
        assert_eq!(rest.join().unwrap().status, status::VSESSION_E_INVALID_LOGIN);
    });
    assert_eq!(simulator.stat("login_failures"), 1);
    // One that begins afterwards is the program's wish.
    session.login().unwrap_err();
    assert_eq!(simulator.stat("login_failures"), 2);
    session.close().unwrap();
}

#[test]
fn a_password_that_changed_on_the_server_is_sent_once() {
    for (simulator, request, _) in ways() {
        let session = simulator.session();
        session.http(request).unwrap();
        session.ping().unwrap();
        simulator.set_password("other");
        simulator.kill_sessions();
        let failures = simulator.stat("login_failures");
        for result in together(16, |number| match number % 2 {
            0 => session.http(request).map(|_| ()),
            _ => session.ping().map(|_| ()),
        }) {
            assert_eq!(result.unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
        }
        assert_eq!(simulator.stat("login_failures") - failures, 1);
        assert_eq!(session.state(), VSESSION_STATE_REJECTED);
        session.set_password("other").unwrap();
        assert_eq!((session.http(request).unwrap().epoch, session.ping().unwrap().epoch), (2, 2));
        session.close().unwrap();
        simulator.set_password("pass");
    }
}

#[test]
fn a_logout_ends_both_and_the_next_login_by_hand_allows_both() {
    for (simulator, request, _) in ways() {
        let session = simulator.session();
        session.http(request).unwrap();
        session.ping().unwrap();
        session.logout().unwrap();
        assert_eq!(simulator.stat("sessions"), 0);
        assert_eq!(session.rest_state(), VSESSION_STATE_LOGGED_OUT);
        assert_eq!(session.http(request).unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
        assert_eq!(simulator.stat("sessions"), 0, "no automatic login");
        session.login().unwrap();
        assert_eq!(session.http(request).unwrap().epoch, 2);
        session.close().unwrap();
        // The same where REST was not used before the logout.
        let session = simulator.session();
        session.login().unwrap();
        session.logout().unwrap();
        assert_eq!(session.http(request).unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
        assert_eq!(simulator.stat("sessions"), 0);
        session.close().unwrap();
    }
}

#[test]
fn without_relogin_the_login_by_hand_covers_rest() {
    let simulator = vcenter("plain", "separate");
    let session = simulator.config().with("relogin", "never").open().unwrap();
    let error = session.http(MACHINES).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert!(error.message.contains("call vsession_login"), "{error:?}");
    session.login().unwrap();
    assert_eq!(session.http(MACHINES).unwrap().status, 200);
    session.close().unwrap();
}

#[test]
fn without_relogin_a_rest_session_that_ended_waits_for_the_next_login_by_hand() {
    for (simulator, request, _) in ways() {
        let session = simulator.config().with("relogin", "never").open().unwrap();
        session.login().unwrap();
        session.http(request).unwrap();
        for round in 2..=3 {
            simulator.kill_sessions();
            let logins = simulator.stat("logins");
            for _ in 0..2 {
                let error = session.http(request).unwrap_err();
                assert_eq!(error.status, status::VSESSION_E_NOT_AUTHENTICATED, "{error:?}");
                assert!(error.message.contains("call vsession_login"), "{error:?}");
                assert_eq!(error.executed, VSESSION_EXECUTED_NO, "{error:?}");
                assert_eq!(session.rest_state(), VSESSION_STATE_EXPIRED);
            }
            assert_eq!(simulator.stat("logins"), logins, "nothing logs in by itself");
            // Nobody has noticed yet that the vim25 session is gone too; and once more when somebody has.
            session.login().unwrap();
            if session.ping().is_err() {
                session.login().unwrap();
            }
            assert_eq!(session.http(request).unwrap().epoch, round);
            assert_eq!(session.rest_state(), VSESSION_STATE_ACTIVE);
        }
        session.close().unwrap();
        assert_eq!(simulator.stat("sessions"), 0);
    }
}

#[test]
fn without_relogin_a_rest_session_does_not_send_a_password_that_changed_meanwhile() {
    let simulator = vcenter("plain", "separate");
    let session = simulator.config().with("relogin", "never").open().unwrap();
    session.login().unwrap();
    session.http(MACHINES).unwrap();
    simulator.set_password("rotated");
    simulator.kill_sessions();
    assert_eq!(session.http(MACHINES).unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert_eq!(simulator.stat("login_failures"), 0);
    session.close().unwrap();
}

#[test]
fn without_relogin_keep_alive_stops_when_the_rest_session_has_ended() {
    let simulator = vcenter("plain", "separate");
    let session = lively(&simulator).with("relogin", "never").open().unwrap();
    session.login().unwrap();
    session.http(MACHINES).unwrap();
    let asked = || simulator.calls(&format!("GET {API}"));
    simulator.kill_sessions();
    eventually("keep-alive notices", || session.rest_state() == VSESSION_STATE_EXPIRED);
    let before = asked();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!((asked(), rest_logins(&simulator)), (before, 1), "it has stopped");
    // The next login by hand, and the request that follows it, start it again.
    session.login().unwrap();
    assert_eq!(session.http(MACHINES).unwrap().epoch, 2);
    eventually("it has started again", || asked() > before);
    session.close().unwrap();
}

#[test]
fn the_limit_of_a_reply_to_a_rest_login_is_not_an_option() {
    let simulator = vcenter("plain", "separate");
    let session = simulator.session();
    let body = "x".repeat(2 << 20);
    simulator.rule(json!({"path": API, "method": "POST", "status": 200, "body": body}));
    let error = session.http(MACHINES).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_REPLY_TOO_LARGE, "{error:?}");
    assert!(error.message.contains("1048576 bytes") && !error.message.contains("option"), "{error:?}");
    session.close().unwrap();
}

/// How REST, or SOAP, may be out of order.
fn troubles(path: &str) -> [serde_json::Value; 3] {
    [
        json!({"path": path, "method": "*", "status": 503}),
        json!({"path": path, "method": "*", "hang": true}),
        json!({"path": path, "method": "*", "reset": "before"}),
    ]
}

#[test]
fn with_rest_down_no_soap_call_fails_or_waits() {
    for (simulator, request, _) in ways() {
        let prefix = if request.path == OLD.path { "/rest/*" } else { "/api/*" };
        for trouble in troubles(prefix) {
            for used_before in [true, false] {
                // As many REST requests as there are connections hang.
                let session = simulator.config().with("max_connections", "4").open().unwrap();
                if used_before {
                    session.http(request).unwrap();
                }
                simulator.rule(trouble.clone());
                let token = Token::new();
                std::thread::scope(|scope| {
                    for _ in 0..8 {
                        scope.spawn(|| {
                            let error = session.http_with(request, &token.options()).unwrap_err();
                            assert_ne!(error.status, status::VSESSION_E_INVALID_LOGIN, "{error:?}");
                        });
                    }
                    let start = Instant::now();
                    session.login_with(&Options::timeout(60_000)).unwrap();
                    for _ in 0..20 {
                        session.ping_with(&Options::timeout(60_000)).unwrap();
                    }
                    let took = start.elapsed();
                    if !trouble["hang"].is_null() {
                        token.fire();
                    }
                    // A login waits five seconds for a REST login that hangs, since both send one password.
                    assert!(took < Duration::from_secs(30), "{took:?}");
                });
                assert_eq!(session.state(), VSESSION_STATE_ACTIVE, "{trouble}");
                if used_before && trouble["hang"].is_null() {
                    assert_eq!(session.rest_state(), VSESSION_STATE_UNREACHABLE, "{trouble}");
                }
                let start = Instant::now();
                let _ = session.close_with(&Options::timeout(2000));
                assert!(start.elapsed() < Duration::from_secs(30));
                assert_eq!(
                    simulator.stat("soap_sessions"),
                    0,
                    "its logout does not wait for REST: {trouble}"
                );
                simulator.clear_rules();
                simulator.kill_sessions();
            }
        }
    }
}

#[test]
fn with_soap_down_no_rest_request_fails_or_waits() {
    for (simulator, request, _) in ways() {
        for trouble in troubles("/sdk*") {
            let session = simulator.config().with("max_connections", "4").open().unwrap();
            session.ping().unwrap();
            session.http(request).unwrap();
            simulator.rule(trouble.clone());
            let token = Token::new();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| session.ping_with(&token.options()).unwrap_err());
                }
                let start = Instant::now();
                for _ in 0..20 {
                    session.http_with(request, &Options::timeout(60_000)).unwrap();
                }
                let took = start.elapsed();
                token.fire();
                assert!(took < Duration::from_secs(30), "{took:?}");
            });
            assert_eq!(session.rest_state(), VSESSION_STATE_ACTIVE, "{trouble}");
            if trouble["hang"].is_null() {
                assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE, "{trouble}");
            }
            simulator.clear_rules();
            session.close().unwrap();
        }
        // A REST login begins all the same, and does not wait for long.
        simulator.rule(json!({"path": "/sdk*", "method": "*", "hang": true}));
        let session = simulator.session();
        assert_eq!(session.http_with(request, &Options::timeout(60_000)).unwrap().status, 200);
        simulator.clear_rules();
        session.close().unwrap();
    }
}

/// Uses a service; the error.
type Use = fn(&Session, &Options) -> Option<ApiError>;

#[test]
fn callers_with_near_deadlines_wait_for_the_hung_login_of_the_other_service_only_once() {
    let soap: Use = |session, options| session.ping_with(options).err();
    let rest: Use = |session, options| session.http_with(MACHINES, options).err();
    let cases = [
        ("separate", API, Some(rest), soap),
        ("separate", "Login", Some(soap), rest),
        ("unified", "/sdk*", Some(soap), rest),
        // The login to REST asks vim25 itself.
        ("unified", "/sdk*", None, rest),
    ];
    together(cases.len(), |number| {
        let (way, hung, busy, other) = cases[number];
        let simulator = vcenter("8.0.3", way);
        simulator.rule(match hung {
            "Login" => json!({"method": hung, "hang": true}),
            _ => json!({"path": hung, "method": "*", "hang": true}),
        });
        // Without a question to vim25 the login is the first request.
        let rest_way = if hung == API { "api" } else { "auto" };
        let session = simulator.config().with("rest", rest_way).open().unwrap();
        let token = Token::new();
        std::thread::scope(|scope| {
            if let Some(busy) = busy {
                let (session, options) = (&session, token.options());
                scope.spawn(move || busy(session, &options));
                eventually("the login hangs", || simulator.stat("requests_in_flight") == 1);
            }
            let error = other(&session, &Options::timeout(3000)).expect("it waits its turn");
            assert_eq!(error.status, status::VSESSION_E_TIMEOUT, "{hung}: {error:?}");
            assert!(error.message.contains("the login to the other service"), "{hung}: {error:?}");
            // What is left of the five seconds.
            let error = other(&session, &Options::timeout(3000));
            token.fire();
            assert!(error.is_none(), "{hung}: {error:?}");
        });
        let _ = session.close_with(&Options::timeout(1000));
    });
}

#[test]
fn a_logout_in_a_callback_of_either_login_fails_at_once() {
    for (simulator, request, _) in ways() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let answers = said.clone();
        let session = simulator
            .config()
            .with_credentials(move |handle| {
                answers.lock().unwrap().push(Session(handle).logout_with(&Options::timeout(3000)).err());
                Credentials::Pair("user", "pass".into())
            })
            .open()
            .unwrap();
        session.http_with(request, &Options::timeout(60_000)).unwrap();
        session.ping().unwrap();
        let said = said.lock().unwrap();
        assert!(!said.is_empty() && said.iter().all(Option::is_some), "{said:?}");
        assert!(said.iter().flatten().all(|error| error.status == status::VSESSION_E_REENTRANT), "{said:?}");
        session.close().unwrap();
    }
}

#[test]
fn events_say_which_session_they_speak_of() {
    let simulator = vcenter("plain", "separate");
    let queue = Queue::new();
    let session = simulator.config().with_queue(&queue).open().unwrap();
    session.http(MACHINES).unwrap();
    session.login().unwrap();
    let told: Vec<_> = queue
        .drain()
        .into_iter()
        .map(|event| (event.service, event.kind, event.old_state, event.new_state))
        .collect();
    let change = |service, old, new| (service as i32, VSESSION_EVENT_STATE_CHANGED, old, new);
    assert_eq!(
        told,
        [
            change(VSESSION_SERVICE_REST, VSESSION_STATE_LOGGED_OUT, VSESSION_STATE_LOGGING_IN),
            change(VSESSION_SERVICE_REST, VSESSION_STATE_LOGGING_IN, VSESSION_STATE_ACTIVE),
            change(VSESSION_SERVICE_VIM, VSESSION_STATE_LOGGED_OUT, VSESSION_STATE_LOGGING_IN),
            change(VSESSION_SERVICE_VIM, VSESSION_STATE_LOGGING_IN, VSESSION_STATE_ACTIVE),
        ]
    );
    session.close().unwrap();
    let closed: Vec<_> = queue.drain().into_iter().map(|event| (event.service, event.new_state)).collect();
    assert_eq!(closed.len(), 2);
    assert!(closed.iter().all(|(_, state)| *state == VSESSION_STATE_CLOSED));
    // One that never used REST tells nothing of it.
    let session = simulator.config().with_queue(&queue).open().unwrap();
    session.ping().unwrap();
    session.close().unwrap();
    assert!(queue.drain().iter().all(|event| event.service == VSESSION_SERVICE_VIM as i32));
}

#[test]
fn a_completion_is_an_event_of_the_session_that_the_request_went_through() {
    let simulator = vcenter("plain", "separate");
    let queue = Queue::new();
    let session = simulator.session();
    session.http_async(MACHINES, &queue, 7, &Options::default()).unwrap();
    let event = queue.next(60_000).unwrap().unwrap();
    assert_eq!((event.kind, event.tag, event.service), (VSESSION_EVENT_COMPLETION, 7, 2));
    assert_eq!(event.new_epoch, 1);
    session.close().unwrap();
}

/// Probes every second and retries failures at once.
fn lively(simulator: &Simulator) -> Config {
    simulator.config().with("keepalive.interval_ms", "1000").with("relogin.backoff_ms", "50")
}

#[test]
fn keep_alive_looks_after_a_rest_session_of_its_own() {
    let simulator = vcenter("plain", "separate");
    let session = lively(&simulator).open().unwrap();
    session.http(MACHINES).unwrap();
    let asked = || simulator.calls(&format!("GET {API}"));
    let before = asked();
    eventually("a probe goes out", || asked() > before);
    simulator.kill_sessions();
    eventually("keep-alive replaces the session", || session.rest_epoch() == 2);
    assert_eq!(session.state(), VSESSION_STATE_LOGGED_OUT, "it is not the vim25 session's");
    session.keepalive_stop().unwrap();
    // A probe may be under way.
    std::thread::sleep(Duration::from_millis(500));
    let before = asked();
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(asked(), before, "it has stopped");
    session.keepalive_start(1000).unwrap();
    eventually("it has started again", || asked() > before);
    session.close().unwrap();
}

#[test]
fn a_shared_session_is_kept_alive_by_vim25_alone() {
    let simulator = vcenter("8.0.3", "unified");
    let session = lively(&simulator).open().unwrap();
    session.http(MACHINES).unwrap();
    let asked = simulator.calls(&format!("GET {API}"));
    let before = simulator.calls("CurrentTime");
    eventually("vim25 is probed", || simulator.calls("CurrentTime") >= before + 3);
    assert_eq!(simulator.calls(&format!("GET {API}")), asked);
    session.close().unwrap();
}

#[test]
fn a_failed_probe_of_rest_is_told_as_such() {
    let simulator = vcenter("plain", "separate");
    let queue = Queue::new();
    let session = lively(&simulator).with_queue(&queue).open().unwrap();
    session.ping().unwrap();
    session.http(MACHINES).unwrap();
    simulator.rule(json!({"path": "/api/*", "method": "*", "status": 503}));
    let mut told = None;
    while told.is_none() {
        let event = queue.next(60_000).unwrap().expect("a failed probe is told");
        told = (event.kind == VSESSION_EVENT_KEEPALIVE_FAILED).then_some(event.service);
    }
    assert_eq!(told, Some(VSESSION_SERVICE_REST as i32));
    eventually("REST is out of reach", || session.rest_state() == VSESSION_STATE_UNREACHABLE);
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    simulator.clear_rules();
    eventually("REST is back", || session.rest_state() == VSESSION_STATE_ACTIVE);
    assert_eq!((session.rest_epoch(), session.epoch()), (1, 1));
    session.close().unwrap();
}

#[test]
fn sessions_that_end_although_they_are_used_are_replaced() {
    for (like, rest) in [("8.0.3", "unified"), ("plain", "separate")] {
        let simulator =
            Simulator::with(&["-endpoints", "all", "-like", like, "-rest", rest, "-session-life", "2s"]);
        let session = simulator.session();
        let start = Instant::now();
        while session.rest_epoch() < 3 {
            assert!(start.elapsed() < Duration::from_secs(60), "the server ends no session");
            assert_eq!(session.http(MACHINES).unwrap().status, 200);
            std::thread::sleep(Duration::from_millis(20));
        }
        session.close().unwrap();
        assert_eq!(simulator.stat("sessions"), 0);
    }
}

#[test]
fn a_server_that_changes_its_way_is_followed() {
    let simulator = vcenter("8.0.3", "separate");
    let session = simulator.session();
    assert_eq!(session.http(MACHINES).unwrap().status, 200);
    for (rest, request, shared) in
        [("unified", MACHINES, true), ("legacy", OLD, false), ("separate", MACHINES, false)]
    {
        simulator.post_json("/profile", json!({"rest": rest}));
        simulator.kill_sessions();
        let epoch = session.rest_epoch();
        assert_eq!(session.http(request).unwrap().status, 200, "{rest}");
        assert_eq!(session.rest_epoch(), epoch + 1, "{rest}");
        assert_eq!(simulator.stat("rest_sessions"), u64::from(!shared), "{rest}");
    }
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn requests_that_need_another_epoch_are_refused() {
    let simulator = vcenter("plain", "separate");
    let session = simulator.session();
    session.http(MACHINES).unwrap();
    let options = Options { require_epoch: 2, ..Options::default() };
    let error = session.http_with(MACHINES, &options).unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_SESSION_CHANGED, VSESSION_EXECUTED_NO));
    session.close().unwrap();
}

#[test]
fn a_rest_login_whose_answer_is_late_leaves_no_session() {
    let simulator = vcenter("plain", "separate");
    let session = simulator.session();
    simulator.rule(json!({"method": "POST", "path": API, "delay_after_ms": 1500, "times": 1}));
    let error = session.http_with(MACHINES, &Options::timeout(500)).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
    session.close().unwrap();
    eventually("the session that came late is ended", || {
        rest_logins(&simulator) == 1 && simulator.stat("sessions") == 0
    });
}

#[test]
fn secrets_of_a_rest_login_are_not_shown() {
    let simulator = vcenter("plain", "separate");
    let session = simulator.config().with("password", "s3cr3t-Pa55").open().unwrap();
    let basic = "dXNlcjpzM2NyM3QtUGE1NQ==";
    // Canned: a server that repeats what it was sent.
    simulator.rule(json!({"method": "POST", "path": API, "status": 500,
        "body": format!("Basic {basic} is user:s3cr3t-Pa55")}));
    let error = session.http(MACHINES).unwrap_err();
    let shown = format!("{error:?}");
    assert!(!shown.contains("s3cr3t") && !shown.contains(basic), "{shown}");
    session.close().unwrap();
}
