//! Logging in: once for all threads, and never so often that the server locks the account.

use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vsession::vsession_executed::*;
use vsession::vsession_state::*;

use crate::support::canned::{envelope, with_length};
use crate::support::*;

#[test]
fn concurrent_logins_make_one_session() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "delay_ms": 200, "times": 1}));
    let session = simulator.session();
    let results = together(64, |_| session.login());
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(simulator.stat("logins"), 1);
    assert_eq!(simulator.stat("sessions"), 1);
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    assert_eq!(session.epoch(), 1);
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn a_login_on_an_active_session_makes_no_request() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let before = simulator.stat("requests");
    for _ in 0..10 {
        session.login().unwrap();
    }
    assert_eq!(simulator.stat("requests"), before);
    session.close().unwrap();
}

#[test]
fn opening_makes_no_request_and_the_first_call_logs_in() {
    let simulator = Simulator::start();
    let session = simulator.session();
    assert_eq!(simulator.stat("connections_accepted"), 0);
    assert_eq!(session.state(), VSESSION_STATE_LOGGED_OUT);
    assert_eq!(session.info().err().unwrap().status, status::VSESSION_E_NOT_AUTHENTICATED);
    let replies = together(16, |_| session.ping());
    assert!(
        replies.iter().all(|r| r.as_ref().is_ok_and(|r| r.text.is_some() && r.epoch == 1)),
        "{replies:?}"
    );
    assert_eq!(simulator.stat("logins"), 1);
    session.close().unwrap();
}

#[test]
fn the_identity_is_the_servers() {
    for mode in ["vpx", "esx"] {
        let simulator = Simulator::with(&["-mode", mode]);
        let session = simulator.session();
        session.login().unwrap();
        let info = session.info().unwrap();
        assert_eq!(info.user_name(), "user");
        assert_eq!(info.epoch(), 1);
        let (api_type, manager) = match mode {
            "vpx" => ("VirtualCenter", "SessionManager"),
            _ => ("HostAgent", "ha-sessionmgr"),
        };
        assert_eq!(info.about("apiType").as_deref(), Some(api_type));
        assert_eq!(info.service_id("sessionManager").as_deref(), Some(manager));
        assert_eq!(info.service_id("nothing"), None);
        let refreshed = session.refresh().unwrap();
        assert_eq!(refreshed.key(), info.key());
        assert!(session.is_active().unwrap());
        assert!(session.cookie().unwrap().starts_with("vmware_soap_session="));
        session.close().unwrap();
        assert_eq!(simulator.stat("sessions"), 0);
    }
}

#[test]
fn the_version_comes_from_the_servers_list() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let log = simulator.log();
    let first = &log[0];
    assert_eq!(first["path"], "/sdk/vimServiceVersions.xml");
    let login = log.iter().find(|e| e["method"] == "Login").unwrap();
    assert_eq!(login["soap_action"], format!("urn:vim25/{}", simulator.text("version")));
    assert!(login["cookie"].is_null(), "a login carries no cookie: {login}");
    session.close().unwrap();
    let session = simulator.config().with("api_version", "8.0.0.1").open().unwrap();
    session.login().unwrap();
    let log = simulator.log();
    let login = log.iter().rfind(|e| e["method"] == "Login").unwrap();
    assert_eq!(login["soap_action"], "urn:vim25/8.0.0.1");
    session.close().unwrap();
}

#[test]
fn quotes_around_the_cookie_are_sent_back() {
    let simulator = Simulator::start();
    // Canned: a real vCenter quotes its cookie, the simulator does not. A cookie of the simulator's own would come first
    // in the reply, so the rule replaces the reply.
    simulator.rule(json!({"method": "Login", "times": 1, "content_type": "text/xml",
        "set_cookie": "vmware_soap_session=\"52c0ffee\"; Path=/; HttpOnly; Secure;",
        "body": "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body><LoginResponse xmlns=\"urn:vim25\"><returnval><key>k</key><userName>user</userName></returnval></LoginResponse></Body></Envelope>", "status": 200}));
    let session = simulator.session();
    session.login().unwrap();
    assert_eq!(session.cookie().unwrap(), "vmware_soap_session=\"52c0ffee\"");
    let _ = session.ping_with(&Options { no_relogin: true, ..Options::default() });
    let log = simulator.log();
    let call = log.iter().find(|e| e["method"] == "CurrentTime").unwrap();
    assert_eq!(call["cookie_header"], "vmware_soap_session=\"52c0ffee\"");
    session.close().unwrap();
}

