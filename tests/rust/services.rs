//! Calls of the SOAP services beside vim25, calls with a SOAP header of the program's own, and calls that are nobody's.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use vsession::vsession_event_kind::*;
use vsession::vsession_executed::*;
use vsession::vsession_state::*;

use crate::support::canned::{envelope, with_length};
use crate::support::client::CURRENT_TIME;
use crate::support::*;

const VERSIONS: &str = "GET /sdk/vimServiceVersions.xml";

/// The ids of the storage policies.
const POLICIES: SoapCall = SoapCall::of_pbm(
    "PbmQueryProfile",
    "PbmProfileProfileManager",
    "ProfileManager",
    "<resourceType><resourceType>STORAGE</resourceType></resourceType><profileCategory>REQUIREMENT</profileCategory>",
);

/// It takes the session from the cookie.
const AGENCIES: SoapCall = SoapCall {
    id: Some("EsxAgentManager"),
    service: Some(("/eam/sdk", "urn:eam")),
    ..SoapCall::of(Call { method: "QueryAgency", this_type: "EsxAgentManager", arguments: "" })
};

/// It takes the session from the SOAP header.
const OBJECTS: SoapCall = SoapCall {
    id: Some("ServiceInstance"),
    service: Some(("/vslm/sdk", "urn:vslm")),
    ..SoapCall::of(Call { method: "RetrieveContent", this_type: "VslmServiceInstance", arguments: "" })
};

const LOOKUP: SoapCall = SoapCall {
    id: Some("ServiceInstance"),
    service: Some(("/lookupservice/sdk", "urn:lookup")),
    version: Some("2.0"),
    ..SoapCall::of(Call {
        method: "RetrieveServiceContent",
        this_type: "LookupServiceInstance",
        arguments: "",
    })
}
.of_nobody();

const CONTENT: SoapCall =
    SoapCall::of(Call { method: "RetrieveServiceContent", this_type: "ServiceInstance", arguments: "" })
        .of_nobody();

fn vcenter() -> Simulator {
    Simulator::with(&["-endpoints", "all"])
}

fn call(session: Session, call: &SoapCall) -> Result<client::Reply, ApiError> {
    session.soap(call, &Options::default())
}

/// The last request on this path.
fn last(simulator: &Simulator, path: &str) -> Value {
    simulator.log().into_iter().rfind(|entry| entry["path"] == path).unwrap()
}

#[test]
fn other_services_know_the_session_by_its_id_and_by_its_cookie() {
    let simulator = vcenter();
    let session = simulator.session();
    let reply = call(session, &POLICIES).unwrap();
    assert!(reply.xml.contains("<uniqueId>"), "{}", reply.xml);
    assert_eq!(reply.epoch, 1);
    let request = last(&simulator, "/pbm");
    assert_eq!(request["soap_action"], "urn:pbm/2.0");
    assert_eq!(request["session_key"], session.info().unwrap().key());
    assert_eq!(request["cookie_header"], session.cookie().unwrap());
    assert!(!request["operation_id"].is_null());
    for other in [AGENCIES, OBJECTS] {
        call(session, &other).unwrap();
    }
    assert_eq!(last(&simulator, "/vslm/sdk")["soap_action"], "urn:vslm/", "the service's own version");
    assert_eq!(simulator.stat("logins"), 1);
    session.ping().unwrap();
    session.close().unwrap();
}

