//! Replies that hold a character which XML does not allow. A guest or a person put it into a name or a note.

use std::ffi::{CStr, c_char, c_void};
use std::sync::Mutex;

use serde_json::json;

use vsession::vsession_executed::*;

use crate::support::answers::*;
use crate::support::canned::{envelope, with_length};
use crate::support::*;

/// The reply to CurrentTime with these bytes in its text.
fn reply_with(flaw: &[u8]) -> Vec<u8> {
    let body = envelope(
        "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>aXXb</returnval></CurrentTimeResponse>",
    );
    let (before, behind) = body.split_once("XX").unwrap();
    with_length("", &[before.as_bytes(), flaw, behind.as_bytes()].concat())
}

#[test]
fn a_character_that_xml_does_not_allow_becomes_u_fffd_and_the_bytes_stay() {
    // Canned: the simulator writes well-formed XML.
    let canned = Canned::http();
    let session = logged_in(&canned);
    for (flaw, repaired, text) in [
        (&b"\x1f"[..], 1, "a\u{fffd}b"),
        (b"&#x1F;", 1, "a\u{fffd}b"),
        (b"&#xD83D;", 1, "a\u{fffd}b"),
        (b"&#0;&#xFFFF;\x01", 3, "a\u{fffd}\u{fffd}\u{fffd}b"),
        ("\u{fffe}".as_bytes(), 1, "a\u{fffd}b"),
        (b"\xe9", 1, "a\u{fffd}b"),
        (b"\xf0\x9f\x98", 1, "a\u{fffd}b"),
        (b"\xe9\xe9 \xf0\x9f", 3, "a\u{fffd}\u{fffd} \u{fffd}b"),
        (b"\0", 1, "a\u{fffd}b"),
        // Text, although it looks like references; a reference in a comment is none.
        (b"&#1;<![CDATA[&#1;]]><!-- &#1; \xe9 -->", 2, "a\u{fffd}&#1;b"),
        ("\u{fffd}&#xFFFD;\u{85}\u{7f}".as_bytes(), 0, "a\u{fffd}\u{fffd}\u{85}\u{7f}b"),
    ] {
        let sent = reply_with(flaw);
        for reply in [sent.clone(), compressed(&sent)] {
            let reply = answered_by(&canned, session, reply).unwrap();
            let shown = flaw.escape_ascii();
            assert_eq!((reply.repaired, reply.text.as_deref()), (repaired, Some(text)), "{shown}");
            assert!(roxmltree::Document::parse(&reply.xml).is_ok(), "{}", reply.xml);
            let body = reply.body.unwrap_or(reply.xml.into_bytes());
            assert!(sent.ends_with(&body) && body.starts_with(b"<?xml"), "{shown}");
        }
    }
    good_again(session);
}

/// The same reply, compressed.
fn compressed(reply: &[u8]) -> Vec<u8> {
    let head = reply.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    with_length("Content-Encoding: gzip\r\n", &gzip(&reply[head + 4..]))
}

