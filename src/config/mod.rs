//! What a session is to be like: values with their defaults, read from a URL, from options by name, or from the
//! environment. A configuration is plain data. Sessions that were opened from an unchanged one share it; a change makes a copy
//! first.

mod env;
mod exceptions;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod known_hosts;
pub(crate) mod login_text;
mod options;
mod proxy;
mod url;

pub(crate) use env::from_environment;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::net;
use crate::runtime::event::Queue;
use crate::runtime::log::log;
use crate::runtime::secret::{Secret, Wiped};
use crate::status::Status;
use crate::sync::Arc;
use url::Url;

/// When the library logs in by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relogin {
    /// At the first call and whenever the session has ended.
    Auto,
    /// Never: only `vsession_login` does.
    Never,
}

/// How keep-alive asks for a sign of life.
#[derive(Clone)]
pub(crate) enum Probe {
    CurrentTime,
    CurrentSession,
    /// The program's own function, given the session's handle.
    Custom(Arc<dyn Fn(u64) -> Status + Send + Sync>),
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Probe::CurrentTime => "CurrentTime",
            Probe::CurrentSession => "CurrentSession",
            Probe::Custom(_) => "Custom",
        })
    }
}

type AskForCredentials = dyn Fn(u64) -> Result<(String, Secret)> + Send + Sync;

/// The program's function that knows user and password, given the session's handle.
#[derive(Clone)]
pub(crate) struct CredentialsSource(pub(crate) Arc<AskForCredentials>);

impl fmt::Debug for CredentialsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsSource")
    }
}

/// A configuration with every option at its value or default.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) url: Url,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<Secret>,
    pub(crate) allow_empty_password: bool,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) locale: Option<String>,
    pub(crate) tls_verify: bool,
    pub(crate) tls_ca_files: Vec<PathBuf>,
    pub(crate) tls_thumbprints: Vec<net::Thumbprint>,
    pub(crate) tls_known_hosts: Vec<PathBuf>,
    pub(crate) tls_only_1_3: bool,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) private_key: Option<PathBuf>,
    pub(crate) proxy: proxy::Choice,
    pub(crate) no_proxy: Option<exceptions::Exceptions>,
    /// `None`: no limit.
    pub(crate) timeout: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_reply_bytes: u64,
    pub(crate) user_agent: String,
    pub(crate) api_version: Option<String>,
    pub(crate) relogin: Relogin,
    pub(crate) backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) close_logs_out: bool,
    /// Zero: no keep-alive unless it is started by hand.
    pub(crate) keepalive_interval: Duration,
    pub(crate) probe: Probe,
    /// Asked for user and password at each login.
    pub(crate) credentials_source: Option<CredentialsSource>,
    /// Where events go.
    pub(crate) queue: Option<Arc<Queue>>,
}

impl Config {
    pub(crate) fn new(url: &str) -> Result<Config> {
        let mut config = Config {
            url: Url::default(),
            username: None,
            password: None,
            allow_empty_password: false,
            password_file: None,
            locale: None,
            tls_verify: true,
            tls_ca_files: Vec::new(),
            tls_thumbprints: Vec::new(),
            tls_known_hosts: Vec::new(),
            tls_only_1_3: false,
            certificate: None,
            private_key: None,
            proxy: proxy::Choice::None,
            no_proxy: None,
            timeout: Some(Duration::from_secs(120)),
            connect_timeout: Duration::from_secs(15),
            max_connections: 64,
            idle_timeout: Duration::from_secs(15),
            max_reply_bytes: 64 << 20,
            user_agent: concat!("libvsession/", env!("CARGO_PKG_VERSION")).into(),
            api_version: None,
            relogin: Relogin::Auto,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            close_logs_out: true,
            keepalive_interval: Duration::from_secs(600),
            probe: Probe::CurrentTime,
            credentials_source: None,
            queue: None,
        };
        config.set_url(url).map_err(|problem| Error::invalid_argument("url", problem))?;
        Ok(config)
    }