#[test]
fn the_session_id_goes_without_quotes_and_the_programs_header_behind_it() {
    let canned = Canned::http();
    let seen = Arc::new(Mutex::new(String::new()));
    let body = seen.clone();
    canned.on_call(move |peer, request| {
        *body.lock().unwrap() = request.body.clone();
        let reply = envelope("<MResponse xmlns=\"urn:pbm\"><returnval>1</returnval></MResponse>");
        peer.say(&with_length("Set-Cookie: vmware_soap_session=theirs; HttpOnly\r\n", reply.as_bytes()));
    });
    let session = canned.config().open().unwrap();
    let own = "<w:Security xmlns:w=\"urn:w\"><w:Token>secret</w:Token></w:Security>";
    let of_pbm = SoapCall { header: Some(own), ..SoapCall::of_pbm("M", "T", "t-1", "<a/>") };
    let options = Options { operation_id: Some(c"op-1".into()), ..Options::default() };
    let reply = session.soap(&of_pbm, &options).unwrap();
    assert_eq!(reply.text.as_deref(), Some("1"));
    let header = |session: &str| format!("<Header><operationID>op-1</operationID>{session}{own}</Header>");
    let method = |namespace: &str| {
        format!("<Body><M xmlns=\"{namespace}\"><_this type=\"T\">t-1</_this><a/></M></Body></Envelope>")
    };
    let sent = || seen.lock().unwrap().clone();
    let id = "<vcSessionCookie xmlns=\"\">52c4nn3d</vcSessionCookie>";
    assert!(sent().ends_with(&(header(id) + &method("urn:pbm"))), "{}", sent());
    assert_eq!(session.cookie().unwrap(), "vmware_soap_session=\"52c4nn3d\"", "not theirs");
    // vim25 knows the session by the cookie.
    session.soap(&SoapCall { service: None, version: None, ..of_pbm }, &options).unwrap_err();
    assert!(sent().ends_with(&(header("") + &method("urn:vim25"))), "{}", sent());
    // A vim25 call without a header of its own has nothing but the operation id.
    let plain = SoapCall { service: None, version: None, header: None, ..of_pbm };
    session.soap(&plain, &options).unwrap_err();
    let header = "<Header><operationID>op-1</operationID></Header>";
    assert!(sent().ends_with(&(header.to_string() + &method("urn:vim25"))), "{}", sent());
    session.soap(&of_pbm.of_nobody(), &options).unwrap();
    assert!(!sent().contains("vcSessionCookie") && sent().contains(own), "{}", sent());
    session.close().unwrap();
}

#[test]
fn a_session_that_dies_between_two_calls_of_another_service_is_replaced_once_for_all_threads() {
    const THREADS: usize = 16;
    let simulator = vcenter();
    let session = simulator.config().with("relogin.backoff_ms", "1").open().unwrap();
    for (number, other) in [POLICIES, AGENCIES, OBJECTS].iter().enumerate() {
        // A new session that only other services used counts as useless.
        session.ping().unwrap();
        call(session, other).unwrap();
        let method = other.call.method;
        let (logins, sent) = (simulator.stat("logins"), simulator.calls(method));
        simulator.kill_sessions();
        for reply in together(THREADS, |_| call(session, other)) {
            assert_eq!(reply.unwrap().epoch, number as u64 + 2, "{method}");
        }
        assert_eq!(simulator.stat("logins"), logins + 1, "{method}");
        let sent = simulator.calls(method) - sent;
        assert!((THREADS as u64 + 1..=2 * THREADS as u64).contains(&sent), "{method}: {sent}");
        let accepted = last(&simulator, other.service.unwrap().0);
        assert_eq!(accepted["session_key"], session.info().unwrap().key());
    }
    session.close().unwrap();
}