#[test]
fn a_bad_character_in_the_structure_of_a_reply_is_an_error_with_its_offset() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let whole = envelope(
        "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval a=\"1\">t</returnval></CurrentTimeResponse>",
    );
    let (yes, maybe) = (VSESSION_EXECUTED_YES, VSESSION_EXECUTED_MAYBE);
    // Where the XX is.
    for (at, replaced, executed) in [
        ("<returnXXval", "<returnval", yes),
        ("<XXreturnval", "<returnval", yes),
        ("</returnvaXXl", "</returnval", yes),
        ("<returnval XXa", "<returnval a", yes),
        ("<returnval aXX", "<returnval a", yes),
        ("<returnval a=XX", "<returnval a=", yes),
        ("\"1\"XX", "\"1\"", yes),
        ("</soapenv:Envelope>XX", "</soapenv:Envelope>", yes),
        ("<CurrentTimeRXXesponse", "<CurrentTimeResponse", maybe),
        ("<soapenv:BoXXdy", "<soapenv:Body", maybe),
        ("XX<soapenv:Envelope", "<soapenv:Envelope", maybe),
    ] {
        let whole = whole.replacen(replaced, at, 1);
        let (before, behind) = whole.split_once("XX").unwrap();
        // U+FFFD may be part of a name.
        for (flaw, name) in [(&b"\xff"[..], "the byte 0xFF"), (b"\x01", "the character U+0001")] {
            // What comes before does not change the offset.
            for earlier in [&b""[..], b"<!-- \xe9\xe9\x01 -->"] {
                let (head, rest) = before.split_once('\n').unwrap();
                let before = [head.as_bytes(), earlier, b"\n", rest.as_bytes()].concat();
                let body = [&before, flaw, behind.as_bytes()].concat();
                let error = answered_by(&canned, session, with_length("", &body)).unwrap_err();
                let shown = body.escape_ascii();
                assert_eq!(
                    (error.status, error.executed),
                    (status::VSESSION_E_MALFORMED_XML, executed),
                    "{shown}: {error:?}"
                );
                let named = format!("{name}, which ");
                let place = format!(" at byte {}", before.len());
                let (_, from_name) =
                    error.message.split_once(&named).unwrap_or_else(|| panic!("{shown}: {error:?}"));
                assert!(from_name.contains(&place), "{shown}: {error:?}");
                for blamed in ["proxy", "web page", "cut off"] {
                    assert!(!error.message.contains(blamed), "{error:?}");
                }
            }
        }
    }
    good_again(session);
}

#[test]
fn a_bad_character_in_a_page_is_not_what_is_wrong_with_it() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let page = b"<html><body>Acc\xe8s refus\xe9<br></body></html>";
    let error = answered_by(&canned, session, with_length("", page)).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_NOT_SOAP);
    assert!(error.message.contains("web page") && !error.message.contains("UTF-8"), "{error:?}");
    good_again(session);
}

static LOGGED: Mutex<Vec<String>> = Mutex::new(Vec::new());

unsafe extern "C" fn collect(_: i32, message: *const c_char, _: *mut c_void) {
    LOGGED.lock().unwrap().push(unsafe { CStr::from_ptr(message) }.to_str().unwrap().to_string());
}

/// Runs in its own process, because the log is the process's.
#[test]
fn the_log_says_what_was_replaced() {
    child::held(child::child("flaws::child_that_logs_what_was_replaced"));
}

#[test]
#[ignore = "run by the_log_says_what_was_replaced"]
fn child_that_logs_what_was_replaced() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    unsafe { vsession::ffi::library::vsession_set_log(2, Some(collect), std::ptr::null_mut()) };
    let lines = || std::mem::take(&mut *LOGGED.lock().unwrap());
    let at = envelope("").find("<soapenv:Body>").unwrap()
        + "<soapenv:Body><CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>a".len();
    for (flaw, expected) in [
        (&b"\x1f"[..], Some("the character U+001F, which XML does not allow, at byte AT;")),
        (b"&#31;", Some("a reference to the character U+001F, which XML does not allow, at byte AT;")),
        (b"\xe9 &#1;\x01", Some("the byte 0xE9, which is not UTF-8, at byte AT and 2 more such characters;")),
        (b"\xc3\xa9", None),
    ] {
        answered_by(&canned, session, reply_with(flaw)).unwrap();
        let lines = lines();
        let Some(expected) = expected else {
            assert!(lines.is_empty(), "{lines:?}");
            continue;
        };
        let [line] = &lines[..] else { panic!("{lines:?}") };
        for word in [
            &*canned.address().to_string(),
            "CurrentTime",
            "operation id",
            &expected.replace("AT", &at.to_string()),
        ] {
            assert!(line.contains(word), "{word}: {line}");
        }
    }
    let faulty = with_length("", &fault("InvalidName", b"\x01"));
    answered_by(&canned, session, faulty).unwrap_err();
    assert!(matches!(&lines()[..], [line] if line.contains("the character U+0001")));
    unsafe { vsession::ffi::library::vsession_set_log(0, None, std::ptr::null_mut()) };
    good_again(session);
}

