//! Bad servers and bad connections: each has its own status, and a message that says what to do.

use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpListener;
use vsession::vsession_executed::*;
use vsession::vsession_state::VSESSION_STATE_ACTIVE;

use crate::support::*;

fn login_error(config: &Config) -> ApiError {
    let session = config.open().unwrap();
    let error = session.login().unwrap_err();
    session.close().unwrap();
    error
}

#[test]
fn an_unknown_host_is_named() {
    let config = Config::new("https://u:p@no-such-host.invalid/sdk").unwrap();
    let error = login_error(&config);
    assert_eq!(error.status, status::VSESSION_E_RESOLVE);
    assert!(
        error.message.contains("no-such-host.invalid") && error.message.contains("'url'"),
        "{}",
        error.message
    );
    assert_eq!(error.executed, VSESSION_EXECUTED_NO);
}

#[test]
fn a_refused_port_is_named() {
    let port = free_port();
    let error = login_error(&Config::new(&format!("https://u:p@127.0.0.1:{port}/sdk")).unwrap());
    assert_eq!(error.status, status::VSESSION_E_CONNECT);
    assert!(error.message.contains(&format!("127.0.0.1:{port}")), "{}", error.message);
    assert!(error.retriable);
}

#[test]
fn an_untrusted_certificate_is_reported_and_nothing_is_sent() {
    let simulator = Simulator::start();
    // The system's roots do not know the simulator's authority.
    let config =
        Config::new(&simulator.text("url")).unwrap().with("username", "user").with("password", "pass");
    let error = login_error(&config);
    assert_eq!(error.status, status::VSESSION_E_UNTRUSTED);
    assert!(error.message.contains("tls.ca_file"), "{}", error.message);
    assert_eq!(simulator.stat("requests"), 0);
    config.set("tls.verify", "false").unwrap();
    let session = config.open().unwrap();
    session.login().unwrap();
    session.close().unwrap();
}

#[test]
fn a_certificate_for_another_name_or_expired_is_refused() {
    let simulator = Simulator::start();
    simulator.post_json("/certificate/rotate", json!({"hosts": ["vc.example.com"]}));
    let error = login_error(&simulator.config());
    assert_eq!(error.status, status::VSESSION_E_UNTRUSTED);
    assert!(error.message.contains("a name that the certificate carries"), "{}", error.message);
    simulator.post_json("/certificate/rotate", json!({"expired": true}));
    let error = login_error(&simulator.config());
    assert_eq!(error.status, status::VSESSION_E_UNTRUSTED);
    assert!(error.message.contains("renew"), "{}", error.message);
}

#[test]
fn a_self_signed_server_certificate_can_be_trusted_by_listing_it() {
    let simulator = Simulator::with(&["-self-signed"]);
    let session = simulator.session();
    session.login().unwrap();
    session.close().unwrap();
    simulator.post_json("/certificate/rotate", json!({"self_signed": true, "expired": true}));
    assert_eq!(login_error(&simulator.config()).status, status::VSESSION_E_UNTRUSTED);
    simulator.post_json("/certificate/rotate", json!({"self_signed": true, "hosts": ["vc.example.com"]}));
    assert_eq!(login_error(&simulator.config()).status, status::VSESSION_E_UNTRUSTED);
}

/// The error of a CurrentTime call on a logged-in session, answered as the rule says.
fn answer(rule: serde_json::Value) -> ApiError {
    let simulator = Simulator::start();
    let session = simulator.config().with("max_reply_bytes", "100000").open().unwrap();
    session.login().unwrap();
    simulator.rule(rule);
    let error = session.ping().unwrap_err();
    simulator.clear_rules();
    session.ping().expect("the session is usable afterwards");
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
    error
}

#[test]
fn html_in_place_of_xml_is_reported() {
    let page = "<!DOCTYPE html><html><head><title>Login</title></head><body><br>Sign in</body></html>";
    let error =
        answer(json!({"method": "CurrentTime", "status": 200, "content_type": "text/html", "body": page}));
    assert_eq!(error.status, status::VSESSION_E_NOT_SOAP);
    assert!(
        error.message.contains("<!DOCTYPE html>") && error.message.contains("'url'"),
        "{}",
        error.message
    );
    assert_eq!(error.executed, VSESSION_EXECUTED_MAYBE, "the sender of the page may have forwarded the call");
    let error =
        answer(json!({"method": "CurrentTime", "status": 503, "content_type": "text/html", "body": page}));
    assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, 503));
    assert!(error.retriable && error.message.contains("503"), "{}", error.message);
}

