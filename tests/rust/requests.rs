//! HTTP requests of any kind: through the vim25 session, and nobody's.

use std::thread;

use serde_json::{Value, json};
use vsession::vsession_event_kind::*;
use vsession::vsession_executed::*;
use vsession::vsession_state::*;

use crate::support::canned::{good_body, in_chunks, with_length};
use crate::support::*;

/// A vCenter with REST and VI JSON.
fn vcenter() -> Simulator {
    Simulator::with(&["-endpoints", "all"])
}

const TIME: HttpRequest =
    HttpRequest::post("/sdk/vim25/8.0.2.0/ServiceInstance/ServiceInstance/CurrentTime", b"");
const NAME: HttpRequest = HttpRequest::get("/sdk/vim25/8.0.2.0/Folder/group-d1/name");
/// A path that only rules serve.
const OTHER: HttpRequest = HttpRequest::post("/other", b"body");

fn seen(simulator: &Simulator, request: HttpRequest) -> u64 {
    simulator.calls(&format!("{} {}", request.method, request.path))
}

#[test]
fn nobodys_request_needs_no_session_and_makes_none() {
    let simulator = vcenter();
    let session = simulator.session();
    let reply = session.http(HttpRequest::get("/sdk/vimServiceVersions.xml").of_nobody()).unwrap();
    assert_eq!((reply.status, reply.epoch), (200, 0));
    assert!(reply.header("CONTENT-TYPE").unwrap().starts_with("text/xml"));
    assert!(reply.text().contains("urn:vim25"));
    let refused = session.http(HttpRequest::get("/api/vcenter/vm").of_nobody()).unwrap_err();
    assert_eq!(refused.status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert_eq!(refused.executed, VSESSION_EXECUTED_NO);
    assert_eq!(session.state(), VSESSION_STATE_LOGGED_OUT);
    assert_eq!((simulator.stat("logins"), simulator.stat("requests")), (0, 2));
}

#[test]
fn vi_json_goes_through_the_vim25_session() {
    let simulator = vcenter();
    let session = simulator.session();
    let options = Options { operation_id: Some(c"op-7".into()), ..Options::default() };
    let reply = session.http_with(NAME, &options).unwrap();
    assert_eq!((reply.status, reply.epoch, reply.text()), (200, 1, "\"Datacenters\""));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let log = simulator.log();
    let own = log.iter().find(|entry| entry["path"] == NAME.path).unwrap();
    assert_eq!(own["operation_id"], "op-7");
    assert_eq!(own["session_key"], session.info().unwrap().key());
    assert!(own["cookie_header"].is_null(), "the id goes in a header of its own");
    assert!(session.http(TIME).unwrap().text().starts_with("\"20"));
    session.ping().unwrap();
    assert_eq!(simulator.stat("logins"), 1);
}

#[test]
fn a_killed_session_is_replaced_once_for_all_requests() {
    const THREADS: u64 = 16;
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    for request in [TIME, NAME] {
        let logins = simulator.stat("logins");
        simulator.kill_sessions();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| assert_eq!(session.http(request).unwrap().status, 200));
            }
        });
        assert_eq!(simulator.stat("logins"), logins + 1);
    }
    assert_eq!(session.epoch(), 3);
    // Canned: an answer of another service, which only has the cookie.
    simulator.kill_sessions();
    simulator.rule(json!({"path": OTHER.path, "times": 1, "status": 401}));
    simulator.rule(json!({"path": OTHER.path, "status": 200, "body": "done"}));
    assert_eq!(session.http(OTHER).unwrap().text(), "done");
    assert_eq!((seen(&simulator, OTHER), session.epoch()), (2, 4));
    let log = simulator.log();
    let last = log.iter().rfind(|entry| entry["path"] == OTHER.path).unwrap();
    assert_eq!(last["cookie_header"], session.cookie().unwrap());
}

#[test]
fn an_answer_of_a_live_session_stands() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    for (body, place) in [
        (r#"{"_typeName":"NotAuthenticated","faultstring":"no"}"#, "first"),
        (r#"{"faultstring":"no","faultMessage":[{"message":"m"}],"_typeName":"NotAuthenticated"}"#, "last"),
        (r#"{"_typeName":"LocalizedMethodFault","fault":{"_typeName":"NotAuthenticated"}}"#, "nested"),
    ] {
        // Canned: the simulator sends the type first.
        simulator.rule(json!({"path": TIME.path, "times": 1, "status": 500, "content_type": "application/json", "body": body}));
        let asked = simulator.calls("RetrievePropertiesEx");
        let error = session.http(TIME).unwrap_err();
        assert_eq!(
            (error.status, error.executed),
            (status::VSESSION_E_NOT_AUTHENTICATED, VSESSION_EXECUTED_NO),
            "{place}"
        );
        assert_eq!(simulator.calls("RetrievePropertiesEx"), asked + 1, "the server is asked: {place}");
    }
    simulator.rule(json!({"path": OTHER.path, "status": 401}));
    let error = session.http(OTHER).unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_HTTP, VSESSION_EXECUTED_NO));
    let raw = session.http(OTHER.raw()).unwrap();
    assert_eq!((raw.status, raw.epoch), (401, 1));
    assert_eq!((simulator.stat("logins"), session.state()), (1, VSESSION_STATE_ACTIVE));
}

