//! Threads for work that no caller should do on its own thread. They are started on demand up to a bound, take their
//! jobs in order, and end when they have had nothing to do for a while. A process that never needs one has none.
//!
//! A job may last: a server does not answer, a name server is silent, a function of the program's asks a person. So a
//! worker that has been at one job for long counts for nothing in the bound, and another takes the next job.

use std::collections::VecDeque;
use std::time::Duration;

use super::process::PerProcess;
use super::timer::{self, Sleeper};
use crate::error::Error;
use crate::status::Status;
use crate::sync::thread::{self, JoinHandle, Thread, ThreadId};
use crate::sync::{Arc, Instant, Mutex};
use crate::sys;

/// Told whether it runs on a worker. Where none can be had it is called all the same, on some thread, and must not wait.
type Job = Box<dyn FnOnce(std::result::Result<(), NoThread>) + Send>;

/// The system gave no thread, for this reason (`errno`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoThread(i32);

impl From<std::io::Error> for NoThread {
    fn from(error: std::io::Error) -> NoThread {
        NoThread(error.raw_os_error().unwrap_or(0))
    }
}

impl From<NoThread> for Error {
    fn from(NoThread(os_error): NoThread) -> Error {
        let reason = std::io::Error::from_raw_os_error(os_error);
        Error::new(
            Status::VSESSION_E_RESOURCE,
            format!(
                "the system gave the library no thread ({reason}); raise the limit of threads or of memory, or try again later"
            ),
        )
        .with(|d| d.os_error = os_error)
    }
}

/// How long an idle worker stays.
const IDLE: Duration = Duration::from_secs(5);

/// A worker that has been at its job for longer does not keep another from being started.
const PATIENCE: Duration = Duration::from_millis(500);

/// How many workers at most may have others in their place.
const MOST_SLOW: usize = 64;

/// A group of workers for one kind of work. Kinds are apart so that work which waits for other work cannot starve it.
pub(crate) struct Workers {
    name: &'static str,
    /// How many there are at most, those not counted who are slow.
    most: usize,
    /// What a thread gets for its stack.
    stack: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they came, each with its number.
    jobs: VecDeque<(u64, Job)>,
    numbers: u64,
    /// Those that run, and those that are being started.
    threads: usize,
    /// The threads, with some that have ended.
    handles: Vec<JoinHandle<()>>,
    /// Workers that wait to be called.
    idle: Vec<Thread>,
    /// Workers at a job, and since when.
    busy: Vec<(ThreadId, Instant)>,
    /// The timer will look for slow workers.
    watched: bool,
    /// So many threads wait for the workers to end, which they do as soon as they have nothing to do.
    stopping: usize,
}

impl State {
    /// How many threads there may be at the moment.
    fn places(&self, most: usize, now: Instant) -> usize {
        let slow = self.busy.iter().filter(|(_, since)| now.duration_since(*since) >= PATIENCE).count();
        most + slow.min(MOST_SLOW)
    }

    /// When the next worker will count as slow, if it stays at its job.
    fn next_slow(&self, now: Instant) -> Instant {
        let soon = self.busy.iter().map(|(_, since)| *since + PATIENCE).filter(|at| *at > now);
        soon.min().unwrap_or(now + PATIENCE)
    }
}

/// The groups of the process. Logins, probes, a lookup and the timer make nine threads when nobody is slow, however many
/// sessions there are.
pub(crate) struct Groups {
    /// Name lookups, which nobody can interrupt.
    pub(crate) names: Arc<Workers>,
    /// Keep-alive probes.
    pub(crate) probes: Arc<Workers>,
    /// Calls that a program does not want to wait for.
    pub(crate) calls: Arc<Workers>,
    /// Logins: one at a time for a session.
    pub(crate) logins: Arc<Workers>,
}