    /// Takes the server from a URL, and the credentials where it holds some.
    fn set_url(&mut self, text: &str) -> std::result::Result<(), String> {
        if text.len() > login_text::MOST {
            return Err("it is longer than 64 KiB".into());
        }
        let (url, user, password) = url::parse(text)?;
        self.url = url;
        if let Some(user) = user {
            self.username = Some(user);
        }
        if let Some(password) = password {
            self.password = Some(password);
        }
        Ok(())
    }

    /// Sets an option by its documented name.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        options::set(self, name, value)
    }

    /// Whether another login may find other credentials than this one, without the program's doing.
    pub(crate) fn credentials_may_change(&self) -> bool {
        self.credentials_source.is_some() || self.password_file.is_some()
    }

    /// User name and password as they are now. `given` is a password that the program set later and that wins. A password
    /// file is read each time, so that a rotated one is found.
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

    /// Whether this password may be sent at all; what it holds was looked at where it came in.
    pub(crate) fn check_password(&self, password: &Secret) -> Result<()> {
        if password.reveal().is_empty() && !self.allow_empty_password {
            return Err(Error::new(
                Status::VSESSION_E_CONFIG,
                "the password is empty, so no login was sent; set one, or the option 'allow_empty_password' where the account has none",
            ));
        }
        Ok(())
    }

    /// The options of TLS that are set although the server is reached without it. They are no error: the environment may set them
    /// for other servers. A thumbprint is meant for this one.
    fn options_without_effect(&self) -> impl Iterator<Item = &'static str> {
        let options = [
            ("tls.ca_file", !self.tls_ca_files.is_empty()),
            ("tls.known_hosts", !self.tls_known_hosts.is_empty()),
            ("tls.min_version", self.tls_only_1_3),
            ("certificate", self.certificate.is_some()),
            ("private_key", self.private_key.is_some()),
        ];
        let https = self.url.https;
        options.into_iter().filter(move |(_, set)| *set && !https).map(|(option, _)| option)
    }

    /// What the network layer needs; reads the certificate files.
    pub(crate) fn net(&self) -> Result<net::Settings> {
        if !self.url.https && !self.tls_thumbprints.is_empty() {
            return Err(Error::new(
                Status::VSESSION_E_CONFIG,
                "option 'tls.thumbprint' is set, and the address is http://, where there is no certificate; use https://",
            ));
        }
        for option in self.options_without_effect() {
            log!(
                Warning,
                "option '{option}' has no effect: 'url' is http://, where there is no TLS; write https://"
            );
        }
        let tls = if self.url.https { Some(self.tls()?) } else { None };
        Ok(net::Settings {
            tls,
            proxy: proxy::for_server(&self.proxy, self.no_proxy.as_ref(), &self.url, |name| {
                std::env::var_os(name)
            })?,
            idle_timeout: self.idle_timeout,
            host: self.url.host.clone(),
            port: self.url.port,
            connect_timeout: self.connect_timeout,
            max_connections: self.max_connections,
            user_agent: self.user_agent.clone(),
        })
    }
}

impl Config {
    fn tls(&self) -> Result<net::Tls> {
        let mut listed = Vec::new();
        for file in &self.tls_ca_files {
            let pem = read_file("tls.ca_file", file)?;
            listed.extend(net::read_pem(&pem).map_err(|problem| {
                let message = format!("option 'tls.ca_file': '{}' {problem}", file.display());
                Error::new(Status::VSESSION_E_CONFIG, message)
            })?);
        }
        let mut thumbprints = self.tls_thumbprints.clone();
        if thumbprints.is_empty() {
            for file in &self.tls_known_hosts {
                let text = files::read_text("option 'tls.known_hosts'", file, files::MOST)?;
                thumbprints.extend(known_hosts::thumbprints(&text, &self.url.host, self.url.port).map_err(
                    |problem| {
                        let message = format!("option 'tls.known_hosts': '{}': {problem}", file.display());
                        Error::new(Status::VSESSION_E_CONFIG, message)
                    },
                )?);
            }
        }
        Ok(net::Tls {
            verify: self.tls_verify,
            ca: (!self.tls_ca_files.is_empty()).then_some(listed),
            thumbprints,
            only_1_3: self.tls_only_1_3,
            identity: self.identity()?,
        })
    }

