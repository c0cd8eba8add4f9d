//! The wait for the end of a task: over its progress, its failure, a session that is replaced, and servers that hang.

use std::time::{Duration, Instant};

use serde_json::json;
use vsession::vsession_executed::*;

use crate::support::*;

/// A task whose progress the test decides.
struct Task<'a> {
    session: &'a Session,
    id: String,
}

impl<'a> Task<'a> {
    fn new(session: &'a Session) -> Task<'a> {
        let arguments = "<obj type=\"Folder\">group-d1</obj><taskTypeId>com.vmware.govmomi.simulator.test</taskTypeId><initiatedBy>test</initiatedBy><cancelable>false</cancelable>";
        let call = Call { method: "CreateTask", this_type: "TaskManager", arguments };
        let made = session.call(call, &Options::default()).unwrap();
        let task = Task { session, id: made.all("key")[0].to_string() };
        // The simulator shows it a moment later.
        eventually("the task is there", || task.info().is_ok());
        task
    }

    fn info(&self) -> Result<Reply, ApiError> {
        self.session.get_properties("Task", Some(&self.id), &["info"], &Options::default())
    }

    fn call(&self, method: &str, arguments: &str) {
        let call = Call { method, this_type: "Task", arguments };
        self.session.call_object(call, Some(&self.id), &Options::default()).unwrap();
    }

    fn set(&self, state: &str, more: &str) {
        self.call("SetTaskState", &format!("<state>{state}</state>{more}"));
    }

    fn progress(&self, percent: i32) {
        self.call("UpdateProgress", &format!("<percentDone>{percent}</percentDone>"));
    }

    fn wait(&self, options: &Options) -> Result<Reply, ApiError> {
        self.session.wait_for_task(&self.id, options, &mut |_, _| {})
    }
}

const MADE: &str = "CreatePropertyCollector";
const DESTROYED: &str = "DestroyPropertyCollector";

fn no_collector_is_left(simulator: &Simulator) {
    eventually("each collector is destroyed", || simulator.calls(MADE) == simulator.calls(DESTROYED));
}

fn logged_in(simulator: &Simulator) -> Session {
    let session = simulator.session();
    session.login().unwrap();
    session
}

const SUCCESS: &str = "<result xsi:type=\"xsd:string\">made</result>";

#[test]
fn a_task_is_waited_for_with_its_progress() {
    let simulator = Simulator::start();
    let session = logged_in(&simulator);
    let task = Task::new(&session);
    let told = std::sync::Mutex::new(Vec::new());
    let reply = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            session.wait_for_task(&task.id, &Options::default(), &mut |state, percent| {
                // The function may use the session.
                session.ping().unwrap();
                told.lock().unwrap().push((state.to_string(), percent));
            })
        });
        let shown = |state, percent| {
            eventually("it was told", || told.lock().unwrap().contains(&(String::from(state), percent)));
        };
        shown("queued", -1);
        task.set("running", "");
        // From then on the simulator knows it.
        shown("running", 0);
        task.progress(40);
        shown("running", 40);
        task.set("success", SUCCESS);
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(reply.all("state"), ["success"], "{}", reply.xml);
    assert!(reply.xml.contains(">made</result>"), "{}", reply.xml);
    let mut told = told.into_inner().unwrap();
    let number = told.len();
    told.dedup();
    assert_eq!(told.len(), number, "nothing is told twice in a row");
    assert_eq!(simulator.calls(MADE), 1);
    no_collector_is_left(&simulator);
}

#[test]
fn a_task_that_has_ended_needs_no_collector() {
    let simulator = Simulator::start();
    let session = logged_in(&simulator);
    let task = Task::new(&session);
    task.set("running", "");
    task.set("success", "");
    simulator.post("/stats/reset");
    assert_eq!(task.wait(&Options::default()).unwrap().all("state"), ["success"]);
    assert_eq!((simulator.stat("requests"), simulator.calls(MADE)), (1, 0));
    let none = session.wait_for_task("task-none", &Options::default(), &mut |_, _| {}).unwrap_err();
    assert_eq!(none.fault.as_deref(), Some("ManagedObjectNotFound"), "{none:?}");
}

#[test]
fn the_error_of_a_task_is_the_fault_that_it_ended_with() {
    let simulator = Simulator::start();
    let session = logged_in(&simulator);
    for (fault, expected) in [
        ("InvalidPowerState", status::VSESSION_E_FAULT),
        ("NoPermission", status::VSESSION_E_NO_PERMISSION),
        // It says nothing about the credentials of the session.
        ("InvalidLogin", status::VSESSION_E_FAULT),
        ("NotAuthenticated", status::VSESSION_E_FAULT),
    ] {
        let task = Task::new(&session);
        task.set("running", "");
        let more = match fault {
            "InvalidPowerState" => {
                "<requestedState>poweredOn</requestedState><existingState>suspended</existingState>"
            }
            "NoPermission" | "NotAuthenticated" => {
                "<object type=\"Folder\">group-d1</object><privilegeId>System.Read</privilegeId>"
            }
            _ => "",
        };
        task.set(
            "error",
            &format!(
                "<fault><fault xsi:type=\"{fault}\">{more}</fault><localizedMessage>It did not work.</localizedMessage></fault>"
            ),
        );
        let error = task.wait(&Options::default()).unwrap_err();
        assert_eq!((error.status, error.executed), (expected, VSESSION_EXECUTED_YES), "{error:?}");
        assert_eq!(error.fault.as_deref(), Some(fault), "{error:?}");
        for part in [&*task.id, "It did not work.", &simulator.host()] {
            assert!(error.message.contains(part), "{part}: {error:?}");
        }
        let xml = error.fault_xml.unwrap();
        let document = roxmltree::Document::parse(&xml).unwrap_or_else(|e| panic!("{e}: {xml}"));
        let first = document.root_element().first_element_child().unwrap();
        assert_eq!(first.attribute(("http://www.w3.org/2001/XMLSchema-instance", "type")), Some(fault));
    }
    assert_eq!((session.epoch(), session.state()), (1, vsession::vsession_state::VSESSION_STATE_ACTIVE));
}

