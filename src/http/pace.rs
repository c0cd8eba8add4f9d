//! How fast connections serve the calls that wait for them: what a semaphore knows of time. It learns how long requests take from
//! all of them, and how often a connection becomes free while calls wait. It is a value; the times come from its owner.

use std::time::Duration;

use crate::error::Error;
use crate::status::Status;
use crate::sync::Instant;

/// Forecasts are this much longer than the figures that they come from. The machine and the server are not always as fast as
/// usual, and a call that is sent and abandoned costs a connection and the server's work.
fn with_reserve(forecast: Duration) -> Duration {
    forecast + forecast / 4
}

/// A mean over fewer turns would be a matter of chance.
const FEWEST_IN_A_ROUND: u32 = 8;

/// The most that one long request adds to `usual`, besides a sixteenth of it.
const LEAST_STEP: u64 = 1_000_000;
/// After so many long requests in a row, each of the next may add four times as much as the one before: the server has become slow.
const LONG_BY_CHANCE: u32 = 2;

#[derive(Debug)]
pub(super) struct Pace {
    permits: u32,
    /// A round is as many turns as there are permits: permits often come back in bunches, and the mean over a round is that of
    /// all of them.
    turns_in_a_round: u32,
    /// How many turns of the round have been given, and how long that took.
    turns: u32,
    spent: Duration,
    /// When the last turn was given, or when a line formed after that.
    last: Option<Instant>,
    /// How often a turn is given while calls wait: half from the last round, half from those before.
    interval: Option<Duration>,
    /// How long a request takes, in nanoseconds. It follows the faster ones: of calls of 5 ms and of 20 s, neither the mean nor the
    /// longest says anything about the next one.
    usual: Option<u64>,
    /// How many requests in a row have taken longer.
    longer: u32,
    /// How many requests in a row have ended unanswered.
    unanswered: u32,
}

/// Why a call cannot be served in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forecast {
    /// How many calls wait before it.
    pub(super) ahead: usize,
    /// How long requests take.
    pub(super) usual: Duration,
    /// How many requests in a row have ended unanswered.
    pub(super) unanswered: u32,
    /// When the reply can be expected.
    pub(super) reply_in: Duration,
    pub(super) deadline_in: Duration,
    /// When the caller should try again.
    pub(super) retry_in: Duration,
}

impl Pace {
    pub(super) fn new(permits: usize) -> Pace {
        let permits = u32::try_from(permits).unwrap_or(u32::MAX).max(1);
        Pace {
            permits,
            turns_in_a_round: permits.max(FEWEST_IN_A_ROUND),
            turns: 0,
            spent: Duration::ZERO,
            last: None,
            interval: None,
            usual: None,
            longer: 0,
            unanswered: 0,
        }
    }

    /// A call begins to wait, and no other does.
    pub(super) fn line_forms(&mut self, now: Instant) {
        self.last = Some(now);
    }

    /// A permit has come back, and a call that waits gets it.
    pub(super) fn turn(&mut self, now: Instant) {
        let since = self.last.replace(now).unwrap_or(now);
        self.spent += now.saturating_duration_since(since);
        self.turns += 1;
        if self.turns == self.turns_in_a_round {
            let mean = self.spent / self.turns;
            self.interval = Some(self.interval.map_or(mean, |before| (before + mean) / 2));
            (self.turns, self.spent) = (0, Duration::ZERO);
        }
    }

    /// A request took so long. One that ended unanswered would have taken longer, so it never lowers the figure.
    pub(super) fn took(&mut self, took: Duration, answered: bool) {
        self.unanswered = if answered { 0 } else { self.unanswered.saturating_add(1) };
        let took = took.as_secs().saturating_mul(1_000_000_000).saturating_add(took.subsec_nanos().into());
        let Some(usual) = self.usual else {
            self.usual = Some(took);
            return;
        };
        if took > usual {
            let doubled = 2 * self.longer.saturating_sub(LONG_BY_CHANCE).min(10);
            let step = (usual / 16 + LEAST_STEP).saturating_mul(1 << doubled);
            self.usual = Some(usual + (took - usual).min(step));
            self.longer = self.longer.saturating_add(1);
        } else if answered {
            self.usual = Some(usual - (usual - took) / 4);
            self.longer = 0;
        }
    }

    /// A request was answered after so long, and nobody waits for its permit. Then no turn tells that the server has become faster
    /// since calls last waited, but requests do: permits come back at least as often as follows from their time.
    pub(super) fn took_while_nobody_waits(&mut self, took: Duration) {
        if self.last.is_none() {
            return;
        }
        let by_time = took / self.permits;
        let lower = |figure: &mut Duration, to: Duration| *figure -= figure.saturating_sub(to) / 2;
        lower(&mut self.spent, by_time * self.turns);
        if let Some(interval) = &mut self.interval {
            lower(interval, by_time);
        }
    }

    fn usual(&self) -> Duration {
        Duration::from_nanos(self.usual.unwrap_or_default())
    }

