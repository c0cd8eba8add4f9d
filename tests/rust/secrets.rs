//! Nobody sees passwords and cookies.

use serde_json::json;
use std::ffi::{CStr, c_char, c_void};
use std::sync::Mutex;

use crate::support::*;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

unsafe extern "C" fn collect(level: i32, message: *const c_char, _: *mut c_void) {
    let message = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
    LINES.lock().unwrap().push(format!("{level} {message}"));
}

#[test]
fn the_password_appears_in_no_log_line_error_or_event() {
    const PASSWORD: &str = "Hush<&>\"Hush'42";
    unsafe { vsession::ffi::library::vsession_set_log(4, Some(collect), std::ptr::null_mut()) };
    let simulator = Simulator::with(&["-password", PASSWORD]);
    let queue = Queue::new();
    let config = simulator.config().with("password", PASSWORD).with_queue(&queue);
    let session = config.open().unwrap();
    let mut seen = Vec::new();
    session.login().unwrap();
    let cookie = session.cookie().unwrap();
    let cookie = cookie.split_once('=').unwrap().1.to_string();
    seen.push(format!("{:?}", session.ping()));
    simulator.rule(json!({"method": "CurrentTime", "times": 1, "status": 502, "body": "<html>bad gateway"}));
    seen.push(format!("{:?}", session.ping()));
    simulator.kill_sessions();
    // A server that repeats what it was sent, verbatim and escaped for XML.
    let escaped = "Hush&lt;&amp;&gt;&quot;Hush&apos;42";
    simulator.rule(json!({"method": "Login", "times": 1,
        "fault_xml": format!("<InvalidLoginFault xmlns=\"urn:vim25\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"InvalidLogin\"><echo>{escaped}</echo></InvalidLoginFault>"),
        "fault_message": format!("bad login user/{PASSWORD}")}));
    let refused = session.ping().unwrap_err();
    assert_eq!(refused.status, status::VSESSION_E_INVALID_LOGIN);
    seen.push(format!("{refused:?}"));
    seen.push(format!("{:?}", Config::new(&format!("https://user:{PASSWORD}@bad host")).err()));
    seen.push(format!("{:?}", config.set("timeout_ms", PASSWORD)));
    session.close().unwrap();
    seen.push(format!("{:?}", queue.drain()));
    queue.free();
    unsafe { vsession::ffi::library::vsession_set_log(0, None, std::ptr::null_mut()) };
    let lines = LINES.lock().unwrap();
    assert!(lines.iter().any(|l| l.contains("logged in")), "the log was on: {lines:?}");
    for text in lines.iter().chain(&seen) {
        assert!(!text.contains("Hush"), "{text}");
        assert!(!text.contains(&cookie), "{text}");
    }
    assert!(seen.iter().any(|text| text.contains("***")), "the echo was redacted: {seen:?}");
}

#[test]
fn a_cookie_that_a_server_repeats_is_redacted() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let cookie = session.cookie().unwrap();
    let secret = cookie.split_once('=').unwrap().1.trim_matches('"');
    simulator.rule(
        json!({"method": "CurrentTime", "times": 1, "status": 502, "body": format!("Cookie: {cookie}")}),
    );
    let error = session.ping().unwrap_err();
    assert!(error.message.contains("Cookie: "), "{}", error.message);
    assert!(!error.message.contains(secret), "{}", error.message);
    // An error shows the first 80 characters, so the cookie is cut in its middle.
    for (status, before) in [(502, 60), (200, 60), (200, 79)] {
        let body = format!("{}{cookie}", "x".repeat(before - "vmware_soap_session=".len()));
        simulator.rule(json!({"method": "CurrentTime", "times": 1, "status": status, "body": body}));
        let error = session.ping().unwrap_err();
        let message = error.message.replace('"', "");
        // The excerpt may end at the cookie's quote, before the first character of the secret.
        let shown = ["vmware_soap_session=***", "vmware_soap_session=…"];
        assert!(shown.iter().any(|end| message.contains(end)), "{message}");
        assert!(!message.contains(&format!("={}", &secret[..1])), "{message}");
    }
    simulator.rule(json!({"method": "CurrentTime", "times": 1, "fault_message": format!("bad {cookie}"),
        "fault_xml": format!("<F>{cookie}</F>")}));
    let error = session.ping().unwrap_err();
    assert!(!format!("{error:?}").contains(secret), "{error:?}");
    session.close().unwrap();
}

