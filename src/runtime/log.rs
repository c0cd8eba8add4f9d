//! The log: one sink for the process, set by the program. Messages are formatted only if their level is enabled. They never
//! contain a secret, because no secret is ever passed to them.

use arc_swap::ArcSwapOption;

use crate::sync::{Arc, AtomicU8, Ordering};

/// The level of a message. The numbers are part of the C API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Level {
    #[expect(dead_code, reason = "nothing has failed that badly yet")]
    Error = 1,
    Warning = 2,
    Info = 3,
    Debug = 4,
}

/// Receives messages. Called on the thread that writes the message, which holds none of the library's locks.
pub(crate) type Sink = Box<dyn Fn(Level, &str) + Send + Sync>;

static LEVEL: AtomicU8 = AtomicU8::new(0);
static SINK: ArcSwapOption<Sink> = ArcSwapOption::const_empty();

/// Sends messages up to `level` to `sink` from now on. Level 0 or no sink turns the log off.
pub(crate) fn set(level: u8, sink: Option<Sink>) {
    LEVEL.store(if sink.is_some() { level } else { 0 }, Ordering::Relaxed);
    SINK.store(sink.map(Arc::new));
}

#[inline]
pub(crate) fn enabled(level: Level) -> bool {
    LEVEL.load(Ordering::Relaxed) >= level as u8
}

pub(crate) fn write(level: Level, message: &str) {
    if let Some(sink) = &*SINK.load() {
        sink(level, message);
    }
}

/// `log!(Level, "format", ...)` evaluates its arguments only if the level is enabled.
macro_rules! log {
    ($level:ident, $($message:tt)+) => {
        if $crate::runtime::log::enabled($crate::runtime::log::Level::$level) {
            $crate::runtime::log::write($crate::runtime::log::Level::$level, &format!($($message)+));
        }
    };
}
pub(crate) use log;
