//! What the tests stand on: the simulator as a child process, and the C functions behind safe Rust.

pub mod canned;
pub mod client;
pub mod proxy;
pub mod simulator;

pub use canned::Canned;
pub use client::{
    ApiError, Call, Config, Credentials, Event, Options, Queue, Session, Token, probe, probe_with, status,
};
pub use simulator::Simulator;

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A port that nobody listens on. It is below those that the system gives out by itself, so that no other test is given
/// it in the next moment.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 20_000 + (number % 10_000) as u16;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Has what comes from either side go to the other.
pub fn join(client: &TcpStream, server: &TcpStream) {
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// Waits until `condition` holds, and fails the test when it does not come to that.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Has something that should take less than `limit` tried until it does. A busy machine delays one try or another, a
/// defect delays them all.
pub fn promptly(limit: Duration, attempt: impl Fn() -> Duration) {
    let times: Vec<_> = (0..20).map(|_| attempt()).take_while(|took| *took >= limit).collect();
    assert!(times.len() < 20, "never within {limit:?}: {times:?}");
}

/// Runs `body` on so many threads, all starting at the same moment, and returns their results.
pub fn together<T: Send>(threads: usize, body: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = std::sync::Barrier::new(threads);
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|number| {
                let (barrier, body) = (&barrier, &body);
                scope.spawn(move || {
                    barrier.wait();
                    body(number)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().expect("a test thread panicked")).collect()
    })
}

/// Tells background threads of a test to end; also when the test fails, so that it does not hang.
#[derive(Default)]
pub struct Done(AtomicBool);

pub struct AtEnd<'a>(&'a Done);

impl Done {
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn at_end(&self) -> AtEnd<'_> {
        AtEnd(self)
    }
}

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.set();
    }
}