    /// How often a turn is given. Before a round is over, it is what follows from the time that a request takes and from the turns
    /// so far, of which as many as there are permits may come at once.
    pub(super) fn interval(&self) -> Duration {
        self.interval.unwrap_or_else(|| {
            let so_far = self.spent / self.turns.next_multiple_of(self.permits).max(1);
            so_far.max(self.usual() / self.permits)
        })
    }

    /// Why a call that arrives now cannot be served before its deadline, if so many wait before it.
    pub(super) fn too_late(&self, now: Instant, deadline: Option<Instant>, ahead: usize) -> Option<Forecast> {
        self.forecast(now, deadline?, ahead, with_reserve(self.reply_in(ahead)))
    }

    /// Why a call that waits has waited in vain, if so many wait before it. Without the reserve, so that one that was let in is not
    /// told the contrary at the next turn.
    pub(super) fn hopeless(&self, now: Instant, deadline: Option<Instant>, ahead: usize) -> Option<Forecast> {
        self.forecast(now, deadline?, ahead, self.reply_in(ahead))
    }

    /// Why a call that gets a permit now would not be answered before its deadline.
    pub(super) fn too_late_now(&self, now: Instant, deadline: Option<Instant>) -> Option<Forecast> {
        self.forecast(now, deadline?, 0, with_reserve(self.usual()))
    }

    /// When a call has its turn, if so many wait before it.
    pub(super) fn wait(&self, ahead: usize) -> Duration {
        let turns = u32::try_from(ahead).unwrap_or(u32::MAX).saturating_add(1);
        self.interval().saturating_mul(turns)
    }

    fn reply_in(&self, ahead: usize) -> Duration {
        self.wait(ahead).saturating_add(self.usual())
    }

    fn forecast(
        &self,
        now: Instant,
        deadline: Instant,
        ahead: usize,
        reply_in: Duration,
    ) -> Option<Forecast> {
        let deadline_in = deadline.saturating_duration_since(now);
        let retry_in = reply_in.checked_sub(deadline_in).filter(|excess| !excess.is_zero())?;
        Some(Forecast {
            ahead,
            usual: self.usual(),
            unanswered: self.unanswered,
            reply_in,
            deadline_in,
            retry_in,
        })
    }
}

impl Forecast {
    #[cold]
    pub(super) fn error(&self, server: &str, connections: usize) -> Error {
        let ms = |duration: Duration| duration.as_millis();
        let Forecast { ahead, usual, unanswered, reply_in, deadline_in, retry_in } = *self;
        // Overload alone does not look like that: of the requests that are sent, most are answered in time.
        let advice = match usize::try_from(unanswered) {
            Ok(unanswered) if unanswered < connections => {
                "call less often, give the call a larger timeout_ms, or raise that option".to_owned()
            }
            _ => {
                format!("none of the last {unanswered} requests was answered in time, so the server may hang")
            }
        };
        Error::new(
            Status::VSESSION_E_OVERLOADED,
            format!(
                "not sent: all connections to {server} are in use ('max_connections', {connections}), {ahead} other calls wait \
                 for one, and requests take {} ms now, so that the reply is expected in {} ms, after the deadline in {} ms; {advice}",
                ms(usual),
                ms(reply_in),
                ms(deadline_in),
            ),
        )
        .with(|d| d.retry_after = Some(retry_in.max(Duration::from_millis(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(times: impl IntoIterator<Item = (u64, bool)>) -> u128 {
        let mut pace = Pace::new(4);
        times.into_iter().for_each(|(ms, answered)| pace.took(Duration::from_millis(ms), answered));
        pace.usual().as_millis()
    }

    #[test]
    fn a_request_that_ended_unanswered_takes_at_least_as_long_as_it_did() {
        assert_eq!(after([(600, false)]), 600);
        assert_eq!(after([(600, false), (100, false)]), 600);
        assert!(after([(1, true)].into_iter().chain([(600, false); 8])) == 600);
    }

    #[test]
    fn the_usual_time_is_that_of_the_faster_requests() {
        assert!(after((0..100).map(|i| (if i % 2 == 0 { 20_000 } else { 5 }, true))) <= 10);
        assert!(after([(5, true)].into_iter().chain([(20_000, true); 4])) <= 20);
    }

    #[test]
    fn a_server_that_is_slow_or_fast_now_is_known_after_some_requests() {
        let slow = || [(2, true)].into_iter().chain([(1000, true); 8]);
        assert_eq!(after(slow()), 1000);
        assert!(after(slow().chain([(2, true); 16])) < 20);
    }

    #[test]
    fn an_overload_by_requests_that_are_not_answered_is_told_as_one() {
        let begin = Instant::now();
        let told = |last_answered: bool| {
            let mut pace = Pace::new(2);
            [false, false, last_answered].into_iter().for_each(|a| pace.took(Duration::from_secs(1), a));
            let forecast = pace.too_late(begin, Some(begin + Duration::from_millis(100)), 1).unwrap();
            forecast.error("vc:443", 2).to_string()
        };
        assert!(
            told(false).ends_with("none of the last 3 requests was answered in time, so the server may hang")
        );
        assert!(told(true).ends_with("or raise that option"), "{}", told(true));
    }
}
