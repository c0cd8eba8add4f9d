//! Threads for work that no caller should do on its own thread. They are started on demand up to a bound, take their
//! jobs in order, and end when they have had nothing to do for a while. A process that never needs one has none.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use once_cell::sync::Lazy;

use crate::sync::{Arc, Condvar, Mutex};
use crate::sys;

type Job = Box<dyn FnOnce() + Send>;

/// How long an idle worker stays.
const IDLE: Duration = Duration::from_secs(5);

/// A group of workers for one kind of work. Kinds are apart so that work which waits for other work cannot starve it.
pub(crate) struct Workers {
    name: &'static str,
    most: usize,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

/// Name lookups, which nobody can interrupt. A name server that does not answer holds these and nothing else.
pub(crate) static RESOLVERS: Lazy<Arc<Workers>> = Lazy::new(|| Workers::new("vsession-names", 4));

/// Logins: one at a time for a session, so a handful serves many sessions.
pub(crate) static LOGINS: Lazy<Arc<Workers>> = Lazy::new(|| Workers::new("vsession-login", 8));

impl Workers {
    fn new(name: &'static str, most: usize) -> Arc<Workers> {
        Arc::new(Workers { name, most, state: Mutex::new(State::default()), work: Condvar::new() })
    }

    /// Has `job` run on one of the workers. Where no thread can be had, it runs on the calling thread.
    pub(crate) fn run(self: &Arc<Self>, job: impl FnOnce() + Send + 'static) {
        let mut state = self.state.lock();
        state.jobs.push_back(Box::new(job));
        if state.idle >= state.jobs.len() || state.threads >= self.most {
            drop(state);
            self.work.notify_one();
            return;
        }
        state.threads += 1;
        drop(state);
        let workers = self.clone();
        let started = thread::Builder::new()
            .name(self.name.into())
            .stack_size(256 * 1024)
            .spawn(move || workers.work());
        if started.is_err() {
            let mut state = self.state.lock();
            state.threads -= 1;
            let job = if state.threads == 0 { state.jobs.pop_front() } else { None };
            drop(state);
            if let Some(job) = job {
                job();
            }
        }
    }

    fn work(&self) {
        sys::block_signals();
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // A job reports its own failures; a panic in one must not take the thread's accounting with it.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
                state = self.state.lock();
                continue;
            }
            state.idle += 1;
            let timed_out = self.work.wait_for(&mut state, IDLE).timed_out();
            state.idle -= 1;
            if timed_out && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    #[test]
    fn no_more_threads_than_the_bound_run_every_job() {
        let workers = Workers::new("test", 3);
        let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, all) = mpsc::channel();
        for _ in 0..30 {
            let (now, peak, done) = (now.clone(), peak.clone(), done.clone());
            workers.run(move || {
                peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(2));
                now.fetch_sub(1, Ordering::SeqCst);
                done.send(()).unwrap();
            });
        }
        for _ in 0..30 {
            all.recv_timeout(Duration::from_secs(10)).unwrap();
        }
        assert_eq!(peak.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn a_job_that_panics_leaves_the_workers_usable() {
        let workers = Workers::new("test", 1);
        let (done, all) = mpsc::channel();
        workers.run(|| panic!("a planted panic"));
        workers.run(move || done.send(()).unwrap());
        all.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
