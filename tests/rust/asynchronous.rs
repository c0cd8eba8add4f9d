//! Calls that end with an event.

use serde_json::json;
use std::collections::HashSet;
use vsession::vsession_event_kind::*;

use crate::support::*;

fn completions(queue: &Queue, number: usize) -> Vec<Event> {
    let mut found = Vec::new();
    while found.len() < number {
        let event = queue.next(10_000).unwrap().expect("a completion comes");
        if event.kind == VSESSION_EVENT_COMPLETION {
            found.push(event);
        }
    }
    found
}

#[test]
fn every_call_that_is_started_ends_with_one_event() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.session();
    for tag in 1..=500 {
        session.ping_async(&queue, tag, &Options::default()).unwrap();
    }
    let events = completions(&queue, 500);
    let tags: HashSet<_> = events.iter().map(|e| e.tag).collect();
    assert_eq!(tags, (1..=500).collect());
    assert!(events.iter().all(|e| e.reply.is_some() && e.error.is_none() && e.session == session.0.id));
    assert!(queue.next(0).unwrap().is_none());
    assert_eq!(simulator.stat("logins"), 1);
    session.close().unwrap();
    queue.free();
}

#[test]
fn one_thread_drives_many_sessions() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let config = simulator.config();
    let sessions: Vec<_> = (0..50).map(|_| config.open().unwrap()).collect();
    for (tag, session) in sessions.iter().enumerate() {
        session.ping_async(&queue, tag as u64, &Options::default()).unwrap();
    }
    for event in completions(&queue, 50) {
        assert_eq!(event.session, sessions[event.tag as usize].0.id);
        assert!(event.reply.is_some(), "{event:?}");
    }
    for session in sessions {
        session.close().unwrap();
    }
    assert_eq!(simulator.stat("sessions"), 0);
    queue.free();
}

#[test]
fn failures_cancellation_deadlines_and_close_complete_too() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "hang": true}));
    let token = Token::new();
    session.ping_async(&queue, 1, &token.options()).unwrap();
    session.ping_async(&queue, 2, &Options::timeout(2000)).unwrap();
    session.ping_async(&queue, 3, &Options::default()).unwrap();
    eventually("they were under way", || simulator.calls("CurrentTime") == 3);
    token.fire();
    let statuses = |events: &[Event]| -> Vec<_> {
        events.iter().map(|e| (e.tag, e.error.as_ref().unwrap().status)).collect()
    };
    let mut first = statuses(&completions(&queue, 2));
    first.sort_by_key(|(tag, _)| *tag);
    assert_eq!(first, [(1, status::VSESSION_E_CANCELLED), (2, status::VSESSION_E_TIMEOUT)]);
    session.close().unwrap();
    assert_eq!(statuses(&completions(&queue, 1)), [(3, status::VSESSION_E_CLOSED)]);
    assert_eq!(
        session.ping_async(&queue, 4, &Options::default()).unwrap_err().status,
        status::VSESSION_E_CLOSED
    );
    queue.free();
}