    /// The client certificate. A key that stands in the same file need not be named.
    fn identity(&self) -> Result<Option<net::Identity>> {
        let Some(certificate) = &self.certificate else {
            return match &self.private_key {
                None => Ok(None),
                Some(_) => Err(Error::new(
                    Status::VSESSION_E_CONFIG,
                    "option 'private_key' is set without 'certificate'; set both, or neither",
                )),
            };
        };
        let (option, file) = match &self.private_key {
            Some(file) => ("option 'private_key'", file),
            None => ("option 'certificate'", certificate),
        };
        let key = Secret::from_wiped(files::read_text(option, file, files::MOST)?);
        let certificate = read_file("certificate", certificate)?.to_vec();
        Ok(Some(net::Identity { certificate, key }))
    }
}

/// The password that a file holds at this moment. It may be another one, or there at all, a moment later.
fn password_of(file: &Path) -> Result<Secret> {
    let text = login_file("option 'password_file'", file, |text| text.trim_end_matches(['\r', '\n']));
    text.map(Secret::from_wiped).map_err(|error| error.with(|d| d.retriable = true))
}

/// What a file holds for a login: without its mark, and of the rest what `part` takes.
fn login_file(source: &str, file: &Path, part: impl Fn(&str) -> &str) -> Result<Wiped<String>> {
    let text = files::read_text(source, file, login_text::MOST)?;
    let text = part(text.strip_prefix('\u{feff}').unwrap_or(&text));
    let refused = |problem: &str| {
        let message = format!("{source}: '{}' {problem}", file.display());
        Err(Error::new(Status::VSESSION_E_CONFIG, message))
    };
    if text.is_empty() {
        return refused("is empty; it was about to be written, or its secret is missing");
    }
    match login_text::check(text) {
        Ok(()) => Ok(Wiped::new(text.to_string())),
        Err(problem) => refused(&format!("cannot be used: {problem}")),
    }
}

fn read_file(option: &str, file: &Path) -> Result<Wiped<Vec<u8>>> {
    files::read(&format!("option '{option}'"), file, files::MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_tls_that_http_makes_void_are_told() {
        for (option, value) in [
            ("tls.ca_file", "/ca.pem"),
            ("tls.known_hosts", "/known_hosts"),
            ("tls.min_version", "1.3"),
            ("certificate", "/client.pem"),
            ("private_key", "/client.key"),
        ] {
            for (url, told) in [("http://vc", vec![option]), ("https://vc", vec![])] {
                let mut config = Config::new(url).unwrap();
                assert_eq!(config.options_without_effect().count(), 0);
                config.set(option, value).unwrap();
                assert_eq!(config.options_without_effect().collect::<Vec<_>>(), told);
            }
            let mut config = Config::new("http://vc").unwrap();
            config.set(option, value).unwrap();
            config.net().unwrap();
        }
    }

    #[test]
    fn a_file_without_an_end_is_an_error() {
        for option in ["tls.ca_file", "tls.known_hosts", "certificate"] {
            let mut config = Config::new("vc").unwrap();
            config.set(option, "/dev/zero").unwrap();
            let error = config.net().unwrap_err();
            assert_eq!(error.status(), Status::VSESSION_E_CONFIG);
            assert!(error.detail().message.contains(option), "{error}");
            assert!(error.detail().message.contains("is a device"), "{error}");
        }
    }
}
