//! A process that has no more descriptors: that says nothing about the server.

use std::fs::File;

use serde_json::json;

use vsession::vsession_executed::*;
use vsession::vsession_state::*;

use crate::support::*;

/// In a process of its own, whose descriptors are few.
#[test]
fn a_process_without_descriptors_is_told_so_and_takes_no_server_for_unreachable() {
    let files = [("/etc/hosts", "127.0.0.1 listed.test\n"), ("/etc/nsswitch.conf", "hosts: files dns\n")];
    child::held_with_files(&files, "descriptors::child_without_descriptors");
}

#[test]
#[ignore = "run by a_process_without_descriptors_is_told_so_and_takes_no_server_for_unreachable"]
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
            session.ping().expect("at once, when there are some again");
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

/// Leaves the process none, until they are dropped.
fn take_all_descriptors() -> Vec<File> {
    let limit = libc::rlimit { rlim_cur: 100, rlim_max: 100 };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    taken
}

/// A wait needs no new descriptor, but the system refuses to look at more of them than a process may have.
#[test]
fn a_wait_that_the_system_refuses_is_told_as_that_and_not_as_a_deadline() {
    child::held(child::child("descriptors::child_that_cannot_wait"));
}

#[test]
#[ignore = "run by a_wait_that_the_system_refuses_is_told_as_that_and_not_as_a_deadline"]
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
    // So near a deadline that the reply is waited for with `ppoll`.
    let called = session.ping_with(&Options::timeout(900)).unwrap_err();
    let read = queue.next(900).err();
    limit(usual.rlim_cur);
    assert_eq!((called.status, called.os_error), (status::VSESSION_E_RESOURCE, libc::EINVAL), "{called:?}");
    assert_eq!(called.executed, VSESSION_EXECUTED_MAYBE, "it was sent");
    let read = read.expect("an error, and not that nothing came");
    assert_eq!((read.status, read.os_error), (status::VSESSION_E_RESOURCE, libc::EINVAL), "{read:?}");
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    simulator.clear_rules();
    session.ping().unwrap();
    session.close().unwrap();
}
