//! Reads of properties: of one object, and of many objects page by page. What a read leaves on the server is ended.

use serde_json::{Value, json};
use vsession::vsession_executed::*;

use crate::support::*;

/// A canned reply to a method.
fn answer(method: &str, times: u64, content: &str) -> Value {
    let body = format!(
        "<soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body><{method}Response xmlns=\"urn:vim25\">{content}</{method}Response></soapenv:Body></soapenv:Envelope>"
    );
    json!({"method": method, "times": times, "status": 200, "content_type": "text/xml", "body": body})
}

/// An object whose property `config` is withheld.
fn withheld(fault: &str) -> String {
    format!(
        "<returnval><objects><obj type=\"VirtualMachine\">vm-1</obj><propSet><name>name</name><val>m</val></propSet><missingSet><path>config</path><fault><fault xsi:type=\"{fault}\"><object type=\"VirtualMachine\">vm-1</object><privilegeId>System.Read</privilegeId></fault><localizedMessage>Not for you.</localizedMessage></fault></missingSet></objects></returnval>"
    )
}

/// The ids of all machines.
fn machines(session: &Session) -> Vec<String> {
    let root = session.get_properties("ServiceInstance", None, &["content.rootFolder"], &Options::default());
    let root = root.unwrap().xml.split("type=\"Folder\"").nth(1).map(up_to_tag).unwrap().to_string();
    let arguments = format!(
        "<container type=\"Folder\">{root}</container><type>VirtualMachine</type><recursive>true</recursive>"
    );
    let call = Call { method: "CreateContainerView", this_type: "ViewManager", arguments: &arguments };
    let view = session.call(call, &Options::default()).unwrap().text.unwrap();
    let list = session.get_properties("ContainerView", Some(&view), &["view"], &Options::default()).unwrap();
    list.xml.split("type=\"VirtualMachine\"").skip(1).map(|rest| up_to_tag(rest).to_string()).collect()
}

/// The text of an element, behind its last attribute.
fn up_to_tag(rest: &str) -> &str {
    rest.split_once('>').unwrap().1.split('<').next().unwrap()
}

/// What reads the names of these machines.
fn names_of(machines: &[String]) -> String {
    let objects: String = machines
        .iter()
        .map(|id| format!("<objectSet><obj type=\"VirtualMachine\">{id}</obj></objectSet>"))
        .collect();
    format!(
        "<specSet><propSet><type>VirtualMachine</type><pathSet>name</pathSet></propSet>{objects}</specSet>"
    )
}

fn logged_in(simulator: &Simulator) -> (Session, Vec<String>) {
    let session = simulator.session();
    session.login().unwrap();
    let machines = machines(&session);
    assert_eq!(machines.len(), 5);
    simulator.post("/stats/reset");
    (session, machines)
}

fn with_five_machines() -> Simulator {
    Simulator::with(&["-vms", "5"])
}

const REST_CANCELLED: &str = "CancelRetrievePropertiesEx";

#[test]
fn properties_of_one_object_come_in_one_reply_and_those_that_are_not_set_are_missing_in_it() {
    let simulator = with_five_machines();
    let (session, machines) = logged_in(&simulator);
    let paths = ["name", "runtime.powerState", "snapshot"];
    let read =
        session.get_properties("VirtualMachine", Some(&machines[0]), &paths, &Options::default()).unwrap();
    assert_eq!(read.all("name"), ["name", "runtime.powerState"], "{}", read.xml);
    assert!(read.xml.contains(">poweredOn<"), "{}", read.xml);
    assert_eq!(simulator.calls("RetrievePropertiesEx"), 1);
    let wrong = session.get_properties("VirtualMachine", Some("vm-none"), &["name"], &Options::default());
    let wrong = wrong.unwrap_err();
    assert_eq!((wrong.status, wrong.executed), (status::VSESSION_E_FAULT, VSESSION_EXECUTED_YES));
    assert_eq!(wrong.fault.as_deref(), Some("ManagedObjectNotFound"));
}

#[test]
fn the_servers_only_object_of_a_type_needs_no_id() {
    let simulator = Simulator::start();
    let session = simulator.session();
    let paths = ["content.about.apiType", "serverClock"];
    let read = session.get_properties("ServiceInstance", None, &paths, &Options::default()).unwrap();
    assert!(read.xml.contains(">VirtualCenter<"), "{}", read.xml);
    let none = session.get_properties("VirtualMachine", None, &["name"], &Options::default()).unwrap_err();
    assert_eq!(none.status, status::VSESSION_E_INVALID_ARGUMENT);
    assert!(none.message.contains("'id'"), "{none:?}");
}