#[test]
fn truncated_xml_is_reported() {
    // Complete for HTTP, cut off for XML.
    let cut = "<?xml version=\"1.0\"?><soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"><soapenv:Body><CurrentTimeResp";
    let error =
        answer(json!({"method": "CurrentTime", "status": 200, "content_type": "text/xml", "body": cut}));
    assert_eq!(error.status, status::VSESSION_E_MALFORMED_XML);
    assert!(error.message.contains("cut off"), "{}", error.message);
    // Cut off for HTTP too.
    let error = answer(json!({"method": "CurrentTime", "truncate_at": 100}));
    assert_eq!(error.status, status::VSESSION_E_CONNECTION);
    assert_eq!(error.executed, VSESSION_EXECUTED_MAYBE);
}

#[test]
fn an_oversized_reply_is_reported() {
    for chunked in [false, true] {
        let error =
            answer(json!({"method": "CurrentTime", "status": 200, "content_type": "text/xml", "body": "<a>",
            "body_repeat": 200_000, "chunked": chunked}));
        assert_eq!(error.status, status::VSESSION_E_REPLY_TOO_LARGE);
        assert!(error.message.contains("max_reply_bytes (100000)"), "{}", error.message);
    }
}

#[test]
fn a_document_type_in_a_reply_is_refused() {
    let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><x>&b;</x>";
    let error =
        answer(json!({"method": "CurrentTime", "status": 200, "content_type": "text/xml", "body": bomb}));
    assert_eq!(error.status, status::VSESSION_E_DTD);
}

#[test]
fn a_lost_connection_is_reported_and_a_call_that_may_have_run_is_not_repeated() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for fate in ["reset", "close"] {
        simulator.rule(json!({"method": "CurrentTime", "times": 1, fate: "after"}));
        let before = simulator.calls("CurrentTime");
        let error = session.ping().unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_CONNECTION, "{fate}");
        assert_eq!(error.executed, VSESSION_EXECUTED_MAYBE);
        assert_eq!(simulator.calls("CurrentTime"), before + 1);
        session.ping().unwrap();
    }
    // An idempotent call is repeated on a new connection when a pooled one was lost.
    simulator.rule(json!({"method": "CurrentTime", "times": 1, "reset": "after"}));
    session.ping_with(&Options { idempotent: true, ..Options::default() }).unwrap();
    session.close().unwrap();
}

#[test]
fn a_repeated_call_is_never_reported_as_not_executed() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let once = Options { idempotent: true, no_relogin: true, ..Options::default() };
    let again = Options { idempotent: true, ..Options::default() };
    for options in [once, again] {
        // The call runs and its reply is lost; the repetition is refused.
        simulator.rule(json!({"method": "CurrentTime", "times": 1, "reset": "after"}));
        simulator.rule(json!({"method": "CurrentTime", "times": 1, "fault": "NotAuthenticated"}));
        simulator.rule(json!({"method": "CurrentTime", "times": 1, "fault": "NoPermission"}));
        simulator.kill_sessions();
        session.login().unwrap();
        let error = session.ping_with(&options).unwrap_err();
        assert_eq!(error.executed, VSESSION_EXECUTED_MAYBE, "{}", error.message);
        simulator.clear_rules();
    }
    session.close().unwrap();
}

#[test]
fn an_idempotent_call_is_not_sent_a_fourth_time() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    // The reply is lost, the repetition finds the session gone, and the reply to the call with the new session is lost
    // too.
    simulator.rule(json!({"method": "CurrentTime", "times": 1, "reset": "after"}));
    simulator
        .rule(json!({"method": "CurrentTime", "times": 1, "fault": "NotAuthenticated", "delay_ms": 500}));
    simulator.rule(json!({"method": "CurrentTime", "times": 1, "reset": "after"}));
    let error = std::thread::scope(|scope| {
        let call = scope.spawn(|| session.ping_with(&Options { idempotent: true, ..Options::default() }));
        eventually("the repetition", || simulator.calls("CurrentTime") == 2);
        simulator.kill_sessions();
        call.join().unwrap().unwrap_err()
    });
    assert_eq!(error.status, status::VSESSION_E_CONNECTION, "{}", error.message);
    assert_eq!(error.executed, VSESSION_EXECUTED_MAYBE);
    assert_eq!(simulator.calls("CurrentTime"), 3);
    assert_eq!(simulator.stat("logins"), 2);
    session.close().unwrap();
}

