//! Shutdown while the server owes an answer that nobody waits for any more. Each test has a process of its own, as a shutdown closes all
//! sessions. How it ends what is well is in `tests/c/shutdown.c`.

use serde_json::json;
use std::ffi::{CStr, c_char, c_void};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::support::*;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

unsafe extern "C" fn collect(_: i32, message: *const c_char, _: *mut c_void) {
    LINES.lock().unwrap().push(unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned());
}

fn threads_and_sockets() -> (usize, usize) {
    let entries = |directory| std::fs::read_dir(directory).unwrap();
    let is_socket = |entry: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_link(entry.unwrap().path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
    };
    (
        entries("/proc/self/task").count(),
        entries("/proc/self/fd").map(is_socket).filter(|is_socket| *is_socket).count(),
    )
}

/// What a shutdown says that has ended `what` of the user at the server. Afterwards nothing is left, and the library can be used again.
fn ends_and_names(simulator: &Simulator, before: (usize, usize), what: &str) {
    unsafe { vsession::ffi::library::vsession_set_log(2, Some(collect), std::ptr::null_mut()) };
    let start = Instant::now();
    let error = client::shutdown(500).unwrap_err();
    assert!(start.elapsed() >= Duration::from_millis(500), "it does not wait for the answer");
    assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
    let named = format!("{what} of 'user' at {}", simulator.host());
    assert!(error.message.contains(&named) && error.message.contains("may be left"), "{}", error.message);
    let lines = std::mem::take(&mut *LINES.lock().unwrap());
    let warning = lines.iter().find(|line| line.contains(&named) && line.contains("may be left"));
    assert!(warning.is_some(), "{lines:?}");
    let start = Instant::now();
    client::shutdown(60_000).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "the second shutdown waits for what the first one ended"
    );
    assert_eq!(threads_and_sockets(), before);

    simulator.clear_rules();
    let session = simulator.session();
    session.ping().unwrap();
    client::shutdown(60_000).unwrap();
    assert_eq!(threads_and_sockets(), before);
}

#[test]
fn a_shutdown_ends_a_login_whose_answer_stays_away_and_says_so() {
    child::held(child::child("shutdown::child_with_a_login_that_hangs"));
}

#[test]
#[ignore = "run by a_shutdown_ends_a_login_whose_answer_stays_away_and_says_so"]
fn child_with_a_login_that_hangs() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "hang": true, "times": 1}));
    let before = threads_and_sockets();
    let (hung, well) = (simulator.session(), simulator.session());
    let soon = Options::timeout(300);
    assert_eq!(hung.login_with(&soon).unwrap_err().status, status::VSESSION_E_TIMEOUT);
    assert_eq!(hung.close_with(&soon).unwrap_err().status, status::VSESSION_E_TIMEOUT);
    // Its idle connection is one of those that the hung login's session has.
    well.ping().unwrap();
    ends_and_names(&simulator, before, "a login");
}

#[test]
fn a_shutdown_ends_a_logout_whose_answer_stays_away_and_says_so() {
    child::held(child::child("shutdown::child_with_a_logout_that_hangs"));
}

#[test]
#[ignore = "run by a_shutdown_ends_a_logout_whose_answer_stays_away_and_says_so"]
fn child_with_a_logout_that_hangs() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "delay_after_ms": 1000}));
    simulator.rule(json!({"method": "Logout", "hang": true}));
    let before = threads_and_sockets();
    let session = simulator.session();
    let soon = Options::timeout(300);
    assert_eq!(session.login_with(&soon).unwrap_err().status, status::VSESSION_E_TIMEOUT);
    assert_eq!(session.close_with(&soon).unwrap_err().status, status::VSESSION_E_TIMEOUT);
    eventually("the late session is logged out", || simulator.calls("Logout") == 1);
    ends_and_names(&simulator, before, "a logout");
    assert_eq!(simulator.kill_sessions(), 1);
}

/// The session is open when the shutdown begins, which waits for its login.
#[test]
fn a_shutdown_during_a_login_that_hangs_leaves_nothing_in_the_process() {
    child::held(child::child("shutdown::child_with_an_open_session_that_hangs"));
}

#[test]
#[ignore = "run by a_shutdown_during_a_login_that_hangs_leaves_nothing_in_the_process"]
fn child_with_an_open_session_that_hangs() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "hang": true, "times": 1}));
    let before = threads_and_sockets();
    let (session, queue) = (simulator.session(), Queue::new());
    session.ping_async(&queue, 7, &Options::default()).unwrap();
    eventually("the login is under way", || simulator.calls("Login") == 1);
    ends_and_names(&simulator, before, "a login");
    let completion = queue.next(0).unwrap().expect("the call completes");
    assert_eq!((completion.tag, completion.error.unwrap().status), (7, status::VSESSION_E_CLOSED));
    queue.free();
}

#[test]
fn a_shutdown_waits_for_a_late_login_and_logs_its_session_out() {
    child::held(child::child("shutdown::child_with_a_late_login"));
}

#[test]
#[ignore = "run by a_shutdown_waits_for_a_late_login_and_logs_its_session_out"]
fn child_with_a_late_login() {
    let simulator = Simulator::start();
    simulator.rule(json!({"method": "Login", "delay_after_ms": 1500}));
    let before = threads_and_sockets();
    let session = simulator.session();
    let soon = Options::timeout(300);
    assert_eq!(session.login_with(&soon).unwrap_err().status, status::VSESSION_E_TIMEOUT);
    assert_eq!(session.close_with(&soon).unwrap_err().status, status::VSESSION_E_TIMEOUT);
    client::shutdown(60_000).unwrap();
    assert_eq!(threads_and_sockets(), before);
    assert_eq!((simulator.stat("logins"), simulator.stat("logouts"), simulator.stat("sessions")), (1, 1, 0));
}