#[test]
fn the_last_of_two_session_cookies_counts_even_when_it_deletes_the_cookie() {
    // Canned: the simulator never sets two cookies.
    let canned = Canned::http();
    let login = |cookies: &'static str| {
        canned.on_everything(move |peer, request| {
            let body = match request.method.as_str() {
                "Login" => "<LoginResponse xmlns=\"urn:vim25\"><returnval><key>k</key><userName>u</userName></returnval></LoginResponse>",
                _ => "<RetrieveServiceContentResponse xmlns=\"urn:vim25\"><returnval><rootFolder type=\"Folder\">f</rootFolder><propertyCollector type=\"PropertyCollector\">pc</propertyCollector><about><name>canned</name></about><sessionManager type=\"SessionManager\">sm</sessionManager></returnval></RetrieveServiceContentResponse>",
            };
            peer.say(&with_length(if request.method == "Login" { cookies } else { "" }, envelope(body).as_bytes()));
        });
        let session = canned.config().open().unwrap();
        let cookie = session.login().map(|()| session.cookie().unwrap());
        canned.well();
        session.close().ok();
        cookie
    };
    let two = login("Set-Cookie: vmware_soap_session=one\r\nSet-Cookie: vmware_soap_session=two\r\n");
    assert_eq!(two.unwrap(), "vmware_soap_session=two");
    let deleted =
        "Set-Cookie: vmware_soap_session=one\r\nSet-Cookie: vmware_soap_session=gone; Max-Age=0\r\n";
    assert_eq!(login(deleted).unwrap_err().status, status::VSESSION_E_PROTOCOL);
    // ureq parses replies with these headers.
    let in_two_forms = "Connection: keep-alive, x\r\nSet-Cookie: vmware_soap_session=one\r\nSet-Cookie: vmware_soap_session=two\r\n";
    assert_eq!(login(in_two_forms).unwrap(), "vmware_soap_session=two");
}

#[test]
fn a_wrong_password_is_reported_with_the_faults_name_and_not_sent_again() {
    let simulator = Simulator::start();
    let session = simulator.config().with("password", "wrong").open().unwrap();
    let results = together(16, |_| session.ping());
    for result in results {
        let error = result.unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_LOGIN);
        assert_eq!(error.fault.as_deref(), Some("InvalidLogin"));
        assert!(!error.retriable);
        assert_eq!(error.executed, VSESSION_EXECUTED_NO);
    }
    assert_eq!(session.state(), VSESSION_STATE_REJECTED);
    for _ in 0..20 {
        assert_eq!(session.ping().unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
    }
    assert_eq!(simulator.stat("login_failures"), 1, "one attempt for one set of credentials");
    // An explicit login makes one more attempt.
    let error = session.login().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_INVALID_LOGIN);
    assert_eq!(simulator.stat("login_failures"), 2);
    simulator.set_password("wrong");
    session.login().unwrap();
    session.ping().unwrap();
    session.close().unwrap();
}

