//! Replaces threads, locks, the clock and the kernel under the model checker (shuttle): at each access it may switch to another
//! thread. `check` runs a model in as many orders as time allows. Each run begins with a new `Machine`. Its time passes only
//! when `Machine::tick` advances it, so a model of a minute takes no longer than its steps.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::sync::Condvar;

use primitives::Instant;

/// Everything except locks for which a thread may wait.
struct Machine {
    state: shuttle::sync::Mutex<Waits>,
    /// Notified when something for which a thread may wait has changed.
    changed: Condvar,
    /// Notified when a wait with a limit begins.
    wanted: Condvar,
    /// Nanoseconds. Read without a step of the scheduler; it changes between steps only.
    now: AtomicU64,
}

#[derive(Default)]
struct Waits {
    /// For each descriptor, whether it is readable.
    readable: Vec<bool>,
    /// The descriptors in each `Epoll`, with their keys.
    epolls: HashMap<RawFd, Vec<(RawFd, u64)>>,
    /// When the peer's bytes arrive at each socket; `None` once it is shut down.
    sockets: HashMap<RawFd, Option<Instant>>,
    /// Threads that were unparked and have not parked since.
    unparked: HashSet<usize>,
    /// The ends of the waits that have a limit.
    ends: Vec<u64>,
    /// The model has ended, and so must its clock.
    over: bool,
}

/// Large enough to subtract durations from it.
const BEGINNING: u64 = 1_000_000_000_000;

shuttle::lazy_static! {
    static ref MACHINE: Machine = Machine {
        state: shuttle::sync::Mutex::new(Waits::default()),
        changed: Condvar::new(),
        wanted: Condvar::new(),
        now: AtomicU64::new(BEGINNING),
    };
}

