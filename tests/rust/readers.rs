//! Readers never wait and never see a mixture of two logins.

use serde_json::json;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vsession::vsession_state::*;

use crate::support::*;

#[test]
fn readers_during_a_login_see_the_old_or_the_new_snapshot_and_never_wait() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let first = session.info().unwrap();
    simulator.rule(json!({"method": "Login", "delay_ms": 2000}));
    simulator.kill_sessions();
    let done = Done::default();
    let (begun, ended) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _end = done.at_end();
        let readers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let (mut keys, mut longest, mut logging_in) = (HashMap::new(), Duration::ZERO, 0u64);
                    while !done.is_set() {
                        let start = Moment::now();
                        let state = session.state();
                        let info = session.info().unwrap();
                        longest = longest.max(start.elapsed());
                        logging_in += u64::from(state == VSESSION_STATE_LOGGING_IN);
                        if keys.insert(info.epoch(), info.key()).is_none() {
                            let first_of = if info.epoch() == 1 { &begun } else { &ended };
                            first_of.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                    (keys, longest, logging_in)
                })
            })
            .collect();
        eventually("every thread reads", || begun.load(Ordering::SeqCst) == 4);
        session.ping().unwrap();
        eventually("every thread continues to read", || ended.load(Ordering::SeqCst) == 4);
        done.set();
        let second = session.info().unwrap();
        for reader in readers {
            let (keys, longest, logging_in) = reader.join().unwrap();
            assert_eq!(keys.get(&1), Some(&first.key()));
            assert_eq!(keys.get(&2), Some(&second.key()));
            assert_eq!(keys.len(), 2);
            assert!(logging_in > 100, "reads went on during the login ({logging_in})");
            // A reader that waited for the login would take two seconds. The kernel's memory locks take some time too.
            assert!(longest < Duration::from_millis(1000), "{longest:?}");
        }
    });
    session.close().unwrap();
}

#[test]
fn no_cookie_is_ever_paired_with_another_logins_identity() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    let done = Done::default();
    let seen = Mutex::new(HashMap::<u64, (String, String)>::new());
    let made: Vec<_> = (0..8).map(|_| AtomicU64::new(0)).collect();
    std::thread::scope(|scope| {
        let _end = done.at_end();
        for _ in 0..4 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.is_set() {
                    let info = session.info().unwrap();
                    let (epoch, login) = (info.epoch(), (info.key(), info.cookie()));
                    assert!(epoch >= last, "an epoch went back");
                    last = epoch;
                    let value = login.1.strip_prefix("vmware_soap_session=").unwrap();
                    assert_eq!(info.cookie_value(), value.trim_matches('"'));
                    let mut seen = seen.lock().unwrap();
                    assert_eq!(*seen.entry(epoch).or_insert_with(|| login.clone()), login);
                }
            });
        }
        let made = &made;
        let callers: Vec<_> = (0..8)
            .map(|number: usize| {
                let (session, done) = (&session, &done);
                scope.spawn(move || {
                    while !done.is_set() {
                        session.ping().unwrap();
                        made[number].fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(40));
            let epoch = session.epoch();
            simulator.kill_sessions();
            eventually("the session is replaced", || session.epoch() > epoch);
            // A call that meets three dead sessions gives up, so every caller must have got past the old session first.
            let before: Vec<_> = made.iter().map(|made| made.load(Ordering::SeqCst)).collect();
            eventually("every caller continues", || {
                made.iter().zip(&before).all(|(made, before)| made.load(Ordering::SeqCst) > *before)
            });
        }
        done.set();
        for caller in callers {
            caller.join().unwrap();
        }
    });
    // By the server's log, each login's key belongs to one epoch, and each kill cost one login.
    let log = simulator.log();
    let logins: Vec<String> = log
        .iter()
        .filter(|e| e["method"] == "Login")
        .map(|e| e["new_session_key"].as_str().unwrap().to_string())
        .collect();
    let mut compared = 0;
    for (epoch, (key, cookie)) in seen.into_inner().unwrap() {
        assert_eq!(logins[epoch as usize - 1], key);
        for entry in log.iter().filter(|e| e["session_key"] == key.as_str()) {
            assert_eq!(entry["cookie_header"], cookie, "the cookie of one login, the key of another");
            compared += 1;
        }
    }
    assert!(compared > 11, "{compared} requests could be compared");
    assert_eq!(logins.len(), 11);
    session.close().unwrap();
}