#[test]
fn without_relogin_a_request_is_answered_by_the_state() {
    let simulator = vcenter();
    let session = simulator.session();
    let options = Options { no_relogin: true, ..Options::default() };
    assert_eq!(session.http_with(TIME, &options).unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert_eq!(simulator.stat("requests"), 0);
    session.login().unwrap();
    simulator.kill_sessions();
    assert_eq!(session.http_with(TIME, &options).unwrap_err().status, status::VSESSION_E_NOT_AUTHENTICATED);
    let options = Options { require_epoch: 7, ..Options::default() };
    assert_eq!(session.http_with(TIME, &options).unwrap_err().status, status::VSESSION_E_SESSION_CHANGED);
    assert_eq!(simulator.stat("logins"), 1);
    let requests = simulator.stat("requests");
    let error = session.http_with(TIME.of_nobody(), &options).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
    assert!(
        error.message.contains("'options.require_epoch'") && error.message.contains("no session"),
        "{error:?}"
    );
    assert_eq!(simulator.stat("requests"), requests);
}

#[test]
fn faults_of_vi_json_have_the_statuses_of_those_of_soap() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    for (fault, expected, executed) in [
        ("NoPermission", status::VSESSION_E_NO_PERMISSION, VSESSION_EXECUTED_NO),
        ("InvalidPowerState", status::VSESSION_E_FAULT, VSESSION_EXECUTED_YES),
    ] {
        simulator.rule(json!({"path": TIME.path, "times": 1, "fault": fault, "fault_message": "words"}));
        let error = session.http(TIME).unwrap_err();
        assert_eq!((error.status, error.executed, error.http_status), (expected, executed, 500));
        assert_eq!(error.fault.as_deref(), Some(fault));
        assert!(error.message.contains("words") && error.message.contains(TIME.path), "{}", error.message);
        let body: Value = serde_json::from_slice(&error.answer.body.unwrap()).unwrap();
        assert_eq!(body["_typeName"], fault);
    }
    let error = session.http(HttpRequest::get("/sdk/vim25/8.0.2.0/Folder/group-d9999/name")).unwrap_err();
    assert_eq!(error.fault.as_deref(), Some("ManagedObjectNotFound"));
}

#[test]
fn a_services_error_says_whether_the_request_ran() {
    let simulator = vcenter();
    let session = simulator.session();
    let missing = session.http(HttpRequest::get("/api/none").of_nobody()).unwrap_err();
    assert_eq!((missing.status, missing.http_status), (status::VSESSION_E_REST, 404));
    assert_eq!(
        (missing.answer.service_error.as_deref(), missing.executed),
        (Some("NOT_FOUND"), VSESSION_EXECUTED_NO)
    );
    // Canned: errors that the simulator never sends.
    let body = r#"{"error_type":"ALREADY_EXISTS","messages":[{"id":"i","default_message":"It exists."}]}"#;
    simulator.rule(json!({"path": "/api/x", "times": 1, "status": 400, "content_type": "application/json", "body": body}));
    let exists = session.http(HttpRequest::post("/api/x", b"{}").of_nobody()).unwrap_err();
    assert_eq!(
        (exists.answer.service_error.as_deref(), exists.executed),
        (Some("ALREADY_EXISTS"), VSESSION_EXECUTED_YES)
    );
    assert_eq!(exists.answer.body.as_deref(), Some(body.as_bytes()));
    assert!(
        exists.message.contains("It exists.") && exists.message.contains(&simulator.host()),
        "{}",
        exists.message
    );
    simulator.rule(json!({"path": "/api/x", "times": 1, "status": 503, "headers": {"Retry-After": "2"}, "body": "<html>"}));
    let busy = session.http(HttpRequest::post("/api/x", b"{}").of_nobody()).unwrap_err();
    assert_eq!((busy.status, busy.executed), (status::VSESSION_E_HTTP, VSESSION_EXECUTED_MAYBE));
    assert_eq!((busy.retriable, busy.retry_after_ms), (true, 2000));
    simulator.rule(json!({"path": "/api/x", "times": 1, "status": 302, "headers": {"Location": "/y"}}));
    let moved = session.http(HttpRequest::get("/api/x").of_nobody()).unwrap();
    assert_eq!((moved.status, moved.header("location")), (302, Some("/y")), "redirects are not followed");
}

#[test]
fn method_headers_and_body_arrive_as_the_program_gave_them() {
    let simulator = Simulator::with(&["-endpoints", "all", "-rest", "separate"]);
    let session = simulator.session();
    // A REST session of the program's own.
    let login = HttpRequest {
        headers: &[("Authorization", "Basic dXNlcjpwYXNz")],
        ..HttpRequest::post("/api/session", b"").of_nobody()
    };
    let id: String = serde_json::from_slice(&session.http(login).unwrap().body).unwrap();
    let body: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let headers = [("vmware-api-session-id", &*id), ("X-Own", "\tvalue, with \"quotes\"")];
    let echo = HttpRequest {
        method: "PATCH",
        headers: &headers,
        ..HttpRequest::post("/rest/vc-sim/debug/echo?a=%20b", &body).of_nobody()
    };
    let reply = session.http(echo).unwrap();
    let at = reply.body.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8_lossy(&reply.body[..at]).into_owned();
    assert!(head.starts_with("PATCH /rest/vc-sim/debug/echo?a=%20b HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains("X-Own: value, with \"quotes\"\r\n") && head.contains("X-Request-Id: vsession-"),
        "{head}"
    );
    assert!(head.contains("Content-Type: application/json\r\n"), "{head}");
    assert!(reply.body[at..] == body);
    let own = HttpRequest { headers: &[headers[0], ("content-type", "text/plain")], ..echo };
    let reply = session.http(own).unwrap();
    assert!(String::from_utf8_lossy(&reply.body).contains("Content-Type: text/plain\r\n"));
    let end = HttpRequest {
        method: "DELETE",
        headers: &headers[..1],
        ..HttpRequest::get("/api/session").of_nobody()
    };
    assert_eq!(session.http(end).unwrap().status, 204);
    assert_eq!(simulator.stat("sessions"), 0);
}

