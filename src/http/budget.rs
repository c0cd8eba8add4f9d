//! The retry budget of a server: how much the library may send after a failure beyond what it is asked for. Without it an outage
//! would be amplified: each call would be sent twice, and each session would try its login, to a server that is down or overloaded.
//!
//! It is two token buckets, as in the retry throttling of gRPC and the AWS clients. Repeats of calls take their tokens from one. Trials
//! take theirs from the other: logins during the backoff, and checks and probes after failed ones. A session whose logins fail for ever
//! uses up the trials, and the calls of healthy sessions are still repeated.
//!
//! All clients of a server share one budget, since it is the server that has to be spared.

use std::time::Duration;

use crate::error::Error;
use crate::net::Settings;
use crate::runtime::process::PerProcess;
use crate::runtime::shared::{Shareable, Shared};
use crate::status::Status;
use crate::sync::{Arc, AtomicBool, Instant, Mutex, Ordering, rank};

/// What a full bucket holds: so many calls that lose their connections at the same moment are all repeated.
const MOST: f64 = 20.0;
/// What an answer of the server earns.
const PER_ANSWER: f64 = 0.1;
/// What a second earns, so that somebody looks now and then whether the server is back.
const PER_SECOND: f64 = 1.0;

/// What a token is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spending {
    /// A repeat of a call.
    Repeat,
    /// The question whether the server is back: a login, a check or a probe.
    Trial,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Answered,
    Failed,
    /// It failed as it will again: the session's own options may be the cause, such as the TLS versions that it allows or whom it
    /// trusts. That says nothing of the server.
    Hopeless,
    /// It was ended before the server could do either.
    Unknown,
}

impl Verdict {
    /// Of what failed with this error. That an answer was none of use is for others to judge.
    pub(crate) fn of(error: &Error) -> Verdict {
        match error.status() {
            Status::VSESSION_E_CANCELLED
            | Status::VSESSION_E_CLOSED
            | Status::VSESSION_E_RESOURCE
            | Status::VSESSION_E_OVERLOADED => Verdict::Unknown,
            Status::VSESSION_E_TIMEOUT => Verdict::Failed,
            _ if error.is_outage() && !error.detail().retriable => Verdict::Hopeless,
            _ if error.is_outage() => Verdict::Failed,
            _ => Verdict::Answered,
        }
    }
}

/// Tokens, as a value without a clock or a lock.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    /// When the time was last paid for.
    counted: Instant,
}

impl Bucket {
    fn full(now: Instant) -> Bucket {
        Bucket { tokens: MOST, counted: now }
    }

    fn earn(&mut self, tokens: f64, now: Instant) {
        let passed = now.saturating_duration_since(self.counted);
        self.counted = self.counted.max(now);
        self.tokens = (self.tokens + tokens + PER_SECOND * passed.as_secs_f64()).min(MOST);
    }

    fn take(&mut self, now: Instant) -> bool {
        self.earn(0.0, now);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }

    /// What a token was spent on has ended. An answer gives it back and another one, so that many sessions recover soon after one
    /// has: 1, 2, 4 and so on. A failure takes half of what is left, so that few are spent until the outage is noticed.
    fn settle(&mut self, verdict: Verdict, now: Instant) {
        match verdict {
            Verdict::Answered => self.earn(2.0, now),
            Verdict::Failed => self.tokens /= 2.0,
            Verdict::Hopeless => {}
            Verdict::Unknown => self.earn(1.0, now),
        }
    }
}

#[derive(Debug)]
struct Buckets {
    repeats: Bucket,
    trials: Bucket,
}

impl Buckets {
    fn full(now: Instant) -> Buckets {
        Buckets { repeats: Bucket::full(now), trials: Bucket::full(now) }
    }

    fn of(&mut self, spending: Spending) -> &mut Bucket {
        match spending {
            Spending::Repeat => &mut self.repeats,
            Spending::Trial => &mut self.trials,
        }
    }

    fn are_full(&self) -> bool {
        self.repeats.tokens.min(self.trials.tokens) >= MOST
    }
}

/// The budget of one server.
#[derive(Debug)]
pub(crate) struct Budget {
    /// The addresses of the server and of its proxy.
    way: String,
    buckets: Mutex<Buckets, rank::Budget>,
    /// The buckets are full. While all goes well an answer reads this and does no more.
    full: AtomicBool,
}

impl Budget {
    pub(super) fn new(way: String) -> Budget {
        Budget { way, buckets: Mutex::new(Buckets::full(Instant::now())), full: true.into() }
    }

    /// Whether the library may send this now. If so, a token is spent, and `settle` is to be called when it has ended.
    pub(crate) fn take(&self, spending: Spending) -> bool {
        self.change(|buckets, now| buckets.of(spending).take(now))
    }

    pub(crate) fn settle(&self, spending: Spending, verdict: Verdict) {
        self.change(|buckets, now| buckets.of(spending).settle(verdict, now));
    }

    /// The server answered a request.
    #[inline]
    pub(super) fn note_answer(&self) {
        if !self.full.load(Ordering::Relaxed) {
            self.earn();
        }
    }

