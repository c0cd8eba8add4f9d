//! Credentials as data: what is presented to a server at a sign-in. The configuration says where they come from
//! (`config/credentials.rs`); a sign-in turns one into a server session.

use std::path::PathBuf;

use super::fingerprint::Fingerprint;
use crate::error::{Error, Result};
use crate::runtime::secret::Secret;

/// A credential as it was read from its source.
#[derive(Clone)]
pub(crate) struct Credential {
    pub(crate) user: String,
    pub(crate) kind: Kind,
    pub(crate) source: Source,
    /// Tells it from others, so that one that was refused is known again.
    pub(crate) fingerprint: Fingerprint,
    /// Milliseconds since 1970, UTC, from which no server accepts it any more. `None`: it does not expire.
    pub(crate) expires_ms: Option<i64>,
    /// It may be sent more than once.
    pub(crate) reusable: bool,
}

/// What proves the identity. Each kind has its sign-ins.
#[derive(Clone)]
pub(crate) enum Kind {
    Password(Secret),
}

/// Where a credential came from. A file or a function may give another one by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// An option or the URL.
    Configuration,
    /// The file that an option names.
    File { option: &'static str, path: PathBuf },
    /// The program's function.
    Function,
    /// The program set it on an open session.
    Program,
}

impl Credential {
    pub(crate) fn password(user: String, password: Secret, source: Source) -> Credential {
        let fingerprint = Fingerprint::of(&user, &password);
        Credential {
            user,
            kind: Kind::Password(password),
            source,
            fingerprint,
            expires_ms: None,
            reusable: true,
        }
    }

    /// Whether it may be sent at this time.
    pub(crate) fn check_expiry(&self, now_ms: i64) -> Result<()> {
        match self.expires_ms {
            Some(end) if now_ms >= end => Err(Error::config(format!(
                "the credential of '{}' has expired, so no login was sent; give another one",
                self.user
            ))),
            _ => Ok(()),
        }
    }

    /// A refusal, with where the credential can be corrected if that is a file.
    pub(crate) fn explain_refusal(&self, error: Error) -> Error {
        match &self.source {
            Source::File { option, path } => error.reworded(|message| {
                let what = option.trim_end_matches("_file");
                format!("{message}; the {what} is that of option '{option}' ('{}')", path.display())
            }),
            Source::Configuration | Source::Function | Source::Program => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_not_sent_from_its_expiry_on() {
        let mut credential = Credential::password("u".into(), Secret::new("p"), Source::Configuration);
        assert!(credential.check_expiry(i64::MAX).is_ok(), "a password does not expire");
        credential.expires_ms = Some(1000);
        assert!(credential.check_expiry(999).is_ok());
        let error = credential.check_expiry(1000).unwrap_err();
        assert!(error.detail().message.contains("'u' has expired"), "{error}");
    }
}