#[test]
fn a_redirect_is_reported_and_not_followed() {
    let (simulator, other) = (Simulator::start(), Simulator::start());
    let redirect = |method: &str, status: u16, server: &Simulator| {
        let target = format!("https://{}/sdk", server.host());
        simulator.rule(json!({"method": method, "status": status, "headers": {"Location": target}}));
    };
    for status in [301, 302, 303, 307, 308] {
        // The version document, the login with its password, and a call with its cookie, each redirected to another
        // server and to the same one.
        for server in [&other, &simulator] {
            for method in ["GET", "Login"] {
                redirect(method, status, server);
                let before = simulator.calls("Login");
                let error = login_error(&simulator.config());
                assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, status.into()));
                assert!(error.message.contains(&server.host()), "{}", error.message);
                assert_eq!(simulator.calls("Login") - before, u64::from(method == "Login"));
                simulator.clear_rules();
            }
            let session = simulator.session();
            session.login().unwrap();
            redirect("CurrentTime", status, server);
            let before = simulator.stat("requests");
            let error = session.ping_with(&Options { idempotent: true, ..Options::default() }).unwrap_err();
            assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, status.into()));
            assert_eq!(simulator.stat("requests"), before + 1);
            simulator.clear_rules();
            session.close().unwrap();
        }
    }
    assert_eq!(other.stat("connections_accepted"), 0);
}

#[test]
fn a_redirect_that_names_no_address_is_reported_as_such() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for status in [300, 304] {
        simulator.rule(json!({"method": "CurrentTime", "status": status}));
        let error = session.ping().unwrap_err();
        assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, status));
        assert_eq!(error.executed, VSESSION_EXECUTED_NO);
        assert!(
            error.message.contains("names no other address") && error.message.contains("'url'"),
            "{error:?}"
        );
        simulator.clear_rules();
    }
    session.close().unwrap();
}

#[test]
fn a_port_that_does_not_speak_tls_or_http_is_reported() {
    let simulator = Simulator::with(&["-tls=false"]);
    let host = simulator.host();
    let error = login_error(&Config::new(&format!("https://u:p@{host}/sdk")).unwrap());
    assert_eq!(error.status, status::VSESSION_E_TLS);

    // Canned: a server that greets like SMTP.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"220 mail.example.com ESMTP\r\n");
    });
    let error = login_error(&Config::new(&format!("http://u:p@127.0.0.1:{port}/sdk")).unwrap());
    assert_eq!(error.status, status::VSESSION_E_PROTOCOL);
    assert!(error.message.contains("vSphere"), "{}", error.message);
    server.join().unwrap();
}

#[test]
fn a_path_without_an_sdk_is_reported() {
    let simulator = Simulator::start();
    let config = simulator.config();
    config.set("url", &format!("https://{}/nothing/here", simulator.host())).unwrap();
    let error = login_error(&config);
    assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, 404));
    assert!(error.message.contains("path"), "{}", error.message);
}

#[test]
fn a_fault_carries_its_name_and_its_xml() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let call = Call { method: "NoSuchMethod", this_type: "ServiceInstance", arguments: "" };
    let error = session.call(call, &Options::default()).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_FAULT);
    assert!(error.fault.is_some(), "{error:?}");
    assert!(error.fault_xml.unwrap().contains("detail"));
    assert_eq!(error.http_status, 500);
    session.close().unwrap();
}

#[test]
fn arguments_that_are_not_xml_are_refused_before_anything_is_sent() {
    let simulator = Simulator::start();
    let session = simulator.session();
    for arguments in ["<a>", "</Body>", "text"] {
        let call = Call { arguments, ..support_call() };
        let error = session.call(call, &Options::default()).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
        assert!(error.message.contains("call.arguments"), "{}", error.message);
    }
    assert_eq!(simulator.stat("requests"), 0);
    session.close().unwrap();
}

fn support_call() -> Call<'static> {
    crate::support::client::CURRENT_TIME
}

#[test]
fn an_http_status_comes_with_advice() {
    for (status, word) in [
        (401, "other credentials"),
        (403, "forbids the path"),
        (404, "check the path in 'url'"),
        (407, "a proxy"),
        (429, "try again later"),
        (502, "behind the server's front"),
        (418, "418"),
    ] {
        let error = answer(json!({"method": "CurrentTime", "status": status, "body": "no"}));
        assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, status));
        assert!(error.message.contains(word), "{}", error.message);
        assert_eq!(error.retriable, matches!(status, 429 | 502));
    }
    // A fault has HTTP status 500. A reply with that status which holds no fault is not reported as one.
    let error = answer(json!({"method": "CurrentTime", "status": 500, "body": "<html>out of memory"}));
    assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, 500));
    assert!(error.message.contains("out of memory"), "{}", error.message);
}

