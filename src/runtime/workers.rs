//! Pools of worker threads, for work that must not run on a caller's thread. Workers start on demand up to a limit, take jobs in
//! order, those of work that goes on before those of new work, and end after some seconds without a job. A process that needs none
//! has none.
//!
//! A job may block for long: a name server does not answer, or one of the program's functions asks a person. A worker that has been
//! at one job for long therefore no longer counts against the limit.

use std::time::Duration;

use super::jobs::{Begun, Job, Jobs};
use super::process::PerProcess;
use super::reactor::{self, Sleeper};
use crate::error::Error;
use crate::status::Status;
use crate::sync::thread::{self, JoinHandle, Thread, ThreadId};
use crate::sync::{Arc, AtomicU64, Instant, Mutex, Ordering, rank};
use crate::sys;

/// The system could start no thread, for this reason (`errno`).
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
                "the system could not start a thread for the library ({reason}); raise the limit of threads or of memory, or try again later"
            ),
        )
        .not_run()
        .with(|d| d.os_error = os_error)
    }
}

/// How long ended tasks get to notice it, and then the threads to end.
pub(crate) const TO_END: Duration = Duration::from_millis(100);

/// How long a worker waits for a job before it ends.
const IDLE: Duration = Duration::from_secs(5);

/// Of it, a login over TLS with a discovery takes 32 KiB in a release build and 192 KiB in a debug build. The program's functions have
/// the rest.
const STACK_SIZE: usize = 512 * 1024;

/// How many workers a pool may have.
#[derive(Clone, Copy)]
struct Limits {
    /// The maximum, slow workers and their substitutes not counted.
    usual: usize,
    /// A worker that has been at one job for this long is slow.
    slow_after: Duration,
    /// How many others may take the place of one that is slow.
    substitutes: usize,
    /// The maximum of substitutes.
    max_substitutes: usize,
}

/// Jobs that seldom block.
const fn usually(usual: usize) -> Limits {
    Limits { usual, slow_after: Duration::from_millis(500), substitutes: 1, max_substitutes: 64 }
}

/// Name lookups do nothing but wait, for as long as the name service takes, and nothing else can wait for it. So there are soon as many
/// workers as names that hang: two take the place of one, after a time in which most names are found. With 256 that hang some are left for others.
const OF_NAMES: Limits =
    Limits { usual: 8, slow_after: Duration::from_millis(10), substitutes: 2, max_substitutes: 256 };

/// The workers for one kind of work. Each kind has its own, so that jobs which wait for other jobs cannot starve them.
pub(crate) struct WorkerPool {
    name: &'static str,
    limits: Limits,
    stack_size: usize,
    state: Mutex<State, rank::Workers>,
    /// The number of the last task that a shutdown has ended.
    ended: AtomicU64,
}

#[derive(Default)]
struct State {
    jobs: Jobs,
    /// How many threads run or are being started.
    threads: usize,
    /// Handles of the threads, some of which may have ended.
    handles: Vec<JoinHandle<()>>,
    /// Workers that wait for a job.
    idle: Vec<Thread>,
    /// Workers that run a job, and since when.
    busy: Vec<(ThreadId, Instant)>,
    /// The reactor has an entry that will look for slow workers.
    watched: bool,
    /// How many tasks of this pool have not ended, most of which wait without a thread.
    tasks: usize,
    /// The number of the newest task.
    last_task: u64,
    /// How many threads wait in `wait_for_end`. Meanwhile workers end as soon as they have no job.
    stopping: usize,
}

impl State {
    /// How many threads there may be now.
    fn max_threads(&self, limits: &Limits, now: Instant) -> usize {
        let is_slow = |since| now.duration_since(since) >= limits.slow_after;
        let slow = self.busy.iter().filter(|(_, since)| is_slow(*since)).count();
        limits.usual + (slow * limits.substitutes).min(limits.max_substitutes)
    }

    /// When the next worker becomes slow, unless its job ends first.
    fn next_slow(&self, limits: &Limits, now: Instant) -> Instant {
        let soon = self.busy.iter().map(|(_, since)| *since + limits.slow_after).filter(|at| *at > now);
        soon.min().unwrap_or(now + limits.slow_after)
    }
}