#[test]
fn files_of_a_datastore_go_both_ways() {
    let simulator = vcenter();
    let session = simulator.session();
    let path = "/folder/file%20one.bin?dcPath=DC0&dsName=LocalDS_0";
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i * 7) as u8).collect();
    let put = HttpRequest { method: "PUT", ..HttpRequest::post(path, &content) };
    assert!(session.http(put).unwrap().status < 300);
    assert!(session.http(HttpRequest::get(path)).unwrap().body == content);
    let head = session.http(HttpRequest { method: "HEAD", ..HttpRequest::get(path) }).unwrap();
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(simulator.stat("logins"), 1);
}

#[test]
fn bad_input_is_refused_before_anything_is_sent() {
    let simulator = vcenter();
    let session = simulator.session();
    let refused = |request: HttpRequest, argument: &str| {
        let error = session.http(request).expect_err(&format!("{request:?}"));
        assert_eq!(
            (error.status, error.executed),
            (status::VSESSION_E_INVALID_ARGUMENT, VSESSION_EXECUTED_NO),
            "{request:?}"
        );
        assert!(error.message.contains(&format!("argument 'request.{argument}'")), "{}", error.message);
        let queue = Queue::new();
        let error = session.http_async(request, &queue, 1, &Options::default()).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
        assert!(queue.next(0).unwrap().is_none());
        queue.free();
    };
    for method in ["", "get", "CONNECT", "TRACE", "GET /x", "GET\r\nX: y"] {
        refused(HttpRequest { method, ..TIME }, "method");
    }
    for path in [
        "", "api", "http://other/", "//other/", "/a/../b", "/a/%2e%2E/b", "/a/..%2fb", "/a/..;/b", "/a b",
        "/a\r\nX: y", "/a%0d%0a", "/a%0", "/a#b", "/é",
    ] {
        refused(HttpRequest { path, ..TIME }, "path");
    }
    for header in [
        ("", "x"),
        ("a b", "x"),
        ("a", "x\r\nb: c"),
        ("Host", "x"),
        ("content-length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Cookie", "vmware_soap_session=mine"),
        ("VMware-Api-Session-Id", "mine"),
        ("X-Request-ID", "mine"),
    ] {
        refused(HttpRequest { headers: &[header], ..TIME }, "headers");
    }
    let many = vec![("a", "b"); 129];
    refused(HttpRequest { headers: &many, ..TIME }, "headers");
    for through in [3, -1] {
        refused(HttpRequest { through, ..TIME }, "through");
    }
    // What would end the session, or make another one.
    let manager = "/sdk/vim25/8.0.2.0/SessionManager/SessionManager";
    for (method, path) in [
        ("POST", "/api/session".to_string()),
        ("DELETE", "/api/%73ession".into()),
        ("POST", format!("{manager}/Login")),
        ("POST", format!("{manager}/%4cogout")),
        ("POST", format!("{manager}/CloneSession")),
    ] {
        refused(HttpRequest { method, path: &path, ..TIME }, "path");
    }
    let id = Options { operation_id: Some(c"é".into()), ..Options::default() };
    assert_eq!(session.http_with(TIME, &id).unwrap_err().status, status::VSESSION_E_INVALID_ARGUMENT);
    assert_eq!(simulator.stat("requests"), 0);
}

#[test]
fn a_request_runs_at_most_once_unless_it_may_run_twice() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    for request in [OTHER, OTHER.of_nobody(), HttpRequest { method: "GET", body: b"", ..OTHER }] {
        let before = seen(&simulator, request);
        simulator.rule(json!({"path": OTHER.path, "times": 1, "reset": "after"}));
        simulator.rule(json!({"path": OTHER.path, "status": 200, "body": "done"}));
        let error = session.http(request).unwrap_err();
        assert_eq!((error.status, error.executed), (status::VSESSION_E_CONNECTION, VSESSION_EXECUTED_MAYBE));
        assert_eq!(seen(&simulator, request), before + 1);
        simulator.clear_rules();
        simulator.rule(json!({"path": OTHER.path, "times": 1, "reset": "after"}));
        simulator.rule(json!({"path": OTHER.path, "status": 200, "body": "done"}));
        let twice = Options { idempotent: true, ..Options::default() };
        assert_eq!(session.http_with(request, &twice).unwrap().text(), "done");
        assert_eq!(seen(&simulator, request), before + 3);
        simulator.clear_rules();
    }
}