#[test]
fn methods_that_change_the_session_are_refused_with_advice() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.session();
    session.login().unwrap();
    let before = simulator.stat("requests");
    for (method, advice) in [
        ("Login", "vsession_login"),
        ("LoginBySSPI", "vsession_login"),
        ("LoginByToken", "vsession_login"),
        ("LoginExtensionByCertificate", "vsession_login"),
        ("LoginExtensionBySubjectName", "vsession_login"),
        ("Logout", "vsession_logout"),
        ("CloneSession", "no function for it yet"),
        ("ImpersonateUser", "no function for it yet"),
    ] {
        let call = Call { method, this_type: "SessionManager", arguments: "" };
        for error in [
            session.call(call, &Options::default()).unwrap_err(),
            session.call_async(call, &queue, 1, &Options::default()).unwrap_err(),
        ] {
            assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT, "{error:?}");
            assert!(error.message.contains("'call.method'") && error.message.contains(method), "{error:?}");
            assert!(error.message.contains(advice), "{}", error.message);
        }
    }
    assert_eq!((simulator.stat("requests"), session.state()), (before, VSESSION_STATE_ACTIVE));
    // AcquireCloneTicket does not change the session of this connection, so it is allowed.
    let call = Call { method: "AcquireCloneTicket", this_type: "SessionManager", arguments: "" };
    session.call(call, &Options::default()).unwrap();
    session.close().unwrap();
    queue.free();
}

#[test]
fn a_freed_token_or_queue_is_not_reported_as_a_closed_session() {
    let simulator = Simulator::start();
    let session = simulator.session();
    let (token, queue) = (Token::new(), Queue::new());
    let options = Options { cancel: token.0, ..Options::default() };
    drop(token);
    queue.free();
    for (error, name) in [
        (session.ping_with(&options).unwrap_err(), "'options.cancel'"),
        (session.login_with(&options).unwrap_err(), "'options.cancel'"),
        (session.ping_async(&queue, 1, &Options::default()).unwrap_err(), "'queue'"),
    ] {
        assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT, "{error:?}");
        assert!(error.message.contains(name), "{}", error.message);
    }
    session.close().unwrap();
}

#[test]
fn the_id_of_an_object_holds_no_control_characters() {
    let simulator = Simulator::start();
    let session = simulator.session();
    for (id, number) in
        [("vm\n-1", "U+000A"), ("\u{7f}", "U+007F"), ("vm-\u{fffe}", "U+FFFE"), ("\u{ffff}", "U+FFFF")]
    {
        let error = session.call_object(client::CURRENT_TIME, Some(id), &Options::default()).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT, "{error:?}");
        assert!(error.message.contains("'call.this_id'") && error.message.contains(number), "{error:?}");
    }
    assert_eq!(simulator.stat("requests"), 0);
    session.close().unwrap();
}

#[test]
fn a_name_that_is_no_name_is_refused_with_the_reason() {
    let session = Config::new("https://u:p@vc.example.com").unwrap().open().unwrap();
    let long = "x".repeat(1025);
    for (method, this_type, id, says) in [
        (" Logout", "SessionManager", None, ["'call.method'", "U+0020"]),
        ("Logout\u{a0}", "SessionManager", None, ["'call.method'", "U+00A0"]),
        ("", "SessionManager", None, ["'call.method'", "empty"]),
        ("1Logout", "SessionManager", None, ["'call.method'", "U+0031"]),
        ("Destroy_Task", "Virtual Machine", None, ["'call.this_type'", "U+0020"]),
        (&long, "VirtualMachine", None, ["'call.method'", "1025 bytes long, and at most 1024"]),
        ("Destroy_Task", &long, None, ["'call.this_type'", "1025 bytes long, and at most 1024"]),
        (
            "Destroy_Task",
            "VirtualMachine",
            Some(&*long),
            ["'call.this_id'", "1025 bytes long, and at most 1024"],
        ),
    ] {
        let call = Call { method, this_type, arguments: "" };
        let error = session.call_object(call, id, &Options::default()).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
        assert!(
            says.iter().all(|word| error.message.contains(word)) && error.message.len() < 300,
            "{error:?}"
        );
    }
    session.close().unwrap();
}
