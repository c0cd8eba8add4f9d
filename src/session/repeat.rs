//! Repeats of calls that may run twice, after an answer whose HTTP status the program has listed (`http.retry_statuses`). Each waits
//! first, and none is sent that the retry budget does not pay for. An answer of the method itself, such as a fault, is never
//! such an answer.

use std::time::Duration;

use super::backoff::{Backoff, jitter};
use crate::error::{Error, Result};
use crate::http::{Budget, Retry, Spending, Verdict};
use crate::runtime::signal::Signal;
use crate::runtime::wait::{WaitError, Watch};
use crate::status::{Executed, Status};
use crate::sync::Instant;

/// The pauses, where the server does not ask for one.
const PAUSES: Backoff = Backoff::between(Duration::from_millis(500), Duration::from_secs(10));

/// The repeats of one call.
pub(super) struct Repeats<'a> {
    /// Empty if the call must not run twice.
    statuses: &'a [u16],
    budget: &'a Budget,
    made: u32,
    /// A token was spent on the attempt that is under way.
    paid: bool,
}

impl<'a> Repeats<'a> {
    pub(super) fn new(statuses: &'a [u16], may_run_twice: bool, budget: &'a Budget) -> Repeats<'a> {
        Repeats { statuses: if may_run_twice { statuses } else { &[] }, budget, made: 0, paid: false }
    }

    /// An attempt was answered.
    #[inline]
    pub(super) fn note_success(&mut self) {
        if self.paid {
            self.settle(Verdict::Answered);
        }
    }

    /// An attempt failed. Returns whether the program wants the call repeated after this answer. It came from a gateway, or from a
    /// service that could not begin.
    #[cold]
    pub(super) fn are_wanted_after(&mut self, error: &Error) -> bool {
        let wanted = matches!(error.status(), Status::VSESSION_E_HTTP | Status::VSESSION_E_REST)
            && error.executed() != Executed::VSESSION_EXECUTED_YES
            && self.statuses.contains(&error.detail().http_status);
        self.settle(if wanted { Verdict::Failed } else { Verdict::of(error) });
        wanted
    }

    /// Waits until the call is to be sent again. False: the answer stands.
    #[cold]
    pub(super) async fn wait(&mut self, error: &Error, retry: &Retry, watch: &Watch) -> Result<bool> {
        self.made = self.made.saturating_add(1);
        let end = Instant::now().checked_add(pause(self.made, retry.pause_asked(), jitter()));
        // Nobody waits for an attempt that could not be answered in time.
        let Some(end) = end.filter(|end| watch.bounds().deadline.is_none_or(|deadline| *end < deadline))
        else {
            return Ok(false);
        };
        if !self.budget.take(Spending::Repeat) {
            return Ok(false);
        }
        self.paid = true;
        match watch.wait_for_until(&Signal::new(), Some(end)).await {
            Ok(_) => {}
            // This thread comes late, and has an answer.
            // sometimes: a race, which a run meets or not
            Err(WaitError::TimedOut) => return Ok(false),
            Err(stop) => return Err(Error::from(stop).executed_as(error)),
        }
        retry.note_answer(error);
        Ok(true)
    }

    fn settle(&mut self, verdict: Verdict) {
        if std::mem::take(&mut self.paid) {
            self.budget.settle(Spending::Repeat, verdict);
        }
    }
}

impl Drop for Repeats<'_> {
    fn drop(&mut self) {
        self.settle(Verdict::Unknown);
    }
}

/// The pause before a repeat: what the server asks for, and a random time on top, so that those whom it asked at the same moment do not
/// return at the same moment.
fn pause(repeat: u32, asked: Option<Duration>, jitter: f64) -> Duration {
    match asked {
        Some(asked) => asked.saturating_add(PAUSES.pause(1, jitter)),
        None => PAUSES.pause(repeat, jitter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_given_the_time_that_it_asks_for_and_otherwise_more_each_time() {
        let ms = |repeat, asked, jitter| pause(repeat, asked, jitter).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 99].map(|n| ms(n, None, 1.0)),
            [500, 1000, 2000, 4000, 8000, 10_000, 10_000]
        );
        assert_eq!(ms(3, None, 0.0), 1000);
        for repeat in [1, 9] {
            assert_eq!(ms(repeat, Some(Duration::from_secs(7)), 0.0), 7250);
            assert_eq!(ms(repeat, Some(Duration::from_secs(7)), 1.0), 7500);
        }
        assert_eq!(pause(1, Some(Duration::MAX), 0.5), Duration::MAX);
    }
}
