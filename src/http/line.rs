//! The permits of a semaphore, and who waits for one: who gets the next, and who is told that it would be too late. A value, to which
//! the clock is given.

use std::collections::VecDeque;
use std::time::Duration;

use once_cell::sync::OnceCell;

use super::pace::{Forecast, Pace};
use crate::runtime::signal::Signal;
use crate::sync::{Arc, Instant};

/// The time of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Time {
    Unknown,
    Since(Instant),
    Took(Duration),
}

#[derive(Debug)]
pub(super) struct Line {
    permits: usize,
    pub(super) free: usize,
    pub(super) waiting: VecDeque<Arc<Turn>>,
    pace: Pace,
    /// When the next call that is too late may be told.
    next_refusal: Option<Instant>,
    /// When the next one that is told should try again.
    next_retry: Option<Instant>,
    /// How many turns have been decided since the last that was given against the forecast.
    since_probe: u32,
}

/// A program that calls again at once, from hundreds of threads, would keep the machine busy with refusals, and the calls that are
/// served would be late because of that.
const BETWEEN_REFUSALS: Duration = Duration::from_micros(500);

/// One turn in so many goes to a call that would be late by the forecast, if there is one: the forecast may be wrong for this call, and
/// others could keep it so.
const BETWEEN_PROBES: u32 = 16;

/// How many that wait in vain one call tells as it gives its permit back.
const TOLD_AT_ONCE: usize = 64;

/// One call that waits.
#[derive(Debug)]
pub(super) struct Turn {
    deadline: Option<Instant>,
    /// It waits against the forecast, and gets its permit against it.
    probes: bool,
    pub(super) decided: Signal,
    /// Since when it has a permit, or why it gets none. Written when the turn leaves the line, before the signal fires.
    pub(super) outcome: OnceCell<Result<Instant, Forecast>>,
}

#[derive(Debug)]
pub(super) enum Arrival {
    /// There was a free permit, and it is taken.
    Free,
    /// It is to be told at this time, before its deadline.
    TooLate(Forecast, Instant),
    Waits(Arc<Turn>),
}

impl Line {
    pub(super) fn new(permits: usize) -> Line {
        Line {
            permits,
            free: permits,
            waiting: VecDeque::new(),
            pace: Pace::new(permits),
            next_refusal: None,
            next_retry: None,
            since_probe: 0,
        }
    }

    pub(super) fn arrive(&mut self, deadline: Option<Instant>, clock: impl FnOnce() -> Instant) -> Arrival {
        if self.free > 0 {
            self.free -= 1;
            return Arrival::Free;
        }
        let now = clock();
        let mut probes = false;
        if self.waiting.is_empty() {
            // Nobody is refused as the first, whatever the forecast: a connection may become free at any moment.
            self.pace.line_forms(now);
        } else if let Some(mut forecast) = self.pace.too_late(now, deadline, self.waiting.len()) {
            probes = self.may_probe(self.pace.wait(self.waiting.len()), &forecast);
            if !probes {
                let latest = now + forecast.deadline_in / 2;
                let told_at = self.next_refusal.map_or(now, |next| next.max(now)).min(latest);
                self.next_refusal = Some(told_at + BETWEEN_REFUSALS);
                self.put_off(&mut forecast, told_at);
                return Arrival::TooLate(forecast, told_at);
            }
        }
        let turn = Arc::new(Turn { deadline, probes, decided: Signal::new(), outcome: OnceCell::new() });
        self.waiting.push_back(turn.clone());
        Arrival::Waits(turn)
    }

    /// A call no longer waits. Returns false if its turn has been decided.
    pub(super) fn leave(&mut self, turn: &Arc<Turn>) -> bool {
        let position = self.waiting.iter().position(|t| Arc::ptr_eq(t, turn));
        position.is_some_and(|position| self.waiting.remove(position).is_some())
    }

    /// Whether a call may be sent against this forecast: its turn comes in time, and it is a while since the last probe.
    fn may_probe(&mut self, wait: Duration, forecast: &Forecast) -> bool {
        let probes = self.since_probe >= BETWEEN_PROBES && wait < forecast.deadline_in;
        if probes {
            self.since_probe = 0;
        }
        probes
    }

    /// Spreads the retries of those that are told by what can be served, up to the time for which the call would have waited: a
    /// program that does not observe them must not put off the others for ever.
    fn put_off(&mut self, forecast: &mut Forecast, told_at: Instant) {
        let most = forecast.retry_in.max(forecast.deadline_in);
        let retry_at = self.next_retry.map_or(told_at, |next| next.max(told_at));
        let retry_in = retry_at.saturating_duration_since(told_at).max(forecast.retry_in).min(most);
        self.next_retry = Some(told_at + retry_in + self.pace.interval());
        forecast.retry_in = retry_in;
    }

    /// Takes a permit back. Returns the turns that this decides: the next that can still be served in time gets the permit; those
    /// before it, and those at the end of the line for which it is too long, are told.
    pub(super) fn give_back(
        &mut self,
        time: Time,
        answered: bool,
        clock: impl FnOnce() -> Instant,
    ) -> Vec<Arc<Turn>> {
        debug_assert!(self.free < self.permits);
        if let Time::Took(took) = time {
            self.served(took, answered);
        }
        if self.waiting.is_empty() && !matches!(time, Time::Since(_)) {
            self.free += 1;
            return Vec::new();
        }
        let now = clock();
        if let Time::Since(since) = time {
            self.served(now.saturating_duration_since(since), answered);
        }
        let mut decided = Vec::new();
        self.since_probe = self.since_probe.saturating_add(1);
        while let Some(turn) = self.waiting.pop_front() {
            let late = self.pace.too_late_now(now, turn.deadline);
            let mut late = late.filter(|late| !(turn.probes || self.may_probe(Duration::ZERO, late)));
            if let Some(forecast) = &mut late {
                // There may be a permit at any moment, and now if nobody else waits for it.
                forecast.retry_in = Duration::ZERO;
                self.put_off(forecast, now);
            }
            let served = late.is_none();
            let _ = turn.outcome.set(late.map_or(Ok(now), Err));
            decided.push(turn);
            if served {
                self.pace.turn(now);
                self.shorten(now, &mut decided);
                return decided;
            }
        }
        self.free += 1;
        decided
    }

    fn served(&mut self, took: Duration, answered: bool) {
        self.pace.took(took, answered);
        if answered && self.waiting.is_empty() {
            self.pace.took_while_nobody_waits(took);
        }
    }

    /// Tells those at the end of the line whose turn will come too late. They came before that could be known, or the server has
    /// become slow since.
    fn shorten(&mut self, now: Instant, decided: &mut Vec<Arc<Turn>>) {
        for _ in 0..TOLD_AT_ONCE {
            let (ahead @ 1.., Some(last)) = (self.waiting.len().saturating_sub(1), self.waiting.back())
            else {
                return;
            };
            let Some(mut forecast) = self.pace.hopeless(now, last.deadline, ahead) else { return };
            if last.probes {
                return;
            }
            self.put_off(&mut forecast, now);
            // unreached: it has just been looked at, and the lock is held
            let Some(last) = self.waiting.pop_back() else { return };
            let _ = last.outcome.set(Err(forecast));
            decided.push(last);
        }
    }
}

#[cfg(test)]
mod tests;
