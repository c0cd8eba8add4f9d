//! Decides whether a request is sent again, and keeps track of whether it may have run. One `Retry` serves all attempts of a
//! call, or of a question that the library asks for its own purposes.

use std::time::Duration;

use super::budget::{Budget, Spending};
use crate::error::Error;
use crate::status::Executed;
use crate::sync::Ordering::Relaxed;
use crate::sync::unshared::{AtomicBool, AtomicU32, AtomicU64};

/// A call is sent at most this often because of an answer. If two corrections in one call do not suffice, something else is wrong.
const MOST_ANSWERED: u32 = 3;

/// A question of the library's own is asked again if it was not answered in this time, and then after twice the time, and so on.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

/// Why an attempt brought no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// The server had closed a pooled connection. Nothing of the request was sent.
    StaleConnection,
    /// The connection was lost, and the request may have been sent.
    LostConnection { sent: bool },
    /// The answer to a question took too long, and the budget has paid for asking again.
    Overdue,
}

/// Why an attempt brought a reply that the caller should not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The answer was that the session is gone, and the session has been replaced.
    SessionReplaced,
    /// The answer contradicted what was known about the server, and that has been corrected.
    ServerRediscovered { proven_not_run: bool },
}

/// What follows when an answer is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The budget has paid for asking again.
    Repeat,
    WaitLonger,
    GiveUp,
}

/// What follows a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    GiveUp,
    /// The request has not been sent yet.
    SendStill,
    /// The additional attempt, for which the budget has paid.
    Repeat,
}

/// The attempts at one request.
#[derive(Debug)]
pub(crate) struct Retry {
    may_run_twice: bool,
    patience: Patience,
    /// How often its answer was overdue.
    overdue: AtomicU32,
    /// The one additional attempt after a lost connection was made.
    repeated: AtomicBool,
    may_have_run: AtomicBool,
    /// How many attempts were made, not counting those after a lost connection or a status that the program has listed.
    answered: AtomicU32,
    /// How long the last answer asks the client to wait, in milliseconds; `NO_PAUSE`: it does not.
    pause_asked: AtomicU64,
}

/// How long an answer may take, beside the deadline of who waits for it.
#[derive(Debug)]
enum Patience {
    Endless,
    /// It is a question of the library's own, which threads wait for without a deadline of theirs that would end it.
    OfQuestion,
    /// It is a long poll that the server was asked to answer well before this time.
    OfPoll(Duration),
}

const NO_PAUSE: u64 = u64::MAX;

impl Retry {
    pub(crate) fn new(may_run_twice: bool) -> Retry {
        Retry {
            may_run_twice,
            patience: Patience::Endless,
            overdue: 0.into(),
            repeated: false.into(),
            may_have_run: false.into(),
            answered: 1.into(),
            pause_asked: NO_PAUSE.into(),
        }
    }

    /// The attempts at a question of the library's own. It changes nothing on the server and cannot lock an account, so it is asked
    /// again where its answer stays away: many threads may wait for it, each with a deadline that does not end the others' wait.
    pub(crate) fn of_question() -> Retry {
        Retry { patience: Patience::OfQuestion, ..Retry::new(true) }
    }

    /// The attempts at a long poll whose answer is due after this time. It is sent once more, on another connection, and then given up.
    pub(crate) fn of_poll(due: Duration) -> Retry {
        Retry { patience: Patience::OfPoll(due), ..Retry::new(true) }
    }

    /// Whether another attempt does no harm.
    pub(super) fn may_run_twice(&self) -> bool {
        self.may_run_twice
    }

    /// How long the next answer may take before the question is asked again. `usual`: what this server may take. A server that is slow,
    /// because it is starting, has twice as long each time. `None`: nobody asks again.
    #[inline]
    pub(super) fn patience(&self, usual: impl Fn() -> Duration) -> Option<Duration> {
        match self.patience {
            Patience::Endless => None,
            Patience::OfQuestion => {
                Some(LEAST_PATIENCE.max(usual()) * (1 << self.overdue.load(Relaxed).min(16)))
            }
            Patience::OfPoll(due) => Some(due),
        }
    }

    /// The answer is overdue.
    #[cold]
    pub(super) fn overdue(&self, budget: &Budget) -> Overdue {
        let before = self.overdue.fetch_add(1, Relaxed);
        match self.patience {
            Patience::OfPoll(_) if before > 0 || !budget.take(Spending::Repeat) => Overdue::GiveUp,
            Patience::OfPoll(_) => Overdue::Repeat,
            _ if budget.take(Spending::Repeat) => Overdue::Repeat,
            _ => Overdue::WaitLonger,
        }
    }