/// Each set of credentials, whatever its source, is sent once. Meanwhile 64 threads call all the time, keep-alive runs,
/// and another wrong password arrives.
#[test]
fn a_password_changed_on_the_server_does_not_lock_the_account() {
    // The long form of the tests runs for a minute.
    let seconds = if std::env::var_os("VSESSION_TEST_LONG").is_some() { 60 } else { 1 };
    for source in ["option", "file", "function"] {
        let simulator = Simulator::start();
        let file = std::env::temp_dir().join(format!("vsession-changed-{}", std::process::id()));
        std::fs::write(&file, "pass").unwrap();
        let password = Arc::new(Mutex::new("pass".to_string()));
        let told = password.clone();
        let config = simulator.config().with("keepalive.interval_ms", "1000");
        let config = config.with("relogin.backoff_ms", "10").with("relogin.max_backoff_ms", "50");
        let config = match source {
            "option" => config,
            "file" => config.with("password_file", file.to_str().unwrap()),
            _ => config.with_credentials(move |_| Credentials::Pair("user", told.lock().unwrap().clone())),
        };
        let session = config.open().unwrap();
        session.login().unwrap();
        simulator.set_password("rotated");
        simulator.kill_sessions();
        let call_until = |end: Instant| {
            together(64, |_| {
                // However slow the machine, each thread calls both while the refusal may be new and when it is known.
                for calls in 0.. {
                    if calls >= 2 && Instant::now() >= end {
                        return;
                    }
                    assert_eq!(session.ping().unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
                }
            });
        };
        let half = Duration::from_millis(500 * seconds);
        call_until(Instant::now() + half);
        assert_eq!(simulator.stat("login_failures"), 1, "{source}");
        match source {
            "option" => session.set_password("wrong, too").unwrap(),
            "file" => rewrite(&file, "wrong, too"),
            _ => *password.lock().unwrap() = "wrong, too".into(),
        }
        call_until(Instant::now() + half);
        assert_eq!(simulator.stat("login_failures"), 2, "{source}");
        session.close().unwrap();
        std::fs::remove_file(&file).unwrap();
    }
}

#[test]
fn servers_that_hang_in_logins_do_not_delay_other_servers() {
    let (silent, well) = (Simulator::start(), Simulator::start());
    silent.rule(json!({"method": "Login", "hang": true}));
    // More sessions than there are login workers.
    let stuck: Vec<_> =
        (0..12).map(|_| silent.config().with("timeout_ms", "60000").open().unwrap()).collect();
    std::thread::scope(|scope| {
        for session in &stuck {
            // The outcome does not matter.
            scope.spawn(|| session.login());
        }
        // On its way: a Login that arrives once the rules are gone runs, and its session is lost with its connection.
        eventually("every login hangs", || silent.stat("requests_in_flight") == stuck.len() as u64);
        let session = well.session();
        let start = Instant::now();
        session.ping().unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        session.close().unwrap();
        silent.clear_rules();
        silent.post("/connections/close");
    });
    for session in stuck {
        let _ = session.close();
    }
}

#[test]
fn the_password_file_is_read_at_each_login() {
    let simulator = Simulator::start();
    let file = std::env::temp_dir().join(format!("vsession-password-{}", std::process::id()));
    std::fs::write(&file, "pass\n").unwrap();
    let session = simulator.config().with("password_file", file.to_str().unwrap()).open().unwrap();
    session.login().unwrap();
    simulator.set_password("rotated");
    std::fs::write(&file, "rotated").unwrap();
    simulator.kill_sessions();
    session.ping().unwrap();
    assert_eq!(session.epoch(), 2);
    std::fs::remove_file(&file).unwrap();
    session.close().unwrap();
}

#[test]
fn a_password_file_of_more_than_64_kib_is_refused() {
    let simulator = Simulator::start();
    let file = std::env::temp_dir().join(format!("vsession-large-password-{}", std::process::id()));
    std::fs::write(&file, vec![b'x'; 64 * 1024 + 1]).unwrap();
    let session = simulator.config().with("password_file", file.to_str().unwrap()).open().unwrap();
    let error = session.login().unwrap_err();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(error.status, status::VSESSION_E_CONFIG);
    assert!(error.message.contains("larger than 64 KiB"), "{}", error.message);
    session.close().unwrap();
}

#[test]
fn the_options_set_the_user_agent_and_the_api_version() {
    let simulator = Simulator::start();
    let config = simulator.config().with("user_agent", "Backup/7").with("api_version", "6.0");
    let session = config.open().unwrap();
    session.login().unwrap();
    let last = simulator.log().pop().unwrap();
    assert_eq!(
        (last["user_agent"].as_str(), last["soap_action"].as_str()),
        (Some("Backup/7"), Some("urn:vim25/6.0"))
    );
    session.close().unwrap();
    let newest = config.with("api_version", "auto").open().unwrap();
    newest.login().unwrap();
    assert_ne!(simulator.log().pop().unwrap()["soap_action"], "urn:vim25/6.0");
    newest.close().unwrap();
}

#[test]
fn a_password_file_that_is_not_a_regular_file_is_refused_without_waiting() {
    let simulator = Simulator::start();
    let pipe = std::env::temp_dir().join(format!("vsession-pipe-{}", std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for file in [pipe.to_str().unwrap(), "/dev/zero", "/", "/does/not/exist"] {
        let session = simulator.config().with("password_file", file).open().unwrap();
        // If the library waited for the file, the call would end at its deadline.
        let error = session.login_with(&Options::timeout(20_000)).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONFIG, "{file}: {error:?}");
        assert!(error.message.contains("password_file") && error.message.contains(file), "{error:?}");
        session.close().unwrap();
    }
    std::fs::remove_file(&pipe).unwrap();
    assert_eq!(simulator.calls("Login"), 0);
}

#[test]
fn missing_credentials_are_reported_before_anything_is_sent() {
    let simulator = Simulator::start();
    let session = Config::new(&simulator.text("url")).unwrap().open().unwrap();
    let error = session.login().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONFIG);
    assert!(error.message.contains("username"), "{}", error.message);
    assert_eq!(simulator.stat("connections_accepted"), 0);
    session.close().unwrap();
}

#[test]
fn a_login_response_without_a_session_leaves_no_session_behind() {
    let simulator = Simulator::start();
    // Canned: a LoginResponse without a session, with the cookie of a living session.
    let other = simulator.session();
    other.login().unwrap();
    let cookie = other.cookie().unwrap();
    simulator.rule(json!({"method": "Login", "times": 1, "content_type": "text/xml", "set_cookie": cookie,
        "body": "<Envelope xmlns=\"http://schemas.xmlsoap.org/soap/envelope/\"><Body><LoginResponse xmlns=\"urn:vim25\"/></Body></Envelope>", "status": 200}));
    let session = simulator.session();
    assert_eq!(session.login().unwrap_err().status, status::VSESSION_E_PROTOCOL);
    assert_eq!(simulator.stat("sessions"), 0, "the half-made session was logged out");
    session.close().unwrap();
    other.close().unwrap();
}

#[test]
fn after_a_failed_login_the_next_automatic_one_pauses() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "status": 503, "times": 1}));
    let session = simulator.config().with("relogin.backoff_ms", "4000").open().unwrap();
    let error = session.ping().unwrap_err();
    assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, 503));
    assert!(error.retriable);
    // Within the pause: the same error, and no request.
    let attempts = simulator.calls("Login");
    let error = session.ping().unwrap_err();
    assert!(error.message.contains("next automatic one"), "{}", error.message);
    assert_eq!(simulator.calls("Login"), attempts);
    eventually("the pause ends and the call succeeds", || session.ping().is_ok());
    assert_eq!(simulator.calls("Login"), attempts + 1);
    session.close().unwrap();
}

