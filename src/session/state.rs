//! The state machine of a server session: an input goes in, and the machine changes its state and says what follows from it.
//! It does no I/O, takes no lock and reads no clock. Its caller holds the lock around it and carries out the effects.
//!
//! Each match on the state is exhaustive, so an input that says nothing about a state does not compile. The table of all pairs is
//! in the tests below and, without the effects, in ARCHITECTURE.md under "States".

use std::time::Duration;

use super::account::{Account, not_tried};
use super::backoff::{Backoff, Now};
use super::{closed, not_logged_in};
use crate::config::{Config, Relogin};
use crate::error::{Error, Result};
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
    LoginSucceeded {
        by_hand: bool,
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
    NotBefore(Instant, Error),
}

/// What the configuration says about logins.
#[derive(Clone, Copy, Debug)]
struct Policy {
    relogin: Relogin,
    credentials_may_change: bool,
    backoff: Backoff,
}

#[derive(Clone, Debug)]
pub(super) struct Machine {
    policy: Policy,
    state: State,
    /// Grows with every login, from 1; 0 before the first.
    epoch: u64,
    /// When the login of this epoch succeeded.
    logged_in: Instant,
    /// There was a login that no logout has ended.
    had_login: bool,
    /// A session has been replaced, and no call has succeeded since: if the server does not know the new one either, the next
    /// login has to wait.
    on_trial: bool,
    automatic: Automatic,
    logouts: u64,
    /// The epoch of the last change of the state that was told.
    told_epoch: u64,
}

