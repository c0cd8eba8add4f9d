//! Work that waits without a thread. A task is a future that workers run; the thread that begins it may run its first step. Where it
//! has to wait, the worker leaves it and takes up other work; whoever ends the wait, such as the reactor or a signal, wakes the task,
//! and a worker goes on with it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use once_cell::sync::OnceCell;

use super::reactor::Sleeper;
use super::workers::{NoThread, WorkerPool};
use crate::sync::{Arc, AtomicU8, Mutex, Ordering, rank};

pub(crate) struct Task {
    workers: Arc<WorkerPool>,
    /// Its number among those of the pool.
    number: u64,
    state: AtomicU8,
    /// `None` while a thread runs it, and once it has ended.
    future: Mutex<Option<Future>, rank::Task>,
    /// No worker could be had for it. It must end now, and every wait of it fails.
    no_thread: OnceCell<NoThread>,
}

type Future = Pin<Box<dyn std::future::Future<Output = ()> + Send>>;

/// A worker will run it.
const QUEUED: u8 = 0;
/// A worker runs it, or the thread that began it.
const RUNNING: u8 = 1;
/// It runs, and what it is about to wait for has happened.
const RUNNING_AND_WOKEN: u8 = 2;
/// It waits, and nobody holds it but itself.
const PARKED: u8 = 3;
const ENDED: u8 = 4;

impl Task {
    /// Has a worker run the future that `body` makes. Where none can be had, the future is dropped and the error returned.
    pub(crate) fn spawn<F>(
        workers: &Arc<WorkerPool>,
        body: impl FnOnce(Arc<Task>) -> F,
    ) -> std::result::Result<(), NoThread>
    where
        F: std::future::Future<Output = ()> + Send + 'static,
    {
        let task = Task::new(workers, body);
        task.queue().inspect_err(|_| {
            drop(task.future.lock().take());
            workers.task_ended();
        })
    }

    /// The same, but this thread runs the future until it first has to wait, and workers do the rest. Where everything is at hand, that
    /// spares two switches between threads. Nothing in the future may block before its first wait.
    pub(crate) fn begin<F>(
        workers: &Arc<WorkerPool>,
        body: impl FnOnce(Arc<Task>) -> F,
    ) -> std::result::Result<(), NoThread>
    where
        F: std::future::Future<Output = ()> + Send + 'static,
    {
        workers.have_one()?;
        let task = Task::new(workers, body);
        if task.step() {
            task.state.store(QUEUED, Ordering::SeqCst);
            task.resume_or_end();
        }
        Ok(())
    }

    /// The same as `spawn`, but where no worker can be had, the future runs on this thread, and each wait in it fails.
    pub(crate) fn spawn_or_end<F>(workers: &Arc<WorkerPool>, body: impl FnOnce(Arc<Task>) -> F)
    where
        F: std::future::Future<Output = ()> + Send + 'static,
    {
        Task::new(workers, body).queue_or_end();
    }

    fn new<F>(workers: &Arc<WorkerPool>, body: impl FnOnce(Arc<Task>) -> F) -> Arc<Task>
    where
        F: std::future::Future<Output = ()> + Send + 'static,
    {
        let task = Arc::new(Task {
            workers: workers.clone(),
            number: workers.task_begins(),
            state: AtomicU8::new(QUEUED),
            future: Mutex::new(None),
            no_thread: OnceCell::new(),
        });
        // It holds itself until it has ended, so that it lives whoever is to wake it.
        let future = Box::pin(body(task.clone()));
        *task.future.lock() = Some(future);
        task
    }

    fn queue(self: &Arc<Self>) -> std::result::Result<(), NoThread> {
        let running = self.clone();
        self.workers.run(move |thread| running.run(thread)).map(|_| ())
    }

    fn queue_or_end(self: Arc<Self>) {
        if let Err(none) = self.queue() {
            self.run(Err(none));
        }
    }

    fn resume_or_end(self: Arc<Self>) {
        let running = self.clone();
        // sometimes: no thread can be started just when a wait ends
        if let Err(none) = self.workers.resume(move |thread| running.run(thread)) {
            self.run(Err(none));
        }
    }

    /// Whether others wait for one of its workers.
    pub(super) fn others_wait(&self) -> bool {
        self.workers.has_jobs()
    }