#[test]
fn a_date_in_retry_after_is_a_pause_too() {
    let simulator = Simulator::start();
    let headers =
        json!({"Retry-After": "Thu, 29 Feb 2024 00:00:05 GMT", "Date": "Wed, 28 Feb 2024 23:59:58 GMT"});
    simulator.rule(json!({"method": "Login", "status": 503, "times": 1, "headers": headers}));
    let session = simulator.session();
    let error = session.ping().unwrap_err();
    assert_eq!(error.retry_after_ms, 7000, "{error:?}");
    assert!(error.message.contains("in 7 s, as the server asks"), "{error:?}");
    session.close().unwrap();
}

#[test]
fn retry_after_is_heeded_up_to_the_longest_pause() {
    let simulator = Simulator::start();
    let busy = |seconds: &str| {
        let headers = json!({"Retry-After": seconds});
        simulator.rule(json!({"method": "Login", "status": 503, "times": 1, "headers": headers}));
        let config = simulator.config().with("relogin.backoff_ms", "1");
        let session = if seconds == "1" { config } else { config.with("relogin.max_backoff_ms", "300") };
        let session = session.open().unwrap();
        let start = Instant::now();
        let error = session.ping().unwrap_err();
        assert!(error.message.contains(&format!("in {seconds} s, as the server asks")), "{}", error.message);
        assert_eq!(error.retry_after_ms.to_string(), format!("{seconds}000"));
        eventually("the pause ends and the call succeeds", || session.ping().is_ok());
        session.close().unwrap();
        start.elapsed()
    };
    assert!(busy("1") > Duration::from_millis(1000));
    let waited = busy("3600");
    assert!(waited > Duration::from_millis(300) && waited < PATIENCE, "{waited:?}");
    assert_eq!(simulator.calls("Login"), 4);
}

