//! A server that takes requests and says nothing is an outage, once somebody has waited for it long enough. A server that is
//! slow, or that answers others, is none.

use serde_json::json;
use std::time::Duration;
use vsession::vsession_event_kind::*;
use vsession::vsession_state::*;

use crate::support::answers::logged_in;
use crate::support::*;

/// Longer than a server takes that is well.
const LONG_MS: u32 = 2000;

fn late(session: Session, timeout_ms: u32) {
    let error = session.ping_with(&Options::timeout(timeout_ms)).unwrap_err();
    assert_eq!(error.status, status::VSESSION_E_TIMEOUT, "{error:?}");
}

fn never_unreachable(queue: &Queue) {
    let states: Vec<_> = queue.drain().into_iter().map(|event| event.new_state).collect();
    assert!(!states.contains(&VSESSION_STATE_UNREACHABLE), "{states:?}");
}

#[test]
fn a_probe_that_ends_without_a_byte_makes_a_session_unreachable_until_the_server_answers() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let config = crate::keepalive::lively(&simulator).with_queue(&queue);
    let session = config.with("timeout_ms", &LONG_MS.to_string()).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "hang": true}));
    let failed = || queue.drain().iter().any(|event| event.kind == VSESSION_EVENT_KEEPALIVE_FAILED);
    eventually("a probe has failed", failed);
    within(Duration::from_secs(5), "the outage is noticed", || session.state() == VSESSION_STATE_UNREACHABLE);
    simulator.clear_rules();
    eventually("and its end", || session.state() == VSESSION_STATE_ACTIVE);
    assert_eq!(session.epoch(), 1);
    session.close().unwrap();
    queue.free();
}

#[test]
fn a_call_that_ends_without_a_byte_makes_a_session_unreachable_until_the_server_answers() {
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        (0..10).for_each(|_| drop(session.ping().unwrap()));
        canned.on_call(|peer, _| peer.hang());
        late(session, LONG_MS);
        assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE);
        canned.well();
        session.ping().unwrap();
        assert_eq!((session.state(), session.epoch()), (VSESSION_STATE_ACTIVE, 1));
        session.close().unwrap();
    }
}

/// Each call that ends by its deadline closes its connection, and the next one makes another. A front whose service hangs accepts
/// them all.
#[test]
fn new_connections_of_many_threads_do_not_hide_that_nobody_is_answered() {
    const THREADS: usize = 16;
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    (0..5).for_each(|_| drop(session.ping().unwrap()));
    simulator.rule(json!({"method": "*", "hang": true}));
    let connections = simulator.stat("connections_accepted");
    together(THREADS, |number| {
        // So that there is a new connection during the wait of each.
        std::thread::sleep(Duration::from_millis(50 * number as u64));
        for _ in 0..2 {
            late(session, LONG_MS);
            assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE);
        }
    });
    assert!(simulator.stat("connections_accepted") > connections + THREADS as u64);
    simulator.clear_rules();
    session.ping().unwrap();
    assert_eq!((session.state(), session.epoch()), (VSESSION_STATE_ACTIVE, 1));
    session.close().unwrap();
}

/// The connection is made, and then there is silence.
#[test]
fn a_handshake_that_ends_without_a_byte_makes_a_session_unreachable() {
    let canned = Canned::https();
    let session = logged_in(&canned);
    canned.greet(canned::Greeting::Silent);
    canned.close_connections();
    late(session, LONG_MS);
    assert_eq!(session.state(), VSESSION_STATE_UNREACHABLE);
    canned.well();
    canned.close_connections();
    session.ping().unwrap();
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    session.close().unwrap();
}

#[test]
fn one_late_byte_is_no_outage() {
    for canned in [Canned::http(), Canned::https()] {
        let session = logged_in(&canned);
        canned.on_call(|peer, _| {
            std::thread::sleep(Duration::from_millis((LONG_MS / 2).into()));
            peer.say(b"H");
            peer.hang();
        });
        late(session, LONG_MS);
        assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
        canned.well();
        session.close().unwrap();
    }
}

#[test]
fn a_deadline_far_below_the_usual_answer_time_is_no_outage() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "delay_ms": 500}));
    (0..3).for_each(|_| drop(session.ping().unwrap()));
    for _ in 0..20 {
        late(session, 20);
        assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    }
    session.close().unwrap();
}

/// A method that takes long is the method's matter.
#[test]
fn a_slow_call_beside_others_that_are_answered_is_no_outage() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.config().with_queue(&queue).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "RetrievePropertiesEx", "hang": true}));
    let slow = Call { method: "RetrievePropertiesEx", this_type: "PropertyCollector", arguments: "" };
    let done = Done::default();
    std::thread::scope(|scope| {
        let at_end = done.at_end();
        scope.spawn(|| {
            while !done.is_set() {
                session.ping().unwrap();
            }
        });
        let error = session.call(slow, &Options::timeout(LONG_MS)).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
        drop(at_end);
    });
    // The state alone would not show it: the next answer ends an outage.
    never_unreachable(&queue);
    session.close().unwrap();
    queue.free();
}

/// Nor does a session stay unreachable for the sake of one call, when others of the same session were answered since.
#[test]
fn an_answer_ends_the_outage_that_a_silent_call_began() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.config().with_queue(&queue).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "times": 1, "hang": true}));
    late(session, LONG_MS);
    session.ping().unwrap();
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    let states: Vec<_> = queue.drain().into_iter().map(|event| event.new_state).collect();
    assert!(states.ends_with(&[VSESSION_STATE_UNREACHABLE, VSESSION_STATE_ACTIVE]), "{states:?}");
    session.close().unwrap();
    queue.free();
}

/// Its reply comes when something changes.
#[test]
fn a_long_poll_that_ends_by_its_deadline_is_no_outage() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    for method in ["WaitForUpdatesEx", "WaitForUpdates"] {
        simulator.rule(json!({"method": method, "hang": true}));
        let poll = Call { method, this_type: "PropertyCollector", arguments: "" };
        let error = session.call(poll, &Options::timeout(LONG_MS)).unwrap_err();
        assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
        assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    }
    session.close().unwrap();
}

#[test]
fn a_call_that_its_token_ends_says_nothing_of_the_server() {
    let simulator = Simulator::start();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "hang": true}));
    let token = Token::new();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| session.ping_with(&token.options()));
        eventually("it is sent", || simulator.stat("requests_in_flight") == 1);
        std::thread::sleep(Duration::from_millis(LONG_MS.into()));
        token.fire();
        assert_eq!(call.join().unwrap().unwrap_err().status, status::VSESSION_E_CANCELLED);
    });
    assert_eq!(session.state(), VSESSION_STATE_ACTIVE);
    session.close().unwrap();
}

/// Of a server that usually takes longer, a deadline of more than a second says nothing either.
#[test]
fn deadlines_of_many_threads_below_the_usual_answer_time_are_no_outage() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.config().with_queue(&queue).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "delay_ms": 1700}));
    let on_threads = |call: &(dyn Fn() + Sync)| {
        std::thread::scope(|scope| (0..16).for_each(|_| drop(scope.spawn(call))));
    };
    on_threads(&|| drop(session.ping().unwrap()));
    on_threads(&|| late(session, 1300));
    never_unreachable(&queue);
    session.close().unwrap();
    queue.free();
}
