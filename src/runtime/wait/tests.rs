//! What ends a wait.

use super::*;
use crate::runtime::task::on_this_thread;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;

fn bounds(cancel: &Arc<Signal>) -> Bounds {
    Bounds { cancel: Some(cancel.clone()), ..Bounds::default() }
}

#[test]
fn a_fired_token_ends_a_wait() {
    let token = Arc::new(Signal::new());
    let never = Signal::new();
    let firing = token.clone();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        firing.fire();
    });
    let watch = Watch::new(bounds(&token)).unwrap();
    assert_eq!(on_this_thread(watch.wait_for(&never)), Err(WaitError::Cancelled));
    thread.join().unwrap();
    drop(watch);
    assert_eq!(token.waits(), 0, "a wait that ended leaves its waker in the list");
}

#[test]
fn a_token_that_fired_before_ends_the_wait_at_once() {
    let token = Arc::new(Signal::new());
    token.fire();
    let watch = Watch::new(bounds(&token)).unwrap();
    assert_eq!(on_this_thread(watch.wait_for(&Signal::new())), Err(WaitError::Cancelled));
}

#[test]
fn a_deadline_ends_a_wait() {
    let start = Instant::now();
    let watch = Watch::new(Bounds::with_timeout(Duration::from_millis(30))).unwrap();
    assert_eq!(on_this_thread(watch.wait_for(&Signal::new())), Err(WaitError::TimedOut));
    assert!(start.elapsed() >= Duration::from_millis(30));
}

#[test]
fn a_committed_watch_heeds_only_the_deadline() {
    let token = Arc::new(Signal::new());
    token.fire();
    let watch = Watch::new(Bounds { cancel: Some(token), ..Bounds::with_timeout(Duration::from_millis(10)) })
        .unwrap();
    watch.commit(true);
    assert_eq!(on_this_thread(watch.wait_for(&Signal::new())), Err(WaitError::TimedOut));
}

#[test]
fn a_wait_inside_a_wait_does_not_swallow_the_outer_wake_up() {
    let outer_token = Arc::new(Signal::new());
    let outer = Watch::new(bounds(&outer_token)).unwrap();
    outer.enlist();
    outer_token.fire();
    let inner = Watch::new(Bounds::with_timeout(Duration::from_millis(10))).unwrap();
    assert_eq!(on_this_thread(inner.wait_for(&Signal::new())), Err(WaitError::TimedOut));
    assert_eq!(on_this_thread(outer.wait_for(&Signal::new())), Err(WaitError::Cancelled));
}

/// A connection whose reads block as `receive` needs them, and its peer.
fn blocking_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    stream.set_read_timeout(Some(Watch::LONGEST_READ)).unwrap();
    (stream, listener.accept().unwrap().0)
}

fn waker_of(watch: &Watch) -> &Arc<Waker> {
    match &watch.waiter {
        Waiter::Thread(waker) => waker,
        Waiter::Task(_) => panic!("a task has no waker"),
    }
}

/// Runs `then` once the waker's thread is in a blocking read.
fn during_the_read(watch: &Watch, then: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    let waker = waker_of(watch).clone();
    thread::spawn(move || {
        while !waker.is_in_a_read() {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(5));
        then();
    })
}

#[test]
fn a_fired_token_ends_a_blocking_read_and_so_does_one_that_is_reset_at_once() {
    for reset in [false, true] {
        let (stream, _peer) = blocking_pair();
        let token = Arc::new(Signal::new());
        let watch = Watch::new(bounds(&token)).unwrap();
        let firing = token.clone();
        let thread = during_the_read(&watch, move || {
            firing.fire();
            if reset {
                firing.reset();
            }
        });
        assert!(matches!(watch.receive(&stream, &mut [0; 8]), Err(WaitError::Cancelled)));
        assert_eq!(watch.check_signals(), Err(WaitError::Cancelled), "the connection cannot be used again");
        thread.join().unwrap();
        assert!(!waker_of(&watch).is_in_a_read());
    }
}

#[test]
fn a_blocking_read_returns_what_arrives_and_the_end_of_the_stream() {
    let (stream, mut peer) = blocking_pair();
    let watch = Watch::new(bounds(&Arc::default())).unwrap();
    let mut buffer = [0; 8];
    let thread = during_the_read(&watch, move || peer.write_all(b"reply").unwrap());
    assert!(matches!(watch.receive(&stream, &mut buffer), Ok(Some(Ok(5)))));
    thread.join().unwrap(); // this closes the peer's end
    assert!(matches!(watch.receive(&stream, &mut buffer), Ok(Some(Ok(0)))));
}

#[test]
fn only_the_deadline_ends_a_committed_blocking_read() {
    let (stream, mut peer) = blocking_pair();
    let token = Arc::new(Signal::new());
    token.fire();
    let watch = Watch::new(bounds(&token)).unwrap();
    watch.commit(true);
    peer.write_all(b"reply").unwrap();
    assert!(matches!(watch.receive(&stream, &mut [0; 8]), Ok(Some(Ok(5)))));
    assert!(matches!(watch.receive(&stream, &mut [0; 8]), Ok(None)), "nothing more came");
}

#[test]
fn no_read_blocks_inside_a_callback_or_near_its_deadline() {
    let (stream, _peer) = blocking_pair();
    let none = |watch: &Watch| matches!(watch.receive(&stream, &mut [0; 8]), Ok(None));
    assert!(none(&Watch::new(Bounds::with_timeout(Duration::from_millis(900))).unwrap()));
    let outer = Watch::new(Bounds::default()).unwrap();
    outer.enlist();
    assert!(none(&Watch::new(Bounds::default()).unwrap()));
    drop(outer);
    let start = Instant::now();
    assert!(none(&Watch::new(Bounds::default()).unwrap()), "nothing came");
    assert!(start.elapsed() >= Watch::LONGEST_READ);
}

#[test]
fn every_waiter_is_woken_by_one_fire() {
    let done = Arc::new(Signal::new());
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let done = done.clone();
            thread::spawn(move || on_this_thread(Watch::new(Bounds::default()).unwrap().wait_for(&done)))
        })
        .collect();
    thread::sleep(Duration::from_millis(10));
    done.fire();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Ok(()));
    }
}