/// The pools of the process. The number of threads does not depend on the number of sessions.
pub(crate) struct Pools {
    /// Name lookups, which cannot be interrupted.
    pub(crate) names: Arc<WorkerPool>,
    /// Keep-alive probes.
    pub(crate) probes: Arc<WorkerPool>,
    /// Asynchronous calls.
    pub(crate) calls: Arc<WorkerPool>,
    /// Logins, at most one at a time for each session.
    pub(crate) logins: Arc<WorkerPool>,
    /// What the tasks that a shutdown ended have left undone at servers, for its message.
    undone: Mutex<Vec<String>, rank::Undone>,
}

impl Default for Pools {
    fn default() -> Pools {
        Pools {
            names: WorkerPool::with("vsession-names", OF_NAMES, STACK_SIZE),
            probes: WorkerPool::new("vsession-probe", 3),
            calls: WorkerPool::new("vsession-call", 8),
            logins: WorkerPool::new("vsession-login", 3),
            undone: Mutex::default(),
        }
    }
}

static POOLS: PerProcess<Pools> = PerProcess::new();

pub(crate) fn pools() -> Arc<Pools> {
    POOLS.get()
}

/// Forgets the parent's threads, in a forked child.
pub(crate) fn renew_after_fork() {
    POOLS.renew();
}

impl Pools {
    /// Ends the workers and waits for them until `end`. Tasks that have not ended by then and whose session is closed are ended.
    /// Returns false if some still run a job.
    pub(crate) fn stop(&self, end: Instant) -> bool {
        let all = [&self.names, &self.probes, &self.calls, &self.logins];
        all.into_iter().for_each(|pool| pool.begin_to_stop());
        let last = end.max(Instant::now()) + TO_END;
        // No short circuit: every pool is waited for, even after one that did not end.
        all.into_iter().filter(|pool| !pool.wait_for_end(end, last)).count() == 0
    }

    /// A task that a shutdown has ended left this undone.
    pub(crate) fn note_undone(&self, what: String) {
        self.undone.lock().push(what);
    }

    /// What has been noted so far.
    pub(crate) fn take_undone(&self) -> Vec<String> {
        std::mem::take(&mut self.undone.lock())
    }
}

impl WorkerPool {
    pub(crate) fn new(name: &'static str, limit: usize) -> Arc<WorkerPool> {
        WorkerPool::with(name, usually(limit), STACK_SIZE)
    }

    fn with(name: &'static str, limits: Limits, stack_size: usize) -> Arc<WorkerPool> {
        Arc::new(WorkerPool {
            name,
            limits,
            stack_size,
            state: Mutex::new(State::default()),
            ended: 0.into(),
        })
    }

    /// Gives `job` to a worker. Returns true if all workers are busy, so that the job has to wait. If no worker runs and none
    /// can be started, the job is dropped and the error returned. Other waiting jobs, which relied on a worker whose start
    /// failed, are called with the error.
    pub(crate) fn run(
        self: &Arc<Self>,
        job: impl FnOnce(std::result::Result<(), NoThread>) + Send + 'static,
    ) -> std::result::Result<bool, NoThread> {
        self.submit(Begun::New, Box::new(job))
    }

    /// The same for work that goes on after a wait: it goes before new work.
    pub(super) fn resume(
        self: &Arc<Self>,
        job: impl FnOnce(std::result::Result<(), NoThread>) + Send + 'static,
    ) -> std::result::Result<bool, NoThread> {
        self.submit(Begun::Resumed, Box::new(job))
    }

    fn submit(self: &Arc<Self>, begun: Begun, job: Job) -> std::result::Result<bool, NoThread> {
        let number = self.state.lock().jobs.push(begun, job);
        match self.dispatch() {
            Ok(now) => Ok(!now),
            Err(none) if self.give_up(none, Some(number)) => Err(none),
            // sometimes: a worker has taken it meanwhile
            Err(_) => Ok(false),
        }
    }

    /// Fails the waiting jobs, unless a worker runs. Returns true if the job with this number was among them; that one is
    /// dropped.
    fn give_up(&self, none: NoThread, number: Option<u64>) -> bool {
        let left = {
            let mut state = self.state.lock();
            if state.threads > 0 {
                // sometimes: another thread started a worker, or its start is under way and leads here if it fails
                return false;
            }
            state.jobs.take_all()
        };
        let mut mine = false;
        for (of, job) in left {
            // sometimes: jobs of other threads have joined this one
            if Some(of) == number {
                mine = true;
            } else {
                job(Err(none));
            }
        }
        mine
    }

