//! What all server sessions of one `Session` share, because it is about the account and not about a session: the credentials
//! that a server refused, the number of failed logins, and the password that the program gave later.

use std::time::Duration;

use super::rest::Rest;
use super::state::Input;
use super::vim25::Vim25;
use super::{Session, closed};
use crate::auth::credential::Credential;
use crate::auth::fingerprint::Fingerprint;
use crate::error::{Error, Result};
use crate::runtime::phase::Phase;
use crate::runtime::secret::Secret;
use crate::runtime::signal::Signal;
use crate::runtime::wait::{WaitError, Watch};
use crate::status::Status;
use crate::sync::{Arc, Instant};

#[derive(Default)]
pub(super) struct Account {
    pub(super) refused: Refused,
    /// Logins that failed in a row, or brought no successful call.
    pub(super) failures: u32,
    /// The password that the program gave after the session was opened.
    pub(super) given: Option<Secret>,
    /// The program has given a password that no login has read yet.
    pub(super) newer_given: bool,
    /// The user of the last credential.
    pub(super) user: Option<String>,
    /// When the login began that has the turn.
    pub(super) login_began: Option<Instant>,
    /// Fires at the end of that login, if another one waits for it.
    pub(super) login_over: Option<Arc<Signal>>,
    /// How long REST logins have waited for the vim25 service in vain.
    pub(super) vim25_silence: Silence,
}

/// The turn of a login, until it is dropped. Logins to two services at once could each send the password that the other one is about
/// to learn is wrong, and it would count twice on the account.
pub(super) struct Turn<'a>(Option<&'a Session>);

impl Turn<'_> {
    /// Once a login has taken longer, no login to another service waits for it: its service hangs. In the models time passes in jumps.
    pub(super) const PATIENCE: Duration =
        if cfg!(vsession_model) { Duration::MAX } else { Duration::from_secs(5) };
}

/// How long logins have waited in vain for a service, all together. With near deadlines none of them may have waited long enough to go on
/// without it.
#[derive(Default)]
pub(super) struct Silence {
    waited: Duration,
    /// When the last of them stopped waiting.
    ended: Option<Instant>,
}

impl Silence {
    /// A service that was silent is asked again after so long.
    const MEMORY: Duration = Duration::from_secs(30);

    /// How much longer a login waits for an answer.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        Turn::PATIENCE.saturating_sub(self.lasted(now))
    }

    /// A wait that began at `began` brought no answer.
    pub(super) fn note(&mut self, began: Instant, now: Instant) {
        let lasted = self.lasted(now);
        // From then on nobody waits, so no later end may prolong the memory.
        if lasted < Turn::PATIENCE {
            let waited = lasted + now.saturating_duration_since(began);
            *self = Silence { waited, ended: Some(now) };
        }
    }

    fn lasted(&self, now: Instant) -> Duration {
        let recent = self.ended.is_some_and(|ended| now.saturating_duration_since(ended) < Silence::MEMORY);
        if recent { self.waited } else { Duration::ZERO }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(session) = self.0 else { return };
        let over = {
            let mut account = session.account.lock();
            account.login_began = None;
            account.login_over.take()
        };
        if let Some(over) = over {
            over.fire();
        }
    }
}

/// Credentials that only a login by hand may send again. Entries leave only when the server accepts the credentials: a list
/// that forgot others could be filled until it has forgotten the ones to be sent again.
#[derive(Default)]
pub(super) struct Refused {
    credentials: Vec<Fingerprint>,
    /// The credentials that the server accepted last.
    accepted: Option<Fingerprint>,
    /// What the server said to the last refused ones.
    error: Option<Error>,
}

impl Refused {
    /// With this many refused, the library sends no others by itself except those that were accepted last.
    const CAPACITY: usize = 64;

    const ADVICE: &str = "the credentials were refused and are not tried again by themselves; call vsession_set_password with others, or vsession_login when they are right";

    const ADVICE_WHEN_FULL: &str = "so many credentials were refused that no others are tried by themselves; set the right ones and call vsession_login";

    /// The server refused the credentials with this error.
    pub(super) fn note(&mut self, credentials: Fingerprint, error: &Error) {
        self.accepted.take_if(|accepted| *accepted == credentials);
        if !self.contains(credentials) && self.credentials.len() < Refused::CAPACITY {
            self.credentials.push(credentials);
        }
        self.error = Some(error.clone());
    }

    /// The server accepted the credential.
    pub(super) fn accept(&mut self, credential: &Credential) {
        if !credential.reusable {
            return self.note(credential.fingerprint, &used_up(credential));
        }
        self.credentials.retain(|refused| *refused != credential.fingerprint);
        self.accepted = Some(credential.fingerprint);
    }

    pub(super) fn contains(&self, credentials: Fingerprint) -> bool {
        self.credentials.contains(&credentials) && !planted!("refusal-forgotten")
    }

    /// Whether an automatic login must not send these credentials.
    pub(super) fn stops(&self, credentials: Fingerprint) -> bool {
        let full = self.credentials.len() == Refused::CAPACITY && self.accepted != Some(credentials);
        full || self.contains(credentials)
    }

