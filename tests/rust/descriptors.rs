//! A process that has run out of file descriptors. That says nothing about the server.

use std::fs::File;

use serde_json::json;

use vsession::vsession_executed::*;
use vsession::vsession_state::*;

use crate::support::*;

/// Runs in its own process, which has few descriptors.
#[test]
fn running_out_of_descriptors_is_a_resource_error_and_no_outage_of_the_server() {
    let files = [("/etc/hosts", "127.0.0.1 listed.test\n"), ("/etc/nsswitch.conf", "hosts: files dns\n")];
    child::held_with_files(&files, "descriptors::child_without_descriptors");
}

#[test]
#[ignore = "run by running_out_of_descriptors_is_a_resource_error_and_no_outage_of_the_server"]
fn child_without_descriptors() {
    let simulator = Simulator::with(&["-tls=false"]);
    let port = simulator.host().rsplit(':').next().unwrap().to_string();
    for host in ["127.0.0.1", "listed.test"] {
        let url = format!("http://user:pass@{host}:{port}/sdk");
        let queue = Queue::new();
        let config = Config::new(&url)
            .unwrap()
            .with("keepalive.interval_ms", "0")
            .with("idle_timeout_ms", "1")
            .with_queue(&queue);
        let session = config.open().unwrap();
        for logged_in in [false, true] {
            if logged_in {
                session.login().unwrap();
                eventually("no connection is left", || simulator.stat("connections_open") == 0);
            }
            let state = session.state();
            queue.drain();
            let taken = take_all_descriptors();
            for _ in 0..3 {
                let error = session.ping().unwrap_err();
                assert_eq!(error.status, status::VSESSION_E_RESOURCE, "{host}, {logged_in}: {error:?}");
                assert_eq!(
                    (error.os_error, error.executed),
                    (libc::EMFILE, VSESSION_EXECUTED_NO),
                    "{error:?}"
                );
                assert!(error.retriable && error.message.contains("Too many open files"), "{error:?}");
            }
            assert_eq!(session.state(), state, "{host}");
            drop(taken);
            session.ping().expect("a call succeeds as soon as descriptors are free");
            assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
            if logged_in {
                assert_eq!(queue.drain().len(), 0, "nothing has happened to the session");
            } else {
                session.logout().unwrap();
            }
        }
        session.close().unwrap();
    }
}

/// Takes every free descriptor of the process until the result is dropped.
fn take_all_descriptors() -> Vec<File> {
    let limit = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken
}

/// A wait needs no new descriptor, but the kernel refuses to poll more descriptors than the process's limit.
#[test]
fn a_wait_that_the_kernel_refuses_is_a_resource_error_and_not_a_timeout() {
    child::held(child::child("descriptors::child_that_cannot_wait"));
}

#[test]
#[ignore = "run by a_wait_that_the_kernel_refuses_is_a_resource_error_and_not_a_timeout"]
fn child_that_cannot_wait() {
    let simulator = Simulator::with(&["-tls=false"]);
    let session = Config::new(&format!("http://user:pass@{}/sdk", simulator.host()))
        .unwrap()
        .with("keepalive.interval_ms", "0")
        .open()
        .unwrap();
    session.login().unwrap();
    let queue = Queue::new();
    simulator.rule(json!({"method": "CurrentTime", "hang": true, "times": 1}));
    let mut usual = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut usual) }, 0);
    let limit = |rlim_cur| {
        let limit = libc::rlimit { rlim_cur, ..usual };
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    };
    limit(1);
    // So close to the deadline that the library waits for the reply with `ppoll`.
    let called = session.ping_with(&Options::timeout(900)).unwrap_err();
    let read = queue.next(900).err();
    limit(usual.rlim_cur);
    assert_eq!((called.status, called.os_error), (status::VSESSION_E_RESOURCE, libc::EINVAL), "{called:?}");
    assert_eq!(called.executed, VSESSION_EXECUTED_MAYBE, "it was sent");
    let read = read.expect("an error, not an empty queue");
    assert_eq!((read.status, read.os_error), (status::VSESSION_E_RESOURCE, libc::EINVAL), "{read:?}");
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    simulator.clear_rules();
    session.ping().unwrap();
    session.close().unwrap();
}