    /// Fails once the task must end for lack of a thread.
    pub(super) fn check(&self) -> std::result::Result<(), NoThread> {
        self.no_thread.get().map_or(Ok(()), |none| Err(*none))
    }

    /// Whether a shutdown has ended it.
    pub(super) fn has_ended(&self) -> bool {
        self.workers.has_ended(self.number)
    }

    fn run(self: Arc<Self>, thread: std::result::Result<(), NoThread>) {
        if let Err(none) = thread {
            let _ = self.no_thread.set(none);
        }
        while self.step() {}
    }

    /// Runs it until it ends or waits. True: what it is about to wait for has happened already.
    fn step(&self) -> bool {
        self.state.store(RUNNING, Ordering::SeqCst);
        // sometimes: a race, which a run meets or not
        let Some(mut future) = self.future.lock().take() else { return false };
        let mut context = Context::from_waker(Waker::noop());
        // What a panic leaves undone, the future's own destructors do.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        if !matches!(polled, Ok(Poll::Pending)) {
            self.state.store(ENDED, Ordering::SeqCst);
            drop(future);
            self.workers.task_ended();
            return false;
        }
        *self.future.lock() = Some(future);
        self.state.compare_exchange(RUNNING, PARKED, Ordering::SeqCst, Ordering::SeqCst).is_err()
    }
}

impl Sleeper for Task {
    /// Whatever it waits for may have happened. It looks.
    fn wake(self: Arc<Self>) {
        let next = |state| match state {
            RUNNING if planted!("woken-while-it-runs") => None,
            RUNNING => Some(RUNNING_AND_WOKEN),
            PARKED => Some(QUEUED),
            _ => None,
        };
        if self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) == Ok(PARKED) {
            self.resume_or_end();
        }
    }

    fn end(self: Arc<Self>) {
        self.wake();
    }
}