/// The error of a Login that is refused with this fault and this password.
fn refused(password: &str, fault: serde_json::Value) -> ApiError {
    let simulator = Simulator::with(&["-password", password]);
    let mut rule = json!({"method": "Login", "times": 1});
    rule.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
    simulator.rule(rule);
    let session = simulator.config().with("password", password).open().unwrap();
    let error = session.login().unwrap_err();
    session.close().unwrap();
    error
}

#[test]
fn a_short_password_is_redacted_only_where_the_server_repeats_it() {
    let text = "Cannot complete login due to an incorrect user name or password.";
    let detail = "<InvalidLoginFault xmlns=\"urn:vim25\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"InvalidLogin\"/>";
    let expected = refused("xQ7!kkkk#1", json!({"fault_xml": detail, "fault_message": text}));
    assert!(expected.message.contains(text), "{expected:?}");
    for password in [
        "e", "login", "password", "pass", "InvalidLogin", "Login", "vim25", "xsi", "detail", "user name",
        ":", "a",
    ] {
        let error = refused(password, json!({"fault_xml": detail, "fault_message": text}));
        // The two messages start with different server names.
        let said = |error: &ApiError| error.message.split_once("Login: ").map(|(_, said)| said.to_string());
        assert_eq!(said(&error), said(&expected), "{password}");
        assert_eq!(error.fault, expected.fault, "{password}");
        assert_eq!(error.fault_xml, expected.fault_xml, "{password}");
    }
}

#[test]
fn a_repeated_password_is_redacted_in_every_form() {
    for (password, echoes) in [
        ("Qz7<&\">x", &["Qz7<&\">x", "Qz7&lt;&amp;&quot;&gt;x", "Qz7%3C%26%22%3Ex", "Qz7\\u003c&\\\">x"][..]),
        ("sesame", &["sesame", "opensesame!"]),
        ("q7", &["q7"]),
        ("Qz7kkkkk1", &["Qz7kkkkk1", "Qz7kkkkk1Fault"]),
    ] {
        for echo in echoes {
            let escaped = echo.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
            let named = echo.starts_with("Qz7k") && !echo.contains(['<', '&']);
            let name = if named { echo } else { "SomeFault" };
            let detail =
                format!("<{name} xmlns=\"urn:vim25\" a=\"{escaped}\"><name>user {escaped}</name></{name}>");
            let error =
                refused(password, json!({"fault_xml": detail, "fault_message": format!("bad: user {echo}")}));
            assert!(error.message.contains("the server answered with the fault"), "{error:?}");
            let shown =
                format!("{} {:?} {:?} {:?}", error.message, error.fault, error.fault_xml, error.answer);
            for form in [password, echo, &escaped] {
                assert!(!shown.contains(form), "{password}: {shown}");
            }
        }
    }
}

#[test]
fn a_servers_text_stays_on_one_line_and_is_bounded() {
    let text = format!("evil\r\n2024-01-01 forged line\u{202e}\u{2028}\u{1b}[2J{}", "x".repeat(100_000));
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for rule in [
        json!({"method": "CurrentTime", "times": 1, "fault_message": text.replace('\u{1b}', ""), "fault_xml": "<F/>"}),
        json!({"method": "CurrentTime", "times": 1, "status": 502, "body": text}),
        json!({"method": "CurrentTime", "times": 1, "status": 200, "body": text}),
        json!({"method": "CurrentTime", "times": 1, "status": 500, "body": text}),
    ] {
        simulator.rule(rule);
        let error = session.ping().unwrap_err();
        assert!(error.message.contains("evil  2024"), "{error:?}");
        assert!(!error.message.contains(char::is_control), "{error:?}");
        assert!(!error.message.contains(['\u{202e}', '\u{2028}']), "{error:?}");
        assert!(error.message.len() < 3000, "{}", error.message.len());
    }
    session.close().unwrap();
}
