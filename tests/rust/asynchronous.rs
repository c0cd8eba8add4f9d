//! Asynchronous calls: each ends with one completion event.

use serde_json::json;
use std::collections::HashSet;
use vsession::vsession_event_kind::*;

use crate::support::*;

fn completions(queue: &Queue, number: usize) -> Vec<Event> {
    let mut found = Vec::new();
    while found.len() < number {
        let event = queue.next(PATIENCE.as_millis() as u32).unwrap().expect("a completion arrives");
        if event.kind == VSESSION_EVENT_COMPLETION {
            found.push(event);
        }
    }
    found
}

#[test]
fn every_started_call_ends_with_one_event() {
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
fn failed_cancelled_late_and_closed_calls_complete_too() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "hang": true}));
    let token = Token::new();
    let statuses = |events: &[Event]| -> Vec<_> {
        events.iter().map(|e| (e.tag, e.error.as_ref().unwrap().status)).collect()
    };
    session.ping_async(&queue, 1, &token.options()).unwrap();
    session.ping_async(&queue, 3, &Options::default()).unwrap();
    eventually("the calls are under way", || simulator.calls("CurrentTime") == 2);
    token.fire();
    assert_eq!(statuses(&completions(&queue, 1)), [(1, status::VSESSION_E_CANCELLED)]);
    // Repeated where the machine was too busy to send the request before the deadline.
    let was_under_way = (1..=20).any(|n| {
        session.ping_async(&queue, 2, &Options::timeout(n * 100)).unwrap();
        assert_eq!(statuses(&completions(&queue, 1)), [(2, status::VSESSION_E_TIMEOUT)]);
        simulator.calls("CurrentTime") > 2
    });
    assert!(was_under_way);
    session.close().unwrap();
    assert_eq!(statuses(&completions(&queue, 1)), [(3, status::VSESSION_E_CLOSED)]);
    assert_eq!(
        session.ping_async(&queue, 4, &Options::default()).unwrap_err().status,
        status::VSESSION_E_CLOSED
    );
    queue.free();
}

#[test]
fn calls_that_wait_for_a_connection_end_at_their_token_their_deadline_or_a_close() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.session();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "hang": true}));
    // More calls than the library makes connections.
    for tag in 1..=100 {
        session.ping_async(&queue, tag, &Options::default()).unwrap();
    }
    let token = Token::new();
    session.ping_async(&queue, 101, &token.options()).unwrap();
    session.ping_async(&queue, 102, &Options::timeout(100)).unwrap();
    let fired = Token::new();
    fired.fire();
    session.ping_async(&queue, 103, &fired.options()).unwrap();
    let ended = |events: Vec<Event>| -> Vec<_> {
        events.iter().map(|e| e.error.as_ref().unwrap()).map(|e| (e.status, e.executed)).collect()
    };
    let not_run = vsession::vsession_executed::VSESSION_EXECUTED_NO;
    let mut two = completions(&queue, 2);
    two.sort_by_key(|event| event.tag);
    assert_eq!(ended(two), [(status::VSESSION_E_TIMEOUT, not_run), (status::VSESSION_E_CANCELLED, not_run)]);
    token.fire();
    let event = queue.next(60_000).unwrap().expect("the completion");
    assert_eq!((event.tag, event.error.unwrap().status), (101, status::VSESSION_E_CANCELLED));
    session.close().unwrap();
    let rest = ended(completions(&queue, 100));
    assert!(rest.iter().all(|(status, _)| *status == status::VSESSION_E_CLOSED), "{rest:?}");
    assert!(queue.next(0).unwrap().is_none(), "one event for each call");
    queue.free();
}
