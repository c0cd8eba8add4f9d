//! The connections of one client that rest between two requests. One that has rested for long enough is closed, by the
//! timer where no request comes.

use std::time::Duration;

use super::connection::Connection;
use crate::runtime::timer::{self, Sleeper};
use crate::sync::{Arc, Instant, Mutex, Weak};

#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
    idle_timeout: Duration,
    me: Weak<Pool>,
}

#[derive(Debug, Default)]
struct State {
    /// The one that was used last stands last.
    resting: Vec<Resting>,
    /// The timer will wake us.
    watched: bool,
}

#[derive(Debug)]
struct Resting {
    since: Instant,
    connection: Connection,
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration) -> Arc<Pool> {
        Arc::new_cyclic(|me| Pool { state: Mutex::default(), idle_timeout, me: me.clone() })
    }

    /// The connection that was used last, provided that it is still good.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let mut last = self.state.lock().resting.pop()?;
            if last.since.elapsed() <= self.idle_timeout && last.connection.is_good() {
                return Some(last.connection);
            }
        }
    }

    /// Keeps a connection whose last reply was read to its end.
    pub(super) fn put(&self, mut connection: Connection) {
        connection.rest();
        let mut state = self.state.lock();
        let since = Instant::now();
        state.resting.push(Resting { since, connection });
        let watched = std::mem::replace(&mut state.watched, true);
        drop(state);
        if !watched {
            timer::wake_at(since + self.idle_timeout, self.me.clone());
        }
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.state.lock().resting.len()
    }
}

impl Sleeper for Pool {
    /// Closes what has rested for long enough.
    fn wake(self: Arc<Self>) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let old = state.resting.iter().take_while(|resting| resting.since + self.idle_timeout <= now).count();
        let closed: Vec<_> = state.resting.drain(..old).collect();
        let next = state.resting.first().map(|oldest| oldest.since + self.idle_timeout);
        state.watched = next.is_some();
        drop(state);
        // Without the lock: a close is a system call.
        drop(closed);
        if let Some(next) = next {
            timer::wake_at(next, self.me.clone());
        }
    }
}
