//! The state machine of a server session: an input goes in, and the machine changes its state and says what follows from it.
//! It does no I/O, takes no lock and reads no clock. Its caller holds the lock around it and carries out the effects.
//!
//! Each match on the state is exhaustive, so an input that says nothing about a state does not compile. The table of all pairs is
//! in `state/tests.rs` and, without the effects, in ARCHITECTURE.md under "States".

use std::time::Duration;

use super::account::{Account, not_tried};
use super::backoff::{Backoff, Now};
use super::{closed, not_logged_in};
use crate::config::{Config, Relogin};
use crate::error::{Error, Result};
use crate::http::Budget;
use crate::runtime::event::Kind;
use crate::state::{Reason, State};
use crate::status::{Executed, Status};
use crate::sync::Instant;

use State::*;

/// Something that happened to a session.
#[derive(Clone, Copy, Debug)]
pub(super) enum Input<'a> {
    /// A login begins. `by_hand`: a caller asked for it.
    LoginBegins {
        by_hand: bool,
    },
    /// The login that is under way has credentials that it may send.
    CredentialsFound,
    /// `lent`: it is the session of another kind, of this epoch.
    LoginSucceeded {
        by_hand: bool,
        lent: Option<u64>,
    },
    /// The server refused the credentials, or they were refused before and have not been sent.
    LoginRefused {
        error: &'a Error,
    },
    LoginFailed {
        error: &'a Error,
    },
    /// The server answered a request.
    Answered,
    /// The server could not be reached, or did not answer as a server.
    NotAnswered {
        error: &'a Error,
    },
    /// A call succeeded that only a live session lets succeed.
    Proven,
    /// The server does not know the session any more. `replace`: the one who found out replaces it where that is allowed.
    Expired {
        server: &'a str,
        replace: bool,
    },
    KeepAliveFailed {
        error: &'a Error,
    },
    /// The program gave credentials that may be sent.
    NewCredentials,
    /// The program has logged in by hand to another service with this account.
    AllowedAgain,
    LoggedOut,
    Closed,
}

/// What follows from an input.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// What the event queue is told, in this order. A change of the state is the first `STATE_CHANGED` or the last.
    pub(super) notices: Vec<Notice>,
    pub(super) readers: Readers,
    /// Another server may come back: what is known of this one is forgotten.
    pub(super) forget_server: bool,
}

/// What becomes of the snapshot that readers see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Readers {
    /// It stays.
    #[default]
    Keep,
    /// A new login takes its place.
    NewLogin,
    /// There was a session, and it is gone.
    Lost,
    /// There is no session.
    LoggedOut,
}

/// An event, but for what the session adds: its handle and the time of day.
#[derive(Clone, Debug)]
pub(super) struct Notice {
    pub(super) kind: Kind,
    pub(super) reason: Reason,
    pub(super) old_state: State,
    pub(super) new_state: State,
    pub(super) old_epoch: u64,
    pub(super) new_epoch: u64,
    pub(super) error: Option<Error>,
}

/// Whether the library may log in by itself.
#[derive(Clone, Debug)]
enum Automatic {
    Allowed,
    /// Not after a logout: the program must ask.
    AfterLogout,
    /// Not with credentials that were refused. Where they may change by themselves, they are read again from then on.
    Refused {
        read_again: Instant,
    },
    /// Not yet: the last attempt failed.
    NotBefore(Pause),
}

/// The backoff after a failed login.
#[derive(Clone, Debug)]
struct Pause {
    until: Instant,
    /// From then on a trial is allowed where somebody asks for a login. `None`: the credentials may have been judged, and one login
    /// too many could lock the account.
    trial_from: Option<Instant>,
    error: Error,
}

/// What the library may do by itself.
#[derive(Debug)]
pub(super) enum May {
    LogIn,
    /// Log in during the backoff, if the budget for the server pays for it. If not, callers get the error.
    Try(Error),
}

/// What the configuration says about logins.
#[derive(Clone, Copy, Debug)]
struct Policy {
    relogin: Relogin,
    credentials_may_change: bool,
    backoff: Backoff,
}

/// The time from one login to the trial that may follow it, for all threads together.
pub(super) const TRIAL_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub(super) struct Machine {
    policy: Policy,
    state: State,
    /// Grows with every login, from 1; 0 before the first.
    epoch: u64,
    /// When the last login began.
    login_began: Instant,
    /// When the login of this epoch succeeded.
    logged_in: Instant,
    /// There was a login that no logout has ended.
    had_login: bool,
    /// A session has been replaced, and no call has succeeded since: if the server does not know the new one either, the next
    /// login has to wait.
    on_trial: bool,
    automatic: Automatic,
    /// A login by hand to another service covers the next login here, where none is automatic.
    covered: bool,
    logouts: u64,
    /// The epoch of the last change of the state that was told.
    told_epoch: u64,
}

