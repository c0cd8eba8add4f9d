//! A process that has no more descriptors: that says nothing about the server.

use std::fs::File;

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