#[test]
fn a_wait_goes_on_when_its_session_or_its_collector_is_gone() {
    let simulator = Simulator::start();
    let session = logged_in(&simulator);
    let other = logged_in(&simulator);
    for end in ["killed", "InvalidCollectorVersion", "ManagedObjectNotFound"] {
        let task = Task::new(&other);
        simulator.post("/stats/reset");
        let reply = std::thread::scope(|scope| {
            let waiting =
                scope.spawn(|| session.wait_for_task(&task.id, &Options::default(), &mut |_, _| {}));
            eventually("it waits", || simulator.calls("WaitForUpdatesEx") == 2);
            if end != "killed" {
                simulator.rule(json!({"method": "WaitForUpdatesEx", "times": 1, "fault": end}));
            }
            // The update ends the wait that is under way.
            if end == "killed" {
                simulator.kill_sessions();
                other.login().unwrap();
            }
            task.set("running", "");
            eventually("another collector is made", || simulator.calls(MADE) == 2);
            task.set("success", "");
            waiting.join().unwrap()
        });
        assert_eq!(reply.unwrap().all("state"), ["success"], "{end}");
        simulator.clear_rules();
    }
    let task = Task::new(&other);
    let epoch = session.epoch();
    let error = std::thread::scope(|scope| {
        simulator.post("/stats/reset");
        let options = Options { require_epoch: epoch, ..Options::default() };
        let waiting = scope.spawn(move || session.wait_for_task(&task.id, &options, &mut |_, _| {}));
        eventually("it waits", || simulator.calls("WaitForUpdatesEx") == 2);
        simulator.kill_sessions();
        session.ping().unwrap();
        simulator.close_connections("/connections/close");
        waiting.join().unwrap().unwrap_err()
    });
    assert_eq!(error.status, status::VSESSION_E_SESSION_CHANGED, "{error:?}");
}

#[test]
fn a_wait_ends_with_its_deadline_its_token_or_its_session_and_leaves_no_collector() {
    let simulator = Simulator::start();
    let session = logged_in(&simulator);
    let task = Task::new(&session);
    task.set("running", "");
    task.progress(7);
    let late = task.wait(&Options::timeout(700)).unwrap_err();
    assert_eq!(late.status, status::VSESSION_E_TIMEOUT);
    assert!(late.message.contains("was running, 7 %"), "{late:?}");
    let token = Token::new();
    let cancelled = session.wait_for_task(&task.id, &token.options(), &mut |_, _| token.fire()).unwrap_err();
    assert_eq!(cancelled.status, status::VSESSION_E_CANCELLED, "{cancelled:?}");
    no_collector_is_left(&simulator);
    let closed = session.wait_for_task(&task.id, &Options::default(), &mut |_, _| session.close().unwrap());
    assert_eq!(closed.unwrap_err().status, status::VSESSION_E_CLOSED);
}

#[test]
fn a_server_that_hangs_is_noticed_by_a_wait_without_a_deadline() {
    let simulator = Simulator::start();
    let session = simulator.config().with("timeout_ms", "1000").open().unwrap();
    for method in ["WaitForUpdatesEx", MADE] {
        let task = Task::new(&session);
        simulator.rule(json!({"method": method, "hang": true}));
        let start = Instant::now();
        let error = task.wait(&Options::default()).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_TIMEOUT, "{error:?}");
        assert!(start.elapsed() >= Duration::from_millis(900) && start.elapsed() < PATIENCE);
        assert!(error.message.contains(&simulator.host()) && error.message.contains("waited for again"));
        simulator.clear_rules();
    }
}

#[test]
fn more_waits_than_long_polls_take_turns() {
    let simulator = Simulator::start();
    let config = simulator.config().with("timeout_ms", "1000").with("max_long_polls", "1");
    let session = config.open().unwrap();
    let tasks: Vec<_> = (0..5).map(|_| Task::new(&session)).collect();
    let ended: Vec<_> = std::thread::scope(|scope| {
        let waits: Vec<_> = tasks.iter().map(|task| scope.spawn(|| task.wait(&Options::default()))).collect();
        // Each holds the place for a second at a time.
        eventually("all had a turn", || {
            assert!(!waits.iter().any(|wait| wait.is_finished()), "none has ended");
            simulator.calls("WaitForUpdatesEx") >= 15
        });
        tasks.iter().for_each(|task| {
            task.set("running", "");
            task.set("success", "");
        });
        waits.into_iter().map(|wait| wait.join().unwrap()).collect()
    });
    for reply in ended {
        assert_eq!(reply.unwrap().all("state"), ["success"]);
    }
    no_collector_is_left(&simulator);
}

#[test]
fn a_wait_over_a_lost_connection_goes_on() {
    let simulator = Simulator::start();
    let session = simulator.config().with("timeout_ms", "5000").open().unwrap();
    let task = Task::new(&session);
    let reply = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| task.wait(&Options::default()));
        eventually("it waits", || simulator.calls("WaitForUpdatesEx") == 2);
        simulator.post("/connections/close");
        eventually("it waits again", || simulator.calls("WaitForUpdatesEx") >= 3);
        task.set("running", "");
        task.set("success", "");
        waiting.join().unwrap().unwrap()
    });
    assert_eq!(reply.all("state"), ["success"]);
}