#[test]
fn another_methods_reply_does_not_prove_that_a_call_ran() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    // Canned: no server answers like this.
    for body in ["<R><returnval>\u{1}</returnval></R>", "<R><returnval></R>", ""] {
        let reply = with_length("", envelope(body).as_bytes());
        let error = answered_by(&canned, session, reply).unwrap_err();
        assert_eq!(error.executed, VSESSION_EXECUTED_MAYBE, "{error:?}");
    }
    // The start of the method's own response is proof enough.
    let body = envelope("<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>");
    let error = answered_by(&canned, session, with_length("", body.as_bytes())).unwrap_err();
    assert_eq!(error.executed, VSESSION_EXECUTED_YES, "{error:?}");
    good_again(session);
}

#[test]
fn a_body_that_holds_anything_but_the_methods_own_response_is_an_error() {
    const OWN: &str =
        "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>t</returnval></CurrentTimeResponse>";
    const FAULT: &str = "<soapenv:Fault><faultstring>no</faultstring></soapenv:Fault>";
    const OTHER: &str =
        "<DestroyAllResponse xmlns=\"urn:vim25\"><returnval>t</returnval></DestroyAllResponse>";
    let in_namespace = |declaration: &str| OWN.replace("xmlns=\"urn:vim25\"", declaration);
    let two = |first: &str, second: &str| format!("{first}{second}");
    let (yes, maybe) = (VSESSION_EXECUTED_YES, VSESSION_EXECUTED_MAYBE);
    let canned = Canned::http();
    let session = logged_in(&canned);
    // Canned: no server answers so.
    for (content, executed) in [
        (OTHER.to_string(), maybe),
        (OWN.replace("CurrentTimeResponse", "CurrentTime"), maybe),
        (OWN.replace("CurrentTimeResponse", "CurrentTimeResponse2"), maybe),
        (in_namespace(""), maybe),
        (in_namespace("xmlns=\"\""), maybe),
        (in_namespace("xmlns=\"urn:pbm\""), maybe),
        (in_namespace("xmlns=\"urn:vim25/8.0.2.0\""), maybe),
        (two(OTHER, OWN), maybe),
        (two(FAULT, FAULT), maybe),
        (two(FAULT, OWN), maybe),
        // It begins with the method's own response.
        (two(OWN, OTHER), yes),
        (two(OWN, OWN), yes),
        (two(OWN, FAULT), yes),
        (two(OWN, "</soapenv:Body><soapenv:Body><x/>"), yes),
        (two(OWN, " more "), yes),
    ] {
        let reply = with_length("", envelope(&content).as_bytes());
        let error = answered_by(&canned, session, reply).expect_err(&content);
        assert_eq!((error.status, error.executed), (status::VSESSION_E_PROTOCOL, executed), "{error:?}");
        assert!(error.message.contains("CurrentTimeResponse"), "{error:?}");
        assert!(error.message.contains(&canned.address().to_string()), "{error:?}");
    }
    // Ways to write the same name.
    for declaration in ["xmlns='urn:vim25'", "xmlns=\"urn:&#118;im25\"", "xmlns:x='y' xmlns = 'urn:vim25'"] {
        let body = envelope(&two("<!-- a -->\n", &two(&in_namespace(declaration), "\n<!-- b -->")));
        let reply = answered_by(&canned, session, with_length("", body.as_bytes())).unwrap();
        assert_eq!(reply.text.as_deref(), Some("t"));
    }
    let prefixed =
        "<v:CurrentTimeResponse xmlns:v=\"urn:vim25\"><v:returnval>t</v:returnval></v:CurrentTimeResponse>";
    answered_by(&canned, session, with_length("", envelope(prefixed).as_bytes())).unwrap();
    good_again(session);
}

#[test]
fn the_type_of_a_fault_is_an_attributes_value_with_references_and_blanks() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    let options = Options { no_relogin: true, ..Options::default() };
    for written in [" &#118;im25:NotAuthenticated ", "Not&#x41;uthenticated", "\n\tNotAuthenticated&#32;"] {
        // Read whole, and where the text around it is damaged.
        for text in [&b"x"[..], b"<"] {
            let typed = format!("xsi:type=\"{written}\"");
            let reply = String::from_utf8(fault("NotAuthenticated", text)).unwrap();
            let reply =
                reply.replace("NotAuthenticatedFault", "F").replace("xsi:type=\"NotAuthenticated\"", &typed);
            let reply = with_length("", reply.as_bytes());
            canned.on_call(move |peer, _| {
                peer.say(&reply);
            });
            let error = session.ping_with(&options).unwrap_err();
            assert_eq!(
                (error.status, error.fault.as_deref()),
                (status::VSESSION_E_NOT_AUTHENTICATED, Some("NotAuthenticated")),
                "{written} {error:?}"
            );
        }
    }
    canned.well();
    good_again(session);
}