#[test]
fn a_withheld_property_is_the_error_that_its_fault_says() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for (fault, expected) in [
        ("NoPermission", status::VSESSION_E_NO_PERMISSION),
        // The session lives, so it is a privilege that the account lacks.
        ("NotAuthenticated", status::VSESSION_E_NOT_AUTHENTICATED),
        ("SystemError", status::VSESSION_E_FAULT),
        // It is not about the session's own credentials.
        ("InvalidLogin", status::VSESSION_E_FAULT),
    ] {
        // Canned: the simulator has no privileges.
        simulator.rule(answer("RetrievePropertiesEx", 1, &withheld(fault)));
        let read =
            session.get_properties("VirtualMachine", Some("vm-1"), &["name", "config"], &Options::default());
        let error = read.unwrap_err();
        assert_eq!((error.status, error.executed), (expected, VSESSION_EXECUTED_YES), "{error:?}");
        assert_eq!(error.fault.as_deref(), Some(fault));
        for part in ["'config'", "'vm-1'", "System.Read", "Not for you.", &simulator.host()] {
            assert!(error.message.contains(part), "{part}: {error:?}");
        }
        let xml = error.fault_xml.unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap_or_else(|e| panic!("{e}: {xml}"));
        let first = document.root_element().first_element_child().unwrap();
        let xsi = "http://www.w3.org/2001/XMLSchema-instance";
        assert_eq!(first.attribute((xsi, "type")), Some(fault), "{xml}");
        assert!(error.operation_id.is_some());
    }
    assert_eq!(session.epoch(), 1);
}

#[test]
fn a_session_that_ended_is_replaced_for_a_read_however_the_server_says_it() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    // Canned: the simulator answers with a fault only.
    let ways = [
        Value::Null,
        answer("RetrievePropertiesEx", 1, &withheld("NotAuthenticated")),
        answer("RetrievePropertiesEx", 1, ""),
    ];
    for (epoch, way) in (2..).zip(ways) {
        simulator.kill_sessions();
        if !way.is_null() {
            simulator.rule(way);
        }
        let read = session.get_properties("ServiceInstance", None, &["serverClock"], &Options::default());
        let read = read.unwrap();
        assert_eq!((read.epoch, read.all("name")), (epoch, vec!["serverClock"]), "{}", read.xml);
        // Anybody may read that, so it does not pay for the login.
        session.ping().unwrap();
    }
}

#[test]
fn an_answer_without_an_object_is_an_error_for_a_session_that_lives() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    // Canned: the simulator knows the types of its objects.
    simulator.rule(answer("RetrievePropertiesEx", 1, ""));
    let error =
        session.get_properties("HostSystem", Some("vm-1"), &["name"], &Options::default()).unwrap_err();
    assert_eq!((error.status, error.executed), (status::VSESSION_E_PROTOCOL, VSESSION_EXECUTED_YES));
    assert!(error.message.contains("HostSystem 'vm-1'"), "{error:?}");
    assert_eq!(session.epoch(), 1);
}

#[test]
fn a_read_is_sent_again_when_its_connection_is_lost() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "RetrievePropertiesEx", "times": 1, "reset": "after"}));
    session.get_properties("ServiceInstance", None, &["serverClock"], &Options::default()).unwrap();
}

#[test]
fn a_retrieval_brings_each_object_once_page_by_page() {
    let simulator = with_five_machines();
    let (session, machines) = logged_in(&simulator);
    for (max_objects, pages) in [(2, vec![2, 2, 1]), (5, vec![5]), (0, vec![5])] {
        simulator.post("/stats/reset");
        let (mut sizes, mut names) = (Vec::new(), Vec::new());
        session
            .retrieve(&names_of(&machines), max_objects, &Options::default(), &mut |page| {
                let found =
                    page.all("val xsi:type=\"xsd:string\"").len().max(page.xml.matches("<propSet>").count());
                sizes.push(found);
                names.extend(page.xml.split("<objects>").skip(1).map(|object| up_to_tag(object).to_string()));
                true
            })
            .unwrap();
        assert_eq!(sizes, pages);
        let found: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(found, machines.iter().collect(), "each once");
        assert_eq!(names.len(), 5);
        assert_eq!(simulator.calls("ContinueRetrievePropertiesEx"), pages.len() as u64 - 1);
    }
    session.close().unwrap();
    assert_eq!(simulator.calls(REST_CANCELLED), 0, "nothing was left");
}

#[test]
fn a_retrieval_that_is_stopped_succeeds_and_leaves_no_token() {
    let simulator = with_five_machines();
    let (session, machines) = logged_in(&simulator);
    let mut pages = 0;
    let stop = |_: Reply| {
        pages += 1;
        false
    };
    session.retrieve(&names_of(&machines), 2, &Options::default(), &mut { stop }).unwrap();
    assert_eq!((pages, simulator.calls("ContinueRetrievePropertiesEx")), (1, 0));
    eventually("the rest is cancelled", || simulator.calls(REST_CANCELLED) == 1);
    // The last page has no rest.
    session.retrieve(&names_of(&machines), 5, &Options::default(), &mut |_| false).unwrap();
    session.ping().unwrap();
    assert_eq!(simulator.calls(REST_CANCELLED), 1);
}

