//! Durations without the machine's delays. A thread that is ready to run but has no core waits for the machine and not
//! for the library, so that time does not count. Linux records it for each thread. On other kernels all time counts.

use std::cell::OnceCell;
use std::fmt::Debug;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::eventually;

/// A thread of this process as the scheduler sees it.
#[derive(Clone)]
pub struct Task(Arc<Files>);

struct Files {
    /// Nanoseconds on a core, nanoseconds ready without a core, number of turns.
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

    /// How long the thread has been ready without a core since its start. Zero for a thread that has ended.
    fn kept_waiting(&self) -> Duration {
        let text = self.0.schedule.as_ref().and_then(read).unwrap_or_default();
        Duration::from_nanos(text.split(' ').nth(1).map_or(0, |ns| ns.parse().unwrap()))
    }

    /// Whether the thread waits for an event, and not for a core.
    pub fn sleeps(&self) -> bool {
        // Number, name in parentheses, state.
        read(&self.0.status).is_some_and(|text| text.rsplit(") ").next().unwrap().starts_with('S'))
    }
}

/// The current content of a kernel file; nothing when its thread has ended.
fn read(file: &File) -> Option<String> {
    let mut buffer = [0; 512];
    let length = file.read_at(&mut buffer, 0).ok()?;
    Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// A moment, and how long some threads had been kept from running until then: those that the measured work passes
/// through in turn.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub at: Instant,
    kept_waiting: Duration,
}

impl Moment {
    /// For this thread and its own work.
    pub fn now() -> Moment {
        Moment::of(&[&Task::current()])
    }

    pub fn of(tasks: &[&Task]) -> Moment {
        let kept_waiting = tasks.iter().map(|task| task.kept_waiting()).sum();
        Moment { at: Instant::now(), kept_waiting }
    }

    /// The time since `earlier`, a moment of the same threads, minus the time for which they were kept waiting.
    pub fn since(&self, earlier: &Moment) -> Duration {
        let busy = self.kept_waiting.saturating_sub(earlier.kept_waiting);
        self.at.saturating_duration_since(earlier.at).saturating_sub(busy)
    }

    /// The same threads at another time, for when an earlier wait does not matter.
    pub fn moved_to(self, at: Instant) -> Moment {
        Moment { at, ..self }
    }

    /// The time since this moment, for this thread.
    pub fn elapsed(&self) -> Duration {
        Moment::now().since(self)
    }
}

/// Runs `call` on its own thread, runs `end` when the call waits where it should, and returns the call's result and how
/// long after the start of `end` it came.
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
        // The call is then well inside its wait.
        std::thread::sleep(Duration::from_millis(30));
        assert!(!calling.is_finished(), "the call was to wait: {:?}", calling.join().unwrap().0);
        let start = Moment::of(&[ender, &caller]);
        end();
        let (result, returned) = calling.join().unwrap();
        (result, returned.since(&start))
    })
}

/// The machine is not blamed for a thread's own waits, nor the thread for the machine's delays.
#[test]
fn a_moment_counts_a_sleep_but_not_a_wait_for_a_core() {
    let start = Moment::now();
    std::thread::sleep(Duration::from_millis(50));
    assert!(start.elapsed() > Duration::from_millis(49), "{:?}", start.elapsed());
    if Task::current().0.schedule.is_none() {
        eprintln!("this kernel does not record how long threads wait for a core");
        return;
    }
    // More runnable threads than cores.
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