impl Default for Groups {
    fn default() -> Groups {
        Groups {
            names: Workers::new("vsession-names", 2),
            probes: Workers::new("vsession-probe", 3),
            calls: Workers::new("vsession-call", 8),
            logins: Workers::new("vsession-login", 3),
        }
    }
}

static GROUPS: PerProcess<Groups> = PerProcess::new();

pub(crate) fn groups() -> Arc<Groups> {
    GROUPS.get()
}

/// In a forked child: forgets the parent's threads.
pub(crate) fn renew_after_fork() {
    GROUPS.renew();
}

impl Groups {
    /// Has idle workers end, and waits for all to end until `end`. False: some are still at work.
    pub(crate) fn stop(&self, end: Instant) -> bool {
        let all = [&self.names, &self.probes, &self.calls, &self.logins];
        all.into_iter().for_each(|group| group.begin_to_stop());
        // Each is waited for, also after one that did not end.
        all.into_iter().filter(|group| !group.wait_for_end(end)).count() == 0
    }
}

impl Workers {
    pub(super) fn new(name: &'static str, most: usize) -> Arc<Workers> {
        Workers::with_stack(name, most, 256 * 1024)
    }

    fn with_stack(name: &'static str, most: usize, stack: usize) -> Arc<Workers> {
        Arc::new(Workers { name, most, stack, state: Mutex::new(State::default()) })
    }

    /// Has `job` run on one of the workers. True: all workers have something to do, so that it will have to wait. Where no
    /// worker runs and none can be started, the job is dropped and that is said. A job that relied on a worker which another
    /// caller was about to start, in vain, is told so itself.
    pub(crate) fn run(
        self: &Arc<Self>,
        job: impl FnOnce(std::result::Result<(), NoThread>) + Send + 'static,
    ) -> std::result::Result<bool, NoThread> {
        let number = {
            let mut state = self.state.lock();
            state.numbers += 1;
            let number = state.numbers;
            state.jobs.push_back((number, Box::new(job)));
            number
        };
        match self.staff() {
            Ok(now) => Ok(!now),
            Err(none) if self.give_up(none, Some(number)) => Err(none),
            // A worker has taken it after all.
            Err(_) => Ok(false),
        }
    }

    /// Nobody will run what waits. True: the job with this number was among it, and is dropped.
    fn give_up(&self, none: NoThread, number: Option<u64>) -> bool {
        let left = {
            let mut state = self.state.lock();
            if state.threads > 0 {
                // Somebody else has had more luck, or will come here.
                return false;
            }
            std::mem::take(&mut state.jobs)
        };
        let mut mine = false;
        for (of, job) in left {
            if Some(of) == number {
                mine = true;
            } else {
                job(Err(none));
            }
        }
        mine
    }

    /// Has idle workers end, and the others after their jobs.
    pub(super) fn begin_to_stop(&self) {
        let mut state = self.state.lock();
        state.stopping += 1;
        state.idle.drain(..).for_each(|worker| worker.unpark());
    }

    /// Waits for all to end. False: some are still at work.
    pub(super) fn wait_for_end(&self, end: Instant) -> bool {
        while self.state.lock().threads > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        let handles = {
            let mut state = self.state.lock();
            state.stopping -= 1;
            if state.threads > 0 {
                return false;
            }
            std::mem::take(&mut state.handles)
        };
        // They do nothing any more; but until they are gone the library must not be unloaded.
        handles.into_iter().for_each(|handle| drop(handle.join()));
        true
    }

    /// Sees to it that somebody takes the next job, now (true) or when a worker turns out to be slow.
    fn staff(self: &Arc<Self>) -> std::result::Result<bool, NoThread> {
        let mut state = self.state.lock();
        if let Some(worker) = state.idle.pop() {
            drop(state);
            worker.unpark();
            return Ok(true);
        }
        if state.jobs.is_empty() {
            return Ok(true);
        }
        let mut now = Instant::now();
        if state.threads < state.places(self.most, now) {
            state.threads += 1;
            drop(state);
            let Err(none) = self.start() else { return Ok(true) };
            state = self.state.lock();
            if state.threads == 0 {
                return Err(none);
            }
            // It waits for those who are at work, and for another try.
            now = Instant::now();
        }
        if !std::mem::replace(&mut state.watched, true) {
            let at = state.next_slow(now);
            drop(state);
            let me: Arc<dyn Sleeper> = self.clone();
            // Where the timer has no thread either, those at work take the job, and the timer starts when it can.
            let _ = timer::wake_at(at, Arc::downgrade(&me));
        }
        Ok(false)
    }