#[test]
fn not_authenticated_from_another_service_stands_where_the_session_lives() {
    let simulator = vcenter();
    let session = simulator.session();
    session.login().unwrap();
    // Canned: what the services say of a session that they do not know.
    for (fault, expected) in [
        ("NotAuthenticated", status::VSESSION_E_NOT_AUTHENTICATED),
        ("PbmFaultInvalidLogin", status::VSESSION_E_NOT_AUTHENTICATED),
        ("SmsInvalidLogin", status::VSESSION_E_NOT_AUTHENTICATED),
        ("InvalidSession", status::VSESSION_E_NOT_AUTHENTICATED),
        ("EamInvalidLogin", status::VSESSION_E_NOT_AUTHENTICATED),
        ("InvalidLogin", status::VSESSION_E_INVALID_LOGIN),
    ] {
        let detail = format!("<{fault}Fault xmlns=\"urn:pbm\" xsi:type=\"{fault}\"/>");
        simulator.rule(json!({"path": "/pbm", "times": 1, "fault_xml": detail}));
        let asked = simulator.calls("RetrievePropertiesEx");
        let error = call(session, &POLICIES).unwrap_err();
        assert_eq!((error.status, error.executed), (expected, VSESSION_EXECUTED_NO), "{error:?}");
        assert_eq!(error.fault.as_deref(), Some(fault));
        assert_eq!(simulator.calls("RetrievePropertiesEx"), asked + 1, "the server is asked: {fault}");
    }
    simulator.rule(json!({"path": "/pbm", "times": 1, "status": 401}));
    let asked = simulator.calls("RetrievePropertiesEx");
    let error = call(session, &POLICIES).unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_HTTP, VSESSION_EXECUTED_NO));
    assert_eq!(simulator.calls("RetrievePropertiesEx"), asked + 1);
    assert_eq!((simulator.stat("logins"), session.state()), (1, VSESSION_STATE_ACTIVE));
    session.close().unwrap();
}

#[test]
fn no_other_answer_of_another_service_touches_the_session() {
    let simulator = vcenter();
    let queue = Queue::new();
    let session = simulator.config().with_queue(&queue).open().unwrap();
    session.login().unwrap();
    queue.drain();
    let requests = simulator.stat("requests");
    let fault = |xsi_type: &str, inside: &str, words: &str| {
        let detail = format!(
            "<{xsi_type}Fault xmlns=\"urn:vim25\" xsi:type=\"{xsi_type}\">{inside}</{xsi_type}Fault>"
        );
        json!({"fault_xml": detail, "fault_message": words})
    };
    let answers = [
        (json!({"status": 503}), status::VSESSION_E_HTTP),
        (json!({"status": 502, "body": "<html/>"}), status::VSESSION_E_HTTP),
        (json!({"status": 404}), status::VSESSION_E_HTTP),
        (json!({"status": 200, "body": "<html/>"}), status::VSESSION_E_NOT_SOAP),
        (json!({"reset": "before"}), status::VSESSION_E_CONNECTION),
        (json!({"close": "after"}), status::VSESSION_E_CONNECTION),
        (fault("InvalidRequest", "", "Unsupported version URI \"urn:pbm/2.0\""), status::VSESSION_E_FAULT),
        (fault("InvalidRequest", "", ""), status::VSESSION_E_FAULT),
        (fault("MethodNotFound", "", ""), status::VSESSION_E_FAULT),
        (
            fault("ManagedObjectNotFound", "<obj type=\"SessionManager\">SessionManager</obj>", ""),
            status::VSESSION_E_FAULT,
        ),
    ];
    let count = answers.len() as u64;
    for (mut rule, expected) in answers {
        (rule["path"], rule["times"]) = ("/pbm".into(), 1.into());
        simulator.rule(rule);
        let error = call(session, &POLICIES).unwrap_err();
        assert_eq!(error.status, expected, "{error:?}");
        assert!(error.message.contains(&simulator.host()), "{error:?}");
        if error.http_status == 404 {
            assert!(error.message.contains("'service_path'"), "{error:?}");
        }
        assert_eq!(session.state(), VSESSION_STATE_ACTIVE, "{error:?}");
    }
    assert_eq!(simulator.stat("requests"), requests + count, "nothing else was asked");
    assert!(queue.drain().is_empty());
    // A silent service is not a silent server.
    simulator.rule(json!({"path": "/pbm", "times": 1, "hang": true}));
    let late = session.soap(&POLICIES, &Options::timeout(1500)).unwrap_err();
    assert_eq!((late.status, session.state()), (status::VSESSION_E_TIMEOUT, VSESSION_STATE_ACTIVE));
    // Nor does its success say that vim25 is there again.
    simulator.rule(json!({"path": "/sdk", "times": 1, "status": 503}));
    session.ping().unwrap_err();
    call(session, &POLICIES).unwrap();
    assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE);
    session.ping().unwrap();
    assert_eq!((session.state(), session.epoch()), (VSESSION_STATE_ACTIVE, 1));
    session.close().unwrap();
    queue.free();
}

