//! Judges what was seen in a cell against what was expected. It makes no request and waits for nothing, so its own test
//! can feed it outcomes that never happen.

use std::time::Duration;

use crate::entries::OfMany;
use crate::outcome::Outcome;

/// How much a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_millis(400);

pub struct Wanted {
    pub outcome: Outcome,
    /// The other outcome, where chance decides between two.
    pub or: Option<Outcome>,
    pub of_many: OfMany,
    /// The latest time at which a thread may return.
    pub most: Duration,
    /// The earliest time for a thread whose deadline passed.
    pub least: Duration,
    /// Sessions that stay on the server, because the fault took their cookie or their logout.
    pub left: u64,
}

#[derive(Clone, Debug)]
pub struct Seen {
    /// The outcome of each thread that had one, and how long it took.
    pub outcomes: Vec<(Outcome, Duration)>,
    /// What was wrong with the session after the fault.
    pub afterwards: Result<(), String>,
    /// Sessions on the server when the library held none.
    pub left: u64,
    /// Requests and connections still open on the server.
    pub busy: u64,
    /// Descriptors and threads of this process, before and after the cell.
    pub descriptors: (usize, usize),
    pub threads: (usize, usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A busy machine can be the cause, so another attempt is worthwhile.
    Late(String),
    Wrong(String),
}

impl Problem {
    pub fn text(&self) -> &str {
        let (Problem::Late(text) | Problem::Wrong(text)) = self;
        text
    }
}

pub fn judge(wanted: &Wanted, seen: &Seen) -> Vec<Problem> {
    let mut problems = Vec::new();
    let many = seen.outcomes.len() > 1;
    // On a busy machine the deadline may pass before the request is sent, or during an earlier request.
    let barely = |outcome: &Outcome| outcome.is_timeout() && wanted.outcome.is_timeout();
    let mut wrong = |text: String| problems.push(Problem::Wrong(text));
    let is_wanted = |outcome: &Outcome| *outcome == wanted.outcome || wanted.or == Some(*outcome);
    if !seen.outcomes.iter().any(|(outcome, _)| is_wanted(outcome) || barely(outcome)) {
        wrong(format!("no thread saw '{}'", wanted.outcome));
    }
    for (outcome, _) in &seen.outcomes {
        let fits = is_wanted(outcome)
            || match wanted.of_many {
                OfMany::Each => false,
                OfMany::Shared => many && *outcome == wanted.outcome.not_run(),
                OfMany::One => many && *outcome == Outcome::Done,
                OfMany::OneAwaited => many && (*outcome == Outcome::Done || barely(outcome)),
            };
        if !fits && !barely(outcome) {
            wrong(format!("'{outcome}' instead of '{}'", wanted.outcome));
        }
    }
    if let Err(trouble) = &seen.afterwards {
        wrong(format!("not usable afterwards: {trouble}"));
    }
    if seen.left != wanted.left {
        wrong(format!("{} sessions left on the server instead of {}", seen.left, wanted.left));
    }
    if seen.busy != 0 {
        wrong(format!("the server still has {} requests and connections", seen.busy));
    }
    for (what, (before, after)) in [("descriptors", seen.descriptors), ("threads", seen.threads)] {
        if after > before {
            wrong(format!("{before} {what} grew to {after}"));
        }
    }
    let waits = many && matches!(wanted.of_many, OfMany::Shared | OfMany::OneAwaited);
    for (outcome, took) in &seen.outcomes {
        if *outcome != wanted.outcome && barely(outcome) && !waits {
            problems.push(Problem::Late(format!("'{outcome}' instead of '{}'", wanted.outcome)));
        }
        if *took > wanted.most + SLACK {
            problems.push(Problem::Late(format!("'{outcome}' after {took:?}, at most {:?}", wanted.most)));
        }
        if outcome.is_timeout() && *took < wanted.least {
            problems.push(Problem::Wrong(format!("'{outcome}' after {took:?} already")));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::status::*;
    use vsession::vsession_executed::*;

    const LOST: Outcome = Outcome::failed(VSESSION_E_CONNECTION, true, VSESSION_EXECUTED_MAYBE);
    const LATE: Outcome = Outcome::failed(VSESSION_E_TIMEOUT, true, VSESSION_EXECUTED_MAYBE);
    const SOON: Duration = Duration::from_millis(10);

    fn wanted(outcome: Outcome, of_many: OfMany) -> Wanted {
        let deadline = Duration::from_millis(250);
        Wanted { outcome, or: None, of_many, most: deadline, least: deadline, left: 0 }
    }

    fn seen(outcomes: &[Outcome]) -> Seen {
        Seen {
            outcomes: outcomes.iter().map(|outcome| (*outcome, SOON)).collect(),
            afterwards: Ok(()),
            left: 0,
            busy: 0,
            descriptors: (10, 10),
            threads: (3, 3),
        }
    }

    fn is_red(wanted: &Wanted, seen: &Seen) -> bool {
        !judge(wanted, seen).is_empty()
    }

    #[test]
    fn the_expected_outcome_is_green() {
        use OfMany::*;
        for (of_many, outcomes) in
            [(Each, [LOST, LOST]), (Shared, [LOST, LOST.not_run()]), (One, [LOST, Outcome::Done])]
        {
            assert!(!is_red(&wanted(LOST, of_many), &seen(&outcomes)));
        }
    }

    #[test]
    fn every_wrong_outcome_is_red() {
        use OfMany::*;
        let lost = wanted(LOST, Each);
        let other_status = Outcome::failed(VSESSION_E_CONNECT, true, VSESSION_EXECUTED_MAYBE);
        let not_retriable = Outcome::failed(VSESSION_E_CONNECTION, false, VSESSION_EXECUTED_MAYBE);
        let wrong = [
            Outcome::Done,
            Outcome::NoSession,
            Outcome::Garbled,
            LOST.not_run(),
            other_status,
            not_retriable,
        ];
        for outcome in wrong {
            assert!(is_red(&lost, &seen(&[outcome])), "{outcome}");
            assert!(is_red(&lost, &seen(&[LOST, outcome])), "{outcome} of one thread in two");
        }
        assert!(is_red(&lost, &seen(&[])), "no outcome at all");
        let http = Outcome::http(503, true, VSESSION_EXECUTED_MAYBE);
        assert!(is_red(&wanted(http, Each), &seen(&[Outcome::http(502, true, VSESSION_EXECUTED_MAYBE)])));
        assert!(is_red(&wanted(Outcome::Done, Each), &seen(&[Outcome::Garbled])));
        // A single thread cannot wait for another.
        assert!(is_red(&wanted(LOST, Shared), &seen(&[LOST.not_run()])));
        assert!(is_red(&wanted(LOST, Shared), &seen(&[LOST, Outcome::Done])));
        assert!(is_red(&wanted(LOST, One), &seen(&[Outcome::Done, Outcome::Done])));
        assert!(is_red(&wanted(Outcome::Done, One), &seen(&[LOST, Outcome::Done])));
    }

    #[test]
    fn leftovers_and_late_outcomes_are_red() {
        let lost = wanted(LOST, OfMany::Each);
        let good = seen(&[LOST]);
        let cases = [
            Seen { afterwards: Err("no".into()), ..good.clone() },
            Seen { left: 1, ..good.clone() },
            Seen { busy: 1, ..good.clone() },
            Seen { descriptors: (10, 11), ..good.clone() },
            Seen { threads: (3, 4), ..good.clone() },
            Seen { outcomes: vec![(LOST, Duration::from_secs(1))], ..good.clone() },
        ];
        for case in &cases {
            assert!(is_red(&lost, case), "{case:?}");
        }
        // A session that should have stayed and did not: something ended it that should not have been able to.
        assert!(is_red(&Wanted { left: 1, ..wanted(LOST, OfMany::Each) }, &good));
        let late = wanted(LATE, OfMany::Each);
        assert!(is_red(&late, &seen(&[LATE])), "a deadline that passed too early");
        let not_run = Seen { outcomes: vec![(LATE.not_run(), late.most)], ..seen(&[]) };
        assert!(is_red(&late, &not_run), "a deadline that passed before the request was sent");
        let in_time = Seen { outcomes: vec![(LATE, Duration::from_millis(260))], ..seen(&[]) };
        assert!(!is_red(&late, &in_time));
    }
}
