//! More callers than connections: the connections go to calls that can be answered in time, and the others are told. The benchmark
//! measures the same under larger loads.

use serde_json::json;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use vsession::vsession_executed::*;

#[test]
fn callers_in_a_hurry_do_not_take_the_connections_from_each_other() {
    let simulator = Simulator::start();
    let session = simulator.config().with("max_connections", "4").open().unwrap();
    session.login().unwrap();
    // Of a server's time, 50 ms for each; so 80 calls a second can be answered.
    simulator.rule(json!({"method": "CurrentTime", "delay_ms": 50}));
    let before = simulator.stat("tls_handshakes");
    let (asked, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let refused = Mutex::new(Vec::new());
    let begin = Instant::now();
    together(32, |_| {
        while begin.elapsed() < Duration::from_secs(4) {
            asked.fetch_add(1, Ordering::Relaxed);
            let call = Instant::now();
            match session.ping_with(&Options::timeout(300)) {
                Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                Err(error) if error.status == status::VSESSION_E_OVERLOADED => {
                    refused.lock().unwrap().push((call.elapsed(), error))
                }
                // On a busy machine.
                Err(error) => assert_eq!(error.status, status::VSESSION_E_TIMEOUT),
            }
        }
    });
    let (asked, answered) = (asked.into_inner(), answered.into_inner());
    let handshakes = simulator.stat("tls_handshakes") - before;
    eprintln!("{answered} of {asked} calls were answered, with {handshakes} handshakes");
    // The benchmark asks for 70 percent on a machine with nothing else to do.
    assert!(answered >= 4 * 80 / 2, "{answered} of {asked} calls were answered");
    // The first connections, and a call that the machine kept from its answer.
    assert!(handshakes <= 8 + asked / 100, "{handshakes} handshakes");

    let refused = refused.into_inner().unwrap();
    assert!(refused.len() as u64 > answered, "{} calls were refused", refused.len());
    for (_, error) in &refused {
        assert_eq!((error.executed, error.retriable), (VSESSION_EXECUTED_NO, true), "{error:?}");
        assert!(error.retry_after_ms > 0, "{error:?}");
        for words in [&simulator.host(), "'max_connections', 4", "requests take", "timeout_ms"] {
            assert!(error.message.contains(words), "{words}: {}", error.message);
        }
    }
    let early = refused.iter().filter(|(took, _)| *took < Duration::from_millis(300)).count();
    assert!(early * 10 > refused.len() * 9, "{early} of {} were told before their deadline", refused.len());
    session.close().unwrap();
}

#[test]
fn deadlines_below_twice_the_time_of_a_request_starve_nobody() {
    let simulator = Simulator::start();
    // A call that waits for the whole of another one has no time left for its own.
    for (connections, threads) in [(1, 2), (1, 4), (4, 12)] {
        let session = simulator.config().with("max_connections", &connections.to_string()).open().unwrap();
        session.login().unwrap();
        simulator.rule(json!({"method": "CurrentTime", "delay_ms": 500}));
        let (answered, late) = (AtomicU64::new(0), AtomicU64::new(0));
        let begin = Instant::now();
        together(threads, |_| {
            while begin.elapsed() < Duration::from_secs(8) {
                match session.ping_with(&Options::timeout(800)) {
                    Ok(_) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                    Err(error) if error.status == status::VSESSION_E_OVERLOADED => {
                        assert_eq!(error.executed, VSESSION_EXECUTED_NO, "{error:?}");
                        std::thread::sleep(Duration::from_millis(error.retry_after_ms.into()));
                    }
                    Err(error) => {
                        assert_eq!(error.status, status::VSESSION_E_TIMEOUT);
                        late.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        let (answered, late) = (answered.into_inner(), late.into_inner());
        eprintln!("{connections} connections, {threads} threads: {answered} answered, {late} late");
        // Of 16 for each connection.
        assert!(
            answered >= 6 * connections,
            "{connections} connections, {threads} threads: {answered} answered, {late} late"
        );
        session.close().unwrap();
    }
}