impl Machine {
    fn lock(&self) -> shuttle::sync::MutexGuard<'_, Waits> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `happened` returns true, or until `end`. Returns whether it has happened.
    fn wait(&self, end: Option<Instant>, mut happened: impl FnMut(&mut Waits) -> bool) -> bool {
        let mut waits = self.lock();
        loop {
            if happened(&mut waits) {
                return true;
            }
            if let Some(end) = end {
                if Instant::now() >= end {
                    return false;
                }
                waits.ends.push(end.0);
                self.wanted.notify_one();
            }
            waits = self.changed.wait(waits).unwrap_or_else(PoisonError::into_inner);
            if let Some(end) = end
                && let Some(position) = waits.ends.iter().position(|e| *e == end.0)
            {
                waits.ends.swap_remove(position);
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut Waits)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// The clock, a thread like any other: when it is scheduled, time may jump to the end of the next wait.
    fn tick(&self) {
        let mut waits = self.lock();
        while !waits.over {
            let Some(next) = waits.ends.iter().min().copied() else {
                waits = self.wanted.wait(waits).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            // If time advanced at every opportunity, almost every wait would end at its deadline.
            if shuttle::rand::thread_rng().gen_ratio(1, 6) && next > self.now.load(Ordering::Relaxed) {
                self.now.store(next, Ordering::Relaxed);
                self.changed.notify_all();
            }
            drop(waits);
            shuttle::thread::yield_now();
            waits = self.lock();
        }
    }
}

/// Chance, drawn from the scheduler so that a schedule repeats it.
pub(crate) fn one_in(n: u32) -> bool {
    shuttle::rand::thread_rng().gen_ratio(1, n)
}

/// Whether a descriptor is readable. The scheduler makes no step in between if the caller holds the lock that guards it.
pub(crate) fn is_readable(fd: RawFd) -> bool {
    MACHINE.lock().readable[fd as usize]
}

/// A connection on which the peer's bytes arrive at a given time.
pub(crate) struct Socket(RawFd);

impl Socket {
    pub(crate) fn with_reply_at(moment: Instant) -> Socket {
        let mut waits = MACHINE.lock();
        // Disjoint from the descriptors of eventfds.
        let fd = 1 << 20 | waits.sockets.len() as RawFd;
        waits.sockets.insert(fd, Some(moment));
        Socket(fd)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

/// Runs `model` in many orders: half of the time in random ones, half of it in those of PCT, which seldom switches threads.
/// `begin` resets the state of the process. See "Models" in CONTRIBUTING.md for the environment variables.
pub(crate) fn check(begin: fn(), model: fn()) {
    let setting = |name: &str| std::env::var(name).ok();
    let number = |name: &str, otherwise| setting(name).map_or(otherwise, |text| text.parse::<f64>().unwrap());
    let seconds = number("VSESSION_MODEL_SECONDS", 2.0);
    let seed = number("VSESSION_MODEL_SEED", 1.0) as u64;
    let runs = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let run = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        begin();
        let clock = shuttle::thread::spawn(|| MACHINE.tick());
        model();
        MACHINE.lock().over = true;
        MACHINE.wanted.notify_one();
        clock.join().unwrap();
    };
    // Values made once in a process are made now, so that another process can replay a schedule.
    shuttle::Runner::new(RandomScheduler::new_from_seed(seed, 4), config(600.0)).run(begin);
    if let Some(schedule) = setting("VSESSION_MODEL_REPLAY") {
        let schedule = std::fs::read_to_string(&schedule).unwrap_or(schedule);
        let scheduler = shuttle::scheduler::ReplayScheduler::new_from_encoded(schedule.trim());
        shuttle::Runner::new(scheduler, config(600.0)).run(run);
        return;
    }
    let began = std::time::Instant::now();
    let mut random = 0;
    for seed in seed.. {
        let left = seconds - began.elapsed().as_secs_f64();
        if left < 0.0 {
            break;
        }
        let before = runs.load(Ordering::Relaxed);
        shuttle::Runner::new(RandomScheduler::new_from_seed(seed, 100), config(left)).run(run.clone());
        random += runs.load(Ordering::Relaxed) - before;
        shuttle::Runner::new(PctScheduler::new_from_seed(seed, 3, 100), config(left)).run(run.clone());
    }
    let all = runs.load(Ordering::Relaxed);
    #[expect(clippy::print_stdout, reason = "the number of orders is part of the result")]
    {
        println!("{random} random orders, {} of PCT", all - random);
    }
}

fn config(seconds: f64) -> shuttle::Config {
    let mut config = shuttle::Config::new();
    config.stack_size = 256 * 1024;
    config.max_time = Some(Duration::from_secs_f64(seconds));
    config.max_steps = shuttle::MaxSteps::FailAfter(200_000);
    config.silence_warnings = true;
    config
}

/// Replaces `thread_local!`.
macro_rules! model_thread_local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = const { $init:expr };)*) => {
        $(
            $(#[$attribute])*
            static $name: $crate::sync::model::primitives::Local<$type> =
                $crate::sync::model::primitives::Local::new(|| $init);
        )*
    };
}
pub(crate) use model_thread_local;

/// The primitives of `crate::sync`, with those parts of the real interfaces that the library uses.
pub(crate) mod primitives {
    use super::*;
    use std::io;
    use std::ops::{Add, AddAssign, Sub};
    use std::sync::{Arc, TryLockError};

    use crate::sys::{Interest, MAX_POLLED};

    pub(crate) use super::model_thread_local as thread_local;
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize};

    pub(in crate::sync) type RawGuard<'a, T> = shuttle::sync::MutexGuard<'a, T>;

    #[derive(Debug, Default)]
    pub(in crate::sync) struct RawMutex<T>(shuttle::sync::Mutex<T>);

    impl<T> RawMutex<T> {
        pub(in crate::sync) const fn new(value: T) -> RawMutex<T> {
            RawMutex(shuttle::sync::Mutex::new(value))
        }

        pub(in crate::sync) fn try_lock(&self) -> Option<RawGuard<'_, T>> {
            match self.0.try_lock() {
                Ok(guard) => Some(guard),
                Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => None,
            }
        }

        pub(in crate::sync) fn lock(&self) -> RawGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// What `compare_and_swap` compares with.
    pub(crate) trait Pointer<T> {
        fn pointer(&self) -> Option<*const T>;
    }

    impl<T> Pointer<T> for Arc<T> {
        fn pointer(&self) -> Option<*const T> {
            Some(Arc::as_ptr(self))
        }
    }

    impl<T> Pointer<T> for Option<Arc<T>> {
        fn pointer(&self) -> Option<*const T> {
            self.as_ref().map(Arc::as_ptr)
        }
    }

    /// Like `arc_swap`'s; each operation is one step.
    #[derive(Debug)]
    pub(crate) struct ArcSwapOption<T>(RawMutex<Option<Arc<T>>>);

    impl<T> Default for ArcSwapOption<T> {
        fn default() -> ArcSwapOption<T> {
            ArcSwapOption::const_empty()
        }
    }

    impl<T> ArcSwapOption<T> {
        pub(crate) const fn const_empty() -> ArcSwapOption<T> {
            ArcSwapOption(RawMutex::new(None))
        }

        pub(crate) fn empty() -> ArcSwapOption<T> {
            ArcSwapOption::const_empty()
        }

        pub(crate) fn load(&self) -> Option<Arc<T>> {
            self.0.lock().clone()
        }

        pub(crate) fn load_full(&self) -> Option<Arc<T>> {
            self.load()
        }

        pub(crate) fn store(&self, value: Option<Arc<T>>) {
            drop(self.swap(value));
        }

        pub(crate) fn swap(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
            std::mem::replace(&mut *self.0.lock(), value)
        }

        pub(crate) fn compare_and_swap(
            &self,
            current: &impl Pointer<T>,
            new: Option<Arc<T>>,
        ) -> Option<Arc<T>> {
            let mut here = self.0.lock();
            if here.pointer() == current.pointer() {
                return std::mem::replace(&mut *here, new);
            }
            here.clone()
        }
    }

    #[derive(Debug)]
    pub(crate) struct ArcSwap<T>(RawMutex<Arc<T>>);

    impl<T> From<Arc<T>> for ArcSwap<T> {
        fn from(value: Arc<T>) -> ArcSwap<T> {
            ArcSwap(RawMutex::new(value))
        }
    }

    impl<T> ArcSwap<T> {
        pub(crate) fn from_pointee(value: T) -> ArcSwap<T> {
            ArcSwap(RawMutex::new(Arc::new(value)))
        }

        pub(crate) fn load(&self) -> Arc<T> {
            self.0.lock().clone()
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            self.load()
        }

        pub(crate) fn store(&self, value: Arc<T>) {
            drop(self.swap(value));
        }

        pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
            std::mem::replace(&mut *self.0.lock(), value)
        }
    }