/// A fault of this kind with these bytes in its text.
fn fault(kind: &str, text: &[u8]) -> Vec<u8> {
    let body = envelope(&format!(
        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode><faultstring>XX</faultstring><detail><{kind}Fault \
         xmlns=\"urn:vim25\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"{kind}\"/></detail></soapenv:Fault>"
    ));
    let (before, behind) = body.split_once("XX").unwrap();
    [before.as_bytes(), text, behind.as_bytes()].concat()
}

#[test]
fn a_fault_is_recognized_whatever_the_encoding_of_its_text() {
    // Canned: the simulator writes well-formed XML.
    let canned = Canned::http();
    let session = logged_in(&canned);
    // The start of a Chinese server's message in GBK; a control character; a reference to one.
    for text in [&b"\xbb\xe1\xbb\xb0\xce\xb4\xbe\xad"[..], b"a\x1bb", b"&#1;"] {
        for (kind, expected) in [
            ("InvalidName", status::VSESSION_E_FAULT),
            ("NotAuthenticated", status::VSESSION_E_NOT_AUTHENTICATED),
        ] {
            let reply = with_length("", &fault(kind, text));
            canned.on_call(move |peer, _| {
                peer.say(&reply);
            });
            let options = Options { no_relogin: true, ..Options::default() };
            let error = session.ping_with(&options).unwrap_err();
            assert_eq!((error.status, error.fault.as_deref()), (expected, Some(kind)), "{error:?}");
            assert!(error.message.contains('\u{fffd}'), "{error:?}");
        }
    }
    canned.well();
    good_again(session);
}

#[test]
fn bad_characters_in_the_name_the_text_and_the_detail_of_a_fault_become_u_fffd() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    for flaw in [&b"\x01"[..], b"\xe9", b"&#1;"] {
        let body = String::from_utf8(fault("InvalidName", b"a XX b")).unwrap();
        let body = body.replace(
            "xsi:type=\"InvalidName\"/>",
            "xsi:type=\"InvalidXXName\"><name a=\"XX\">vm XX</name></InvalidNameFault>",
        );
        let mut parts = body.split("XX");
        let mut bytes = parts.next().unwrap().as_bytes().to_vec();
        for part in parts {
            bytes.extend([flaw, part.as_bytes()].concat());
        }
        let error = answered_by(&canned, session, with_length("", &bytes)).unwrap_err();
        assert_eq!((error.status, error.executed), (status::VSESSION_E_FAULT, VSESSION_EXECUTED_YES));
        assert_eq!(error.fault.as_deref(), Some("Invalid\u{fffd}Name"), "{error:?}");
        for text in ["a \u{fffd} b", "vm \u{fffd}"] {
            assert!(error.message.contains(text), "{error:?}");
        }
        let detail = error.fault_xml.unwrap();
        let tree =
            roxmltree::Document::parse(&detail).unwrap_or_else(|problem| panic!("{problem}: {detail}"));
        let name = tree.descendants().find(|node| node.has_tag_name(("urn:vim25", "name"))).unwrap();
        assert_eq!((name.text(), name.attribute("a")), (Some("vm \u{fffd}"), Some("\u{fffd}")));
    }
    good_again(session);
}

#[test]
fn a_dead_session_is_replaced_although_the_faults_text_has_a_bad_character() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.kill_sessions();
    // Canned: the simulator writes well-formed XML.
    let body = String::from_utf8(fault("NotAuthenticated", b"\x01")).unwrap();
    simulator.rule(
        json!({"method": "CurrentTime", "times": 1, "status": 500, "content_type": "text/xml", "body": body}),
    );
    session.ping().unwrap();
    assert_eq!((session.epoch(), simulator.stat("logins")), (2, 2));
    session.close().unwrap();
}

