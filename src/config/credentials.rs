//! Where user name and password come from: the options themselves, a file that is read at each login, or a function of the
//! program.

use std::fmt;
use std::path::Path;

use super::files::NamedFile;
use super::{Config, login_text};
use crate::error::{Error, Result};
use crate::runtime::secret::{Secret, Wiped};
use crate::status::Status;
use crate::sync::Arc;

type AskForCredentials = dyn Fn(u64) -> Result<(String, Secret)> + Send + Sync;

/// The program's function that knows user name and password, given the session's handle.
#[derive(Clone)]
pub(crate) struct CredentialsSource(pub(crate) Arc<AskForCredentials>);

impl fmt::Debug for CredentialsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsSource")
    }
}

impl Config {
    /// Whether a later login may find other credentials although the program sets none.
    pub(crate) fn credentials_may_change(&self) -> bool {
        self.credentials_source.is_some() || self.password_file.is_some()
    }

    /// User name and password as they are now. `given` is a password that the program set later; it wins. A password file is read
    /// each time, so that a rotated password is found.
    pub(crate) fn credentials(&self, given: Option<Secret>) -> Result<(String, Secret)> {
        let missing = |what: &str| {
            Error::new(
                Status::VSESSION_E_CONFIG,
                format!(
                    "no {what} is configured; set the options 'username' and 'password' (or 'password_file') before vsession_open, or GOVC_USERNAME and GOVC_PASSWORD where the environment is read"
                ),
            )
        };
        let user = self.username.clone().ok_or_else(|| missing("user name"))?;
        if let Some(password) = given {
            return Ok((user, password));
        }
        if let Some(file) = &self.password_file {
            return Ok((user, password_of(file)?));
        }
        let password = self.password.clone().ok_or_else(|| missing("password"))?;
        Ok((user, password))
    }

    /// Whether this password may be sent at all. Its characters were checked when it was set.
    pub(crate) fn check_password(&self, password: &Secret) -> Result<()> {
        if password.reveal().is_empty() && !self.allow_empty_password {
            return Err(Error::new(
                Status::VSESSION_E_CONFIG,
                "the password is empty, so no login was sent; set one, or the option 'allow_empty_password' where the account has none",
            ));
        }
        Ok(())
    }
}

/// The password that a file holds now. A moment later the file may hold another one, or may have been written at all.
fn password_of(path: &Path) -> Result<Secret> {
    let file = NamedFile::of_option("password_file", path);
    let text = login_text_of(&file, |text| text.trim_end_matches(['\r', '\n']));
    text.map(Secret::from_wiped).map_err(|error| error.with(|d| d.retriable = true))
}

/// The text for a login in a file: what `part` takes of it, without a byte order mark.
pub(super) fn login_text_of(file: &NamedFile, part: impl Fn(&str) -> &str) -> Result<Wiped<String>> {
    let text = file.read_text(login_text::MOST)?;
    let text = part(text.strip_prefix('\u{feff}').unwrap_or(&text));
    if text.is_empty() {
        return Err(file.unusable("is empty; it was about to be written, or its secret is missing"));
    }
    login_text::check(text).map_err(|problem| file.unusable(format!("cannot be used: {problem}")))?;
    Ok(Wiped::new(text.to_string()))
}
