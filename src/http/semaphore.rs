//! Limits how many connections a client uses at a time. Waiters are served in order, and each wait can be ended. Who cannot be
//! served before its deadline is told so instead of waiting: a request that is sent too late is abandoned, with its connection,
//! and the next one is late because of it.

use std::collections::VecDeque;
use std::time::Duration;

use once_cell::sync::OnceCell;

use super::pace::{Forecast, Pace};
use crate::runtime::signal::Signal;
use crate::runtime::wait::{WaitError, Watch};
use crate::sync::{Arc, Instant, Mutex, rank};

#[derive(Debug)]
pub(super) struct Semaphore(Mutex<Line, rank::Permits>);

/// The right to use one connection, given back when dropped.
pub(crate) struct Permit<'a> {
    semaphore: &'a Semaphore,
    /// How long the request takes, as far as that is known: a plain call needs no clock for it.
    time: Time,
    pub(super) answered: bool,
}

/// The time of a request.
#[derive(Clone, Copy, Debug)]
enum Time {
    Unknown,
    Since(Instant),
    Took(Duration),
}

/// Why there is no permit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Stopped(WaitError),
    TooLate(Forecast),
}

impl Semaphore {
    pub(super) fn new(permits: usize) -> Semaphore {
        Semaphore(Mutex::new(Line::new(permits)))
    }

    /// How many permits are free, for the models.
    #[cfg(all(test, vsession_model))]
    pub(super) fn free(&self) -> usize {
        let line = self.0.lock();
        assert!(line.waiting.is_empty(), "an ended wait is left in the line");
        line.free
    }

    pub(super) fn try_take(&self) -> Option<Permit<'_>> {
        let mut line = self.0.lock();
        line.free = line.free.checked_sub(1)?;
        Some(self.permit(Time::Unknown))
    }

    /// Waits for a permit, however long that takes.
    pub(super) async fn take(&self, watch: &Watch) -> Result<Permit<'_>, WaitError> {
        self.take_before(None, watch).await.map_err(|refusal| match refusal {
            Refusal::Stopped(stop) => stop,
            // unreached: without a deadline nothing is too late
            Refusal::TooLate(_) => WaitError::TimedOut,
        })
    }

    /// Waits for a permit, unless the reply to the request would come after the deadline.
    pub(super) async fn take_in_time(&self, watch: &Watch) -> Result<Permit<'_>, Refusal> {
        self.take_before(watch.bounds().deadline, watch).await
    }

    async fn take_before(&self, deadline: Option<Instant>, watch: &Watch) -> Result<Permit<'_>, Refusal> {
        let arrival = self.0.lock().arrive(deadline, Instant::now);
        let turn = match arrival {
            Arrival::Free => return Ok(self.permit(Time::Unknown)),
            Arrival::TooLate(forecast, told_at) => {
                watch.wait_for_until(&Signal::new(), Some(told_at)).await.map_err(Refusal::Stopped)?;
                return Err(Refusal::TooLate(forecast));
            }
            Arrival::Waits(turn) => turn,
        };
        let waited = watch.wait_for(&turn.decided).await;
        if let Err(stop) = waited {
            if self.0.lock().leave(&turn) {
                return Err(Refusal::Stopped(stop));
            }
            // sometimes: a race, which a run meets or not
            // It was decided just as this thread gave up: a permit is passed on.
            if let Some(Ok(_)) = turn.outcome.get()
                && !planted!("permit-of-who-gave-up")
            {
                drop(self.permit(Time::Unknown));
            }
            return Err(Refusal::Stopped(stop));
        }
        match turn.outcome.get() {
            Some(Err(forecast)) => Err(Refusal::TooLate(*forecast)),
            // The thread that gave a permit back has handed it to this one.
            Some(Ok(since)) => Ok(self.permit(Time::Since(*since))),
            // unreached: the outcome is written before the signal fires
            None => Ok(self.permit(Time::Unknown)),
        }
    }

    fn permit(&self, time: Time) -> Permit<'_> {
        Permit { semaphore: self, time, answered: false }
    }
}

impl Permit<'_> {
    /// The reply began so long after the request was sent. A call that waited knows better.
    pub(super) fn took(&mut self, took: Option<Duration>) {
        if let (Time::Unknown, Some(took)) = (self.time, took) {
            self.time = Time::Took(took);
        }
    }

    /// The request that was sent then failed, or has no reply.
    #[cold]
    pub(super) fn failed(&mut self, sent: Option<Instant>) {
        if let (Time::Unknown, Some(sent)) = (self.time, sent) {
            self.time = Time::Since(sent);
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let decided = self.semaphore.0.lock().give_back(self.time, self.answered, Instant::now);
        decided.iter().for_each(|turn| turn.decided.fire());
    }
}