    /// Whether a pooled connection will do. Where an answer was overdue, its connection may be dead, and the others with it.
    pub(super) fn may_share_connections(&self) -> bool {
        self.overdue.load(Relaxed) == 0
    }

    /// Whether it was sent once more because its connection was lost or its answer overdue.
    pub(crate) fn was_repeated(&self) -> bool {
        self.repeated.load(Relaxed) || self.overdue.load(Relaxed) > 0
    }

    /// Whether an answer can lead to another attempt.
    pub(crate) fn may_correct(&self) -> bool {
        self.answered.load(Relaxed) < MOST_ANSWERED
    }

    /// Notes that the request may have run, although the caller does not get its answer.
    pub(crate) fn note_run(&self) {
        self.may_have_run.store(true, Relaxed);
        self.repeated.store(true, Relaxed);
    }

    /// An answer that is an error came with these words about a pause (`Retry-After`).
    pub(crate) fn note_pause_asked(&self, pause: Option<Duration>) {
        let longest = u128::from(NO_PAUSE - 1);
        self.pause_asked.store(pause.map_or(NO_PAUSE, |p| p.as_millis().min(longest) as u64), Relaxed);
    }

    pub(crate) fn pause_asked(&self) -> Option<Duration> {
        Some(self.pause_asked.load(Relaxed)).filter(|ms| *ms != NO_PAUSE).map(Duration::from_millis)
    }

    /// The request is sent again after this answer, which the caller does not get.
    pub(crate) fn note_answer(&self, error: &Error) {
        self.may_have_run.fetch_or(error.executed() != Executed::VSESSION_EXECUTED_NO, Relaxed);
    }

    /// What to do after a loss. A repeat is taken from the budget.
    pub(super) fn after(&self, loss: Loss, budget: &Budget) -> Next {
        match loss {
            // Any pooled connection can be stale, and their number is limited. The server got nothing of the request, and no
            // connection was made for it.
            Loss::StaleConnection => Next::SendStill,
            Loss::LostConnection { sent } => {
                let again =
                    self.may_run_twice && !self.repeated.swap(true, Relaxed) && budget.take(Spending::Repeat);
                self.may_have_run.fetch_or(again && sent, Relaxed);
                if again { Next::Repeat } else { Next::GiveUp }
            }
            Loss::Overdue => {
                self.may_have_run.store(true, Relaxed);
                Next::Repeat
            }
        }
    }

    /// Whether to send the request again because of its answer.
    pub(crate) fn again(&self, reason: Reason) -> bool {
        match reason {
            Reason::SessionReplaced => self.correct(),
            Reason::ServerRediscovered { proven_not_run } => {
                (proven_not_run || self.may_run_twice) && self.correct()
            }
        }
    }

    fn correct(&self) -> bool {
        let may_correct = self.may_correct();
        self.answered.fetch_add(1, Relaxed);
        may_correct
    }

    /// The error of the last attempt, with what is known about all attempts.
    pub(super) fn give_up(&self, error: Error, sent: bool) -> Error {
        if sent || self.may_have_run.load(Relaxed) { error.may_have_run() } else { error.not_run() }
    }