#[test]
fn a_success_of_another_service_does_not_pay_for_a_login() {
    let simulator = vcenter();
    let session = simulator.config().with("relogin.backoff_ms", "60000").open().unwrap();
    session.ping().unwrap();
    simulator.kill_sessions();
    call(session, &POLICIES).unwrap();
    simulator.kill_sessions();
    let error = call(session, &POLICIES).unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_NOT_AUTHENTICATED, VSESSION_EXECUTED_NO));
    assert!(error.retry_after_ms > 0, "{error:?}");
    assert_eq!(simulator.stat("logins"), 2);
    session.close().unwrap();
}

#[test]
fn an_asynchronous_call_of_another_service_is_replaced_and_answered_too() {
    let simulator = vcenter();
    let session = simulator.session();
    session.ping().unwrap();
    simulator.kill_sessions();
    let queue = Queue::new();
    for (tag, soap) in [(1, POLICIES), (2, LOOKUP), (3, CONTENT)] {
        session.soap_async(&soap, &queue, tag, &Options::default()).unwrap();
        let event = queue.next(30_000).unwrap().unwrap();
        assert_eq!((event.kind, event.tag), (VSESSION_EVENT_COMPLETION, tag));
        assert!(event.error.is_none(), "{:?}", event.error);
    }
    assert_eq!((simulator.stat("logins"), simulator.calls("PbmQueryProfile")), (2, 2));
    queue.free();
    session.close().unwrap();
}

#[test]
fn nobodys_call_logs_nobody_in_and_says_nothing_about_the_session() {
    let simulator = vcenter();
    let session = simulator.session();
    let content = call(session, &CONTENT).unwrap();
    assert!(content.xml.contains("<sessionManager") && content.epoch == 0, "{content:?}");
    assert_eq!(simulator.stat("requests"), 3, "two of them to learn the version");
    call(session, &CONTENT).unwrap();
    assert_eq!((simulator.stat("requests"), session.state()), (4, VSESSION_STATE_LOGGED_OUT));
    let refused = call(session, &SoapCall::of(CURRENT_TIME).of_nobody()).unwrap_err();
    assert_eq!(
        (refused.status, refused.executed),
        (status::VSESSION_E_NOT_AUTHENTICATED, VSESSION_EXECUTED_NO)
    );
    assert_eq!((simulator.stat("requests"), simulator.stat("logins")), (5, 0));
    // The login knows the server by now.
    session.login().unwrap();
    assert_eq!((simulator.calls(VERSIONS), simulator.stat("requests")), (1, 6));
    let refused = call(session, &SoapCall::of(CURRENT_TIME).of_nobody()).unwrap_err();
    assert_eq!(refused.status, status::VSESSION_E_NOT_AUTHENTICATED);
    call(session, &CONTENT).unwrap();
    assert_eq!(
        (simulator.stat("requests"), session.state()),
        (8, VSESSION_STATE_ACTIVE),
        "nothing is checked"
    );
    for entry in simulator.log().iter().filter(|entry| entry["method"] != "Login") {
        assert!(entry["cookie_header"].is_null() && entry["cookie"].is_null(), "{entry}");
    }
    simulator.rule(json!({"path": "/sdk", "times": 2, "status": 503}));
    call(session, &CONTENT).unwrap_err();
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE, "an answer to nobody");
    session.ping().unwrap_err();
    call(session, &CONTENT).unwrap();
    assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE, "nor is a success one to the session");
    session.close().unwrap();
    assert_eq!(call(session, &CONTENT).unwrap_err().status, status::VSESSION_E_CLOSED);
}

