//! Models of the permits for connections.

use std::time::Duration;

use super::semaphore::{Refusal, Semaphore};
use crate::runtime::signal::Signal;
use crate::runtime::task::on_this_thread;
use crate::runtime::wait::{Bounds, WaitError, Watch};
use crate::sync::model::check;
use crate::sync::{Arc, Instant, thread};

fn begin() {
    crate::runtime::fork::process_id();
}

/// A call that gives up, by its token or at its deadline, passes a permit on that it was just given.
#[test]
fn a_permit_is_never_lost_and_every_wait_for_one_ends() {
    check(begin, || {
        let permits = Arc::new(Semaphore::new(1));
        let token = Arc::new(Signal::new());
        let held = permits.try_take();
        let call = |cancel: Option<Arc<Signal>>, timeout: Option<u64>| {
            let permits = permits.clone();
            thread::spawn(move || {
                let deadline = timeout.map(|timeout| Instant::now() + Duration::from_millis(timeout));
                let watch = Watch::new(Bounds { deadline, cancel: cancel.clone(), close: None }).unwrap();
                match on_this_thread(permits.take_in_time(&watch)) {
                    Ok(mut permit) => permit.answered = true,
                    Err(Refusal::Stopped(WaitError::Cancelled)) => assert!(cancel.unwrap().has_fired()),
                    Err(Refusal::Stopped(WaitError::TimedOut)) => {
                        assert!(deadline.is_some_and(|deadline| Instant::now() >= deadline))
                    }
                    Err(Refusal::TooLate(_)) => assert!(deadline.is_some(), "refused without a deadline"),
                    Err(refusal) => panic!("{refusal:?}"),
                }
            })
        };
        // No deadline: a permit that is lost is a deadlock.
        let callers = [call(Some(token.clone()), None), call(None, Some(10)), call(None, None)];
        let firing = token.clone();
        let fires = thread::spawn(move || firing.fire());
        drop(held);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        fires.join().unwrap();
        assert_eq!(permits.free(), 1, "a permit was lost, or given twice");
    });
}