#[test]
fn an_idempotent_request_is_repeated_after_a_listed_status_and_no_other_is() {
    let simulator = vcenter();
    let session = simulator.config().with("http.retry_statuses", "503").open().unwrap();
    session.login().unwrap();
    let twice = Options { idempotent: true, ..Options::timeout(60_000) };
    // Canned: a gateway's answer, a service's, and a service's that has run the request.
    let unavailable = r#"{"error_type":"SERVICE_UNAVAILABLE","messages":[]}"#;
    for (request, status, body, sent) in [
        (TIME, 503, "", 2),
        (TIME.raw(), 503, "", 2),
        (OTHER, 503, unavailable, 2),
        (OTHER.of_nobody(), 503, unavailable, 2),
        (OTHER, 502, "", 1),
        (OTHER, 400, r#"{"error_type":"INVALID_ARGUMENT","messages":[]}"#, 1),
    ] {
        for (options, sent) in [(&twice, sent), (&Options::timeout(60_000), 1)] {
            let before = seen(&simulator, request);
            simulator.rule(json!({"path": request.path, "times": 1, "status": status, "body": body}));
            simulator.rule(json!({"path": OTHER.path, "status": 200, "body": "done"}));
            let result = session.http_with(request, options);
            assert_eq!(seen(&simulator, request) - before, sent, "{status} {body} {result:?}");
            let answered = result.map_or_else(|error| error.http_status, |reply| reply.status);
            assert_eq!(answered == 200, sent == 2, "{status} {body}");
            simulator.clear_rules();
        }
    }
}

#[test]
fn what_the_server_repeats_of_the_session_is_not_shown() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    let cookie = session.cookie().unwrap();
    let id = cookie.split_once('=').unwrap().1.trim_matches('"');
    for (request, status) in [(OTHER, 404), (TIME, 500)] {
        let body = format!(
            "{{\"error_type\":\"NOT_FOUND\",\"messages\":[{{\"id\":\"{id}\",\"default_message\":\"of {id}\"}}],\"x\":\"{id}\"}}"
        );
        simulator.rule(json!({"path": request.path, "times": 1, "status": status, "body": body}));
        let error = session.http(request).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_REST);
        assert!(!format!("{error:?}").contains(id) && !error.message.contains(id), "{error:?}");
        let shown = String::from_utf8(error.answer.body.unwrap()).unwrap();
        assert!(shown.contains("\"x\":\"***\"") && !shown.contains(id), "{shown}");
    }
}

#[test]
fn what_the_server_repeats_of_the_programs_secrets_is_not_shown() {
    let simulator = vcenter();
    let session = simulator.session();
    const SECRET: &str = "5ecret-of-0815";
    let header = |name: &'static str, value: &'static str| (vec![(name, value)], "/x", &b""[..]);
    for (headers, path, body) in [
        header("Authorization", "Bearer 5ecret-of-0815"),
        header("Authorization", "SIGN token=\"5ecret-of-0815\", signature=\"abcdefgh\""),
        header("Authorization", "Basic Ym9iOjVlY3JldC1vZi0wODE1"),
        header("Cookie", "vmware_soap_session=5ecret-of-0815; a=b"),
        header("Cookie", "a=b; vmware_soap_session=\"5ecret-of-0815\""),
        header("X-Auth-Token", "5ecret-of-0815"),
        header("X-CSRF", "5ecret-of-0815"),
        (vec![], "/x?a=b&password=5ecret-of-0815", b""),
        (vec![], "/x;jsessionid=5ecret-of-0815", b""),
        (vec![], "/x?access_token=5ecret%2Dof-0815", b""),
        (vec![], "/x", br#"{"spec":{"password":"5ecret-of-0815"}}"#),
        (vec![], "/x", b"username=a&password=5ecret-of-0815"),
    ] {
        let answer = format!("you sent {SECRET}, Ym9iOjVlY3JldC1vZi0wODE1");
        simulator.rule(json!({"path": "/x*", "times": 1, "status": 400, "body": answer}));
        let request = HttpRequest { headers: &headers, ..HttpRequest::post(path, body).of_nobody() };
        let error = session.http(request).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_HTTP, "{error:?}");
        assert!(error.message.contains("you sent ***"), "{error:?}");
        let shown = String::from_utf8(error.answer.body.clone().unwrap()).unwrap();
        assert!(shown.starts_with("you sent ***"), "{headers:?} {path}: {shown}");
        assert!(!error.message.contains(SECRET) && !shown.contains(SECRET), "{error:?}");
        if headers.iter().any(|(_, value)| value.starts_with("Basic")) {
            assert!(!error.message.contains("Ym9i") && !shown.contains("Ym9i"), "{error:?}");
        }
    }
}

#[test]
fn another_services_outage_says_nothing_about_the_session() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"path": OTHER.path, "status": 503}));
    assert_eq!(session.http(OTHER).unwrap_err().http_status, 503);
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    simulator.rule(json!({"path": TIME.path, "times": 1, "status": 503}));
    assert_eq!(session.http(TIME).unwrap_err().http_status, 503);
    assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE);
    session.http(TIME).unwrap();
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
}

#[test]
fn asynchronous_requests_end_with_one_event_each() {
    let simulator = vcenter();
    let session = simulator.session();
    let queue = Queue::new();
    for tag in 0..50 {
        session.http_async(NAME, &queue, tag, &Options::default()).unwrap();
    }
    let mut tags = Vec::new();
    while tags.len() < 50 {
        let event = queue.next(PATIENCE.as_millis() as u32).unwrap().expect("it completes");
        assert_eq!((event.kind, event.reply), (VSESSION_EVENT_COMPLETION, None));
        assert_eq!(event.http.unwrap().text(), "\"Datacenters\"");
        tags.push(event.tag);
    }
    tags.sort_unstable();
    assert_eq!(tags, (0..50).collect::<Vec<_>>());
    assert_eq!(simulator.stat("logins"), 1);

    simulator.rule(json!({"path": OTHER.path, "hang": true}));
    let token = Token::new();
    session.http_async(OTHER, &queue, 50, &token.options()).unwrap();
    eventually("it hangs", || simulator.stat("requests_in_flight") == 1);
    token.fire();
    let error = queue.next(PATIENCE.as_millis() as u32).unwrap().unwrap().error.unwrap();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_CANCELLED, VSESSION_EXECUTED_MAYBE));
    let refused =
        session.http_async(HttpRequest::get("/api/none").of_nobody(), &queue, 51, &Options::default());
    refused.unwrap();
    let error = queue.next(PATIENCE.as_millis() as u32).unwrap().unwrap().error.unwrap();
    assert_eq!(error.answer.service_error.as_deref(), Some("NOT_FOUND"));
    assert!(queue.next(0).unwrap().is_none());
    queue.free();
}

