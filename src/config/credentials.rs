//! Where credentials come from: the program's function, a password that it set later, a file, options. Each is read anew at each
//! login, so that a credential that was rotated is found.

use std::path::Path;

use super::files::NamedFile;
use super::{Config, login_text};
use crate::auth::credential::{Credential, Kind, Source};
use crate::error::{Error, Result};
use crate::runtime::secret::{Secret, Wiped};

impl Config {
    /// Whether the next login may find other credentials although the program changed nothing.
    pub(crate) fn credentials_may_change(&self) -> bool {
        self.credentials_function.is_some() || self.password_file.is_some()
    }

    /// The credential for a login of the session with this handle. `given`: the password that the program set on the open
    /// session, which wins.
    pub(crate) fn credential(&self, given: Option<Secret>, handle: u64) -> Result<Credential> {
        let credential = match (&self.credentials_function, given) {
            (Some(function), None) => (function.0)(handle)?,
            // The function still says for whom.
            (Some(function), Some(password)) if self.username.is_none() => {
                Credential::password((function.0)(handle)?.user, password, Source::Program)
            }
            (_, Some(password)) => Credential::password(self.user()?, password, Source::Program),
            (None, None) => self.password_credential()?,
        };
        let Kind::Password(password) = &credential.kind;
        if password.reveal().is_empty() && !self.allow_empty_password {
            return Err(Error::config(
                "the password is empty, so no login was sent; set one, or the option 'allow_empty_password' where the account has none",
            ));
        }
        Ok(credential)
    }

    fn password_credential(&self) -> Result<Credential> {
        let user = self.user()?;
        if let Some(path) = &self.password_file {
            let source = Source::File { option: "password_file", path: path.clone() };
            return Ok(Credential::password(user, password_of(path)?, source));
        }
        let password = self.password.clone().ok_or_else(|| missing("password"))?;
        Ok(Credential::password(user, password, Source::Configuration))
    }

    fn user(&self) -> Result<String> {
        self.username.clone().ok_or_else(|| missing("user name"))
    }
}

fn missing(what: &str) -> Error {
    Error::config(format!(
        "no {what} is configured; set the options 'username' and 'password' (or 'password_file') before vsession_open, or GOVC_USERNAME and GOVC_PASSWORD where the environment is read"
    ))
}

/// The password that a file holds now. A failure is retriable, because the file may be replaced a moment later.
fn password_of(path: &Path) -> Result<Secret> {
    let file = NamedFile::of_option("password_file", path);
    let text = login_text_of(&file, |text| text.trim_end_matches(['\r', '\n']));
    text.map(Secret::from_wiped).map_err(|error| error.with(|d| d.retriable = true))
}

/// The text that a file holds for a login: the part of it that `part` selects, without a byte order mark.
pub(super) fn login_text_of(file: &NamedFile, part: impl Fn(&str) -> &str) -> Result<Wiped<String>> {
    let text = file.read_text(login_text::MOST)?;
    let text = part(text.strip_prefix('\u{feff}').unwrap_or(&text));
    if text.is_empty() {
        return Err(file.unusable("is empty; it is still being written, or its secret is missing"));
    }
    login_text::check(text).map_err(|problem| file.unusable(format!("cannot be used: {problem}")))?;
    Ok(Wiped::new(text.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_needs_a_user_name_and_a_password() {
        for (url, problem) in [
            ("https://vc", "no user name is configured"),
            ("https://:pass@vc", "no user name is configured"),
            ("https://user@vc", "no password is configured"),
            ("https://user:@vc", "the password is empty"),
        ] {
            let error = Config::new(url).unwrap().credential(None, 0).err().unwrap();
            assert!(error.detail().message.starts_with(problem), "{url}: {error}");
            assert_eq!(error.status(), crate::status::Status::VSESSION_E_CONFIG);
        }
        let mut config = Config::new("https://user:@vc").unwrap();
        config.allow_empty_password = true;
        assert!(config.credential(None, 0).is_ok());
        assert!(Config::new("https://user@vc").unwrap().credential(Some(Secret::new("given")), 0).is_ok());
    }
}
