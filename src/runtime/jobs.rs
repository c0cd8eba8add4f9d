//! The jobs that wait for a worker of a pool, and which of them is next.

use std::collections::VecDeque;

use super::workers::NoThread;

/// Called with `Ok` on a worker. Called with `Err` on any thread where no worker could be started; then it must not wait.
pub(super) type Job = Box<dyn FnOnce(std::result::Result<(), NoThread>) + Send>;

/// Jobs that wait for a worker, each with its number, in the order of arrival.
#[derive(Default)]
pub(super) struct Jobs {
    new: VecDeque<(u64, Job)>,
    /// Work that a worker has begun and left. It goes first: what it waited for has happened, it is nearer to its end than new work is,
    /// and it holds a connection.
    resumed: VecDeque<(u64, Job)>,
    /// How many resumed jobs have gone before the first new one since it came to the front.
    gone_before: u32,
    last_number: u64,
}

impl Jobs {
    /// As many resumed jobs go before a new one at most, so that those which come without end do not hold it up for ever.
    pub(super) const MOST_BEFORE: u32 = 8;

    pub(super) fn push(&mut self, begun: Begun, job: Job) -> u64 {
        self.last_number += 1;
        let queue = match begun {
            Begun::New => &mut self.new,
            Begun::Resumed => &mut self.resumed,
        };
        queue.push_back((self.last_number, job));
        self.last_number
    }

    pub(super) fn pop(&mut self) -> Option<Job> {
        let new_is_due = self.gone_before >= Jobs::MOST_BEFORE && !self.new.is_empty();
        if !new_is_due && let Some((_, job)) = self.resumed.pop_front() {
            self.gone_before = if self.new.is_empty() { 0 } else { self.gone_before + 1 };
            return Some(job);
        }
        self.gone_before = 0;
        self.new.pop_front().map(|(_, job)| job)
    }

    pub(super) fn len(&self) -> usize {
        self.new.len() + self.resumed.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn take_all(&mut self) -> VecDeque<(u64, Job)> {
        let mut all = std::mem::take(&mut self.resumed);
        all.append(&mut self.new);
        all
    }
}

/// Whether a worker has had a part in the work before.
#[derive(Clone, Copy)]
pub(super) enum Begun {
    New,
    Resumed,
}
