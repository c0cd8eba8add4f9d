//! Reading replies and faults without an XML library.

use std::ptr::null_mut;

use ::vsession::ffi::call::*;
use ::vsession::ffi::error::*;
use ::vsession::ffi::reply::*;
use ::vsession::ffi::session::vsession_call;
use serde_json::json;

use crate::support::nodes::Node;
use crate::support::*;

/// The answer to CurrentTime, as C has it: the reply or the error.
fn asked(session: &Session) -> (*mut vsession_reply, *mut vsession_error) {
    let call = vsession_soap_call {
        struct_size: size_of::<vsession_soap_call>(),
        method: c"CurrentTime".as_ptr(),
        this_type: c"ServiceInstance".as_ptr(),
        ..unsafe { std::mem::zeroed() }
    };
    let (mut reply, mut error) = (null_mut(), null_mut());
    let status = unsafe { vsession_call(session.0, &call, std::ptr::null(), &mut reply, &mut error) };
    assert_eq!(status == status::VSESSION_OK, error.is_null());
    (reply, error)
}

/// Reads what the server answers to CurrentTime.
fn with_answer(answer: serde_json::Value, read: impl FnOnce(*const vsession_reply, *const vsession_error)) {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let mut rule = json!({"method": "CurrentTime", "times": 1, "content_type": "text/xml"});
    rule.as_object_mut().unwrap().extend(answer.as_object().unwrap().clone());
    simulator.rule(rule);
    let (reply, error) = asked(&session);
    session.close().unwrap();
    read(reply, error);
    unsafe { vsession_reply_free(reply) };
    unsafe { vsession_error_free(error) };
}

/// Canned: what a property read answers, in the form of vCenter.
fn envelope(content: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\"\n \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"\n xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"\n \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">\n<soapenv:Body>\n{content}\n</soapenv:Body>\n</soapenv:Envelope>"
    )
}

const OBJECTS: &str = "<CurrentTimeResponse xmlns=\"urn:vim25\"><returnval>\
    <objects><obj type=\"VirtualMachine\">vm-1</obj>\
    <propSet><name>name</name><val xsi:type=\"xsd:string\">R&amp;D</val></propSet>\
    <propSet><name>runtime.host</name><val type=\"HostSystem\" xsi:type=\"ManagedObjectReference\">host-1</val></propSet></objects>\
    <objects><obj type=\"VirtualMachine\">vm-2</obj><propSet><name>name</name><val xsi:type=\"xsd:string\"></val></propSet></objects>\
    </returnval></CurrentTimeResponse>";

#[test]
fn the_objects_of_a_property_read_are_read_without_an_xml_library() {
    with_answer(json!({"status": 200, "body": envelope(OBJECTS)}), |reply, _| {
        let root = Node::root_of_reply(reply).unwrap();
        assert_eq!(root.name(), "CurrentTimeResponse");
        let machine = root.child("returnval/objects").unwrap();
        let name = machine.property("name").unwrap();
        assert_eq!((name.text(), name.kind()), (Some("R&D"), Some("string")));
        assert_eq!(name.xml(), "<val xsi:type=\"xsd:string\">R&amp;D</val>");
        let host = machine.property("runtime.host").unwrap();
        let kinds = (host.kind(), host.attribute("type"));
        assert_eq!(kinds, (Some("ManagedObjectReference"), Some("HostSystem")));
        let other = machine.next().unwrap();
        assert_eq!(other.child("obj").unwrap().text(), Some("vm-2"));
        assert_eq!(other.property("name").unwrap().text(), Some(""));
        assert!(other.next().is_none() && other.property("runtime.host").is_none());
    });
}

#[test]
fn a_text_is_a_part_of_the_reply_unless_something_in_it_must_be_resolved() {
    with_answer(json!({"status": 200, "body": envelope(OBJECTS)}), |reply, _| {
        let xml = unsafe { vsession_reply_xml(reply, null_mut()) } as usize;
        let root = Node::root_of_reply(reply).unwrap();
        let is_in_reply = |text: &str| (xml..xml + 2000).contains(&(text.as_ptr() as usize));
        assert!(is_in_reply(root.child("returnval/objects/obj").unwrap().text().unwrap()));
        let name = root.child("returnval/objects").unwrap().property("name").unwrap();
        let places: Vec<usize> = std::thread::scope(|scope| {
            let name = &name;
            let read = move || {
                let text = name.text().unwrap();
                assert!(!is_in_reply(text));
                text.as_ptr() as usize
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(read)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(places.iter().all(|place| *place == places[0]), "one text for all threads: {places:x?}");
    });
}

#[test]
fn a_fault_is_read_to_its_last_cause() {
    let detail = "<InvalidStateFault xmlns=\"urn:vim25\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=\"TaskInProgress\">\
        <faultCause><fault xsi:type=\"Timedout\"><faultCause><fault xsi:type=\"HostNotConnected\"/></faultCause></fault>\
        <localizedMessage>late</localizedMessage></faultCause><task type=\"Task\">task-7</task></InvalidStateFault>";
    with_answer(json!({"fault_message": "The task\nis <busy>.", "fault_xml": detail}), |_, error| {
        let root = Node::root_of_fault(error).unwrap();
        assert_eq!((root.name(), root.kind()), ("InvalidStateFault", Some("TaskInProgress")));
        assert_eq!(root.child("task").unwrap().text(), Some("task-7"));
        let cause = root.child("faultCause/fault").unwrap();
        assert_eq!(cause.kind(), Some("Timedout"));
        assert_eq!(cause.child("faultCause/fault").unwrap().kind(), Some("HostNotConnected"));
        assert_eq!(root.child("faultCause/localizedMessage").unwrap().text(), Some("late"));
        let text = |pointer| client::text(pointer).unwrap();
        assert_eq!(text(unsafe { vsession_error_fault_string(error) }), "The task\nis <busy>.");
        assert_eq!(text(unsafe { vsession_error_fault_code(error) }), "ServerFaultCode");
        let body = text(unsafe { vsession_error_body(error, null_mut()) });
        assert!(body.contains("Envelope") && body.contains("task-7"), "{body}");
    });
}

#[test]
fn a_long_text_of_a_fault_is_handed_out_whole() {
    let long = "words ".repeat(10_000);
    with_answer(json!({"fault_message": long, "fault_xml": "<F/>"}), |_, error| {
        assert_eq!(client::text(unsafe { vsession_error_fault_string(error) }).unwrap(), long);
        let message = client::text(unsafe { vsession_error_message(error) }).unwrap();
        assert!(message.len() < 2000, "a message shows the beginning");
    });
}

#[test]
fn a_page_in_place_of_soap_is_handed_out_with_the_error() {
    for status in [200, 404, 500, 503] {
        let page = "<html><body><br>Not here</body></html>";
        with_answer(json!({"status": status, "content_type": "text/html", "body": page}), |_, error| {
            assert_eq!(
                client::text(unsafe { vsession_error_body(error, null_mut()) }).as_deref(),
                Some(page)
            );
            let fault = unsafe { (vsession_error_fault_string(error), vsession_error_fault_code(error)) };
            assert!(fault.0.is_null() && fault.1.is_null() && Node::root_of_fault(error).is_none());
        });
    }
}
