//! Time that is the library's own. A thread that is ready to run and is given no core waits for the machine and not for
//! anything that the library does, so that time does not count; Linux keeps it for each thread. Where it does not, all time
//! counts.

use std::cell::OnceCell;
use std::fmt::Debug;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::eventually;

/// A thread of this process, as the scheduler sees it.
#[derive(Clone)]
pub struct Task(Arc<Files>);

struct Files {
    /// Nanoseconds on a core, nanoseconds ready and without one, turns.
    schedule: Option<File>,
    status: File,
}

impl Task {
    pub fn current() -> Task {
        thread_local! {
            static CURRENT: OnceCell<Task> = const { OnceCell::new() };
        }
        let open = || {
            let schedule = File::open("/proc/thread-self/schedstat").ok();
            Task(Arc::new(Files { schedule, status: File::open("/proc/thread-self/stat").unwrap() }))
        };
        CURRENT.with(|current| current.get_or_init(open).clone())
    }

    /// For how long in its life it was ready and given no core. Zero for a thread that has ended.
    fn kept_waiting(&self) -> Duration {
        let text = self.0.schedule.as_ref().and_then(read).unwrap_or_default();
        Duration::from_nanos(text.split(' ').nth(1).map_or(0, |ns| ns.parse().unwrap()))
    }

    /// Whether it waits for something to happen, and not for a core.
    pub fn sleeps(&self) -> bool {
        // Number, name in parentheses, state.
        read(&self.0.status).is_some_and(|text| text.rsplit(") ").next().unwrap().starts_with('S'))
    }
}

/// What a file of the kernel's says now; nothing when its thread has ended.
fn read(file: &File) -> Option<String> {
    let mut buffer = [0; 512];
    let length = file.read_at(&mut buffer, 0).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A moment, and for how long until then some threads had been kept from running: those that what is measured goes through,
/// one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub at: Instant,
    kept_waiting: Duration,
}

impl Moment {
    /// Of this thread, for what it does itself.
    pub fn now() -> Moment {
        Moment::of(&[&Task::current()])
    }

    pub fn of(tasks: &[&Task]) -> Moment {
        let kept_waiting = tasks.iter().map(|task| task.kept_waiting()).sum();
        Moment { at: Instant::now(), kept_waiting }
    }

    /// The time since `earlier`, a moment of the same threads, without that for which they were kept waiting.
    pub fn since(&self, earlier: &Moment) -> Duration {
        let busy = self.kept_waiting.saturating_sub(earlier.kept_waiting);
        self.at.saturating_duration_since(earlier.at).saturating_sub(busy)
    }

    /// The same threads, at another time: before that they waited for what does not matter.
    pub fn moved_to(self, at: Instant) -> Moment {
        Moment { at, ..self }
    }

    /// `now`, since this moment of this thread.
    pub fn elapsed(&self) -> Duration {
        Moment::now().since(self)
    }
}

/// Runs `call` on a thread of its own, does `end` to it when it waits for what it is to wait for, and returns what came of
/// the call, and how long after the beginning of `end`.
pub fn ended<T: Debug + Send>(
    waits: impl Fn(&Task) -> bool,
    call: impl FnOnce() -> T + Send,
    end: impl FnOnce(),
) -> (T, Duration) {
    let ender = Task::current();
    let (begun, caller) = channel();
    std::thread::scope(|scope| {
        let ender = &ender;
        let calling = scope.spawn(move || {
            let own = Task::current();
            begun.send(own.clone()).unwrap();
            (call(), Moment::of(&[ender, &own]))
        });
        let caller = caller.recv().unwrap();
        eventually("the call waits", || calling.is_finished() || waits(&caller));
        // Well in the middle of it.
        std::thread::sleep(Duration::from_millis(30));
        assert!(!calling.is_finished(), "the call was to wait: {:?}", calling.join().unwrap().0);
        let start = Moment::of(&[ender, &caller]);
        end();
        let (result, returned) = calling.join().unwrap();
        (result, returned.since(&start))
    })
}

/// Neither is the machine blamed for what a thread waits for, nor the thread for what the machine does.
#[test]
fn a_sleep_counts_and_a_wait_for_a_core_does_not() {
    let start = Moment::now();
    std::thread::sleep(Duration::from_millis(50));
    assert!(start.elapsed() > Duration::from_millis(49), "{:?}", start.elapsed());
    if Task::current().0.schedule.is_none() {
        eprintln!("this kernel does not tell how long threads wait for a core");
        return;
    }
    // More threads than cores, which all want to run.
    let crowd = 4 * std::thread::available_parallelism().unwrap().get();
    let times = super::together(crowd, |_| {
        let start = Moment::now();
        while start.at.elapsed() < Duration::from_millis(200) {
            std::hint::spin_loop();
        }
        (start.at.elapsed(), start.elapsed())
    });
    let all: Duration = times.iter().map(|(all, _)| *all).sum();
    let own: Duration = times.iter().map(|(_, own)| *own).sum();
    assert!(own < all / 2, "{own:?} of {all:?} were the threads' own");
}
