//! Pauses between attempts: exponential backoff with jitter, and a throttle for what may be done at once the first time. Values
//! without a clock: the time and the jitter come from the caller.

use std::time::Duration;

use crate::config::Config;
use crate::error::Error;
use crate::sync::{Instant, RandomState};

/// The time, and a number from 0 to 1 for jitter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) time: Instant,
    pub(super) jitter: f64,
}

impl Now {
    pub(super) fn read() -> Now {
        Now { time: Instant::now(), jitter: jitter() }
    }
}

/// A number from 0 to 1, different each time. It spreads what would otherwise happen at once; it is not fit for secrets.
pub(super) fn jitter() -> f64 {
    use std::hash::BuildHasher;
    RandomState::new().hash_one(0u8) as f64 / u64::MAX as f64
}

/// How long to wait after failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) const fn between(first: Duration, longest: Duration) -> Backoff {
        Backoff { first, longest }
    }

    pub(super) fn of(config: &Config) -> Backoff {
        Backoff { first: config.backoff, longest: config.max_backoff }
    }

    /// The pause after so many failures in a row. It doubles with each failure up to the limit. Half of it is jitter, so that
    /// many clients do not return at once.
    pub(super) fn pause(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.first.saturating_mul(doubled).min(self.longest);
        longest.mul_f64(0.5 + 0.5 * jitter)
    }

    /// The same after an error. It comes on top of what the server asks for.
    pub(super) fn after(&self, failures: u32, error: &Error, jitter: f64) -> Duration {
        let asked = error.detail().retry_after.unwrap_or_default();
        asked.saturating_add(self.pause(failures, jitter)).min(self.longest)
    }
}

/// Limits how often something is done: at once the first time, then after a pause that doubles. After a long time without
/// it, the next time counts as the first.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    times: u32,
    not_before: Option<Instant>,
}

impl Throttle {
    pub(super) fn allows(&self, now: Now) -> bool {
        self.not_before.is_none_or(|moment| now.time >= moment)
    }

    /// It is done now.
    pub(super) fn note(&mut self, backoff: Backoff, now: Now) {
        let calm = backoff.longest;
        if self.not_before.is_some_and(|moment| now.time.saturating_duration_since(moment) > calm) {
            self.times = 0;
        }
        self.times = self.times.saturating_add(1);
        self.not_before = now.time.checked_add(backoff.pause(self.times, now.jitter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttle_that_rested_begins_anew() {
        const SECOND: Duration = Duration::from_secs(1);
        let backoff = Backoff { first: SECOND, longest: 10 * SECOND };
        let (mut throttle, start, mut ms) = (Throttle::default(), Instant::now(), 0);
        let after = |ms| Now { time: start + Duration::from_millis(ms), jitter: 1.0 };
        for pause in [1, 2, 4, 8, 10, 10] {
            assert!(throttle.allows(after(ms)));
            throttle.note(backoff, after(ms));
            ms += pause * 1000;
            assert!(!throttle.allows(after(ms - 1)), "{pause}");
        }
        ms += 10_001;
        throttle.note(backoff, after(ms));
        assert!(throttle.allows(after(ms + 1000)), "as after the first time");
    }
}
