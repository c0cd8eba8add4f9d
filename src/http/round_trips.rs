//! How long a server usually takes to answer, and from when on its silence is an outage. A deadline that passes says nothing by
//! itself: the caller may have been in a hurry, or the server busy with this one call.

use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

/// What the requests of one client have seen of the server.
#[derive(Default)]
pub(super) struct RoundTrips {
    /// How many replies have begun. A connection that is made counts for nothing: the kernel of a stopped server accepts it, and so
    /// does a front whose service hangs. Each call that ends by its deadline closes its connection, so new ones are made all the time.
    heard: AtomicU64,
    /// The smoothed round-trip time and its mean deviation (SRTT and RTTVAR in RFC 6298) in microseconds, 32 bits each; 0: none
    /// was measured.
    usual: AtomicU64,
}

impl RoundTrips {
    /// No silence is an outage before this time, as no segment of TCP is sent again before it (RFC 6298, 2.4).
    const LEAST: Duration = Duration::from_secs(1);

    /// A reply begins.
    pub(super) fn hear(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// A number that changes whenever a reply begins.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// A reply began so long after its request was sent. Of two threads that measure at once, one may be lost.
    pub(super) fn measure(&self, took: Duration) {
        let took = took.as_micros().min(u32::MAX.into()) as u64;
        let (smoothed, deviation) = self.usual();
        let (smoothed, deviation) = match smoothed {
            0 => (took, took / 2),
            _ => ((7 * smoothed + took) / 8, (3 * deviation + smoothed.abs_diff(took)) / 4),
        };
        self.usual.store(smoothed << 32 | deviation, Ordering::Relaxed);
    }

    /// How long the server must be silent for that to be an outage: the time after which TCP sends a segment again
    /// (RFC 6298, 2.3).
    pub(super) fn patience(&self) -> Duration {
        let (smoothed, deviation) = self.usual();
        RoundTrips::LEAST.max(Duration::from_micros(smoothed + 4 * deviation))
    }

    fn usual(&self) -> (u64, u64) {
        let usual = self.usual.load(Ordering::Relaxed);
        (usual >> 32, usual & u64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(times: impl IntoIterator<Item = u64>) -> Duration {
        let trips = RoundTrips::default();
        times.into_iter().for_each(|ms| trips.measure(Duration::from_millis(ms)));
        trips.patience()
    }

    #[test]
    fn a_fast_server_and_an_unknown_one_have_a_second() {
        assert_eq!(after([]), SECOND);
        assert_eq!(after([0, 0, 0]), SECOND);
        assert_eq!(after([20; 100]), SECOND);
    }

    #[test]
    fn a_slow_server_has_what_it_usually_takes_and_what_that_varies_by() {
        assert!((2 * SECOND..3 * SECOND).contains(&after([2000; 100])));
        // One in ten takes long.
        assert!(after((0..100).map(|i| if i % 10 == 9 { 3000 } else { 50 })) > 2 * SECOND);
        // The first says little: three times of it.
        assert_eq!(after([1000]), 3 * SECOND);
    }

    #[test]
    fn what_was_slow_once_is_forgotten() {
        assert_eq!(after([60_000].into_iter().chain([20; 60])), SECOND);
    }

    #[test]
    fn a_time_that_is_too_long_for_the_clock_counts_as_the_longest() {
        assert!(after([u64::MAX / 2000; 3]) >= Duration::from_micros(u32::MAX.into()));
    }
}
