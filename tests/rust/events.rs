//! Events: everything that happens to a session, in order and complete.

use serde_json::json;
use vsession::vsession_event_kind::*;
use vsession::vsession_reason::*;
use vsession::vsession_state::*;

use crate::support::*;

#[test]
fn a_sessions_life_is_reported_in_order() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.config().with_queue(&queue).open().unwrap();
    session.login().unwrap();
    simulator.kill_sessions();
    session.ping().unwrap();
    session.logout().unwrap();
    session.close().unwrap();
    let events = queue.drain();
    assert!(events.iter().all(|e| e.session == session.0.id && e.merged == 0));
    let changes: Vec<_> = events
        .iter()
        .filter(|e| e.kind == VSESSION_EVENT_STATE_CHANGED)
        .map(|e| (e.old_state, e.new_state, e.reason))
        .collect();
    assert_eq!(
        changes,
        [
            (VSESSION_STATE_LOGGED_OUT, VSESSION_STATE_LOGGING_IN, VSESSION_REASON_LOGIN),
            (VSESSION_STATE_LOGGING_IN, VSESSION_STATE_ACTIVE, VSESSION_REASON_LOGIN),
            (VSESSION_STATE_ACTIVE, VSESSION_STATE_EXPIRED, VSESSION_REASON_EXPIRED),
            (VSESSION_STATE_EXPIRED, VSESSION_STATE_LOGGING_IN, VSESSION_REASON_RELOGIN),
            (VSESSION_STATE_LOGGING_IN, VSESSION_STATE_ACTIVE, VSESSION_REASON_RELOGIN),
            (VSESSION_STATE_ACTIVE, VSESSION_STATE_LOGGED_OUT, VSESSION_REASON_LOGOUT),
            (VSESSION_STATE_LOGGED_OUT, VSESSION_STATE_CLOSED, VSESSION_REASON_CLOSE),
        ]
    );
    let replaced: Vec<_> = events
        .iter()
        .filter(|e| e.kind == VSESSION_EVENT_SESSION_REPLACED)
        .map(|e| (e.old_epoch, e.new_epoch))
        .collect();
    assert_eq!(replaced, [(1, 2)]);
    queue.free();
}

#[test]
fn a_login_event_carries_the_sessions_epochs() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.config().with_queue(&queue).open().unwrap();
    session.login().unwrap();
    let events = queue.drain();
    let active = events.iter().find(|e| e.new_state == VSESSION_STATE_ACTIVE).unwrap();
    assert_eq!((active.old_epoch, active.new_epoch), (0, 1));
    session.close().unwrap();
    queue.free();
}

#[test]
fn a_refused_login_is_reported_with_its_error() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.config().with("password", "wrong").with_queue(&queue).open().unwrap();
    session.login().unwrap_err();
    let events = queue.drain();
    let rejected = events.iter().find(|e| e.new_state == VSESSION_STATE_REJECTED).unwrap();
    assert_eq!(rejected.reason, VSESSION_REASON_REFUSED);
    assert_eq!(rejected.error.as_ref().unwrap().fault.as_deref(), Some("InvalidLogin"));
    session.close().unwrap();
    queue.free();
}

#[test]
fn an_outage_and_its_end_are_reported() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let session = simulator.config().with_queue(&queue).open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "CurrentTime", "status": 503, "times": 2}));
    session.ping().unwrap_err();
    session.ping().unwrap_err();
    session.ping().unwrap();
    session.close().unwrap();
    let events = queue.drain();
    let reasons: Vec<_> = events.iter().map(|e| e.reason).collect();
    let outages = reasons.iter().filter(|r| **r == VSESSION_REASON_UNREACHABLE).count();
    let ends = reasons.iter().filter(|r| **r == VSESSION_REASON_RECOVERED).count();
    assert_eq!((outages, ends), (1, 1), "{reasons:?}");
    queue.free();
}

#[test]
fn one_queue_serves_many_sessions_and_outlives_them() {
    let simulator = Simulator::start();
    let queue = Queue::new();
    let config = simulator.config().with_queue(&queue);
    let sessions: Vec<_> = (0..20).map(|_| config.open().unwrap()).collect();
    together(20, |n| {
        sessions[n].login().unwrap();
        sessions[n].close().unwrap();
    });
    let events = queue.drain();
    for session in &sessions {
        let own: Vec<_> = events.iter().filter(|e| e.session == session.0.id).collect();
        assert_eq!(own.last().unwrap().new_state, VSESSION_STATE_CLOSED);
        for pair in own.windows(2) {
            assert_eq!(pair[0].new_state, pair[1].old_state, "no gap");
        }
    }
    queue.free();
    assert_eq!(queue.next(0).unwrap_err().status, status::VSESSION_E_CLOSED);
}