    /// A time on the machine's clock.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub(crate) struct Instant(pub(super) u64);

    impl Instant {
        pub(crate) fn now() -> Instant {
            Instant(MACHINE.now.load(Ordering::Relaxed))
        }

        pub(crate) fn checked_add(self, time: Duration) -> Option<Instant> {
            self.0.checked_add(u64::try_from(time.as_nanos()).ok()?).map(Instant)
        }

        pub(crate) fn checked_sub(self, time: Duration) -> Option<Instant> {
            self.0.checked_sub(u64::try_from(time.as_nanos()).ok()?).map(Instant)
        }

        pub(crate) fn saturating_duration_since(self, earlier: Instant) -> Duration {
            Duration::from_nanos(self.0.saturating_sub(earlier.0))
        }

        pub(crate) fn duration_since(self, earlier: Instant) -> Duration {
            self.saturating_duration_since(earlier)
        }

        pub(crate) fn elapsed(self) -> Duration {
            Instant::now() - self
        }
    }

    impl Add<Duration> for Instant {
        type Output = Instant;
        fn add(self, time: Duration) -> Instant {
            self.checked_add(time).unwrap()
        }
    }

    impl AddAssign<Duration> for Instant {
        fn add_assign(&mut self, time: Duration) {
            *self = *self + time;
        }
    }