impl Machine {
    pub(super) fn new(config: &Config, covered: bool, now: Instant) -> Machine {
        Machine {
            policy: Policy {
                relogin: config.relogin,
                credentials_may_change: config.credentials_may_change(),
                backoff: Backoff::of(config),
            },
            state: VSESSION_STATE_LOGGED_OUT,
            epoch: 0,
            login_began: now,
            logged_in: now,
            had_login: false,
            on_trial: false,
            automatic: Automatic::Allowed,
            covered,
            logouts: 0,
            told_epoch: 0,
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The epoch of the session, if it can be used.
    pub(super) fn living(&self) -> Option<u64> {
        self.state.is_usable().then_some(self.epoch)
    }

    /// How often the program has logged out.
    pub(super) fn logouts(&self) -> u64 {
        self.logouts
    }

    /// Whether automatic logins are off because the program has logged out.
    pub(super) fn is_logged_out_by_hand(&self) -> bool {
        matches!(self.automatic, Automatic::AfterLogout)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == VSESSION_STATE_CLOSED
    }

    pub(super) fn backoff(&self) -> Backoff {
        self.policy.backoff
    }

    /// Whether the library may log in now without being asked to.
    pub(super) fn may_log_in(&self, account: &Account, now: Instant) -> Result<May> {
        if self.policy.relogin == Relogin::Never && !self.covered {
            return Err(Error::new(
                Status::VSESSION_E_NOT_AUTHENTICATED,
                "there is no session, and 'relogin' is 'never'; call vsession_login",
            )
            .not_run());
        }
        match &self.automatic {
            Automatic::Allowed => Ok(May::LogIn),
            Automatic::AfterLogout => Err(not_logged_in()),
            Automatic::Refused { read_again } if self.policy.credentials_may_change && now >= *read_again => {
                Ok(May::LogIn)
            }
            Automatic::Refused { .. } => Err(account.refused.answer()),
            Automatic::NotBefore(pause) if now >= pause.until => Ok(May::LogIn),
            Automatic::NotBefore(pause) if pause.trial_from.is_some_and(|from| now >= from) => {
                Ok(May::Try(pause.answer(now)))
            }
            Automatic::NotBefore(pause) => Err(pause.answer(now)),
        }
    }

    /// How long the next automatic login has to wait because one has failed.
    pub(super) fn next_login(&self, now: Instant) -> Option<Duration> {
        match &self.automatic {
            Automatic::NotBefore(pause) => Some(pause.rest(now)),
            _ => None,
        }
    }

    /// Why no login has followed the end of the session.
    pub(super) fn why_not_replaced(&self, account: &Account, now: Instant) -> Error {
        match (&self.automatic, self.may_log_in(account, now)) {
            _ if self.is_closed() => closed().not_run(),
            // sometimes: a trial is allowed just then
            (Automatic::NotBefore(_), Err(error) | Ok(May::Try(error))) => error,
            _ => Error::new(
                Status::VSESSION_E_NOT_AUTHENTICATED,
                "the session has ended, and no automatic login is allowed now; call vsession_login",
            )
            .not_run(),
        }
    }

    /// Something has happened. A closed session changes no more and tells nothing.
    pub(super) fn feed(&mut self, account: &mut Account, now: Now, input: Input) -> Effects {
        let mut effects = Effects::default();
        if planted!("a-closed-session-changes") && self.is_closed() {
            let (kind, reason) = (Kind::VSESSION_EVENT_STATE_CHANGED, Reason::VSESSION_REASON_LOGIN);
            effects.notices.push(self.notice(kind, reason, None));
            return effects;
        }
        let out = &mut effects;
        if matches!(input, Input::LoginBegins { .. } | Input::CredentialsFound) {
            self.login_began = now.time;
        }
        match input {
            Input::LoginBegins { by_hand } => match self.state {
                VSESSION_STATE_LOGGED_OUT | VSESSION_STATE_EXPIRED => self.begin_login(by_hand, out),
                VSESSION_STATE_REJECTED if by_hand => self.begin_login(by_hand, out),
                // First the login sees whether there are other credentials.
                VSESSION_STATE_REJECTED => {}
                VSESSION_STATE_LOGGING_IN | VSESSION_STATE_ACTIVE | VSESSION_STATE_UNREACHABLE => {}
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::CredentialsFound => match self.state {
                VSESSION_STATE_LOGGED_OUT | VSESSION_STATE_EXPIRED | VSESSION_STATE_REJECTED => {
                    self.begin_login(false, out);
                }
                VSESSION_STATE_LOGGING_IN | VSESSION_STATE_ACTIVE | VSESSION_STATE_UNREACHABLE => {}
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::LoginSucceeded { by_hand, lent } => match self.state {
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_ACTIVE
                | VSESSION_STATE_UNREACHABLE
                | VSESSION_STATE_EXPIRED
                | VSESSION_STATE_REJECTED => self.succeed(account, now, by_hand, lent, out),
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::LoginRefused { error } | Input::LoginFailed { error } => match self.state {
                // What failed was a check, or a login beside a session that lives.
                VSESSION_STATE_ACTIVE | VSESSION_STATE_UNREACHABLE => {}
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_EXPIRED
                | VSESSION_STATE_REJECTED => {
                    let refused = matches!(input, Input::LoginRefused { .. });
                    self.fail(account, now, error, refused, out);
                }
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::Answered => match self.state {
                VSESSION_STATE_UNREACHABLE => {
                    self.transition(VSESSION_STATE_ACTIVE, Reason::VSESSION_REASON_RECOVERED, None, out);
                }
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_ACTIVE
                | VSESSION_STATE_EXPIRED
                | VSESSION_STATE_REJECTED => {}
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::NotAnswered { error } => match self.state {
                VSESSION_STATE_ACTIVE => {
                    out.forget_server = true;
                    let reason = Reason::VSESSION_REASON_UNREACHABLE;
                    self.transition(VSESSION_STATE_UNREACHABLE, reason, Some(error), out);
                }
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_UNREACHABLE
                | VSESSION_STATE_EXPIRED
                | VSESSION_STATE_REJECTED => {}
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::Proven => match self.state {
                // Also where the session is gone by now: its login was of use.
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_ACTIVE
                | VSESSION_STATE_UNREACHABLE
                | VSESSION_STATE_EXPIRED
                | VSESSION_STATE_REJECTED => {
                    self.on_trial = false;
                    account.failures = 0;
                }
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::Expired { server, replace } => match self.state {
                VSESSION_STATE_ACTIVE | VSESSION_STATE_UNREACHABLE => {
                    self.expire(account, now, server, out);
                    self.follow_up(account, now, replace, out);
                }
                // Somebody else has found out meanwhile.
                VSESSION_STATE_EXPIRED => self.follow_up(account, now, replace, out),
                VSESSION_STATE_LOGGED_OUT | VSESSION_STATE_LOGGING_IN | VSESSION_STATE_REJECTED => {}
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::KeepAliveFailed { error } => match self.state {
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_ACTIVE
                | VSESSION_STATE_UNREACHABLE
                | VSESSION_STATE_EXPIRED
                | VSESSION_STATE_REJECTED => {
                    let (kind, reason) =
                        (Kind::VSESSION_EVENT_KEEPALIVE_FAILED, Reason::VSESSION_REASON_NONE);
                    out.notices.push(self.notice(kind, reason, Some(error)));
                }
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::NewCredentials => match self.state {
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_ACTIVE
                | VSESSION_STATE_UNREACHABLE
                | VSESSION_STATE_EXPIRED => self.allow_after_refusal(),
                VSESSION_STATE_REJECTED => {
                    self.allow_after_refusal();
                    let reason = Reason::VSESSION_REASON_NEW_CREDENTIALS;
                    self.transition(self.resting_state(), reason, None, out);
                }
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::AllowedAgain => match self.state {
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_ACTIVE
                | VSESSION_STATE_UNREACHABLE
                | VSESSION_STATE_EXPIRED
                | VSESSION_STATE_REJECTED => {
                    self.covered = true;
                    if matches!(self.automatic, Automatic::AfterLogout | Automatic::Refused { .. }) {
                        self.automatic = Automatic::Allowed;
                    }
                    if self.state == VSESSION_STATE_REJECTED {
                        let reason = Reason::VSESSION_REASON_LOGIN;
                        self.transition(self.resting_state(), reason, None, out);
                    }
                }
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::LoggedOut => match self.state {
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_ACTIVE
                | VSESSION_STATE_UNREACHABLE
                | VSESSION_STATE_EXPIRED
                | VSESSION_STATE_REJECTED => {
                    out.readers = Readers::LoggedOut;
                    self.automatic = Automatic::AfterLogout;
                    self.logouts += 1;
                    self.had_login = false;
                    self.transition(VSESSION_STATE_LOGGED_OUT, Reason::VSESSION_REASON_LOGOUT, None, out);
                }
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
            Input::Closed => match self.state {
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_ACTIVE
                | VSESSION_STATE_UNREACHABLE
                | VSESSION_STATE_EXPIRED
                | VSESSION_STATE_REJECTED => {
                    self.transition(VSESSION_STATE_CLOSED, Reason::VSESSION_REASON_CLOSE, None, out);
                }
                VSESSION_STATE_CLOSED | VSESSION_STATE_INVALID => {}
            },
        }
        effects
    }

    /// An event about the session as it is.
    pub(super) fn notice(&self, kind: Kind, reason: Reason, error: Option<&Error>) -> Notice {
        Notice {
            kind,
            reason,
            old_state: self.state,
            new_state: self.state,
            old_epoch: self.epoch,
            new_epoch: self.epoch,
            error: error.cloned(),
        }
    }

    fn transition(&mut self, state: State, reason: Reason, error: Option<&Error>, out: &mut Effects) {
        if self.state == state {
            return;
        }
        let old_state = std::mem::replace(&mut self.state, state);
        let old_epoch = std::mem::replace(&mut self.told_epoch, self.epoch);
        let notice = self.notice(Kind::VSESSION_EVENT_STATE_CHANGED, reason, error);
        out.notices.push(Notice { old_state, old_epoch, ..notice });
    }

    fn begin_login(&mut self, by_hand: bool, out: &mut Effects) {
        let reason = match self.epoch {
            0 => Reason::VSESSION_REASON_LOGIN,
            _ if by_hand => Reason::VSESSION_REASON_LOGIN,
            _ => Reason::VSESSION_REASON_RELOGIN,
        };
        self.transition(VSESSION_STATE_LOGGING_IN, reason, None, out);
    }

    fn succeed(
        &mut self,
        account: &mut Account,
        now: Now,
        by_hand: bool,
        lent: Option<u64>,
        out: &mut Effects,
    ) {
        let (old_state, old_epoch) = (self.state, self.epoch);
        let replaces = old_epoch > 0;
        self.epoch = (old_epoch + 1).max(lent.unwrap_or(0));
        self.logged_in = now.time;
        self.had_login = true;
        // Nothing was sent for a session of another kind, whose own login is on trial.
        if lent.is_none() {
            self.covered = false;
            if !self.on_trial {
                account.failures = 0;
            }
            self.on_trial |= replaces && !by_hand;
        }
        self.automatic = Automatic::Allowed;
        out.readers = Readers::NewLogin;
        let reason = if replaces { Reason::VSESSION_REASON_RELOGIN } else { Reason::VSESSION_REASON_LOGIN };
        self.transition(VSESSION_STATE_ACTIVE, reason, None, out);
        if replaces {
            let notice = self.notice(Kind::VSESSION_EVENT_SESSION_REPLACED, reason, None);
            out.notices.push(Notice { old_state, old_epoch, ..notice });
        }
    }

    fn fail(&mut self, account: &mut Account, now: Now, error: &Error, refused: bool, out: &mut Effects) {
        out.readers = Readers::Lost;
        // The credentials that were refused are out of date; the next login reads others.
        let superseded = refused && account.newer_given;
        if refused && !superseded {
            let read_again = now.time + self.pause_after_failure(account, error, now);
            self.automatic = Automatic::Refused { read_again };
            // That the refused credentials were found again is no news.
            if self.state != VSESSION_STATE_REJECTED {
                let reason = Reason::VSESSION_REASON_REFUSED;
                self.transition(VSESSION_STATE_REJECTED, reason, Some(error), out);
                let kind = Kind::VSESSION_EVENT_CREDENTIALS_WANTED;
                out.notices.push(self.notice(kind, reason, Some(error)));
            }
            return;
        }
        if !superseded && !is_nothing_of_the_servers(error) {
            let next = now.time + self.pause_after_failure(account, error, now);
            match &mut self.automatic {
                // After a logout or a refusal, automatic logins stay off whatever comes of one by hand.
                Automatic::AfterLogout => {}
                Automatic::Refused { read_again } => *read_again = next,
                _ if planted!("no-pause-after-a-failure") => {}
                automatic => {
                    let trial_from = leaves_the_credentials_unjudged(error).then(|| {
                        let asked = error.detail().retry_after.unwrap_or_default();
                        self.login_began + TRIAL_INTERVAL.max(asked)
                    });
                    *automatic =
                        Automatic::NotBefore(Pause { until: next, trial_from, error: error.clone() });
                }
            }
        }
        out.forget_server = error.is_outage();
        let resting = match self.automatic {
            Automatic::Refused { .. } => VSESSION_STATE_REJECTED,
            _ => self.resting_state(),
        };
        self.transition(resting, Reason::VSESSION_REASON_LOGIN_FAILED, Some(error), out);
    }

    /// Counts a failure; how long the next automatic login has to wait.
    fn pause_after_failure(&self, account: &mut Account, error: &Error, now: Now) -> Duration {
        account.failures = account.failures.saturating_add(1);
        self.policy.backoff.after(account.failures, error, now.jitter)
    }

    fn expire(&mut self, account: &mut Account, now: Now, server: &str, out: &mut Effects) {
        if self.on_trial && !planted!("no-pause-after-a-login-of-no-use") {
            let error = not_accepted(server);
            let next = self.logged_in + self.pause_after_failure(account, &error, now);
            // The server takes the credentials: a trial would be one more login of no use.
            self.automatic = Automatic::NotBefore(Pause { until: next, trial_from: None, error });
        }
        self.transition(VSESSION_STATE_EXPIRED, Reason::VSESSION_REASON_EXPIRED, None, out);
    }

    /// A login follows at once, and readers keep the old snapshot until it is done; or they see that there is no session.
    fn follow_up(&mut self, account: &Account, now: Now, replace: bool, out: &mut Effects) {
        if replace && matches!(self.may_log_in(account, now.time), Ok(May::LogIn)) {
            self.begin_login(false, out);
        } else {
            out.readers = Readers::Lost;
        }
    }

    fn allow_after_refusal(&mut self) {
        if matches!(self.automatic, Automatic::Refused { .. }) {
            self.automatic = Automatic::Allowed;
        }
    }

    /// The state without a session and without a login under way.
    fn resting_state(&self) -> State {
        if self.had_login { VSESSION_STATE_EXPIRED } else { VSESSION_STATE_LOGGED_OUT }
    }
}

impl Pause {
    /// The error for a caller who asks during the pause. It says when to ask again.
    fn answer(&self, now: Instant) -> Error {
        let rest = self.rest(now);
        let advice =
            format!("the last login failed; the next automatic one may start in {} ms", rest.as_millis());
        not_tried(&self.error, &advice).with(|d| d.retry_after = Some(rest))
    }

    /// How long to wait for the next login, in whole milliseconds.
    fn rest(&self, now: Instant) -> Duration {
        // Where a trial was due and not allowed, it is others' turn for the moment.
        let trial = self.trial_from.map(|from| if now < from { from } else { now + Budget::WAIT });
        let next = trial.map_or(self.until, |trial| trial.min(self.until));
        let ms = next.saturating_duration_since(now).as_micros().div_ceil(1000).max(1);
        Duration::from_millis(ms as u64)
    }
}

/// Whether a login failed in an outage, and certainly before anybody looked at the credentials: the Login did not run. A gateway
/// that answers 503 or 504 may have passed it on, and a proxy has credentials of its own. What fails for ever, as by the TLS versions
/// that the session allows, is not tried each second.
fn leaves_the_credentials_unjudged(error: &Error) -> bool {
    use Status::*;
    error.executed() == Executed::VSESSION_EXECUTED_NO
        && error.detail().retriable
        && match error.status() {
            VSESSION_E_RESOLVE | VSESSION_E_CONNECT | VSESSION_E_CONNECTION | VSESSION_E_TIMEOUT => true,
            VSESSION_E_HTTP => matches!(error.detail().http_status, 429 | 500..),
            _ => false,
        }
}

/// Nobody waited for the login any more, or this process lacked a resource and sent nothing: that says nothing about the
/// server, and there is no request that a pause would spare it.
fn is_nothing_of_the_servers(error: &Error) -> bool {
    match error.status() {
        Status::VSESSION_E_CANCELLED => true,
        Status::VSESSION_E_RESOURCE => error.executed() == Executed::VSESSION_EXECUTED_NO,
        // What this login depends on has failed, and was counted there.
        _ => error.detail().not_tried,
    }
}

fn not_accepted(server: &str) -> Error {
    Error::new(
        Status::VSESSION_E_NOT_AUTHENTICATED,
        format!(
            "{server} accepted the login and then did not know its session: another server behind the same address may have answered, or something in between removes cookies"
        ),
    )
    .with(|d| d.retriable = true)
}

#[cfg(test)]
mod tests;
