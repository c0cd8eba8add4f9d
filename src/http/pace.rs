//! How fast connections serve the calls that wait for them: what a semaphore knows of time. It learns only while calls wait, so
//! a call that finds a free connection pays nothing for it. It is a value; the times come from its owner.

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
const LEAST_STEP: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Pace {
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
    /// How long a request takes. It follows the faster ones: of calls of 5 ms and of 20 s, neither the mean nor the longest says
    /// anything about the next one.
    usual: Option<Duration>,
}

/// Why a call cannot be served in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forecast {
    /// How many calls wait before it.
    pub(super) ahead: usize,
    /// How long requests take.
    pub(super) usual: Duration,
    /// When the reply can be expected.
    pub(super) reply_in: Duration,
    pub(super) deadline_in: Duration,
}

impl Pace {
    pub(super) fn new(permits: usize) -> Pace {
        Pace {
            turns_in_a_round: u32::try_from(permits).unwrap_or(u32::MAX).max(FEWEST_IN_A_ROUND),
            turns: 0,
            spent: Duration::ZERO,
            last: None,
            interval: None,
            usual: None,
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

    /// A call that had waited gave its permit back after `held`. An unanswered one would have taken longer.
    pub(super) fn held(&mut self, held: Duration, answered: bool) {
        self.usual = match self.usual {
            None => answered.then_some(held),
            Some(usual) if held > usual => Some(usual + (held - usual).min(usual / 16 + LEAST_STEP)),
            Some(usual) if answered => Some(usual - (usual - held) / 4),
            unchanged => unchanged,
        };
    }

    /// Why a call cannot be served before its deadline, if so many wait before it.
    pub(super) fn too_late(&self, now: Instant, deadline: Option<Instant>, ahead: usize) -> Option<Forecast> {
        let interval = self.interval?;
        let turns = u32::try_from(ahead).unwrap_or(u32::MAX).saturating_add(1);
        self.forecast(now, deadline?, ahead, interval.saturating_mul(turns))
    }

    /// Why a call that gets a permit now would not be answered before its deadline.
    pub(super) fn too_late_now(&self, now: Instant, deadline: Option<Instant>) -> Option<Forecast> {
        self.forecast(now, deadline?, 0, Duration::ZERO)
    }

    fn forecast(&self, now: Instant, deadline: Instant, ahead: usize, wait: Duration) -> Option<Forecast> {
        let usual = self.usual.unwrap_or_default();
        let (reply_in, deadline_in) =
            (with_reserve(wait.saturating_add(usual)), deadline.saturating_duration_since(now));
        (reply_in > deadline_in).then_some(Forecast { ahead, usual, reply_in, deadline_in })
    }
}

impl Forecast {
    #[cold]
    pub(super) fn error(&self, server: &str, connections: usize) -> Error {
        let ms = |duration: Duration| duration.as_millis();
        let Forecast { ahead, usual, reply_in, deadline_in } = *self;
        Error::new(
            Status::VSESSION_E_OVERLOADED,
            format!(
                "not sent: all connections to {server} are in use ('max_connections', {connections}), {ahead} other calls wait \
                 for one, and requests take {} ms now, so that the reply is expected in {} ms, after the deadline in {} ms; call \
                 less often, give the call a larger timeout_ms, or raise that option",
                ms(usual),
                ms(reply_in),
                ms(deadline_in),
            ),
        )
        .with(|d| d.retry_after = Some(reply_in.saturating_sub(deadline_in).max(Duration::from_millis(1))))
    }
}
