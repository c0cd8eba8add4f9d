//! Calls that wait at the server for changes: they have connections of their own and hold no thread, and there is a limit to how
//! many asynchronous calls a session has under way.

use serde_json::json;
use vsession::vsession_event_kind::VSESSION_EVENT_COMPLETION;
use vsession::vsession_executed::VSESSION_EXECUTED_NO;

use crate::support::*;

const POLL: Call = Call { method: "WaitForUpdatesEx", this_type: "PropertyCollector", arguments: "" };
const OLD_POLL: Call = Call { method: "WaitForUpdates", this_type: "PropertyCollector", arguments: "" };

fn completion(queue: &Queue) -> Event {
    loop {
        let event = queue.next(PATIENCE.as_millis() as u32).unwrap().expect("a completion arrives");
        if event.kind == VSESSION_EVENT_COMPLETION {
            return event;
        }
    }
}

#[test]
fn long_polls_and_other_calls_do_not_wait_for_each_other() {
    let simulator = Simulator::start();
    let session = simulator.config().with("max_connections", "1").with("max_long_polls", "2").open().unwrap();
    session.login().unwrap();
    let queue = Queue::new();
    simulator.rule(json!({"method": "WaitForUpdatesEx", "hang": true}));
    simulator.rule(json!({"method": "WaitForUpdates", "hang": true}));
    session.call_async(POLL, &queue, 1, &Options::default()).unwrap();
    session.call_async(OLD_POLL, &queue, 2, &Options::default()).unwrap();
    eventually("two polls are under way", || {
        simulator.calls("WaitForUpdatesEx") + simulator.calls("WaitForUpdates") == 2
    });
    session.ping().unwrap();
    let late = session.call(POLL, &Options::timeout(100)).unwrap_err();
    assert_eq!((late.status, late.executed), (status::VSESSION_E_TIMEOUT, VSESSION_EXECUTED_NO));
    assert!(
        late.message.contains("'max_long_polls'") && late.message.contains(&simulator.host()),
        "{late:?}"
    );

    // Now the only connection for other calls is in use.
    simulator.rule(json!({"method": "CurrentTime", "hang": true}));
    session.ping_async(&queue, 3, &Options::default()).unwrap();
    eventually("the call is under way", || simulator.calls("CurrentTime") == 2);
    let late = session.ping_with(&Options::timeout(100)).unwrap_err();
    assert!(late.message.contains("'max_connections'"), "{late:?}");
    session.close().unwrap();
    let mut ended: Vec<_> =
        (0..3).map(|_| completion(&queue)).map(|e| (e.tag, e.error.unwrap().status)).collect();
    ended.sort_by_key(|(tag, _)| *tag);
    assert_eq!(ended, [1, 2, 3].map(|tag| (tag, status::VSESSION_E_CLOSED)));
    queue.free();
}

#[test]
fn an_asynchronous_call_too_many_is_refused_at_once() {
    let simulator = Simulator::start();
    let config = simulator.config().with("max_async_calls", "2");
    let (session, other) = (config.open().unwrap(), config.open().unwrap());
    session.login().unwrap();
    other.login().unwrap();
    let queue = Queue::new();
    simulator.rule(json!({"method": "WaitForUpdatesEx", "hang": true}));
    let token = Token::new();
    session.call_async(POLL, &queue, 1, &token.options()).unwrap();
    session.call_async(POLL, &queue, 2, &Options::default()).unwrap();
    let refused = session.ping_async(&queue, 3, &Options::default()).unwrap_err();
    assert_eq!((refused.status, refused.executed), (status::VSESSION_E_OVERLOADED, VSESSION_EXECUTED_NO));
    assert!(refused.retriable, "{refused:?}");
    assert!(
        refused.message.starts_with("2 ") && refused.message.contains("'max_async_calls'"),
        "{refused:?}"
    );
    session.ping().unwrap();
    other.ping_async(&queue, 4, &Options::default()).unwrap();
    assert_eq!(completion(&queue).tag, 4, "the limit is the session's");
    token.fire();
    assert_eq!(completion(&queue).tag, 1);
    // There is room again as soon as the completion can be read.
    session.ping_async(&queue, 5, &Options::default()).unwrap();
    assert_eq!(completion(&queue).tag, 5);
    session.close().unwrap();
    assert_eq!(completion(&queue).tag, 2);
    assert!(queue.next(0).unwrap().is_none(), "a call that was refused has no event");
    other.close().unwrap();
    queue.free();
}