    /// The error for callers who would need them sent. Built anew each time from what the server said.
    pub(super) fn answer(&self) -> Error {
        let full = self.credentials.len() >= Refused::CAPACITY;
        let advice = if full { Refused::ADVICE_WHEN_FULL } else { Refused::ADVICE };
        match &self.error {
            Some(error) => not_tried(error, advice),
            // unreached: who notes refused credentials has an error
            None => Error::new(Status::VSESSION_E_INVALID_LOGIN, advice).not_run(),
        }
    }
}

/// An earlier error as the answer to a call that made no request. It is never stored: an error built from it would grow
/// with each answer.
pub(super) fn not_tried(earlier: &Error, advice: &str) -> Error {
    let told = earlier.clone().reworded(|message| format!("{advice} ({message})"));
    told.with(|d| d.not_tried = true).not_run()
}

impl Session {
    /// Waits for the turn of a login. Fails only where the wait itself has to end.
    pub(super) async fn login_turn(&self, watch: &Watch) -> std::result::Result<Turn<'_>, WaitError> {
        if planted!("logins-without-turns") {
            return Ok(Turn(None));
        }
        let mut came = None;
        loop {
            let now = Instant::now();
            let (over, began) = {
                let mut account = self.account.lock();
                let Some(began) = account.login_began else {
                    account.login_began = Some(now);
                    watch.tell(Phase::Start);
                    return Ok(Turn(Some(self)));
                };
                (account.login_over.get_or_insert_default().clone(), began)
            };
            watch.tell(Phase::OtherLogin);
            // The login with the turn may have hung before this one came, and several may go before it.
            let from = began.min(*came.get_or_insert(now));
            if watch.until(from.checked_add(Turn::PATIENCE)).wait_for(&over).await.is_err() {
                watch.check()?;
                watch.tell(Phase::Start);
                return Ok(Turn(None));
            }
        }
    }

    /// Sets another password for the logins to come, which ends the state of refused credentials. One that was refused before is
    /// not taken: a program that cannot tell old from new would set it for ever.
    pub(crate) fn set_password(self: &Arc<Self>, password: Secret) -> Result<()> {
        if password.reveal().is_empty() && !self.config.allow_empty_password {
            return Err(Error::invalid_argument(
                "password",
                "empty; where the account has none, set the option 'allow_empty_password'",
            ));
        }
        {
            let mut renewal = self.vim.renewal.lock();
            if renewal.machine.is_closed() {
                return Err(closed().not_run());
            }
            let mut account = self.account.lock();
            // Where a credentials function names the user, it is the one that it named last.
            let user = self.config.username.as_ref().or(account.user.as_ref());
            let credentials = user.map(|user| Fingerprint::of(user, &password));
            if credentials.is_some_and(|credentials| account.refused.contains(credentials)) {
                return Err(refused_before(&self.vim.kind.endpoint.server()));
            }
            account.given = Some(password);
            account.newer_given = true;
            if credentials.is_some_and(|credentials| account.refused.stops(credentials)) {
                return Ok(());
            }
            drop(account);
            self.feed(&mut renewal, Input::NewCredentials);
        }
        self.keepalive_soon::<Vim25>();
        if let Some(rest) = self.rest.get() {
            self.feed(&mut rest.renewal.lock(), Input::NewCredentials);
            self.keepalive_soon::<Rest>();
        }
        Ok(())
    }
}

fn refused_before(server: &str) -> Error {
    Error::new(
        Status::VSESSION_E_INVALID_LOGIN,
        format!(
            "{server} has refused this user with this password; the password was not taken: set another one, or call vsession_login to have what was set before tried again"
        ),
    )
    .not_run()
}

fn used_up(credential: &Credential) -> Error {
    let message = format!("the credential of '{}' serves for one login, which it has made", credential.user);
    Error::new(Status::VSESSION_E_INVALID_LOGIN, message).not_run()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::credential::Source;

    fn credential(password: &str) -> Credential {
        Credential::password("u".into(), Secret::new(password), Source::Program)
    }

    #[test]
    fn a_credential_that_serves_once_is_not_sent_again() {
        let mut refused = Refused::default();
        let ticket = Credential { reusable: false, ..credential("ticket") };
        for accepted in [&credential("password"), &ticket] {
            refused.accept(accepted);
        }
        assert!(!refused.stops(credential("password").fingerprint));
        assert!(refused.stops(ticket.fingerprint));
        assert!(refused.answer().detail().message.contains("serves for one login"));
    }

    #[test]
    fn waits_in_vain_add_up_until_they_are_long_ago() {
        let mut silence = Silence::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        silence.note(at(0), at(3));
        assert_eq!(silence.patience(at(4)), Duration::from_secs(2));
        silence.note(at(10), at(12));
        assert_eq!(silence.patience(at(13)), Duration::ZERO);
        silence.note(at(40), at(40));
        assert_eq!(silence.patience(at(41)), Duration::ZERO);
        assert_eq!(silence.patience(at(42)), Duration::from_secs(5), "it is asked again");
    }

    #[test]
    fn a_full_list_lets_only_the_accepted_credential_pass() {
        let mut refused = Refused::default();
        let error = Error::new(Status::VSESSION_E_INVALID_LOGIN, "no");
        let good = credential("good");
        refused.accept(&good);
        let wrong = |n: usize| credential(&format!("wrong {n}")).fingerprint;
        (0..Refused::CAPACITY).for_each(|n| refused.note(wrong(n), &error));
        assert!(refused.stops(wrong(0)) && refused.stops(credential("never sent").fingerprint));
        assert!(!refused.stops(good.fingerprint));
    }
}