    #[cold]
    fn earn(&self) {
        self.change(|buckets, now| {
            buckets.repeats.earn(PER_ANSWER, now);
            buckets.trials.earn(PER_ANSWER, now);
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut Buckets, Instant) -> T) -> T {
        let mut buckets = self.buckets.lock();
        let result = change(&mut buckets, Instant::now());
        self.full.store(buckets.are_full(), Ordering::Relaxed);
        result
    }

    /// How long a caller who got no token for a trial has to wait for the next one, at most.
    pub(crate) const WAIT: Duration = Duration::from_secs(1);
}

impl Shareable for Budget {
    type Key = String;
    fn key(&self) -> &String {
        &self.way
    }
}

/// The budgets of the servers that clients connect to.
static BUDGETS: PerProcess<Shared<Budget, rank::Budgets>> = PerProcess::new();

/// In a forked child: forgets the parent's budgets.
pub(super) fn renew_after_fork() {
    BUDGETS.renew();
}

/// The budget of the server that these settings lead to.
pub(super) fn of_server(settings: &Settings) -> Arc<Budget> {
    let mut way = settings.origin().to_ascii_lowercase();
    if let Some(proxy) = &settings.proxy {
        way.push(' ');
        way.push_str(&proxy.address());
    }
    // The outage of one service says nothing about another.
    if !settings.service.is_empty() {
        way.push(' ');
        way.push_str(settings.service);
    }
    let budgets = BUDGETS.get();
    budgets.find(&way).unwrap_or_else(|| budgets.share(Budget::new(way)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bucket, and a clock for it.
    fn bucket() -> (Bucket, Instant) {
        let now = Instant::now();
        (Bucket::full(now), now)
    }

    fn spend(bucket: &mut Bucket, verdict: Verdict, now: Instant) -> bool {
        let taken = bucket.take(now);
        if taken {
            bucket.settle(verdict, now);
        }
        taken
    }

    #[test]
    fn calls_that_lose_their_connections_at_the_same_moment_are_repeated() {
        let (mut bucket, now) = bucket();
        assert_eq!((0..64).filter(|_| bucket.take(now)).count(), MOST as usize);
        (0..MOST as usize).for_each(|_| bucket.settle(Verdict::Answered, now));
        assert_eq!(bucket.tokens, MOST, "they were answered, so it never happened");
    }

    #[test]
    fn in_an_outage_a_few_are_spent_and_then_one_a_second() {
        let (mut bucket, begin) = bucket();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut spent =
            |from: u64, to: u64| (from..to).filter(|ms| spend(&mut bucket, Verdict::Failed, at(*ms))).count();
        assert!((3..=6).contains(&spent(0, 1000)), "calls one after the other");
        let later = spent(1000, 61_000);
        assert!((50..=61).contains(&later), "{later}");
    }

    #[test]
    fn trials_take_no_tokens_from_repeats_and_repeats_none_from_trials() {
        use Spending::*;
        for (one, other) in [(Repeat, Trial), (Trial, Repeat)] {
            let budget = Budget::new(String::new());
            while budget.take(one) {
                budget.settle(one, Verdict::Failed);
            }
            assert!((0..MOST as usize).all(|_| budget.take(other)) && !budget.take(other));
        }
    }

    #[test]
    fn a_failure_that_the_sessions_own_options_may_cause_costs_its_token_and_no_more() {
        use Status::*;
        for status in [VSESSION_E_TLS, VSESSION_E_UNTRUSTED, VSESSION_E_PROXY] {
            assert_eq!(Verdict::of(&Error::new(status, "")), Verdict::Hopeless, "{status:?}");
        }
        for status in [VSESSION_E_CONNECT, VSESSION_E_CONNECTION, VSESSION_E_RESOLVE, VSESSION_E_TIMEOUT] {
            assert_eq!(Verdict::of(&Error::new(status, "")), Verdict::Failed, "{status:?}");
        }
        let (mut bucket, now) = bucket();
        assert!(spend(&mut bucket, Verdict::Hopeless, now));
        assert_eq!(bucket.tokens, MOST - 1.0);
    }

    #[test]
    fn the_first_answer_after_an_outage_pays_for_two_more() {
        let (mut bucket, begin) = bucket();
        while spend(&mut bucket, Verdict::Failed, begin) {}
        let mut now = begin + Duration::from_secs(1);
        let mut recovered = 0;
        let mut rounds = 0;
        while recovered < 1000 {
            // Each round is as long as a login takes.
            let tried = (0..1000 - recovered).take_while(|_| bucket.take(now)).count();
            (0..tried).for_each(|_| bucket.settle(Verdict::Answered, now));
            recovered += tried;
            rounds += 1;
            now += Duration::from_millis(1);
        }
        assert!(rounds <= 60, "{rounds} rounds for a thousand sessions");
    }

    #[test]
    fn an_answered_call_earns_a_tenth_of_a_token_and_a_full_bucket_earns_none() {
        let (mut bucket, now) = bucket();
        bucket.earn(PER_ANSWER, now);
        assert_eq!(bucket.tokens, MOST);
        bucket.tokens = 0.05;
        (0..9).for_each(|_| bucket.earn(PER_ANSWER, now));
        assert!(!bucket.take(now));
        bucket.earn(PER_ANSWER, now);
        assert!(bucket.take(now));
    }

    #[test]
    fn what_was_ended_early_costs_nothing_and_a_clock_that_stands_still_earns_nothing() {
        let (mut bucket, now) = bucket();
        bucket.tokens = 1.0;
        for _ in 0..10 {
            assert!(spend(&mut bucket, Verdict::Unknown, now));
        }
        assert!(bucket.take(now) && !bucket.take(now));
    }
}