impl Machine {
    pub(super) fn new(config: &Config, now: Instant) -> Machine {
        Machine {
            policy: Policy {
                relogin: config.relogin,
                credentials_may_change: config.credentials_may_change(),
                backoff: Backoff::of(config),
            },
            state: VSESSION_STATE_LOGGED_OUT,
            epoch: 0,
            logged_in: now,
            had_login: false,
            on_trial: false,
            automatic: Automatic::Allowed,
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

    /// How often the program has logged out.
    pub(super) fn logouts(&self) -> u64 {
        self.logouts
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == VSESSION_STATE_CLOSED
    }

    pub(super) fn backoff(&self) -> Backoff {
        self.policy.backoff
    }

    /// Whether the library may log in now without being asked to.
    pub(super) fn may_log_in(&self, account: &Account, now: Instant) -> Result<()> {
        if self.policy.relogin == Relogin::Never {
            return Err(Error::new(
                Status::VSESSION_E_NOT_AUTHENTICATED,
                "there is no session, and 'relogin' is 'never'; call vsession_login",
            )
            .not_run());
        }
        match &self.automatic {
            Automatic::Allowed => Ok(()),
            Automatic::AfterLogout => Err(not_logged_in()),
            Automatic::Refused { read_again } if self.policy.credentials_may_change && now >= *read_again => {
                Ok(())
            }
            Automatic::Refused { .. } => Err(account.refused.answer()),
            Automatic::NotBefore(moment, error) => {
                let left = moment.saturating_duration_since(now);
                if left.is_zero() {
                    return Ok(());
                }
                let ms = left.as_micros().div_ceil(1000);
                let advice = format!("the last login failed; the next automatic one may start in {ms} ms");
                Err(not_tried(error, &advice)
                    .with(|d| d.retry_after = Some(Duration::from_millis(ms as u64))))
            }
        }
    }

    /// Why no login has followed the end of the session.
    pub(super) fn why_not_replaced(&self, account: &Account, now: Instant) -> Error {
        match (&self.automatic, self.may_log_in(account, now)) {
            _ if self.is_closed() => closed().not_run(),
            (Automatic::NotBefore(..), Err(error)) => error,
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
            Input::LoginSucceeded { by_hand } => match self.state {
                VSESSION_STATE_LOGGED_OUT
                | VSESSION_STATE_LOGGING_IN
                | VSESSION_STATE_ACTIVE
                | VSESSION_STATE_UNREACHABLE
                | VSESSION_STATE_EXPIRED
                | VSESSION_STATE_REJECTED => self.succeed(account, now, by_hand, out),
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

    fn succeed(&mut self, account: &mut Account, now: Now, by_hand: bool, out: &mut Effects) {
        let (old_state, old_epoch) = (self.state, self.epoch);
        let replaces = old_epoch > 0;
        self.epoch = old_epoch + 1;
        self.logged_in = now.time;
        self.had_login = true;
        if !self.on_trial {
            account.failures = 0;
        }
        self.on_trial |= replaces && !by_hand;
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
                automatic => *automatic = Automatic::NotBefore(next, error.clone()),
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
            self.automatic = Automatic::NotBefore(next, error);
        }
        self.transition(VSESSION_STATE_EXPIRED, Reason::VSESSION_REASON_EXPIRED, None, out);
    }

    /// A login follows at once, and readers keep the old snapshot until it is done; or they see that there is no session.
    fn follow_up(&mut self, account: &Account, now: Now, replace: bool, out: &mut Effects) {
        if replace && self.may_log_in(account, now.time).is_ok() {
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

/// Nobody waited for the login any more, or this process lacked a resource and sent nothing: that says nothing about the
/// server, and there is no request that a pause would spare it.
fn is_nothing_of_the_servers(error: &Error) -> bool {
    match error.status() {
        Status::VSESSION_E_CANCELLED => true,
        Status::VSESSION_E_RESOURCE => error.executed() == Executed::VSESSION_EXECUTED_NO,
        _ => false,
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
mod tests {
    use super::*;

    /// Every input in every state. An outcome that does not begin with a state leaves it as it is.
    const TABLE: &str = "\
a login begins, by hand
    LOGGED_OUT EXPIRED REJECTED REJECTED/again: LOGGING_IN (login)
    LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
a login begins, by itself
    LOGGED_OUT: LOGGING_IN (login)
    LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE REJECTED REJECTED/again CLOSED: nothing
    EXPIRED: LOGGING_IN (relogin)
the login has credentials
    LOGGED_OUT REJECTED: LOGGING_IN (login)
    LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
    EXPIRED REJECTED/again: LOGGING_IN (relogin)
the login succeeds, by hand
    LOGGED_OUT LOGGING_IN LOGGING_IN/newer_given: ACTIVE (login), epoch 1
    LOGGING_IN/again UNREACHABLE EXPIRED: ACTIVE (relogin), told: replaced, epoch 2
    LOGGING_IN/after_logout: ACTIVE (login), epoch 1, automatic logins
    ACTIVE: told: replaced, epoch 2
    ACTIVE/on_trial: told: replaced, epoch 3
    REJECTED: ACTIVE (login), epoch 1, automatic logins, failures 0
    REJECTED/again: ACTIVE (relogin), told: replaced, epoch 2, automatic logins, failures 0
    CLOSED: nothing
the login succeeds, by itself
    LOGGED_OUT LOGGING_IN LOGGING_IN/newer_given: ACTIVE (login), epoch 1
    LOGGING_IN/again UNREACHABLE EXPIRED: ACTIVE (relogin), told: replaced, epoch 2, on trial
    LOGGING_IN/after_logout: ACTIVE (login), epoch 1, automatic logins
    ACTIVE: told: replaced, epoch 2, on trial
    ACTIVE/on_trial: told: replaced, epoch 3
    REJECTED: ACTIVE (login), epoch 1, automatic logins, failures 0
    REJECTED/again: ACTIVE (relogin), told: replaced, epoch 2, automatic logins, failures 0, on trial
    CLOSED: nothing
the credentials are refused
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout EXPIRED: REJECTED (refused), told: credentials wanted, lost, none with the refused, failures 1
    LOGGING_IN/newer_given: LOGGED_OUT (login_failed), lost
    ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
    REJECTED REJECTED/again: lost, failures 2
the login fails, the server is out of reach
    LOGGED_OUT EXPIRED: lost, pause, failures 1, server forgotten
    LOGGING_IN LOGGING_IN/newer_given: LOGGED_OUT (login_failed), lost, pause, failures 1, server forgotten
    LOGGING_IN/again: EXPIRED (login_failed), lost, pause, failures 1, server forgotten
    LOGGING_IN/after_logout: LOGGED_OUT (login_failed), lost, failures 1, server forgotten
    ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
    REJECTED REJECTED/again: lost, failures 2, server forgotten
the login fails, the answer makes no sense
    LOGGED_OUT EXPIRED: lost, pause, failures 1
    LOGGING_IN LOGGING_IN/newer_given: LOGGED_OUT (login_failed), lost, pause, failures 1
    LOGGING_IN/again: EXPIRED (login_failed), lost, pause, failures 1
    LOGGING_IN/after_logout: LOGGED_OUT (login_failed), lost, failures 1
    ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
    REJECTED REJECTED/again: lost, failures 2
the login fails, nobody waits any more
    LOGGED_OUT EXPIRED REJECTED REJECTED/again: lost
    LOGGING_IN LOGGING_IN/after_logout LOGGING_IN/newer_given: LOGGED_OUT (login_failed), lost
    LOGGING_IN/again: EXPIRED (login_failed), lost
    ACTIVE ACTIVE/on_trial UNREACHABLE CLOSED: nothing
the server answers
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial EXPIRED REJECTED REJECTED/again CLOSED: nothing
    UNREACHABLE: ACTIVE (recovered)
the server does not answer
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given UNREACHABLE EXPIRED REJECTED REJECTED/again CLOSED: nothing
    ACTIVE ACTIVE/on_trial: UNREACHABLE (unreachable), server forgotten
a call proves the session
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE UNREACHABLE EXPIRED CLOSED: nothing
    ACTIVE/on_trial: proven
    REJECTED REJECTED/again: failures 0
the session is gone, and is replaced
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given REJECTED REJECTED/again CLOSED: nothing
    ACTIVE UNREACHABLE: EXPIRED (expired), LOGGING_IN (relogin)
    ACTIVE/on_trial: EXPIRED (expired), lost, pause, failures 1
    EXPIRED: LOGGING_IN (relogin)
the session is gone
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given REJECTED REJECTED/again CLOSED: nothing
    ACTIVE UNREACHABLE: EXPIRED (expired), lost
    ACTIVE/on_trial: EXPIRED (expired), lost, pause, failures 1
    EXPIRED: lost
a probe fails
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE EXPIRED REJECTED REJECTED/again: told: keep-alive failed
    CLOSED: nothing
new credentials are given
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE EXPIRED CLOSED: nothing
    REJECTED: LOGGED_OUT (new_credentials), automatic logins
    REJECTED/again: EXPIRED (new_credentials), automatic logins
logout
    LOGGED_OUT: cleared, none after a logout
    LOGGING_IN LOGGING_IN/again LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE EXPIRED REJECTED REJECTED/again: LOGGED_OUT (logout), cleared, none after a logout
    LOGGING_IN/after_logout: LOGGED_OUT (logout), cleared
    CLOSED: nothing
close
    LOGGED_OUT LOGGING_IN LOGGING_IN/again LOGGING_IN/after_logout LOGGING_IN/newer_given ACTIVE ACTIVE/on_trial UNREACHABLE EXPIRED REJECTED REJECTED/again: CLOSED (close)
    CLOSED: nothing
";

    /// A machine in each state; where what came before matters, two.
    fn machines() -> Vec<(&'static str, Machine, Account)> {
        let (first, replacing) = ([BY_HAND].as_slice(), [BY_HAND, SUCCESS, EXPIRY].as_slice());
        let on_trial = [BY_HAND, SUCCESS, EXPIRY, SUCCESS_BY_ITSELF];
        let refusal = Input::LoginRefused { error: &refused() };
        [
            ("LOGGED_OUT", &[][..], None),
            ("LOGGING_IN", first, None),
            ("LOGGING_IN/again", replacing, None),
            ("LOGGING_IN/after_logout", &[Input::LoggedOut, BY_HAND], None),
            ("LOGGING_IN/newer_given", first, None),
            ("ACTIVE", first, Some(SUCCESS)),
            ("ACTIVE/on_trial", &on_trial, None),
            ("UNREACHABLE", &[BY_HAND, SUCCESS], Some(Input::NotAnswered { error: &outage() })),
            ("EXPIRED", first, Some(SUCCESS)),
            ("REJECTED", first, Some(refusal)),
            ("REJECTED/again", replacing, Some(refusal)),
            ("CLOSED", first, Some(Input::Closed)),
        ]
        .into_iter()
        .map(|(name, inputs, last)| {
            let mut machine = Machine::new(&Config::new("https://u:p@vc").unwrap(), now().time);
            let mut account = Account { newer_given: name.ends_with("newer_given"), ..Account::default() };
            let after = (name == "EXPIRED").then_some(Input::Expired { server: "vc", replace: false });
            for input in inputs.iter().copied().chain(last).chain(after) {
                machine.feed(&mut account, now(), input);
            }
            assert_eq!(short(machine.state), name.split('/').next().unwrap());
            (name, machine, account)
        })
        .collect()
    }

    const BY_HAND: Input = Input::LoginBegins { by_hand: true };
    const SUCCESS: Input = Input::LoginSucceeded { by_hand: true };
    const SUCCESS_BY_ITSELF: Input = Input::LoginSucceeded { by_hand: false };
    const EXPIRY: Input = Input::Expired { server: "vc", replace: true };

    fn refused() -> Error {
        Error::new(Status::VSESSION_E_INVALID_LOGIN, "no")
    }

    fn outage() -> Error {
        Error::new(Status::VSESSION_E_CONNECT, "nobody")
    }

    fn other() -> Error {
        Error::new(Status::VSESSION_E_PROTOCOL, "what?")
    }

    fn cancelled() -> Error {
        Error::new(Status::VSESSION_E_CANCELLED, "nobody waits")
    }

    fn now() -> Now {
        Now { time: Instant::now(), jitter: 0.5 }
    }

    fn short(state: State) -> String {
        format!("{state:?}").trim_start_matches("VSESSION_STATE_").to_string()
    }

    /// The inputs of the table. An input without a line here does not compile.
    macro_rules! inputs {
        ($($name:literal: $pattern:pat => [$($variant:literal: $input:expr),+],)*) => {
            fn name_of(input: Input) -> &'static str {
                match input { $($pattern => $name,)* }
            }

            fn each_input(mut look: impl FnMut(&'static str, Input)) {
                $($({
                    let input = $input;
                    assert_eq!(name_of(input), $name);
                    look(if $variant.is_empty() { $name } else { concat!($name, ", ", $variant) }, input);
                })+)*
            }
        };
    }
    inputs! {
        "a login begins": Input::LoginBegins { .. } =>
            ["by hand": BY_HAND, "by itself": Input::LoginBegins { by_hand: false }],
        "the login has credentials": Input::CredentialsFound => ["": Input::CredentialsFound],
        "the login succeeds": Input::LoginSucceeded { .. } => ["by hand": SUCCESS, "by itself": SUCCESS_BY_ITSELF],
        "the credentials are refused": Input::LoginRefused { .. } => ["": Input::LoginRefused { error: &refused() }],
        "the login fails": Input::LoginFailed { .. } => [
            "the server is out of reach": Input::LoginFailed { error: &outage() },
            "the answer makes no sense": Input::LoginFailed { error: &other() },
            "nobody waits any more": Input::LoginFailed { error: &cancelled() }
        ],
        "the server answers": Input::Answered => ["": Input::Answered],
        "the server does not answer": Input::NotAnswered { .. } => ["": Input::NotAnswered { error: &outage() }],
        "a call proves the session": Input::Proven => ["": Input::Proven],
        "the session is gone": Input::Expired { .. } => [
            "and is replaced": EXPIRY,
            "": Input::Expired { server: "vc", replace: false }
        ],
        "a probe fails": Input::KeepAliveFailed { .. } => ["": Input::KeepAliveFailed { error: &other() }],
        "new credentials are given": Input::NewCredentials => ["": Input::NewCredentials],
        "logout": Input::LoggedOut => ["": Input::LoggedOut],
        "close": Input::Closed => ["": Input::Closed],
    }

    /// What an input did, in words.
    fn outcome(
        before: &Machine,
        failures: u32,
        after: &Machine,
        account: &Account,
        effects: &Effects,
    ) -> String {
        let mut said = Vec::new();
        let mut state = before.state;
        for notice in &effects.notices {
            assert_eq!(notice.new_epoch, after.epoch);
            match notice.kind {
                Kind::VSESSION_EVENT_STATE_CHANGED => {
                    assert_eq!(notice.old_state, state, "no gap between events");
                    state = notice.new_state;
                    let reason =
                        format!("{:?}", notice.reason).replace("VSESSION_REASON_", "").to_lowercase();
                    said.push(format!("{} ({reason})", short(state)));
                }
                Kind::VSESSION_EVENT_SESSION_REPLACED => said.push("told: replaced".into()),
                Kind::VSESSION_EVENT_CREDENTIALS_WANTED => said.push("told: credentials wanted".into()),
                Kind::VSESSION_EVENT_KEEPALIVE_FAILED => said.push("told: keep-alive failed".into()),
                Kind::VSESSION_EVENT_COMPLETION => unreachable!(),
            }
        }
        assert_eq!(state, after.state, "every change is told");
        said.extend(match effects.readers {
            Readers::Keep => None,
            Readers::NewLogin => Some(format!("epoch {}", after.epoch)),
            Readers::Lost => Some("lost".into()),
            Readers::LoggedOut => Some("cleared".into()),
        });
        let automatic = |machine: &Machine| match machine.automatic {
            Automatic::Allowed => "automatic logins",
            Automatic::AfterLogout => "none after a logout",
            Automatic::Refused { .. } => "none with the refused",
            Automatic::NotBefore(..) => "pause",
        };
        if automatic(before) != automatic(after) {
            said.push(automatic(after).into());
        }
        if failures != account.failures {
            said.push(format!("failures {}", account.failures));
        }
        match (before.on_trial, after.on_trial) {
            (true, false) => said.push("proven".into()),
            (false, true) => said.push("on trial".into()),
            _ => {}
        }
        if effects.forget_server {
            said.push("server forgotten".into());
        }
        if said.is_empty() { "nothing".into() } else { said.join(", ") }
    }

    /// The outcome of an input for each machine, and the state after it.
    fn outcomes(input: Input) -> Vec<(&'static str, String, State)> {
        let outcomes = machines().into_iter().map(|(name, before, mut account)| {
            let (mut machine, failures) = (before.clone(), account.failures);
            let effects = machine.feed(&mut account, now(), input);
            (name, outcome(&before, failures, &machine, &account, &effects), machine.state)
        });
        outcomes.collect()
    }

    #[test]
    fn every_input_has_an_outcome_in_every_state() {
        let mut table = String::new();
        each_input(|input_name, input| {
            table.push_str(&format!("{input_name}\n"));
            let mut grouped: Vec<(String, Vec<&str>)> = Vec::new();
            for (machine, outcome, _) in outcomes(input) {
                match grouped.iter_mut().find(|(same, _)| *same == outcome) {
                    Some((_, machines)) => machines.push(machine),
                    None => grouped.push((outcome, vec![machine])),
                }
            }
            for (outcome, machines) in grouped {
                table.push_str(&format!("    {}: {outcome}\n", machines.join(" ")));
            }
        });
        assert!(table == TABLE, "the machine does this:\n{table}");
    }

    #[test]
    fn the_documented_table_is_that_of_the_machine() {
        let states = ["LOGGED_OUT", "LOGGING_IN", "ACTIVE", "UNREACHABLE", "EXPIRED", "REJECTED", "CLOSED"];
        let mut rows: Vec<(&str, String)> = Vec::new();
        each_input(|name, input| {
            let outcomes = outcomes(input);
            let cells = states.map(|state| {
                let mut next = Vec::new();
                let of_state = outcomes.iter().filter(|(name, ..)| name.split('/').next() == Some(state));
                for after in of_state.map(|(.., after)| short(*after)).filter(|after| after != state) {
                    if !next.contains(&after) {
                        next.push(after);
                    }
                }
                next.join(" or ")
            });
            rows.push((name, cells.join(" | ")));
        });
        let base = |name: &'static str| name.split(',').next().unwrap();
        let mut table = format!("| | {} |\n|---|{}\n", states.join(" | "), "---|".repeat(states.len()));
        for (name, cells) in &rows {
            let alike =
                rows.iter().filter(|(other, _)| base(other) == base(name)).all(|(_, other)| other == cells);
            let line = format!("| {} | {cells} |\n", if alike { base(name) } else { name });
            if !table.contains(&line) && cells.chars().any(char::is_alphabetic) {
                table.push_str(&line);
            }
        }
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md");
        assert!(std::fs::read_to_string(file).unwrap().contains(&table), "{file} lacks this table:\n{table}");
    }
}