#[test]
fn a_close_ends_requests_of_either_kind() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"path": OTHER.path, "hang": true}));
    thread::scope(|scope| {
        let requests = [OTHER, OTHER.of_nobody()].map(|request| scope.spawn(move || session.http(request)));
        eventually("they hang", || simulator.stat("requests_in_flight") == 2);
        session.close().unwrap();
        for request in requests {
            assert_eq!(request.join().unwrap().unwrap_err().status, status::VSESSION_E_CLOSED);
        }
    });
    assert_eq!(session.http(TIME.of_nobody()).unwrap_err().status, status::VSESSION_E_CLOSED);
}

/// A body whose bytes follow from their place, and the function that gives it.
fn byte_at(place: usize) -> u8 {
    (place * 7 + place / 251) as u8
}

fn giving(length: usize, rewinds: bool) -> impl FnMut(Option<&mut [u8]>) -> i64 {
    let mut at = 0;
    move |room| {
        let Some(room) = room else {
            at = 0;
            return if rewinds { 0 } else { -1 };
        };
        let number = room.len().min(length - at);
        room[..number].iter_mut().enumerate().for_each(|(i, byte)| *byte = byte_at(at + i));
        at += number;
        number as i64
    }
}

#[test]
fn bodies_of_any_length_are_streamed_both_ways() {
    const LENGTH: usize = 20_000_000;
    let simulator = vcenter();
    // Less than the body: it is never in memory.
    let session = simulator.config().with("max_reply_bytes", "1000000").open().unwrap();
    let path = "/folder/large.bin?dcPath=DC0&dsName=LocalDS_0";
    for length in [Some(LENGTH), None] {
        let put = HttpRequest { method: "PUT", ..HttpRequest::get(path) };
        let mut give = giving(LENGTH, false);
        let mut streams = Streams { give: Some(&mut give), length, take: None };
        assert!(session.http_streamed(put, &mut streams, &Options::default()).unwrap().status < 300);
        let mut at = 0;
        let mut take = |bytes: &[u8]| {
            assert!(bytes.len() <= 64 * 1024 && !bytes.is_empty());
            assert!(bytes.iter().enumerate().all(|(i, byte)| *byte == byte_at(at + i)));
            at += bytes.len();
            bytes.len() as i64
        };
        let mut streams = Streams { take: Some(&mut take), ..Streams::default() };
        let reply = session.http_streamed(HttpRequest::get(path), &mut streams, &Options::default()).unwrap();
        assert_eq!((reply.status, reply.body.len(), at), (200, 0, LENGTH));
        let error = session.http(HttpRequest::get(path)).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_REPLY_TOO_LARGE);
    }
    // Chunks so small that they go through the buffer.
    simulator.rule(json!({"path": OTHER.path, "status": 200, "body_repeat": 5_000_000, "chunk_size": 1000}));
    let mut taken = 0;
    let mut take = |bytes: &[u8]| {
        taken += bytes.len();
        bytes.len() as i64
    };
    let mut streams = Streams { take: Some(&mut take), ..Streams::default() };
    session.http_streamed(OTHER, &mut streams, &Options::default()).unwrap();
    assert_eq!(taken, 5_000_000);
}

#[test]
fn a_refusal_is_not_passed_to_the_program_as_a_body() {
    let simulator = vcenter();
    let session = simulator.session();
    let mut take = |_: &[u8]| -> i64 { panic!("it is no body") };
    let mut streams = Streams { take: Some(&mut take), ..Streams::default() };
    let missing = HttpRequest::get("/api/none").of_nobody();
    let error = session.http_streamed(missing, &mut streams, &Options::default()).unwrap_err();
    assert_eq!(error.answer.service_error.as_deref(), Some("NOT_FOUND"));
    let raw = session.http_streamed(missing.raw(), &mut streams, &Options::default()).unwrap();
    assert!(raw.status == 404 && raw.text().contains("NOT_FOUND"));
}

#[test]
fn a_program_may_give_up_its_own_body() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"path": OTHER.path, "status": 200, "body": "a reply"}));
    let post = HttpRequest { body: b"", ..OTHER };
    let mut sent = 0;
    let mut give = |room: Option<&mut [u8]>| {
        sent += room.unwrap().len();
        if sent > 100_000 { -5 } else { 1000 }
    };
    let mut streams = Streams { give: Some(&mut give), ..Streams::default() };
    let error = session.http_streamed(post, &mut streams, &Options::default()).unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_CANCELLED, VSESSION_EXECUTED_MAYBE));
    assert!(error.message.contains("-5"), "{}", error.message);
    let mut short = giving(100, true);
    let mut streams = Streams { give: Some(&mut short), length: Some(101), take: None };
    let error = session.http_streamed(post, &mut streams, &Options::default()).unwrap_err();
    assert!(error.message.contains("100 of 101 bytes"), "{}", error.message);
    let mut take = |_: &[u8]| -1;
    let mut streams = Streams { take: Some(&mut take), ..Streams::default() };
    let error = session.http_streamed(post, &mut streams, &Options::default()).unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_CANCELLED, VSESSION_EXECUTED_MAYBE));
    assert_eq!(session.http(post).unwrap().text(), "a reply", "the next request has a connection of its own");
}

