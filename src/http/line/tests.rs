use std::collections::BTreeMap;

use super::*;

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
    for (permits, callers) in [(1, 2), (1, 3), (1, 16), (2, 3), (2, 8), (4, 6), (4, 12), (4, 64), (64, 100)] {
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

/// What a line of one permit learns from a time when requests took 1.5 s, and then of `burst`: how many of 12 calls that come at once
/// with 800 ms are let in.
fn let_in_after_a_slow_time(before_the_burst: impl FnOnce(&mut Line)) -> usize {
    let mut line = Line::new(1);
    let slow = Caller { deadline: Some(Duration::from_secs(60)), service: |_| ms(1500), patient: false };
    serve(&mut line, &[slow; 24], ms(0), Duration::from_secs(36));
    let mut line = Line { pace: line.pace, ..Line::new(1) };
    before_the_burst(&mut line);
    let begin = Instant::now();
    (0..12).filter(|_| !matches!(line.arrive(Some(begin + ms(800)), || begin), Arrival::TooLate(..))).count()
}

#[test]
fn what_was_learned_while_the_server_was_slow_is_forgotten_without_a_line() {
    assert!(let_in_after_a_slow_time(|_| ()) <= 2, "the first gets the permit, the second may wait");
    let single_calls = |line: &mut Line| {
        for _ in 0..20 {
            assert!(matches!(line.arrive(None, Instant::now), Arrival::Free));
            line.give_back(Time::Took(ms(50)), true, || panic!("nobody waits"));
        }
    };
    assert!(let_in_after_a_slow_time(single_calls) >= 10);
    let bursts = |line: &mut Line| {
        let mut now = Instant::now();
        for _ in 0..10 {
            let deadline = Some(now + ms(800));
            (0..12).for_each(|_| drop(line.arrive(deadline, || now)));
            while line.free == 0 {
                now += ms(50);
                line.give_back(Time::Since(now - ms(50)), true, || now);
            }
        }
    };
    assert!(let_in_after_a_slow_time(bursts) >= 10);
}