#[test]
fn a_service_that_needs_no_session_is_asked_at_once() {
    let simulator = vcenter();
    let session = simulator.session();
    let reply = call(session, &LOOKUP).unwrap();
    assert!(reply.xml.contains("ServiceRegistration"), "{}", reply.xml);
    assert_eq!(
        (simulator.stat("requests"), last(&simulator, "/lookupservice/sdk")["soap_action"].as_str()),
        (1, Some("urn:lookup/2.0"))
    );
    let refused = call(session, &POLICIES.of_nobody()).unwrap_err();
    assert_eq!(refused.status, status::VSESSION_E_NOT_AUTHENTICATED);
    assert_eq!((simulator.stat("requests"), simulator.stat("logins")), (2, 0));
    session.close().unwrap();
}

#[test]
fn a_server_is_discovered_once_for_all_calls_of_nobody() {
    const THREADS: u64 = 16;
    let simulator = Simulator::start();
    let session = simulator.session();
    // So that all come before the first answer.
    simulator.rule(json!({"method": "GET", "delay_ms": 300}));
    for reply in together(THREADS as usize, |_| call(session, &CONTENT)) {
        reply.unwrap();
    }
    assert_eq!((simulator.calls(VERSIONS), simulator.calls("RetrieveServiceContent")), (1, THREADS + 1));
    session.close().unwrap();
}

#[test]
fn nobodys_call_does_not_wait_for_a_login() {
    let simulator = Simulator::start();
    let session = Arc::new(Mutex::new(None::<Session>));
    let own = session.clone();
    let config = simulator.config().with("timeout_ms", "5000").with_credentials(move |_| {
        let session = own.lock().unwrap().unwrap();
        // In the callback of the session's own login.
        match session.soap(&CONTENT, &Options::timeout(10_000)) {
            Ok(_) => Credentials::Pair("user", "pass".into()),
            Err(_) => Credentials::None("the call failed"),
        }
    });
    *session.lock().unwrap() = Some(config.open().unwrap());
    let session = session.lock().unwrap().unwrap();
    session.login().unwrap();
    assert_eq!(simulator.calls(VERSIONS), 1);
    // A login that hangs.
    simulator.kill_sessions();
    simulator.rule(json!({"method": "Login", "hang": true}));
    std::thread::scope(|scope| {
        scope.spawn(|| session.ping_with(&Options::timeout(2000)).unwrap_err());
        eventually("the login is on its way", || simulator.calls("Login") == 2);
        session.soap(&CONTENT, &Options::timeout(10_000)).unwrap();
    });
    simulator.clear_rules();
    session.close().unwrap();
}

#[test]
fn a_discovery_ends_with_its_last_caller_and_its_failure_is_the_calls_own() {
    let simulator = Simulator::start();
    let session = simulator.session();
    simulator.rule(json!({"method": "GET", "hang": true}));
    let error = session.soap(&CONTENT, &Options::timeout(300)).unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_TIMEOUT, VSESSION_EXECUTED_NO));
    assert!(
        error.message.contains("discovery of ") && error.message.contains(&simulator.host()),
        "{error:?}"
    );
    eventually("nobody waits any more", || simulator.stat("requests_in_flight") == 0);
    simulator.clear_rules();
    simulator.rule(json!({"method": "GET", "times": 1, "status": 503, "headers": {"Retry-After": "3"}}));
    let error = call(session, &CONTENT).unwrap_err();
    assert_eq!((error.status, error.http_status), (status::VSESSION_E_HTTP, 503));
    assert_eq!((error.executed, error.retry_after_ms), (VSESSION_EXECUTED_NO, 3000));
    assert_eq!(session.state(), VSESSION_STATE_LOGGED_OUT);
    call(session, &CONTENT).unwrap();
    session.close().unwrap();
}