#[test]
fn refused_credentials_stay_refused_when_an_explicit_login_fails_for_another_reason() {
    let simulator = Simulator::start();
    let session =
        simulator.config().with("password", "wrong").with("relogin.backoff_ms", "1").open().unwrap();
    assert_eq!(session.ping().unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
    simulator.rule(json!({"method": "Login", "status": 503, "times": 1}));
    assert_eq!(session.login().unwrap_err().status, status::VSESSION_E_HTTP);
    assert_eq!(session.state(), VSESSION_STATE_REJECTED);
    std::thread::sleep(Duration::from_millis(20));
    for _ in 0..5 {
        assert_eq!(session.ping().unwrap_err().status, status::VSESSION_E_INVALID_LOGIN);
    }
    assert_eq!(simulator.stat("login_failures"), 1, "the refused credentials were not tried again");
    session.close().unwrap();
}

#[test]
fn a_login_whose_reply_cannot_be_read_leaves_no_session_behind() {
    let long = format!("<x>{}</x>", "x".repeat(30_000));
    for (body, expected) in [
        ("<Envelope><Body><LoginRes", status::VSESSION_E_MALFORMED_XML),
        ("<!DOCTYPE x><x/>", status::VSESSION_E_DTD),
        ("<html>", status::VSESSION_E_NOT_SOAP),
        (long.as_str(), status::VSESSION_E_REPLY_TOO_LARGE),
    ] {
        let simulator = Simulator::start();
        // Canned, with the cookie of a living session.
        let other = simulator.session();
        other.login().unwrap();
        simulator.rule(json!({"method": "Login", "times": 1, "content_type": "text/xml",
            "set_cookie": other.cookie().unwrap(), "body": body, "status": 200}));
        let session = simulator.config().with("max_reply_bytes", "30000").open().unwrap();
        assert_eq!(session.login().unwrap_err().status, expected);
        assert_eq!(simulator.stat("sessions"), 0, "{expected:?}: the session was logged out");
        session.close().unwrap();
        other.close().unwrap();
    }
}

#[test]
fn a_login_that_ran_despite_an_error_status_leaves_no_session_behind() {
    let envelope = |body: &str| {
        format!("<Envelope><Body><LoginResponse xmlns=\"urn:vim25\">{body}</LoginResponse></Body></Envelope>")
    };
    for status in [403, 404] {
        let simulator = Simulator::start();
        // Canned, with the cookie of a living session.
        let other = simulator.session();
        other.login().unwrap();
        simulator.rule(json!({"method": "Login", "times": 1, "content_type": "text/xml",
            "set_cookie": other.cookie().unwrap(), "body": envelope("<returnval/>"), "status": status}));
        let session = simulator.session();
        let error = session.login().unwrap_err();
        assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, status), "{error:?}");
        assert_eq!(error.executed, VSESSION_EXECUTED_YES, "{error:?}");
        assert_eq!(simulator.stat("sessions"), 0, "{status}: the session was logged out");
        session.close().unwrap();
        other.close().unwrap();
    }
}

#[test]
fn a_login_whose_reply_is_cut_off_leaves_no_session_behind() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "truncate_at": 100, "times": 1}));
    let session = simulator.session();
    assert_eq!(session.login().unwrap_err().status, status::VSESSION_E_CONNECTION);
    assert_eq!(simulator.stat("logins"), 1);
    assert_eq!(simulator.stat("sessions"), 0);
    session.close().unwrap();
}

#[test]
fn a_call_whose_login_failed_did_not_run() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "reset": "after", "times": 1}));
    let session = simulator.session();
    let error = session.ping().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONNECTION);
    assert_eq!(error.executed, VSESSION_EXECUTED_NO, "the call was never sent");
    session.close().unwrap();
    assert_eq!(
        simulator.kill_sessions(),
        1,
        "the client never got the cookie of the login whose reply was lost"
    );
}

#[test]
fn every_request_names_its_operation_to_the_server() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.ping_with(&Options { operation_id: Some(c"restore-17".into()), ..Options::default() }).unwrap();
    session.close().unwrap();
    let named: Vec<_> = simulator
        .log()
        .iter()
        .map(|entry| (entry["method"].to_string(), entry["operation_id"].as_str().unwrap_or("").to_string()))
        .collect();
    assert!(named.iter().any(|(method, _)| method.contains("GET")), "the list of versions: {named:?}");
    assert!(named.iter().any(|(_, id)| id == "restore-17"), "{named:?}");
    assert!(
        named.iter().all(|(_, id)| id == "restore-17" || id.starts_with("vsession-")),
        "in operationID or X-Request-ID: {named:?}"
    );
    simulator.rule(json!({"method": "GET", "times": 1, "status": 503}));
    let session = simulator.config().with("user_agent", "another").open().unwrap();
    let error = session.login().unwrap_err();
    assert!(error.operation_id.is_some_and(|id| id.starts_with("vsession-")));
    session.close().unwrap();
}