    /// Starts a worker that is counted already.
    fn start(self: &Arc<Self>) -> std::result::Result<(), NoThread> {
        let workers = self.clone();
        let builder = thread::Builder::new().name(self.name.into()).stack_size(self.stack);
        let started = sys::without_signals(|| builder.spawn(move || workers.work()));
        let mut state = self.state.lock();
        match started {
            Ok(handle) => {
                state.handles.retain(|handle| !handle.is_finished());
                state.handles.push(handle);
                Ok(())
            }
            Err(error) => {
                state.threads -= 1;
                Err(error.into())
            }
        }
    }

    fn work(&self) {
        let me = thread::current();
        let mut state = self.state.lock();
        loop {
            if let Some((_, job)) = state.jobs.pop_front() {
                state.busy.push((me.id(), Instant::now()));
                drop(state);
                // A job reports its own failures; a panic in one must not take the thread's accounting with it.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(Ok(()))));
                state = self.state.lock();
                state.busy.retain(|(id, _)| *id != me.id());
                continue;
            }
            if state.stopping > 0 || state.threads > state.places(self.most, Instant::now()) {
                break;
            }
            state.idle.push(me.clone());
            drop(state);
            let called = self.wait_idle(&me);
            state = self.state.lock();
            if !called && state.jobs.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    /// Waits to be called. False: for too long.
    fn wait_idle(&self, me: &Thread) -> bool {
        let end = Instant::now() + IDLE;
        loop {
            thread::park_timeout(end.saturating_duration_since(Instant::now()));
            let mut state = self.state.lock();
            let Some(position) = state.idle.iter().position(|t| t.id() == me.id()) else {
                return true;
            };
            if Instant::now() >= end {
                state.idle.swap_remove(position);
                return false;
            }
        }
    }
}

impl Sleeper for Workers {
    /// Jobs had to wait: by now some worker may be slow, and others may be started for them.
    fn wake(self: Arc<Self>) {
        let waiting = {
            let mut state = self.state.lock();
            state.watched = false;
            state.jobs.len()
        };
        // Each round starts one, until there is none to start; then the last one asks the timer again.
        for _ in 0..waiting.min(MOST_SLOW) {
            match self.staff() {
                Ok(true) => {}
                Ok(false) => break,
                Err(none) => {
                    self.give_up(none, None);
                }
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
    fn every_job_is_told_where_no_thread_can_be_had_or_its_caller_is() {
        // More than there are addresses for.
        let workers = Workers::with_stack("test", 2, 1 << 47);
        let told = AtomicUsize::new(0);
        let told: &'static AtomicUsize = Box::leak(Box::new(told));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let job = move |thread: std::result::Result<(), NoThread>| {
                            assert!(thread.is_err());
                            told.fetch_add(1, Ordering::SeqCst);
                        };
                        if workers.run(job).is_err() {
                            told.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert_eq!(told.load(Ordering::SeqCst), 2000);
        assert!(workers.state.lock().jobs.is_empty());
    }

    /// One that is at work will take it, however long that lasts; whoever asked can wait for it as for any other.
    #[test]
    fn a_job_for_which_no_further_thread_can_be_had_waits_and_is_said_to() {
        let workers = Workers::new("test", 2);
        let (release, released) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let job = move |_| {
            begun.send(()).unwrap();
            released.recv().unwrap();
        };
        assert_eq!(workers.run(job), Ok(false));
        begins.recv_timeout(Duration::from_secs(60)).unwrap();
        // As if the system gave no more: the next one would need more addresses than there are.
        let starved = Workers { name: "test", most: 2, stack: 1 << 47, state: Mutex::default() };
        std::mem::swap(&mut *workers.state.lock(), &mut *starved.state.lock());
        let starved = Arc::new(starved);
        let (done, all) = mpsc::channel();
        assert_eq!(starved.run(move |thread| done.send(thread).unwrap()), Ok(true));
        // The worker looks into its own group: what waits there is what it would have found.
        std::mem::swap(&mut *workers.state.lock(), &mut *starved.state.lock());
        release.send(()).unwrap();
        assert_eq!(all.recv_timeout(Duration::from_secs(60)), Ok(Ok(())));
    }

    #[test]
    fn no_more_threads_than_the_bound_run_every_job() {
        /// How many of 30 jobs ran at once, where none was held up for so long that it counts as slow.
        fn peak() -> Option<usize> {
            let workers = Workers::new("test", 3);
            let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let (done, all) = mpsc::channel();
            let start = Instant::now();
            for _ in 0..30 {
                let (now, peak, done) = (now.clone(), peak.clone(), done.clone());
                let ran = workers.run(move |_| {
                    peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    thread::sleep(Duration::from_millis(2));
                    now.fetch_sub(1, Ordering::SeqCst);
                    done.send(()).unwrap();
                });
                ran.unwrap();
            }
            (0..30).for_each(|_| all.recv_timeout(Duration::from_secs(60)).unwrap());
            (start.elapsed() < PATIENCE).then(|| peak.load(Ordering::SeqCst))
        }
        // On a busy machine two may have done it all before the third had its turn.
        let peaks: Vec<_> = (0..20).filter_map(|_| peak()).collect();
        assert_eq!(peaks.iter().max(), Some(&3), "{peaks:?}");
    }

    #[test]
    fn workers_that_are_slow_do_not_hold_up_the_others_and_are_few() {
        let workers = Workers::new("test", 2);
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let (done, all) = mpsc::channel();
        let start = Instant::now();
        for _ in 0..7 {
            let (released, done) = (released.clone(), done.clone());
            let ran = workers.run(move |_| {
                while released.lock().try_recv().is_err() {
                    thread::sleep(Duration::from_millis(5));
                }
                done.send(()).unwrap();
            });
            ran.unwrap();
        }
        let (quick, ran) = mpsc::channel();
        workers.run(move |_| quick.send(Instant::now()).unwrap()).unwrap();
        let at = ran.recv_timeout(Duration::from_secs(60)).unwrap();
        // Two at a time while nobody is slow: it is the eighth.
        assert!(at >= start + 3 * PATIENCE, "{:?}", at - start);
        (0..7).for_each(|_| release.send(()).unwrap());
        (0..7).for_each(|_| all.recv_timeout(Duration::from_secs(60)).unwrap());
        let end = Instant::now() + Duration::from_secs(60);
        while workers.state.lock().threads > 2 {
            assert!(Instant::now() < end, "those that are too many end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn however_many_are_slow_there_is_an_end_to_threads() {
        let now = Instant::now() + Duration::from_secs(3600);
        let busy =
            |number, since| State { busy: vec![(thread::current().id(), since); number], ..State::default() };
        assert_eq!(busy(8, now).places(8, now), 8, "they have just begun");
        assert_eq!(busy(5, now - PATIENCE).places(8, now), 8 + 5);
        assert_eq!(busy(1000, now - PATIENCE).places(8, now), 8 + MOST_SLOW);
    }

    #[test]
    fn a_job_that_panics_leaves_the_workers_usable() {
        let workers = Workers::new("test", 1);
        let (done, all) = mpsc::channel();
        workers.run(|_| panic!("a planted panic")).unwrap();
        workers.run(move |_| done.send(()).unwrap()).unwrap();
        all.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