/// What a server says before its answer (session tickets of TLS, interim replies) is no answer.
#[test]
fn a_program_that_gives_up_its_body_does_not_wait_for_an_answer() {
    for canned in [Canned::http(), Canned::https()] {
        let session = canned.config().open().unwrap();
        let (said, arrived) = std::sync::mpsc::channel();
        canned.on_call(move |peer, _| {
            peer.say(b"HTTP/1.1 100 Continue\r\n\r\n");
            eventually("it has arrived", || peer.has_arrived());
            said.send(()).unwrap();
            peer.hang_deaf();
        });
        let mut pieces = 0;
        let mut give = |_: Option<&mut [u8]>| {
            pieces += 1;
            if pieces == 1 {
                return 10;
            }
            arrived.recv().unwrap();
            -5
        };
        let mut streams = Streams { give: Some(&mut give), ..Streams::default() };
        let post = HttpRequest { body: b"", ..OTHER.of_nobody() };
        let error = session.http_streamed(post, &mut streams, &Options::timeout(10_000)).unwrap_err();
        assert_eq!((error.status, error.executed), (status::VSESSION_E_CANCELLED, VSESSION_EXECUTED_MAYBE));
        assert!(error.message.contains("-5"), "{}", error.message);
    }
}

#[test]
fn a_streamed_body_is_sent_again_where_the_program_can_give_it_again() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    let post = HttpRequest { body: b"", ..OTHER };
    for (length, rewinds, repeated) in [(100, false, true), (100_000, true, true), (100_000, false, false)] {
        for known in [None, Some(length)] {
            simulator.clear_rules();
            let (before, logins) = (seen(&simulator, post), simulator.stat("logins"));
            simulator.kill_sessions();
            simulator.rule(json!({"path": OTHER.path, "times": 1, "status": 401}));
            simulator.rule(json!({"path": OTHER.path, "status": 200, "body": "done"}));
            let mut give = giving(length, rewinds);
            let mut streams = Streams { give: Some(&mut give), length: known, take: None };
            let result = session.http_streamed(post, &mut streams, &Options::default());
            if repeated {
                assert_eq!(result.unwrap().text(), "done");
            } else {
                assert_eq!(result.unwrap_err().executed, VSESSION_EXECUTED_NO);
            }
            assert_eq!(seen(&simulator, post), before + 1 + u64::from(repeated), "{length} {rewinds}");
            assert_eq!(simulator.stat("logins"), logins + 1, "the session is replaced in any case");
            // A call that proves the new session; otherwise the next login would pause.
            session.ping().unwrap();
        }
    }
}

#[test]
fn what_the_program_has_taken_is_not_sent_for_again() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"path": OTHER.path, "status": 200, "body_repeat": 100_000, "truncate_at": 50_000}));
    let mut taken = 0;
    let mut take = |bytes: &[u8]| {
        taken += bytes.len();
        bytes.len() as i64
    };
    let mut streams = Streams { take: Some(&mut take), ..Streams::default() };
    let twice = Options { idempotent: true, ..Options::default() };
    let error = session.http_streamed(OTHER, &mut streams, &twice).unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_CONNECTION, VSESSION_EXECUTED_MAYBE));
    assert_eq!((seen(&simulator, OTHER), taken), (1, 50_000));
}

#[test]
fn a_reply_that_is_cut_off_is_not_given_to_the_program_as_a_whole_one() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    for (status, request) in
        [(200, OTHER), (300, OTHER), (302, OTHER), (302, OTHER.raw()), (404, OTHER.raw())]
    {
        simulator
            .rule(json!({"path": OTHER.path, "status": status, "body_repeat": 1000, "truncate_at": 500}));
        let error = session.http(request).expect_err(&format!("{status} {request:?}"));
        assert_eq!((error.status, error.executed), (status::VSESSION_E_CONNECTION, VSESSION_EXECUTED_MAYBE));
        let mut streams =
            Streams { take: Some(&mut |bytes: &[u8]| bytes.len() as i64), ..Streams::default() };
        let error = session.http_streamed(request, &mut streams, &Options::default()).unwrap_err();
        assert_eq!((error.status, error.executed), (status::VSESSION_E_CONNECTION, VSESSION_EXECUTED_MAYBE));
        simulator.clear_rules();
        // An idempotent request is sent again.
        simulator.rule(json!({"path": OTHER.path, "status": status, "body_repeat": 1000, "truncate_at": 500, "times": 1}));
        simulator.rule(json!({"path": OTHER.path, "status": status, "body": "whole"}));
        let twice = Options { idempotent: true, ..Options::default() };
        assert_eq!(session.http_with(request, &twice).unwrap().text(), "whole");
        simulator.clear_rules();
    }
    // A refusal is the library's to read, and its status says enough.
    simulator.rule(json!({"path": OTHER.path, "status": 404, "body_repeat": 1000, "truncate_at": 500}));
    let error = session.http(OTHER).unwrap_err();
    assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, 404));
}

#[test]
fn a_token_ends_a_body_that_never_ends() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    let token = Token::new();
    let mut pieces = 0;
    let mut give = |room: Option<&mut [u8]>| {
        pieces += 1;
        if pieces == 100 {
            token.fire();
        }
        room.unwrap().len() as i64
    };
    let mut streams = Streams { give: Some(&mut give), ..Streams::default() };
    let post = HttpRequest { body: b"", ..OTHER };
    let error = session.http_streamed(post, &mut streams, &token.options()).unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_CANCELLED, VSESSION_EXECUTED_MAYBE));
    assert_eq!(pieces, 100, "no more is asked for");
}