    /// Starts a worker if none runs. Returns the error if that fails.
    pub(super) fn have_one(self: &Arc<Self>) -> std::result::Result<(), NoThread> {
        let mut state = self.state.lock();
        if state.threads > 0 {
            return Ok(());
        }
        state.threads += 1;
        drop(state);
        // Jobs that came meanwhile relied on this worker.
        self.start().inspect_err(|none| {
            self.give_up(*none, None);
        })
    }

    /// Whether jobs wait for a worker.
    pub(super) fn has_jobs(&self) -> bool {
        !self.state.lock().jobs.is_empty()
    }

    /// Returns the number of the task.
    pub(super) fn task_begins(&self) -> u64 {
        let mut state = self.state.lock();
        state.tasks += 1;
        state.last_task += 1;
        state.last_task
    }

    /// Whether a shutdown has ended the task with this number.
    #[inline]
    pub(super) fn has_ended(&self, task: u64) -> bool {
        task <= self.ended.load(Ordering::SeqCst)
    }

    /// Ends the tasks that have begun so far, as a shutdown does whose time is over. They see it when they look the next time.
    fn end_tasks(&self) {
        if !planted!("tasks-outlive-a-shutdown") {
            self.ended.store(self.state.lock().last_task, Ordering::SeqCst);
        }
        // One that was about to wait has not registered yet, and is woken the next time.
        reactor::end_sleepers();
    }

    pub(super) fn task_ended(&self) {
        self.state.lock().tasks -= 1;
    }

    /// Ends the idle workers now and the others after their jobs.
    pub(super) fn begin_to_stop(&self) {
        let mut state = self.state.lock();
        state.stopping += 1;
        state.idle.drain(..).for_each(|worker| worker.unpark());
    }

    /// Waits for all tasks and workers to end. Tasks that have not ended at `end` are ended. Returns false if some still run at `last`.
    pub(super) fn wait_for_end(&self, end: Instant, last: Instant) -> bool {
        let is_busy = |state: &State| state.threads > 0 || state.tasks > 0;
        while is_busy(&self.state.lock()) && Instant::now() < last {
            if Instant::now() >= end {
                self.end_tasks();
            }
            thread::sleep(Duration::from_millis(1));
        }
        let handles = {
            let mut state = self.state.lock();
            state.stopping -= 1;
            if is_busy(&state) {
                return false;
            }
            std::mem::take(&mut state.handles)
        };
        // The library must not be unloaded before the threads are gone.
        handles.into_iter().for_each(|handle| drop(handle.join()));
        true
    }

    /// Finds a worker for the next job. Returns false if the job has to wait until a worker is free or turns out to be slow.
    fn dispatch(self: &Arc<Self>) -> std::result::Result<bool, NoThread> {
        let mut state = self.state.lock();
        if let Some(worker) = state.idle.pop() {
            drop(state);
            worker.unpark();
            return Ok(true);
        }
        if state.jobs.is_empty() {
            // sometimes: a worker has taken the job meanwhile
            return Ok(true);
        }
        let mut now = Instant::now();
        if state.threads < state.max_threads(&self.limits, now) {
            state.threads += 1;
            drop(state);
            let Err(none) = self.start() else { return Ok(true) };
            state = self.state.lock();
            if state.threads == 0 {
                return Err(none);
            }
            // The job waits for a running worker, or for the next attempt to start one.
            now = Instant::now();
        }
        if !std::mem::replace(&mut state.watched, true) {
            let at = state.next_slow(&self.limits, now);
            drop(state);
            let me: Arc<dyn Sleeper> = self.clone();
            // If the reactor gets no thread either, a running worker takes the job.
            let _ = reactor::wake_at(at, Arc::downgrade(&me));
        }
        Ok(false)
    }