#[test]
fn a_bad_character_in_the_users_name_does_not_prevent_a_login() {
    let simulator = Simulator::start();
    // Canned: the simulator writes well-formed XML. The cookie belongs to a living session.
    let other = simulator.session();
    other.login().unwrap();
    let key = other.info().unwrap().key();
    let body = envelope(&format!(
        "<LoginResponse xmlns=\"urn:vim25\"><returnval><key>{key}</key><userName>u</userName><fullName>M\u{1}ller &#2;</fullName></returnval></LoginResponse>"
    ));
    simulator.rule(json!({"method": "Login", "times": 1, "content_type": "text/xml",
        "set_cookie": other.cookie().unwrap(), "body": body, "status": 200}));
    let session = simulator.session();
    session.login().unwrap();
    assert_eq!(session.info().unwrap().key(), key);
    assert_eq!(session.info().unwrap().full_name(), "M\u{fffd}ller \u{fffd}");
    session.ping().unwrap();
    session.close().unwrap();
    assert_eq!(simulator.stat("sessions"), 0);
    other.close().unwrap();
}

#[test]
fn the_text_of_a_return_value_continues_after_a_comment() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    for (written, meant) in [
        ("a<!-- c -->b", "ab"),
        ("a<?p i?>b", "ab"),
        ("<![CDATA[a<]]>b<![CDATA[&]]>", "a<b&"),
        ("<!-- c -->a", "a"),
        ("&#x61;\r\nb&#13;", "a\nb\r"),
        (&format!("&#{}97;&#x{}62;", "0".repeat(60), "0".repeat(3000)), "ab"),
    ] {
        let body = envelope(&format!(
            "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>{written}</returnval></CurrentTimeResponse>"
        ));
        let reply = answered_by(&canned, session, with_length("", body.as_bytes())).unwrap();
        assert_eq!(reply.text.as_deref(), Some(meant), "{written}");
    }
    good_again(session);
}

/// Faults in unusual forms, as a server or a proxy in front of it sent them: the HTTP status and the body.
fn damaged(kind: &str) -> Vec<(u16, String)> {
    let good = String::from_utf8(fault(kind, b"a")).unwrap();
    let ampersand = String::from_utf8(fault(kind, b"a & b")).unwrap();
    let tag = format!("{kind}Fault ");
    vec![
        (200, ampersand.clone()),
        (500, ampersand),
        (500, String::from_utf8(fault(kind, b"&nbsp;")).unwrap()),
        (500, good.replace(&tag, &format!("{tag}a=\"1\" a=\"2\" "))),
        (500, good.replace(&tag, &format!("{tag}\u{1} "))),
        (500, format!("{good}\u{0}")),
        (500, format!("\n<?xml version=\"1.0\"?>{good}")),
        (500, format!("<!DOCTYPE x>{good}")),
        (500, good[..good.find("</detail>").unwrap()].to_string()),
        (401, good.clone()),
        (403, good.clone()),
        (404, good.clone()),
        (503, good),
    ]
}