#[test]
fn a_retrieval_that_ends_early_leaves_no_token_whatever_ended_it() {
    let simulator = with_five_machines();
    let (session, machines) = logged_in(&simulator);
    let specifications = names_of(&machines);
    let ends: [(&str, status, Value); 3] = [
        ("token", status::VSESSION_E_CANCELLED, Value::Null),
        (
            "deadline",
            status::VSESSION_E_TIMEOUT,
            json!({"method": "ContinueRetrievePropertiesEx", "times": 1, "hang": true}),
        ),
        (
            "fault",
            status::VSESSION_E_FAULT,
            json!({"method": "ContinueRetrievePropertiesEx", "times": 1, "fault": "SystemError"}),
        ),
    ];
    for (number, (name, expected, rule)) in (1..).zip(ends) {
        let token = Token::new();
        let options = match name {
            "token" => token.options(),
            "deadline" => Options::timeout(1500),
            _ => Options::default(),
        };
        if !rule.is_null() {
            simulator.rule(rule);
        }
        let mut pages = 0;
        let ended = session.retrieve(&specifications, 2, &options, &mut |_| {
            pages += 1;
            if name == "token" {
                token.fire();
            }
            true
        });
        let error = ended.unwrap_err();
        assert_eq!((error.status, pages), (expected, 1), "{error:?}");
        assert_ne!(error.executed, VSESSION_EXECUTED_NO, "a page has come: {error:?}");
        assert!(error.message.contains("after a page of the retrieval"), "{error:?}");
        eventually("the rest is cancelled", || simulator.calls(REST_CANCELLED) == number);
    }
}

#[test]
fn the_pages_of_a_retrieval_are_those_of_one_session() {
    let simulator = with_five_machines();
    let (session, machines) = logged_in(&simulator);
    let specifications = names_of(&machines);
    // Before the first page the whole begins anew.
    simulator.kill_sessions();
    let mut epochs = Vec::new();
    let ended = session.retrieve(&specifications, 2, &Options::default(), &mut |page| {
        epochs.push(page.epoch);
        if epochs.len() == 2 {
            simulator.kill_sessions();
        }
        true
    });
    let error = ended.unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_SESSION_CHANGED, "{error:?}");
    assert!(error.retriable && error.executed != VSESSION_EXECUTED_NO, "{error:?}");
    assert!(error.message.contains("after 2 pages") && error.message.contains("begin the retrieval again"));
    assert_eq!((epochs, session.epoch()), (vec![2, 2], 3));
    session.close().unwrap();
    assert_eq!(simulator.calls(REST_CANCELLED), 0, "it went with its session");
}

#[test]
fn the_function_that_takes_a_page_may_use_the_session_and_close_it() {
    let simulator = with_five_machines();
    let (_, machines) = logged_in(&simulator);
    let session = simulator.config().with("max_connections", "1").open().unwrap();
    let mut read = 0;
    session
        .retrieve(&names_of(&machines), 2, &Options::timeout(30_000), &mut |_| {
            let machine = Some(&*machines[read]);
            session.get_properties("VirtualMachine", machine, &["name"], &Options::timeout(20_000)).unwrap();
            read += 1;
            true
        })
        .unwrap();
    assert_eq!(read, 3);
    let closed = session.retrieve(&names_of(&machines), 2, &Options::default(), &mut |_| {
        session.close().unwrap();
        true
    });
    assert_eq!(closed.unwrap_err().status, status::VSESSION_E_CLOSED);
    assert_eq!(simulator.calls(REST_CANCELLED), 0, "the logout has ended it");
}

#[test]
fn what_is_left_on_a_server_that_hangs_delays_neither_its_caller_nor_a_close() {
    let simulator = with_five_machines();
    let (session, machines) = logged_in(&simulator);
    simulator.rule(json!({"method": REST_CANCELLED, "hang": true}));
    let took = promptly(std::time::Duration::from_secs(2), || {
        let start = std::time::Instant::now();
        session.retrieve(&names_of(&machines), 2, &Options::default(), &mut |_| false).unwrap();
        start.elapsed()
    });
    assert!(took < std::time::Duration::from_secs(2));
    eventually("it is being cancelled", || simulator.calls(REST_CANCELLED) >= 1);
    let start = std::time::Instant::now();
    session.close().unwrap();
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    eventually("its connection is closed", || simulator.stat("requests_in_flight") == 0);
}

#[test]
fn what_is_left_in_a_session_that_outlives_its_handle_is_ended_too() {
    let simulator = with_five_machines();
    let (_, machines) = logged_in(&simulator);
    let session = simulator.config().with("close.logout", "false").open().unwrap();
    let closed = session.retrieve(&names_of(&machines), 2, &Options::default(), &mut |_| {
        session.close().unwrap();
        true
    });
    assert_eq!(closed.unwrap_err().status, status::VSESSION_E_CLOSED);
    eventually("the rest is cancelled", || simulator.calls(REST_CANCELLED) == 1);
    simulator.kill_sessions();
}