    /// Starts a worker, which `threads` already counts.
    fn start(self: &Arc<Self>) -> std::result::Result<(), NoThread> {
        if planted!("threads-kept") {
            thread::spawn(|| {
                loop {
                    thread::park_timeout(Duration::MAX)
                }
            });
        }
        let workers = self.clone();
        let builder = thread::Builder::new().name(self.name.into()).stack_size(self.stack_size);
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
            if let Some(job) = state.jobs.pop() {
                state.busy.push((me.id(), Instant::now()));
                drop(state);
                // Jobs report their own failures. A panic must not end the thread without its bookkeeping.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(Ok(()))));
                state = self.state.lock();
                state.busy.retain(|(id, _)| *id != me.id());
                continue;
            }
            if state.stopping > 0 || state.threads > state.max_threads(&self.limits, Instant::now()) {
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
        if !planted!("ended-worker-still-counts") {
            state.threads -= 1;
        }
    }

    /// Waits for a job. Returns false if none came in time.
    fn wait_idle(&self, me: &Thread) -> bool {
        let end = Instant::now() + IDLE;
        loop {
            thread::park_timeout(end.saturating_duration_since(Instant::now()));
            let mut state = self.state.lock();
            let Some(position) = state.idle.iter().position(|t| t.id() == me.id()) else {
                // sometimes: a race, which a run meets or not
                return true;
            };
            if Instant::now() >= end {
                state.idle.swap_remove(position);
                return false;
            }
        }
    }
}

impl Sleeper for WorkerPool {
    /// Jobs wait. If workers have become slow meanwhile, others are started.
    fn wake(self: Arc<Self>) {
        let waiting = {
            let mut state = self.state.lock();
            state.watched = false;
            state.jobs.len()
        };
        // Each round starts one worker. The round that cannot start another makes the next timer entry.
        for _ in 0..waiting.min(self.limits.max_substitutes) {
            match self.dispatch() {
                Ok(true) => {}
                Ok(false) => break,
                // unreached: needs a process that can start no thread, and starts others meanwhile
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
    use crate::runtime::signal::Signal;
    use crate::runtime::task::Task;
    use crate::runtime::wait::{Bounds, Watch};
    use crate::sync::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    /// A pool with one worker, whose place no other takes.
    fn lone_worker() -> Arc<WorkerPool> {
        let limits = Limits { slow_after: Duration::from_secs(3600), ..usually(1) };
        WorkerPool::with("test", limits, STACK_SIZE)
    }

    /// Holds a worker until something is sent.
    fn hold(workers: &Arc<WorkerPool>) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let job = move |_| {
            begun.send(()).unwrap();
            released.recv().unwrap();
        };
        workers.run(job).unwrap();
        begins.recv_timeout(Duration::from_secs(60)).unwrap();
        release
    }

    #[test]
    fn a_failed_thread_start_is_reported_to_the_job_or_to_its_caller() {
        // A stack larger than the address space.
        let workers = WorkerPool::with("test", usually(2), 1 << 47);
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

    #[test]
    fn a_task_without_a_thread_is_dropped_and_no_longer_counted() {
        let workers = WorkerPool::with("test", usually(2), 1 << 47);
        let held = Arc::new(());
        let holding = held.clone();
        assert!(Task::spawn(&workers, |_| async move { drop(holding) }).is_err());
        assert_eq!((Arc::strong_count(&held), workers.state.lock().tasks), (1, 0));
    }

    #[test]
    fn a_job_waits_for_a_running_worker_where_no_other_can_be_started() {
        let workers = WorkerPool::new("test", 2);
        let release = hold(&workers);
        // The next thread would need a stack larger than the address space.
        let starved = WorkerPool {
            name: "test",
            limits: usually(2),
            stack_size: 1 << 47,
            state: Mutex::default(),
            ended: 0.into(),
        };
        std::mem::swap(&mut *workers.state.lock(), &mut *starved.state.try_lock().unwrap());
        let starved = Arc::new(starved);
        let (done, all) = mpsc::channel();
        assert_eq!(starved.run(move |thread| done.send(thread).unwrap()), Ok(true));
        // The running worker looks into its own pool, so the waiting job goes back there.
        std::mem::swap(&mut *workers.state.lock(), &mut *starved.state.try_lock().unwrap());
        release.send(()).unwrap();
        assert_eq!(all.recv_timeout(Duration::from_secs(60)), Ok(Ok(())));
    }

    #[test]
    fn work_that_goes_on_goes_first_and_does_not_hold_up_new_work_for_ever() {
        let workers = lone_worker();
        let release = hold(&workers);
        let (done, order) = mpsc::channel();
        let job = |name: &'static str| {
            let done = done.clone();
            move |_| done.send(name).unwrap()
        };
        for _ in 0..2 {
            workers.run(job("new")).unwrap();
        }
        for _ in 0..2 * Jobs::MOST_BEFORE {
            workers.resume(job("resumed")).unwrap();
        }
        release.send(()).unwrap();
        let next = || order.recv_timeout(Duration::from_secs(60)).unwrap();
        for _ in 0..2 {
            (0..Jobs::MOST_BEFORE).for_each(|_| assert_eq!(next(), "resumed"));
            assert_eq!(next(), "new");
        }
    }

    #[test]
    fn a_woken_task_goes_before_one_that_has_not_begun() {
        let workers = lone_worker();
        let (told, order) = mpsc::channel();
        let signal = Arc::new(Signal::new());
        let spawn = |names: [&'static str; 2]| {
            let (told, signal) = (told.clone(), signal.clone());
            let spawned = Task::spawn(&workers, |task| async move {
                told.send(names[0]).unwrap();
                Watch::of_task(Bounds::default(), task).wait_for(&signal).await.unwrap();
                told.send(names[1]).unwrap();
            });
            spawned.unwrap();
        };
        let next = || order.recv_timeout(Duration::from_secs(60)).unwrap();
        spawn(["begins", "goes on"]);
        assert_eq!(next(), "begins");
        // The worker takes the next job once the task waits.
        let release = hold(&workers);
        spawn(["another begins", "and goes on"]);
        signal.fire();
        release.send(()).unwrap();
        assert_eq!([next(), next(), next()], ["goes on", "another begins", "and goes on"]);
    }

    #[test]
    fn no_more_threads_than_the_limit_run_all_jobs() {
        /// How many of 30 jobs ran at the same time; `None` if one took so long that its worker became slow.
        fn peak() -> Option<usize> {
            let workers = WorkerPool::new("test", 3);
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
            (start.elapsed() < usually(3).slow_after).then(|| peak.load(Ordering::SeqCst))
        }
        // On a busy machine two workers may do everything before the third runs.
        let peaks: Vec<_> = (0..20).filter_map(|_| peak()).collect();
        assert_eq!(peaks.iter().max(), Some(&3), "{peaks:?}");
    }

    #[test]
    fn slow_workers_are_replaced_and_surplus_ones_end() {
        let workers = WorkerPool::new("test", 2);
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(std::sync::Mutex::new(released));
        let (done, all) = mpsc::channel();
        let start = Instant::now();
        for _ in 0..7 {
            let (released, done) = (released.clone(), done.clone());
            let ran = workers.run(move |_| {
                while released.lock().unwrap().try_recv().is_err() {
                    thread::sleep(Duration::from_millis(5));
                }
                done.send(()).unwrap();
            });
            ran.unwrap();
        }
        let (quick, ran) = mpsc::channel();
        workers.run(move |_| quick.send(Instant::now()).unwrap()).unwrap();
        let at = ran.recv_timeout(Duration::from_secs(60)).unwrap();
        // The eighth job, two at a time, each of which becomes slow first.
        assert!(at >= start + 3 * usually(2).slow_after, "{:?}", at - start);
        (0..7).for_each(|_| release.send(()).unwrap());
        (0..7).for_each(|_| all.recv_timeout(Duration::from_secs(60)).unwrap());
        let end = Instant::now() + Duration::from_secs(60);
        while workers.state.lock().threads > 2 {
            assert!(Instant::now() < end, "surplus workers end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn the_number_of_threads_is_bounded_however_many_workers_are_slow() {
        let now = Instant::now() + Duration::from_secs(3600);
        let busy = |number, limits: Limits, long| {
            let since = if long { now - limits.slow_after } else { now };
            let busy = vec![(thread::current().id(), since); number];
            State { busy, ..State::default() }.max_threads(&limits, now)
        };
        assert_eq!(busy(8, usually(8), false), 8, "they have just begun");
        assert_eq!(busy(5, usually(8), true), 8 + 5);
        assert_eq!(busy(1000, usually(8), true), 8 + 64);
        assert_eq!(busy(8, OF_NAMES, true), 8 + 16);
        assert_eq!(busy(1000, OF_NAMES, true), 256 + 8);
    }

    #[test]
    fn a_job_that_panics_leaves_the_workers_usable() {
        let workers = WorkerPool::new("test", 1);
        let (done, all) = mpsc::channel();
        workers.run(|_| panic!("a planted panic")).unwrap();
        workers.run(move |_| done.send(()).unwrap()).unwrap();
        all.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