#[test]
fn a_server_that_was_replaced_is_discovered_again_for_nobody() {
    let simulator = Simulator::start();
    let session = simulator.session();
    call(session, &CONTENT).unwrap();
    // Canned: another server, which speaks one version only.
    let list = "<namespaces><namespace><name>urn:vim25</name><version>6.0</version></namespace></namespaces>";
    simulator.rule(json!({"method": "GET", "status": 200, "body": list}));
    simulator.rule(json!({"path": "/sdk", "soap_action": "!urn:vim25/6.0", "fault": "InvalidRequest",
        "fault_message": "Unsupported version URI"}));
    for reply in together(8, |_| call(session, &CONTENT)) {
        reply.unwrap();
    }
    assert_eq!(simulator.calls(VERSIONS), 2);
    assert_eq!(last(&simulator, "/sdk")["soap_action"], "urn:vim25/6.0");
    assert_eq!((simulator.stat("logins"), session.state()), (0, VSESSION_STATE_LOGGED_OUT));
    // It is not asked for each such answer.
    simulator.clear_rules();
    simulator
        .rule(json!({"path": "/sdk", "fault": "InvalidRequest", "fault_message": "Unsupported version URI"}));
    assert_eq!(call(session, &CONTENT).unwrap_err().status, status::VSESSION_E_FAULT);
    assert_eq!(simulator.calls(VERSIONS), 2);
    session.close().unwrap();
}

#[test]
fn an_object_of_the_service_content_is_found_for_nobody_too() {
    let simulator = Simulator::start();
    let session = simulator.session();
    let arguments = "<specSet><propSet><type>SessionManager</type><pathSet>currentSession</pathSet></propSet><objectSet><obj type=\"SessionManager\">SessionManager</obj></objectSet></specSet><options/>";
    let read = Call { method: "RetrievePropertiesEx", this_type: "PropertyCollector", arguments };
    let reply = call(session, &SoapCall::of(read).of_nobody()).unwrap();
    assert_eq!((reply.epoch, simulator.stat("logins")), (0, 0));
    let machine = Call { method: "RetrievePropertiesEx", this_type: "VirtualMachine", arguments: "" };
    let error = call(session, &SoapCall::of(machine).of_nobody()).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
    session.close().unwrap();
}