    impl Sub<Duration> for Instant {
        type Output = Instant;
        fn sub(self, time: Duration) -> Instant {
            self.checked_sub(time).unwrap()
        }
    }

    impl Sub for Instant {
        type Output = Duration;
        fn sub(self, earlier: Instant) -> Duration {
            self.saturating_duration_since(earlier)
        }
    }

    /// Not random, so that a schedule can be replayed.
    #[derive(Default)]
    pub(crate) struct RandomState;

    impl RandomState {
        pub(crate) fn new() -> RandomState {
            RandomState
        }
    }

    impl std::hash::BuildHasher for RandomState {
        type Hasher = std::hash::DefaultHasher;
        fn build_hasher(&self) -> Self::Hasher {
            std::hash::DefaultHasher::new()
        }
    }

    #[derive(Debug)]
    pub(crate) struct EventFd(RawFd);

    impl EventFd {
        pub(crate) fn new() -> io::Result<EventFd> {
            let readable = &mut MACHINE.lock().readable;
            readable.push(false);
            Ok(EventFd(readable.len() as RawFd - 1))
        }

        pub(crate) fn raise(&self) {
            MACHINE.change(|waits| waits.readable[self.0 as usize] = true);
        }

        pub(crate) fn drain(&self) {
            MACHINE.lock().readable[self.0 as usize] = false;
        }

        pub(crate) fn fd(&self) -> RawFd {
            self.0
        }
    }

    #[derive(Debug)]
    pub(crate) struct Epoll(RawFd);

    impl Epoll {
        pub(crate) fn new() -> io::Result<Epoll> {
            let mut waits = MACHINE.lock();
            waits.readable.push(false);
            let fd = waits.readable.len() as RawFd - 1;
            waits.epolls.insert(fd, Vec::new());
            Ok(Epoll(fd))
        }

        pub(crate) fn fd(&self) -> RawFd {
            self.0
        }

        pub(crate) fn add(&self, fd: RawFd, _: Interest, key: u64) -> io::Result<()> {
            MACHINE.change(|waits| waits.epolls.get_mut(&self.0).unwrap().push((fd, key)));
            Ok(())
        }

        pub(crate) fn remove(&self, fd: RawFd) {
            MACHINE.lock().epolls.get_mut(&self.0).unwrap().retain(|(member, _)| *member != fd);
        }

        pub(crate) fn ready(&self, keys: &mut Vec<u64>) {
            let mut waits = MACHINE.lock();
            let Waits { readable, epolls, .. } = &mut *waits;
            let members = epolls.get_mut(&self.0).unwrap();
            keys.extend(members.extract_if(.., |(fd, _)| readable[*fd as usize]).map(|(_, key)| key));
        }
    }

    /// Only for descriptors of `EventFd` and `Epoll`.
    pub(crate) fn poll(
        wanted: &[(RawFd, Interest)],
        timeout: Option<Duration>,
    ) -> io::Result<[bool; MAX_POLLED]> {
        let mut ready = [false; MAX_POLLED];
        let end = timeout.map(|timeout| Instant::now() + timeout);
        MACHINE.wait(end, |waits| {
            for (ready, (fd, _)) in ready.iter_mut().zip(wanted) {
                let is_ready = |fd: &RawFd| waits.readable[*fd as usize];
                *ready = is_ready(fd)
                    || waits.epolls.get(fd).is_some_and(|members| members.iter().any(|(fd, _)| is_ready(fd)));
            }
            ready.contains(&true)
        });
        Ok(ready)
    }