/// The result of a request that is answered with these bytes, and whether its connection serves the next one.
fn answered_with(
    canned: &Canned,
    session: Session,
    request: HttpRequest,
    bytes: Vec<u8>,
) -> (Answered, bool) {
    canned.on_call(move |peer, _| _ = peer.say(&bytes));
    let result = session.http(request);
    let on = canned.last_connection();
    canned.well();
    session.http(request).unwrap();
    (result, canned.last_connection() == on)
}

type Answered = Result<client::HttpReply, ApiError>;

#[test]
fn a_reply_with_two_ends_is_read_as_chunks_and_ends_its_connection_and_other_codings_of_transfer_are_errors()
{
    let canned = Canned::http();
    let session = canned.config().open().unwrap();
    let request = OTHER.of_nobody();
    for (line, read) in [
        ("Content-Length: 5", true),
        ("Content-Length: 4000", true),
        ("Transfer-Encoding: gzip", false),
        ("Transfer-Encoding: chunked", false),
        ("Content-Length: 5\r\nContent-Length: 6", false),
        ("Content-Length: 5, 6", false),
    ] {
        let reply = in_chunks(&format!("{line}\r\n"), b"in chunks", 4);
        let (result, kept) = answered_with(&canned, session, request, reply);
        assert!(!kept, "{line}");
        match result {
            Ok(reply) => assert_eq!((reply.text(), read), ("in chunks", true), "{line}"),
            Err(error) => {
                let expected = (status::VSESSION_E_PROTOCOL, VSESSION_EXECUTED_MAYBE);
                assert_eq!(((error.status, error.executed), read), (expected, false), "{line}: {error:?}");
            }
        }
    }
    session.close().unwrap();
}

#[test]
fn a_change_of_protocol_is_an_error_and_ends_the_connection_and_other_interim_replies_are_skipped() {
    let canned = Canned::http();
    let session = canned.config().open().unwrap();
    for request in [OTHER.of_nobody(), OTHER.of_nobody().raw()] {
        let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
        let (result, kept) = answered_with(&canned, session, request, upgrade.to_vec());
        let error = result.unwrap_err();
        assert_eq!((error.status, error.executed), (status::VSESSION_E_PROTOCOL, VSESSION_EXECUTED_MAYBE));
        assert!(error.message.contains("protocol") && !kept, "{error:?}");
        let interim = [
            &b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\n"[..],
            b"HTTP/1.1 103 Early Hints\r\nLink: z\r\n\r\n",
            &with_length("", b"the reply"),
        ];
        let (result, kept) = answered_with(&canned, session, request, interim.concat());
        let reply = result.unwrap();
        assert_eq!((reply.status, reply.text(), reply.header("link"), kept), (200, "the reply", None, true));
    }
    session.close().unwrap();
}

#[test]
fn a_body_in_a_coding_that_nobody_asked_for_is_an_error_that_names_it_unless_it_is_wanted_as_it_is() {
    let canned = Canned::http();
    let session = canned.config().open().unwrap();
    session.login().unwrap();
    let request = OTHER.of_nobody();
    for coding in ["br", "zstd", "gzip, br"] {
        let line = format!("Content-Encoding: {coding}\r\n");
        let whole = with_length(&line, b"\x1b\x03\0packed");
        let names = |error: &ApiError| {
            assert_eq!(
                (error.status, error.executed),
                (status::VSESSION_E_PROTOCOL, VSESSION_EXECUTED_MAYBE)
            );
            assert_eq!(error.http_status, 200);
            assert!(error.message.contains(&format!("'{coding}'")), "{error:?}");
        };
        for reply in [whole.clone(), in_chunks(&line, &[0; 100_000], 50_000)] {
            let (result, kept) = answered_with(&canned, session, request, reply);
            names(&result.unwrap_err());
            assert!(!kept, "the rest of the body has not been read");
        }
        let (result, kept) = answered_with(&canned, session, request.raw(), whole.clone());
        let reply = result.unwrap();
        assert_eq!((reply.status, &reply.body[..], kept), (200, &b"\x1b\x03\0packed"[..], true));
        assert_eq!(reply.header("content-encoding"), Some(coding));
        // Nothing of it is handed out as a body.
        let packed = whole.clone();
        canned.on_call(move |peer, _| _ = peer.say(&packed));
        let mut take = |_: &[u8]| -> i64 { panic!("it is no body") };
        let mut streams = Streams { take: Some(&mut take), ..Streams::default() };
        names(&session.http_streamed(request, &mut streams, &Options::default()).unwrap_err());
        names(&session.ping().unwrap_err());
        canned.well();
        // There is nothing to decode, or the status says what there is to say.
        let (result, kept) = answered_with(&canned, session, request, with_length(&line, b""));
        assert_eq!((result.unwrap().status, kept), (200, true));
        let refusal = String::from_utf8(with_length(&line, b"packed")).unwrap().replace("200 OK", "404 x");
        let (result, kept) = answered_with(&canned, session, request, refusal.into_bytes());
        let error = result.unwrap_err();
        assert_eq!((error.status, error.http_status, kept), (status::VSESSION_E_HTTP, 404, true));
        assert_eq!(error.answer.body.as_deref(), Some(&b"packed"[..]));
    }
    session.close().unwrap();
    // The library's own question.
    let session = canned.config().with("rest", "api").open().unwrap();
    canned.on_everything(|peer, _| _ = peer.say(&with_length("Content-Encoding: br\r\n", b"packed")));
    let error = session.http(HttpRequest::get("/api/vcenter/vm").of_rest()).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_PROTOCOL, "{error:?}");
    assert!(
        error.message.contains("'br'") && error.message.contains(&canned.address().to_string()),
        "{error:?}"
    );
    canned.well();
    session.close().unwrap();
}