#[test]
fn refused_credentials_are_recognized_in_every_form_of_the_fault() {
    // Canned: the simulator writes well-formed XML, and faults with HTTP 500.
    for (status, body) in damaged("InvalidLogin") {
        let simulator = Simulator::start();
        simulator
            .rule(json!({"method": "Login", "status": status, "content_type": "text/xml", "body": body}));
        let config = simulator.config().with("relogin.backoff_ms", "1").with("relogin.max_backoff_ms", "1");
        let session = config.open().unwrap();
        for _ in 0..5 {
            let error = session.ping().unwrap_err();
            assert_eq!(error.status, status::VSESSION_E_INVALID_LOGIN, "{status} {body}: {error:?}");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert_eq!(simulator.calls("Login"), 1, "{status} {body}");
        session.close().unwrap();
    }
}

#[test]
fn a_dead_session_is_replaced_in_every_form_of_the_fault() {
    // Canned: the simulator writes well-formed XML, and faults with HTTP 500.
    for (status, body) in damaged("NotAuthenticated") {
        let simulator = Simulator::start();
        let session = simulator.session();
        session.login().unwrap();
        simulator.kill_sessions();
        let rule = json!({"method": "CurrentTime", "times": 1, "status": status, "content_type": "text/xml", "body": body});
        simulator.rule(rule);
        session.ping().unwrap_or_else(|error| panic!("{status} {body}: {error:?}"));
        assert_eq!((session.epoch(), simulator.stat("logins")), (2, 2));
        session.close().unwrap();
    }
}

/// Bodies that are not well-formed and that name a decisive fault somewhere else than in the place of the fault's own name.
fn misleading(kind: &str) -> Vec<String> {
    let own = |kind: &str| format!("<{kind}Fault xmlns=\"urn:vim25\" xsi:type=\"{kind}\"/>");
    let fault = |text: &str, detail: &str| {
        format!(
            "<soapenv:Fault><faultcode>S</faultcode><faultstring>{text}</faultstring><detail>{detail}</detail></soapenv:Fault>"
        )
    };
    let caused = format!(
        "<SystemErrorFault xmlns=\"urn:vim25\" xsi:type=\"SystemError\"><faultCause><fault xsi:type=\"{kind}\"/></faultCause></SystemErrorFault>"
    );
    let cut = |body: String| body[..body.len() - 5].to_string();
    let response = "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>t</returnval></CurrentTimeResponse>";
    vec![
        envelope(&fault("a & b", &caused)),
        envelope(&fault("&nbsp;", &caused)),
        envelope(&fault("a & b", &format!("x{}", own(kind)))),
        cut(envelope(&format!("{}{response}", fault("x", &own(kind))))),
        cut(envelope(&format!("{}{}", fault("x", &own("InvalidArgument")), fault("x", &own(kind))))),
        cut(envelope(&format!("{}{}", fault("x", &own(kind)), fault("x", &own("InvalidArgument"))))),
        cut(envelope(&format!("<!-- {} -->", fault("x", &own(kind))))),
        cut(envelope(&fault(&format!("<![CDATA[{}]]>", fault("x", &own(kind))), ""))),
        format!("<!DOCTYPE a [<!ENTITY b \"c\">]>{}", envelope(&fault("x", &own(kind)))),
    ]
}

#[test]
fn a_damaged_reply_with_a_decisive_fault_in_another_place_decides_nothing() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    // Canned: no server answers like this.
    for kind in ["NotAuthenticated", "NoPermission"] {
        for body in misleading(kind) {
            let error = answered_by(&canned, session, with_length("", body.as_bytes())).unwrap_err();
            assert!(
                matches!(error.status, status::VSESSION_E_MALFORMED_XML | status::VSESSION_E_DTD),
                "{body}: {error:?}"
            );
            assert_eq!(error.executed, VSESSION_EXECUTED_MAYBE, "{body}");
        }
    }
    assert_eq!(session.epoch(), 1);
    good_again(session);
}

#[test]
fn a_damaged_reply_to_a_login_refuses_nothing_by_a_fault_in_another_place() {
    // Canned: the simulator writes well-formed XML.
    for body in misleading("InvalidLogin") {
        let simulator = Simulator::start();
        simulator.rule(
            json!({"method": "Login", "status": 500, "content_type": "text/xml", "body": body, "times": 1}),
        );
        let session = simulator.session();
        assert_ne!(session.login().unwrap_err().status, status::VSESSION_E_INVALID_LOGIN, "{body}");
        session.login().unwrap();
        session.close().unwrap();
    }
}

#[test]
fn a_reply_that_only_mentions_a_fault_is_not_one() {
    let canned = Canned::http();
    let session = logged_in(&canned);
    // Canned: no server answers like this.
    for body in [
        "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval><fault xsi:type=\"NotAuthenticated\"/>&</returnval></CurrentTimeResponse>",
        "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval><Fault xsi:type=\"NotAuthenticated\"/>&</returnval></CurrentTimeResponse>",
    ] {
        let reply = with_length("", envelope(body).as_bytes());
        let error = answered_by(&canned, session, reply).unwrap_err();
        assert_eq!((error.status, error.executed), (status::VSESSION_E_MALFORMED_XML, VSESSION_EXECUTED_YES));
    }
    good_again(session);
}