/// The permits, and who waits for one. A value, to which the clock is given.
#[derive(Debug)]
struct Line {
    permits: usize,
    free: usize,
    waiting: VecDeque<Arc<Turn>>,
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
struct Turn {
    deadline: Option<Instant>,
    /// It waits against the forecast, and gets its permit against it.
    probes: bool,
    decided: Signal,
    /// Since when it has a permit, or why it gets none. Written when the turn leaves the line, before the signal fires.
    outcome: OnceCell<Result<Instant, Forecast>>,
}

#[derive(Debug)]
enum Arrival {
    /// There was a free permit, and it is taken.
    Free,
    /// It is to be told at this time, before its deadline.
    TooLate(Forecast, Instant),
    Waits(Arc<Turn>),
}

impl Line {
    fn new(permits: usize) -> Line {
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

    fn arrive(&mut self, deadline: Option<Instant>, clock: impl FnOnce() -> Instant) -> Arrival {
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
    fn leave(&mut self, turn: &Arc<Turn>) -> bool {
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
    fn give_back(&mut self, time: Time, answered: bool, clock: impl FnOnce() -> Instant) -> Vec<Arc<Turn>> {
        debug_assert!(self.free < self.permits);
        if let Time::Took(took) = time {
            self.pace.took(took, answered);
        }
        if self.waiting.is_empty() && !matches!(time, Time::Since(_)) {
            self.free += 1;
            return Vec::new();
        }
        let now = clock();
        if let Time::Since(since) = time {
            self.pace.took(now.saturating_duration_since(since), answered);
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
            let Some(last) = self.waiting.pop_back() else { return };
            let _ = last.outcome.set(Err(forecast));
            decided.push(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::task::on_this_thread;
    use crate::runtime::wait::Bounds;
    use crate::sync::{AtomicUsize, Ordering};
    use std::collections::BTreeMap;

    #[test]
    fn never_more_holders_than_permits_and_everyone_gets_a_turn() {
        let permits = Semaphore::new(3);
        let (now, peak, turns) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let watch = Watch::new(Bounds::default()).unwrap();
                        let _permit = on_this_thread(permits.take(&watch)).unwrap();
                        peak.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                        turns.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(peak.load(Ordering::SeqCst) <= 3);
        assert_eq!(turns.load(Ordering::SeqCst), 600);
        assert_eq!(permits.0.lock().free, 3);
    }

    #[test]
    fn a_waiter_that_gives_up_loses_no_permit() {
        let permits = Semaphore::new(1);
        let patient = Watch::new(Bounds::default()).unwrap();
        let held = on_this_thread(permits.take(&patient)).unwrap();
        let hasty = Watch::new(Bounds::with_timeout(Duration::from_millis(10))).unwrap();
        assert_eq!(on_this_thread(permits.take(&hasty)).err(), Some(WaitError::TimedOut));
        drop(held);
        assert!(on_this_thread(permits.take(&patient)).is_ok());
        assert_eq!(permits.0.lock().free, 1);
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// What became of the calls of one kind.
    #[derive(Debug, Default)]
    struct Tally {
        answered: usize,
        /// Sent, and not answered in time.
        abandoned: usize,
        refused: usize,
        /// The deadline passed in the line.
        expired: usize,
    }

    #[derive(Clone, Copy)]
    struct Caller {
        deadline: Option<Duration>,
        /// How long the server takes for a call that it gets at this time.
        service: fn(Duration) -> Duration,
        /// Observes the pause that it is told.
        patient: bool,
    }

    enum Event {
        Call,
        Ends { sent: Duration, waited: bool, answered: bool },
        Expires(Arc<Turn>),
    }

    /// Has callers call again and again for `length`. Returns a tally of each, of the calls that ended after `from`.
    fn serve(line: &mut Line, callers: &[Caller], from: Duration, length: Duration) -> Vec<Tally> {
        let begin = Instant::now();
        let mut tallies: Vec<Tally> = callers.iter().map(|_| Tally::default()).collect();
        let mut events: BTreeMap<(Duration, usize), (usize, Event)> = BTreeMap::new();
        let mut number = 0;
        let mut add = |events: &mut BTreeMap<_, _>, at: Duration, caller: usize, event| {
            number += 1;
            events.insert((at, number), (caller, event));
        };
        for caller in 0..callers.len() {
            // Some time apart, as threads are.
            add(&mut events, Duration::from_micros(10 * caller as u64), caller, Event::Call);
        }
        let mut waiting: Vec<(usize, Arc<Turn>)> = Vec::new();
        while let Some(((now, _), (caller, event))) = events.pop_first() {
            if now > length {
                break;
            }
            let clock = || begin + now;
            let counts = now >= from;
            let mut begins = Vec::new();
            // The caller's own instructions, and the machine's.
            let again = |forecast: &Forecast| match callers[caller].patient {
                true => forecast.retry_in.max(ms(1)) * (100 + (now.as_micros() % 11) as u32) / 100,
                false => Duration::from_micros(100),
            };
            match event {
                Event::Call => {
                    let deadline = callers[caller].deadline.map(|deadline| begin + now + deadline);
                    match line.arrive(deadline, clock) {
                        Arrival::Free => begins.push((caller, false, deadline)),
                        Arrival::Waits(turn) => {
                            waiting.push((caller, turn.clone()));
                            if let Some(deadline) = deadline {
                                add(&mut events, deadline - begin, caller, Event::Expires(turn));
                            }
                        }
                        Arrival::TooLate(forecast, told_at) => {
                            assert!(deadline.is_some_and(|deadline| told_at < deadline), "told late");
                            tallies[caller].refused += usize::from(counts);
                            add(&mut events, told_at - begin + again(&forecast), caller, Event::Call);
                        }
                    }
                }
                Event::Expires(turn) => {
                    if line.leave(&turn) {
                        waiting.retain(|(_, t)| !Arc::ptr_eq(t, &turn));
                        tallies[caller].expired += usize::from(counts);
                        add(&mut events, now, caller, Event::Call);
                    }
                }
                Event::Ends { sent, waited, answered } => {
                    if counts {
                        match answered {
                            true => tallies[caller].answered += 1,
                            false => tallies[caller].abandoned += 1,
                        }
                    }
                    add(&mut events, now + Duration::from_micros(10), caller, Event::Call);
                    let time = match answered && !waited {
                        true => Time::Took(now - sent),
                        false => Time::Since(begin + sent),
                    };
                    for turn in line.give_back(time, answered, clock) {
                        let place = waiting.iter().position(|(_, t)| Arc::ptr_eq(t, &turn)).unwrap();
                        let (caller, _) = waiting.remove(place);
                        match turn.outcome.get().unwrap() {
                            Ok(_) => begins.push((caller, true, turn.deadline)),
                            Err(forecast) => {
                                tallies[caller].refused += usize::from(counts);
                                add(&mut events, now + again(forecast), caller, Event::Call);
                            }
                        }
                    }
                }
            }
            for (caller, waited, deadline) in begins {
                let end = now + (callers[caller].service)(now);
                let latest = deadline.map_or(Duration::MAX, |deadline| deadline - begin);
                let answered = end <= latest;
                add(&mut events, end.min(latest), caller, Event::Ends { sent: now, waited, answered });
            }
        }
        tallies
    }

    fn sum(tallies: &[Tally]) -> Tally {
        tallies.iter().fold(Tally::default(), |sum, tally| Tally {
            answered: sum.answered + tally.answered,
            abandoned: sum.abandoned + tally.abandoned,
            refused: sum.refused + tally.refused,
            expired: sum.expired + tally.expired,
        })
    }

    /// Between 50 and 60 ms, most of them near 50.
    fn some_50_ms(now: Duration) -> Duration {
        let chance = (now.as_micros() as u64).wrapping_mul(6_364_136_223_846_793_005) >> 54;
        ms(50) + Duration::from_micros(chance * chance * 10 / 1024)
    }

    /// Has callers call whose requests take about a second, with what the line knows from a time when the server was faster.
    fn serve_in_a_second(permits: usize, callers: usize, deadline: u64, patient: bool) -> Vec<Tally> {
        let mut line = Line::new(permits);
        serve(&mut line, &vec![Caller { service: |_| ms(2), ..HURRIED }; permits], ms(0), ms(100));
        let mut line = Line { pace: line.pace, ..Line::new(permits) };
        let service = |now| 19 * some_50_ms(now);
        let caller = Caller { deadline: Some(ms(deadline)), service, patient };
        serve(&mut line, &vec![caller; callers], ms(0), Duration::from_secs(60))
    }

    #[test]
    fn deadlines_close_to_the_time_of_a_request_starve_nobody() {
        for (permits, callers) in
            [(1, 2), (1, 3), (1, 16), (2, 3), (2, 8), (4, 6), (4, 12), (4, 64), (64, 100)]
        {
            for deadline in [1200, 1600, 1900, 2500] {
                for patient in [false, true] {
                    let tallies = serve_in_a_second(permits, callers, deadline, patient);
                    let tally = sum(&tallies);
                    let case =
                        format!("{permits} permits, {callers} callers, {deadline} ms, {patient}: {tally:?}");
                    // Of 60 for each permit, as the request takes a little more than a second sometimes.
                    assert!(tally.answered >= permits * 45, "{case}");
                    assert!(tally.abandoned <= 20 + permits, "{case}");
                    // Beyond that, chance has its part.
                    let all = patient && deadline >= 1600 && callers <= 3 * permits;
                    assert!(!all || tallies.iter().all(|tally| tally.answered > 0), "{case} {tallies:?}");
                }
            }
        }
    }

    #[test]
    fn who_observes_the_pause_is_seldom_refused_twice() {
        let caller = Caller { deadline: Some(ms(1000)), service: |now| 4 * some_50_ms(now), patient: true };
        let tally = sum(&serve(&mut Line::new(4), &[caller; 40], ms(0), ms(12_000)));
        assert!(tally.answered >= 200 && tally.refused <= 3 * tally.answered, "{tally:?}");
    }

    #[test]
    fn a_call_that_would_be_late_by_the_forecast_has_a_chance_now_and_then() {
        // Long ones, which have time, take all the turns, and the forecast is theirs.
        let long = Caller { deadline: None, service: |_| ms(1000), patient: false };
        let short = Caller { deadline: Some(ms(1500)), service: |_| ms(5), patient: true };
        let mut callers = vec![long; 6];
        callers.extend([short; 2]);
        let tallies = serve(&mut Line::new(4), &callers, ms(0), Duration::from_secs(300));
        let shorts = sum(&tallies[6..]);
        assert!(shorts.answered >= 20, "{shorts:?}");
    }

    #[test]
    fn a_burst_that_nobody_could_foresee_is_told_as_soon_as_the_figures_are_known() {
        let begin = Instant::now();
        let mut line = Line::new(4);
        let deadline = Some(begin + ms(3000));
        let turns: Vec<_> = (0..1000)
            .filter_map(|_| match line.arrive(deadline, || begin) {
                Arrival::Waits(turn) => Some(turn),
                _ => None,
            })
            .collect();
        let told = || turns.iter().filter(|turn| matches!(turn.outcome.get(), Some(Err(_)))).count();
        // Short requests before say nothing about these.
        line.pace.took(ms(1), true);
        // Four come back every 100 ms.
        for round in 1..=9 {
            for _ in 0..4 {
                let now = begin + ms(100 * round);
                line.give_back(Time::Since(now - ms(100)), true, || now);
            }
        }
        assert!((850..900).contains(&told()), "{}", told());
        let first = turns.last().unwrap().outcome.get().unwrap().unwrap_err();
        assert!(first.deadline_in >= ms(2900), "told after the first round: {first:?}");
        assert!(turns.iter().take(90).all(|turn| !matches!(turn.outcome.get(), Some(Err(_)))));
    }

    #[test]
    fn a_burst_is_told_at_once_if_it_is_known_how_long_requests_take() {
        let begin = Instant::now();
        let mut line = Line::new(4);
        assert!(matches!(line.arrive(None, || begin), Arrival::Free));
        line.give_back(Time::Took(ms(100)), true, || panic!("nobody waits"));
        let waits = (0..1000)
            .filter(|_| matches!(line.arrive(Some(begin + ms(3000)), || begin), Arrival::Waits(_)))
            .count();
        assert!((80..110).contains(&waits), "{waits}");
    }

    const HURRIED: Caller =
        Caller { deadline: Some(Duration::from_millis(300)), service: some_50_ms, patient: false };

    #[test]
    fn under_overload_the_permits_go_to_calls_that_are_answered() {
        for threads in [16, 32, 64, 200] {
            let tally = sum(&serve(&mut Line::new(4), &vec![HURRIED; threads], ms(0), ms(4000)));
            assert!(tally.answered >= 270, "{threads} threads: {tally:?} of 300");
            assert!(tally.abandoned <= 4, "{threads} threads: {tally:?}");
            assert!(threads > 16 || tally.refused + tally.expired == 0, "{threads} threads: {tally:?}");
        }
    }

    #[test]
    fn a_server_that_hung_is_used_again_as_soon_as_it_answers() {
        fn hangs_for_three_seconds(now: Duration) -> Duration {
            if (ms(1000)..ms(4000)).contains(&now) { Duration::from_secs(3600) } else { some_50_ms(now) }
        }
        for threads in [6, 32, 200] {
            let callers = vec![Caller { service: hangs_for_three_seconds, ..HURRIED }; threads];
            // The last call that hangs ends after 300 ms.
            let tally = sum(&serve(&mut Line::new(4), &callers, ms(4300), ms(5300)));
            assert!(tally.answered >= 60, "{threads} threads: {tally:?} of 75");
        }
    }

    #[test]
    fn a_server_that_becomes_slow_or_fast_is_followed() {
        fn slow_for_a_while(now: Duration) -> Duration {
            if (ms(1000)..ms(3000)).contains(&now) { 3 * some_50_ms(now) } else { some_50_ms(now) }
        }
        let callers = vec![Caller { service: slow_for_a_while, ..HURRIED }; 64];
        let slow = sum(&serve(&mut Line::new(4), &callers, ms(2000), ms(3000)));
        assert!(slow.answered >= 18, "{slow:?} of 25");
        let fast = sum(&serve(&mut Line::new(4), &callers, ms(3500), ms(4500)));
        assert!(fast.answered >= 60, "{fast:?} of 75");
    }

    #[test]
    fn long_calls_do_not_make_short_ones_wait_in_vain_or_be_refused() {
        let long = Caller { deadline: None, service: |_| Duration::from_secs(20), patient: false };
        let short = Caller { deadline: Some(ms(300)), service: |_| ms(5), patient: false };
        // Three connections are taken by long calls, and four callers share the fourth.
        let callers = [long, long, long, short, short, short, short];
        let tallies = serve(&mut Line::new(4), &callers, ms(0), Duration::from_secs(120));
        let shorts = sum(&tallies[3..]);
        assert!(shorts.answered > 20_000, "{shorts:?}");
        // While the long ones are exchanged, short ones have no connection at all.
        assert!(shorts.refused + shorts.expired + shorts.abandoned <= 40, "{shorts:?}");
    }

    #[test]
    fn without_a_deadline_everyone_waits_in_order() {
        let begin = Instant::now();
        let mut line = Line::new(1);
        assert!(matches!(line.arrive(None, || begin), Arrival::Free));
        let turns: Vec<_> = (0..100)
            .map(|_| match line.arrive(None, || begin) {
                Arrival::Waits(turn) => turn,
                other => panic!("{other:?}"),
            })
            .collect();
        for (place, turn) in turns.iter().enumerate() {
            let now = begin + Duration::from_secs(place as u64);
            let time = if place > 0 { Time::Since(now - Duration::from_secs(1)) } else { Time::Unknown };
            let decided = line.give_back(time, true, || now);
            assert!(decided.len() == 1 && Arc::ptr_eq(&decided[0], turn), "{place}");
            assert_eq!(turn.outcome.get(), Some(&Ok(now)));
        }
        assert!(line.give_back(Time::Unknown, true, || begin).is_empty());
        assert_eq!(line.free, 1);
    }

    #[test]
    fn the_first_that_waits_is_not_refused_whatever_the_forecast() {
        let begin = Instant::now();
        let mut line = Line::new(1);
        let long = Caller { deadline: None, service: |_| Duration::from_secs(20), patient: false };
        serve(&mut line, &[long; 3], ms(0), Duration::from_secs(600));
        line.waiting.clear();
        let soon = Some(begin + ms(300));
        assert!(matches!(line.arrive(soon, || begin), Arrival::Waits(_)));
        assert!(matches!(line.arrive(soon, || begin), Arrival::TooLate(..)));
        assert!(matches!(line.arrive(None, || begin), Arrival::Waits(_)));
    }

    #[test]
    fn refusals_are_told_one_after_the_other_and_before_the_deadline() {
        let begin = Instant::now();
        let mut line = Line::new(1);
        serve(&mut line, &[HURRIED; 3], ms(0), ms(2000));
        line.waiting.clear();
        line.arrive(None, || begin);
        let told: Vec<_> = (0..1000)
            .filter_map(|_| match line.arrive(Some(begin + ms(100)), || begin) {
                Arrival::TooLate(_, at) => Some(at - begin),
                _ => None,
            })
            .collect();
        assert_eq!((told[0], told[1], told[2]), (ms(0), BETWEEN_REFUSALS, 2 * BETWEEN_REFUSALS));
        assert_eq!((told.len(), *told.last().unwrap()), (1000, ms(50)));
    }
}