#[test]
fn a_reply_packed_without_having_been_asked_for_is_unpacked() {
    let canned = Canned::http();
    let session = canned.config().with("http.compression", "off").open().unwrap();
    let packed = crate::support::answers::gzip(good_body().as_bytes());
    let reply = with_length("Content-Encoding: gzip\r\n", &packed);
    let (result, kept) = answered_with(&canned, session, OTHER.of_nobody(), reply);
    assert_eq!((result.unwrap().text(), kept), (&*good_body(), true));
    session.close().unwrap();
}

#[test]
fn a_request_that_may_mean_another_method_is_refused_where_that_would_end_the_session() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    let before = simulator.stat("requests");
    const OVERRIDE: &[(&str, &str)] = &[("X-HTTP-Method-Override", "DELETE")];
    for (path, headers) in [
        ("/rest/com/vmware/cis/session?~method=DELETE", &[][..]),
        ("/api/session?_method=delete", &[]),
        ("/api/session", OVERRIDE),
        ("/rest/com/vmware/cis/session?~action=get", OVERRIDE),
    ] {
        for method in ["GET", "HEAD", "POST"] {
            let request = HttpRequest { method, headers, ..HttpRequest::get(path) };
            for request in [request, request.of_rest()] {
                let error = session.http(request).unwrap_err();
                let expected = (status::VSESSION_E_INVALID_ARGUMENT, VSESSION_EXECUTED_NO);
                assert_eq!((error.status, error.executed), expected, "{request:?}");
                assert!(error.message.contains("changes the session itself"), "{error:?}");
            }
        }
    }
    assert_eq!(simulator.stat("requests"), before);
    session.close().unwrap();
}

#[test]
fn what_the_server_repeats_in_another_spelling_is_not_shown_either() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    let cookie = session.cookie().unwrap();
    let id = cookie.split_once('=').unwrap().1.trim_matches('"').to_string();
    let in_units: String = id.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
    let in_percents: String = id.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let in_references: String = id.chars().map(|c| format!("&#{};", u32::from(c))).collect();
    for spelt in [&in_units, &in_percents, &in_references, &id] {
        for body in [
            json!({"error_type": "NOT_FOUND", "messages": [], "x": "0"})
                .to_string()
                .replace("\"0\"", &format!("\"{spelt}\"")),
            format!("<html><b>{spelt}</b></html>"),
        ] {
            simulator.rule(json!({"path": OTHER.path, "times": 1, "status": 404, "body": body}));
            let error = session.http(OTHER).unwrap_err();
            let shown = String::from_utf8(error.answer.body.clone().unwrap()).unwrap();
            assert!(!shown.contains(&**spelt) && shown.contains("***"), "{shown}");
            assert!(!error.message.contains(&**spelt), "{error:?}");
        }
    }
    // What a program sends with a slash, as JSON may write it.
    let secret = HttpRequest::post(OTHER.path, br#"{"password":"pass/word+1=\ud83d\udd11"}"#).of_nobody();
    let body = r#"{"a":"pass\/word+1=\ud83d\udd11","b":"pass/word\u002b1=\uD83D\uDD11","c":1}"#;
    simulator.rule(json!({"path": OTHER.path, "times": 1, "status": 400, "body": body}));
    let error = session.http(secret).unwrap_err();
    assert_eq!(String::from_utf8(error.answer.body.unwrap()).unwrap(), r#"{"a":"***","b":"***","c":1}"#);
    session.close().unwrap();
}

#[test]
fn large_files_go_both_ways_over_tls_in_memory_that_does_not_grow_with_them() {
    let told = child::held(child::child("requests::child_that_moves_large_files"));
    eprintln!("{}", told.lines().filter(|line| line.starts_with("memory")).collect::<Vec<_>>().join("\n"));
}

#[test]
#[ignore = "run by large_files_go_both_ways_over_tls_in_memory_that_does_not_grow_with_them"]
fn child_that_moves_large_files() {
    const LENGTH: usize = 128 << 20;
    const MOST_KB: u64 = 8 << 10;
    let simulator = vcenter();
    assert!(simulator.text("url").starts_with("https:"));
    let session = simulator.session();
    let path = "/folder/large.bin?dcPath=DC0&dsName=LocalDS_0";
    let put = HttpRequest { method: "PUT", ..HttpRequest::get(path) };
    let memory = |name: &str| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
    };
    session.login().unwrap();
    let grown = |what: &str, streams: &mut Streams, request: HttpRequest| {
        std::fs::write("/proc/self/clear_refs", "5").expect("the peak is reset");
        let before = memory("VmRSS:");
        let reply = session.http_streamed(request, streams, &Options::timeout(300_000)).unwrap();
        assert!(reply.status < 300);
        let grown = memory("VmHWM:").saturating_sub(before);
        eprintln!("memory: {what} of {LENGTH} bytes: {grown} kB");
        assert!(grown < MOST_KB, "{what}: {grown} kB");
    };
    for length in [Some(LENGTH), None] {
        let mut left = LENGTH;
        let mut give = |room: Option<&mut [u8]>| {
            let given = room.unwrap().len().min(left);
            left -= given;
            given as i64
        };
        grown("upload", &mut Streams { give: Some(&mut give), length, take: None }, put);
        assert_eq!(left, 0);
    }
    let mut taken = 0;
    let mut take = |bytes: &[u8]| {
        taken += bytes.len();
        bytes.len() as i64
    };
    grown("download", &mut Streams { take: Some(&mut take), ..Streams::default() }, HttpRequest::get(path));
    assert_eq!(taken, LENGTH);
    session.close().unwrap();
}