/// In a process of its own, whose memory is that of the connections.
#[test]
fn connections_of_long_polls_that_were_answered_keep_no_buffers() {
    child::held(child::child("long_polls::child_with_answered_polls"));
}

#[test]
#[ignore = "run by connections_of_long_polls_that_were_answered_keep_no_buffers"]
fn child_with_answered_polls() {
    const POLLS: u64 = 500;
    let simulator = Simulator::start();
    let session = simulator.config().with("max_long_polls", "500").open().unwrap();
    session.login().unwrap();
    let before = resident_kib();
    let queue = Queue::new();
    let fault = json!({"method": "WaitForUpdatesEx", "delay_ms": 5000, "fault": "InvalidCollectorVersion"});
    simulator.rule(fault);
    for tag in 0..POLLS {
        session.call_async(POLL, &queue, tag, &Options::default()).unwrap();
    }
    for _ in 0..POLLS {
        assert_eq!(completion(&queue).error.unwrap().fault.as_deref(), Some("InvalidCollectorVersion"));
    }
    let (each, open) = (resident_kib().saturating_sub(before) / POLLS, simulator.stat("connections_open"));
    assert!(open > POLLS / 2, "{open} connections are open");
    assert!(each <= 24, "{each} KiB for each of {open} connections");
    session.close().unwrap();
    queue.free();
}

/// In a process of its own, whose threads and memory are those of the polls.
#[test]
fn calls_that_wait_for_their_reply_hold_no_thread_and_little_memory() {
    child::held(child::child("long_polls::child_with_long_polls"));
}

#[test]
#[ignore = "run by calls_that_wait_for_their_reply_hold_no_thread_and_little_memory"]
fn child_with_long_polls() {
    const POLLS: u64 = 500;
    let simulator = Simulator::start();
    let config = simulator.config().with("max_connections", "1").with("max_long_polls", "500");
    let session = config.with("max_async_calls", "500").open().unwrap();
    session.login().unwrap();
    simulator.rule(json!({"method": "WaitForUpdatesEx", "hang": true}));
    let queue = Queue::new();
    let tokens: Vec<_> = (0..POLLS).map(|_| Token::new()).collect();
    let before = resident_kib();
    let each_kib = || resident_kib().saturating_sub(before) / POLLS;
    for (tag, token) in tokens.iter().enumerate() {
        session.call_async(POLL, &queue, tag as u64, &token.options()).unwrap();
    }
    eventually("all polls are under way", || simulator.calls("WaitForUpdatesEx") == POLLS);
    // A busy machine keeps workers for long from what they have to do, and others help them, which end when nothing is left. Two
    // threads are the test's.
    eventually("few threads are left", || entries("/proc/self/task") <= 12 + 2);
    assert!(each_kib() <= 24, "{} KiB for each", each_kib());
    for one in [0, POLLS / 2, POLLS - 1] {
        tokens[one as usize].fire();
        let event = completion(&queue);
        assert_eq!((event.tag, event.error.unwrap().status), (one, status::VSESSION_E_CANCELLED));
    }
    let descriptors = entries("/proc/self/fd");
    session.close().unwrap();
    for _ in 3..POLLS {
        assert_eq!(completion(&queue).error.unwrap().status, status::VSESSION_E_CLOSED);
    }
    assert!(queue.next(0).unwrap().is_none(), "one event for each poll");
    eventually("the connections are closed", || {
        entries("/proc/self/fd") + POLLS as usize <= descriptors + 10
    });
    client::shutdown(60_000).unwrap();
    assert_eq!(entries("/proc/self/task"), 2, "the test's own threads");
    queue.free();
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn entries(directory: &str) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}
