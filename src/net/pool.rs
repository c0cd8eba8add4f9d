//! The connections of one client that rest between two requests.

use std::time::Duration;

use super::connection::Connection;
use crate::sync::{Instant, Mutex};

#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Resting>>);

#[derive(Debug)]
struct Resting {
    since: Instant,
    connection: Connection,
}

impl Pool {
    /// The connection that was used last, provided that it is still good. None that rested for longer than `longest`.
    pub(super) fn take(&self, longest: Duration) -> Option<Connection> {
        loop {
            let mut resting = self.0.lock().pop()?;
            if resting.since.elapsed() > longest {
                // All others have rested for longer.
                self.clear();
                return None;
            }
            if resting.connection.is_good() {
                return Some(resting.connection);
            }
        }
    }

    /// Keeps a connection whose last reply was read to its end.
    pub(super) fn put(&self, mut connection: Connection) {
        connection.rest();
        self.0.lock().push(Resting { since: Instant::now(), connection });
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.0.lock().len()
    }

    /// Closes them all.
    pub(super) fn clear(&self) {
        let all = std::mem::take(&mut *self.0.lock());
        drop(all);
    }
}