    /// Only for sockets of `Socket`, with a timeout of one second.
    pub(crate) fn receive(socket: &impl AsRawFd, _: &mut [u8]) -> io::Result<usize> {
        let socket = socket.as_raw_fd();
        let arrival = MACHINE.lock().sockets[&socket];
        let end = Instant::now() + Duration::from_secs(1);
        let end = arrival.map_or(end, |arrival| arrival.min(end));
        if MACHINE.wait(Some(end), |waits| waits.sockets[&socket].is_none()) {
            return Ok(0);
        }
        if arrival == Some(end) { Ok(1) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    pub(crate) fn shut_down(socket: RawFd) {
        MACHINE.change(|waits| {
            waits.sockets.insert(socket, None);
        });
    }

    /// A value for each of the scheduler's threads.
    pub(crate) struct Local<T: 'static>(pub(crate) shuttle::thread::LocalKey<T>);

    impl<T: 'static> Local<T> {
        pub(crate) const fn new(init: fn() -> T) -> Local<T> {
            Local(shuttle::thread::LocalKey { init, _p: std::marker::PhantomData })
        }

        pub(crate) fn with<R>(&'static self, body: impl FnOnce(&T) -> R) -> R {
            self.0.with(body)
        }

        pub(crate) fn try_with<R>(
            &'static self,
            body: impl FnOnce(&T) -> R,
        ) -> Result<R, shuttle::thread::AccessError> {
            self.0.try_with(body)
        }
    }

    impl<T: 'static> Local<std::cell::Cell<T>> {
        pub(crate) fn replace(&'static self, value: T) -> T {
            self.0.with(|cell| cell.replace(value))
        }

        pub(crate) fn set(&'static self, value: T) {
            self.0.with(|cell| cell.set(value));
        }

        pub(crate) fn get(&'static self) -> T
        where
            T: Copy,
        {
            self.0.with(std::cell::Cell::get)
        }
    }

    /// Like `std::thread`, with the machine's time.
    pub(crate) mod thread {
        use super::*;
        pub(crate) use shuttle::thread::{ThreadId, yield_now};

        #[derive(Clone, Debug)]
        pub(crate) struct Thread(ThreadId);

        impl Thread {
            pub(crate) fn id(&self) -> ThreadId {
                self.0
            }

            pub(crate) fn unpark(&self) {
                MACHINE.change(|waits| {
                    waits.unparked.insert(self.0.into());
                });
            }
        }

        pub(crate) struct JoinHandle<T> {
            inner: shuttle::thread::JoinHandle<T>,
            thread: Thread,
            finished: Arc<std::sync::atomic::AtomicBool>,
        }

        impl<T> JoinHandle<T> {
            pub(crate) fn join(self) -> std::thread::Result<T> {
                self.inner.join()
            }

            pub(crate) fn thread(&self) -> &Thread {
                &self.thread
            }

            pub(crate) fn is_finished(&self) -> bool {
                self.finished.load(Ordering::Relaxed)
            }
        }

        /// Ignores names and stack sizes.
        pub(crate) struct Builder;

        impl Builder {
            pub(crate) fn new() -> Builder {
                Builder
            }

            pub(crate) fn name(self, _: String) -> Builder {
                self
            }

            pub(crate) fn stack_size(self, _: usize) -> Builder {
                self
            }

            pub(crate) fn spawn<T: Send + 'static>(
                self,
                body: impl FnOnce() -> T + Send + 'static,
            ) -> io::Result<JoinHandle<T>> {
                Ok(spawn(body))
            }
        }

        pub(crate) fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
            let finished = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let ends = finished.clone();
            let inner = shuttle::thread::spawn(move || {
                let result = body();
                ends.store(true, Ordering::Relaxed);
                result
            });
            let thread = Thread(inner.thread().id());
            JoinHandle { inner, thread, finished }
        }

        pub(crate) fn current() -> Thread {
            Thread(shuttle::thread::current().id())
        }

        pub(crate) fn sleep(time: Duration) {
            MACHINE.wait(Some(Instant::now() + time), |_| false);
        }

        pub(crate) fn park_timeout(time: Duration) {
            let me = shuttle::thread::current().id().into();
            MACHINE.wait(Some(Instant::now() + time), |waits| waits.unparked.remove(&me));
        }
    }
}