    /// The error for the answer to the last attempt. An earlier attempt may still have run.
    pub(crate) fn answered(&self, error: Error) -> Error {
        if self.may_have_run.load(Relaxed) { error.may_have_run() } else { error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Status;

    const LOST: Loss = Loss::LostConnection { sent: true };

    fn budget() -> Budget {
        Budget::new(String::new())
    }

    fn executed(retry: &Retry, sent: bool) -> Executed {
        retry.give_up(Error::new(Status::VSESSION_E_CONNECTION, "lost"), sent).executed()
    }

    #[test]
    fn a_request_that_may_run_once_is_sent_again_only_where_nothing_was_sent() {
        let (retry, budget) = (Retry::new(false), budget());
        assert!((0..100).all(|_| retry.after(Loss::StaleConnection, &budget) == Next::SendStill));
        assert_eq!(executed(&retry, false), Executed::VSESSION_EXECUTED_NO);
        assert_eq!(retry.after(LOST, &budget), Next::GiveUp);
        assert_eq!(executed(&retry, true), Executed::VSESSION_EXECUTED_MAYBE);
    }

    #[test]
    fn a_request_that_may_run_twice_is_sent_twice_and_no_later_attempt_hides_that_it_may_have_run() {
        let (retry, budget) = (Retry::new(true), budget());
        assert_eq!(retry.after(LOST, &budget), Next::Repeat);
        assert_eq!(retry.after(Loss::StaleConnection, &budget), Next::SendStill);
        assert_eq!(retry.after(LOST, &budget), Next::GiveUp);
        assert_eq!(executed(&retry, false), Executed::VSESSION_EXECUTED_MAYBE);
        let refused = retry.answered(Error::new(Status::VSESSION_E_FAULT, "refused").not_run());
        assert_eq!(refused.executed(), Executed::VSESSION_EXECUTED_MAYBE);
    }

    #[test]
    fn a_call_that_is_answered_goes_out_three_times_at_most() {
        let retry = Retry::new(false);
        assert!(!retry.again(Reason::ServerRediscovered { proven_not_run: false }), "it may have run");
        assert!(retry.again(Reason::SessionReplaced));
        assert!(retry.may_correct() && retry.again(Reason::ServerRediscovered { proven_not_run: true }));
        assert!(!retry.may_correct() && !retry.again(Reason::SessionReplaced));
    }

    #[test]
    fn a_call_that_ran_is_not_repeated_after_a_lost_connection() {
        let (retry, budget) = (Retry::new(true), budget());
        retry.note_run();
        assert!(retry.again(Reason::SessionReplaced));
        assert_eq!(retry.after(LOST, &budget), Next::GiveUp);
        assert_eq!(executed(&retry, false), Executed::VSESSION_EXECUTED_MAYBE);
    }

    #[test]
    fn only_a_question_of_the_librarys_own_is_asked_again_and_each_answer_may_take_twice_as_long() {
        let second = Duration::from_secs(1);
        assert_eq!(Retry::new(true).patience(|| second), None);
        let (question, budget) = (Retry::of_question(), budget());
        assert_eq!(question.patience(|| second), Some(5 * second));
        assert_eq!(question.patience(|| 8 * second), Some(8 * second), "this server usually takes long");
        assert!(question.may_share_connections());
        assert_eq!(question.overdue(&budget), Overdue::Repeat);
        assert_eq!(question.after(Loss::Overdue, &budget), Next::Repeat);
        assert_eq!(question.patience(|| second), Some(10 * second));
        assert!(!question.may_share_connections());
        while budget.take(Spending::Repeat) {}
        assert_eq!(question.overdue(&budget), Overdue::WaitLonger);
        assert_eq!(question.patience(|| second), Some(20 * second), "it is not asked for each second");
    }

    #[test]
    fn a_poll_whose_answer_is_overdue_is_sent_once_more_and_then_given_up() {
        let due = Duration::from_secs(90);
        let (poll, budget) = (Retry::of_poll(due), budget());
        assert_eq!(poll.patience(|| 2 * due), Some(due), "however long other answers take");
        assert_eq!(poll.overdue(&budget), Overdue::Repeat);
        assert_eq!(poll.patience(|| 2 * due), Some(due));
        assert!(!poll.may_share_connections());
        assert_eq!(poll.overdue(&budget), Overdue::GiveUp);
        while budget.take(Spending::Repeat) {}
        assert_eq!(Retry::of_poll(due).overdue(&budget), Overdue::GiveUp, "nothing pays for a repeat");
    }

    #[test]
    fn what_an_answer_that_was_not_passed_on_leaves_open_stays_open() {
        let answer = |status| Error::new(Status::VSESSION_E_HTTP, "").with(|d| d.http_status = status);
        let retry = Retry::new(true);
        retry.note_answer(&answer(429).not_run());
        assert_eq!(executed(&retry, false), Executed::VSESSION_EXECUTED_NO);
        retry.note_answer(&answer(503));
        assert_eq!(executed(&retry, false), Executed::VSESSION_EXECUTED_MAYBE);
    }

    #[test]
    fn the_pause_that_the_last_answer_asks_for_counts() {
        let retry = Retry::new(true);
        assert_eq!(retry.pause_asked(), None);
        for pause in [Some(Duration::ZERO), Some(Duration::from_secs(7)), None] {
            retry.note_pause_asked(pause);
            assert_eq!(retry.pause_asked(), pause);
        }
        retry.note_pause_asked(Some(Duration::MAX));
        assert!(retry.pause_asked().is_some_and(|pause| pause > Duration::from_secs(1 << 50)));
    }

    #[test]
    fn a_request_is_not_repeated_without_a_token() {
        let budget = budget();
        while budget.take(Spending::Repeat) {}
        let retry = Retry::new(true);
        assert_eq!(retry.after(LOST, &budget), Next::GiveUp);
        assert_eq!(executed(&retry, false), Executed::VSESSION_EXECUTED_NO, "nothing hides behind it");
    }
}
