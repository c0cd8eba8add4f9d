//! What the tests build on: the simulator as a child process, and the C functions behind safe Rust.

pub mod answers;
pub mod canned;
pub mod child;
pub mod client;
pub mod files;
pub mod moment;
pub mod name_server;
pub mod nodes;
pub mod proxy;
pub mod simulator;
pub mod sockets;

pub use canned::Canned;
pub use client::{
    ApiError, Call, Config, Credentials, Event, HttpRequest, Options, Queue, Reply, Session, SoapCall,
    Streams, Token, probe, probe_with, status,
};
pub use moment::{Moment, Task, ended};
pub use simulator::Simulator;

use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A port that nobody listens on. It is below the ports that the kernel assigns itself, so no other test gets it
/// meanwhile.
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

/// Replaces a file in one step: a concurrent reader sees the old content or the new.
pub fn rewrite(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, file).unwrap();
}

/// Forwards bytes in both directions between two connections.
pub fn join(client: &TcpStream, server: &TcpStream) {
    for (from, to) in [(client, server), (server, client)] {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
}

/// How long a test waits for what must happen, however slow the machine. A test of a duration has its own limit.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `condition` holds. The test fails if it never does.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    within(PATIENCE, what, condition);
}

/// The same with the test's own limit.
pub fn within(patience: Duration, what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < patience, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Repeats something that should take less than `limit` until it does, and returns how long that took. A busy machine
/// delays some attempts, a defect delays them all. An attempt that did not reach what it measures returns `Duration::MAX`.
/// Where the time belongs to known threads, `Moment` measures it without the machine's delays.
pub fn promptly(limit: Duration, attempt: impl Fn() -> Duration) -> Duration {
    promptly_or_slower(limit, |_| attempt())
}

/// The same for an attempt that must reach some point by some time. Each attempt gets the factor by which it may be
/// slower than the first.
pub fn promptly_or_slower(limit: Duration, attempt: impl Fn(u32) -> Duration) -> Duration {
    let mut late = Vec::new();
    for slower in 1..=20 {
        match attempt(slower) {
            took if took < limit => return took,
            took => late.push(took),
        }
    }
    panic!("never within {limit:?}: {late:?}");
}

/// Runs `body` on this many threads that start at the same moment, and returns their results.
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

/// Tells a test's background threads to end, also when the test fails, so that it does not hang.
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