#[test]
fn secrets_in_the_programs_header_and_arguments_are_not_shown() {
    let simulator = vcenter();
    let session = simulator.session();
    let own = "<w:Security xmlns:w=\"urn:w\"><w:Password>hunter2-hunter2</w:Password></w:Security>";
    for soap in [POLICIES, LOOKUP] {
        // Canned: a service that repeats what it got.
        simulator.rule(json!({"path": soap.service.unwrap().0, "times": 1,
            "fault_xml": "<XFault xmlns=\"urn:x\" xsi:type=\"X\"><a>hunter2-hunter2</a></XFault>",
            "fault_message": "no hunter2-hunter2 here"}));
        let error = call(session, &SoapCall { header: Some(own), ..soap }).unwrap_err();
        assert_eq!(error.fault.as_deref(), Some("X"));
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    simulator.rule(json!({"method": "CurrentTime", "times": 1, "fault": "InvalidArgument", "fault_message": "no hunter2-hunter2 here"}));
    let arguments = "<auth><userName>u</userName><password>hunter2-hunter2</password></auth>";
    let error = session.call(Call { arguments, ..client::CURRENT_TIME }, &Options::default()).unwrap_err();
    assert!(error.message.contains("no *** here"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    session.close().unwrap();
}

#[test]
fn methods_that_change_the_session_are_refused_wherever_they_go() {
    let simulator = vcenter();
    let session = simulator.session();
    for (method, advice) in [
        ("Login", "vsession_login"),
        ("LoginByToken", "vsession_login"),
        ("Logout", "vsession_logout"),
        ("CloneSession", "no function"),
        ("ImpersonateUser", "no function"),
        ("VslmLoginByToken", "vsession_login"),
        ("VslmLogout", "vsession_logout"),
    ] {
        let own = Call { method, this_type: "SessionManager", arguments: "" };
        let of_vim = SoapCall { id: Some("SessionManager"), ..SoapCall::of(own) };
        // vim25 by another name.
        let of_other = SoapCall { service: Some(("/sdk/vimService", "urn:vim25")), ..of_vim };
        for soap in [of_vim, of_vim.of_nobody(), of_other, of_other.of_nobody()] {
            let error = call(session, &soap).unwrap_err();
            assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
            assert!(error.message.contains("call.method") && error.message.contains(advice), "{error:?}");
        }
    }
    assert_eq!(simulator.stat("requests"), 0);
    session.close().unwrap();
}

#[test]
fn a_call_of_another_service_names_what_is_missing() {
    let simulator = vcenter();
    let session = simulator.session();
    let epoch = Options { require_epoch: 1, ..Options::default() };
    let refused = |soap: SoapCall, options: &Options, argument: &str, part: &str| {
        let error = session.soap(&soap, options).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_INVALID_ARGUMENT);
        assert!(
            error.message.contains(&format!("'{argument}'")) && error.message.contains(part),
            "{error:?}"
        );
    };
    let usual = Options::default();
    let vim = SoapCall::of(CURRENT_TIME);
    refused(SoapCall { id: None, ..POLICIES }, &usual, "call.this_id", "id");
    refused(SoapCall { version: Some("2.0"), ..vim }, &usual, "call.service_version", "service_path");
    refused(CONTENT, &epoch, "options.require_epoch", "epoch");
    for path in ["pbm", "https://other/pbm", "/a/../pbm", "/api/session", "//other/pbm", "/p bm"] {
        let soap = SoapCall { service: Some((path, "urn:pbm")), ..POLICIES };
        refused(soap, &usual, "call.service_path", "");
    }
    for namespace in ["", "urn:\"pbm", "http://www.w3.org/2000/xmlns/"] {
        let soap = SoapCall { service: Some(("/pbm", namespace)), ..POLICIES };
        refused(soap, &usual, "call.service_namespace", "");
    }
    refused(SoapCall { header: Some("<operationID/>"), ..vim }, &usual, "call.soap_header", "operation_id");
    refused(SoapCall { header: Some("<a>"), ..vim }, &usual, "call.soap_header", "line 1");
    refused(SoapCall { version: Some("2.0\r\nX: y"), ..POLICIES }, &usual, "call.service_version", "ASCII");
    assert_eq!(simulator.stat("requests"), 0);
    session.close().unwrap();
}

#[test]
fn the_newest_version_that_the_program_allows_is_spoken() {
    let simulator = Simulator::with(&["-like", "8.0.3"]);
    let spoken = |newest: &str| {
        let session = simulator.config().with("api_version_max", newest).open().unwrap();
        session.login().unwrap();
        let version = session.info().unwrap().api_version();
        let login = simulator.log().into_iter().rfind(|entry| entry["method"] == "Login").unwrap();
        assert_eq!(login["soap_action"], format!("urn:vim25/{version}"));
        session.close().unwrap();
        version
    };
    assert_eq!(spoken(""), "8.0.2.0");
    assert_eq!(spoken("9"), "8.0.2.0");
    assert_eq!(spoken("8.0.2"), "8.0.2.0");
    assert_eq!(spoken("8.0.1.99"), "8.0.1.0");
    assert_eq!(spoken("6.7.3"), "6.7.3");
    let old = simulator.config().with("api_version_max", "1.9").open().unwrap();
    let error = old.login().unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_CONFIG, VSESSION_EXECUTED_NO));
    assert!(
        error.message.contains("'api_version_max' is '1.9'") && error.message.contains(&simulator.host()),
        "{error:?}"
    );
    // Canned: a server without the list; its AboutInfo names the version.
    simulator.rule(json!({"method": "GET", "status": 404}));
    assert_eq!(spoken("8.0.1.0"), "8.0.1.0");
    assert_eq!(spoken("9"), "8.0.2.0");
    let both = simulator.config().with("api_version", "8.0.1.0").with("api_version_max", "7.0");
    let error = both.open().unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_CONFIG);
    assert!(
        error.message.contains("'api_version'") && error.message.contains("'api_version_max'"),
        "{error:?}"
    );
    both.set("api_version_max", "newest").unwrap_err();
}