/// Lets go of the worker until the task is woken. Outside of a task it never ends.
pub(super) async fn parked() {
    let mut resumed = false;
    std::future::poll_fn(
        |_| if std::mem::replace(&mut resumed, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

/// What a thread panicked with.
pub(crate) type Panic = Box<dyn std::any::Any + Send>;

/// The result of a future, or its panic. The future is borrowed, because it may be large.
pub(crate) async fn catching<T>(
    mut future: Pin<&mut impl std::future::Future<Output = T>>,
) -> std::result::Result<T, Panic> {
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

/// The result of a future all of whose waits are those of a thread, which last as long as they take.
pub(crate) fn on_this_thread<T>(future: impl std::future::Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        // unreached: needs a defect in ring, rustls or this library
        Poll::Pending => panic!("a thread's wait let go of its thread"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::runtime::signal::Signal;
    use crate::runtime::wait::{Bounds, WaitError, Watch};
    use crate::sync::Instant;
    use crate::sys::Interest;

    fn bounds(cancel: &Arc<Signal>) -> Bounds {
        Bounds { cancel: Some(cancel.clone()), ..Bounds::default() }
    }

    const SOON: Duration = Duration::from_secs(60);

    #[test]
    fn a_thousand_tasks_wait_on_two_workers_and_each_ends_by_its_own_cause() {
        let workers = WorkerPool::new("test", 2);
        let (told, results) = channel();
        let causes: Vec<_> = (0..1000).map(|_| (Arc::new(Signal::new()), Arc::new(Signal::new()))).collect();
        for (number, (token, signal)) in causes.iter().cloned().enumerate() {
            let told = told.clone();
            let spawned = Task::spawn(&workers, |task| async move {
                let watch = Watch::of_task(bounds(&token), task);
                told.send((number, watch.wait_for(&signal).await)).unwrap();
            });
            spawned.unwrap();
        }
        for (number, (token, signal)) in causes.iter().enumerate() {
            if number % 3 == 0 { token.fire() } else { signal.fire() }
        }
        let mut ended = vec![None; causes.len()];
        for _ in 0..causes.len() {
            let (number, result) = results.recv_timeout(SOON).unwrap();
            assert_eq!(ended[number].replace(result), None, "it ended twice");
        }
        for (number, result) in ended.into_iter().enumerate() {
            let expected = if number % 3 == 0 { Err(WaitError::Cancelled) } else { Ok(()) };
            assert_eq!(result, Some(expected), "{number}");
        }
        let holders = |signal| Arc::strong_count(signal);
        let start = Instant::now();
        while causes.iter().any(|(token, signal)| holders(token) + holders(signal) > 2) {
            assert!(start.elapsed() < SOON, "a task that ended is kept");
        }
    }

    #[test]
    fn a_task_is_woken_by_its_descriptor_and_at_its_time() {
        let workers = WorkerPool::new("test", 1);
        let event = Arc::new(crate::sync::EventFd::new().unwrap());
        for raised in [true, false] {
            let (told, results) = channel();
            let (start, waited) = (Instant::now(), event.clone());
            let spawned = Task::spawn(&workers, |task| async move {
                let watch = Watch::of_task(Bounds::default(), task);
                let until = Instant::now() + if raised { SOON } else { Duration::from_millis(30) };
                let ready = watch.wait_ready(&[(waited.fd(), Interest::Read)], Some(until)).await;
                told.send(ready).unwrap();
            });
            spawned.unwrap();
            std::thread::sleep(Duration::from_millis(5));
            if raised {
                event.raise();
            }
            let ready = results.recv_timeout(SOON).unwrap();
            assert_eq!(ready, Ok(raised.then_some(0)));
            assert!(raised || start.elapsed() >= Duration::from_millis(30));
            event.drain();
        }
    }

    #[test]
    fn a_task_does_not_keep_its_worker_for_a_moment_while_others_wait_for_one() {
        const TASKS: u32 = 2000;
        let workers = WorkerPool::new("test", 1);
        let never = Arc::new(crate::sync::EventFd::new().unwrap());
        let (told, results) = channel();
        let (release, released) = channel::<()>();
        workers.run(move |_| released.recv().unwrap()).unwrap();
        for _ in 0..TASKS {
            let (told, never) = (told.clone(), never.clone());
            let spawned = Task::spawn(&workers, |task| async move {
                let watch = Watch::of_task(Bounds::default(), task);
                assert!(!watch.is_ready_soon((never.fd(), Interest::Read)));
                told.send(()).unwrap();
            });
            spawned.unwrap();
        }
        let start = Instant::now();
        release.send(()).unwrap();
        (0..TASKS).for_each(|_| results.recv_timeout(SOON).unwrap());
        // A moment is a millisecond.
        let took = start.elapsed();
        assert!(took < Duration::from_millis(u64::from(TASKS)) / 2, "{took:?}");
    }

    #[test]
    fn a_panic_ends_its_task_alone() {
        struct Tells(std::sync::mpsc::Sender<()>);
        impl Drop for Tells {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let workers = WorkerPool::new("test", 1);
        let (dropped, drops) = channel();
        let tells = Tells(dropped);
        let spawned = Task::spawn(&workers, |task| async move {
            let _tells = tells;
            let watch = Watch::of_task(Bounds::with_timeout(Duration::from_millis(5)), task);
            let _ = watch.wait_for(&Signal::new()).await;
            panic!("a planted panic");
        });
        spawned.unwrap();
        drops.recv_timeout(SOON).unwrap();
        let (told, results) = channel();
        Task::spawn(&workers, |_| async move { told.send(()).unwrap() }).unwrap();
        results.recv_timeout(SOON).unwrap();
    }

    #[test]
    fn a_task_begins_on_its_thread_and_goes_on_with_a_worker_after_its_first_wait() {
        let workers = WorkerPool::new("test", 1);
        let here = || std::thread::current().id();
        let (told, results) = channel();
        let signal = Arc::new(Signal::new());
        for woken_before_it_waits in [false, true] {
            let (told, signal) = (told.clone(), signal.clone());
            let begun = Task::begin(&workers, |task| async move {
                let before = here();
                if woken_before_it_waits {
                    task.clone().wake();
                    parked().await;
                } else {
                    Watch::of_task(Bounds::default(), task).wait_for(&signal).await.unwrap();
                }
                told.send((before, here())).unwrap();
            });
            begun.unwrap();
        }
        signal.fire();
        for _ in 0..2 {
            let (before, after) = results.recv_timeout(SOON).unwrap();
            assert_eq!(before, here());
            assert_ne!(after, here());
        }
    }
}
