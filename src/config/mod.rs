//! The configuration of a session: values with their defaults, set by a URL, by options by name, or from the environment. A
//! configuration is plain data. Sessions opened from an unchanged one share it; a change copies it first.

mod credentials;
mod env;
mod files;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod known_hosts;
pub(crate) mod login_text;
mod no_proxy;
mod options;
mod proxy;
mod tls;
mod url;

pub(crate) use env::from_environment;

use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::auth::credential::Credential;
use crate::error::{Error, Result};
use crate::net;
use crate::runtime::event::Queue;
use crate::runtime::secret::Secret;
use crate::status::Status;
use crate::sync::Arc;
use crate::vim::versions::is_newer;
use files::NamedFile;
use url::Url;

/// When the library logs in on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Relogin {
    /// At the first call and whenever the session has ended.
    #[default]
    Auto,
    /// Only when the program calls `vsession_login`.
    Never,
}

/// Where the session for REST requests comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RestWay {
    /// The vim25 session where the server shares it, otherwise a login to what the server has.
    #[default]
    Auto,
    /// The vim25 session.
    Unified,
    /// A login to `/api/session`.
    Api,
    /// A login to `/rest/com/vmware/cis/session`.
    Legacy,
}

/// Whether replies are asked for in gzip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Compression {
    /// Unless the server is on this machine, where no line is slow enough to repay the work.
    #[default]
    Auto,
    On,
    Off,
}

/// The request by which keep-alive asks the server for a sign of life.
#[derive(Clone, Debug, Default)]
pub(crate) enum Probe {
    #[default]
    CurrentTime,
    CurrentSession,
    Custom(ProgramFunction<Status>),
}

/// A function of the program, called with the session's handle.
#[derive(Clone)]
pub(crate) struct ProgramFunction<T>(pub(crate) Arc<dyn Fn(u64) -> T + Send + Sync>);

impl<T> fmt::Debug for ProgramFunction<T> {
    // unreached: a trait requires it, and nothing calls it
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgramFunction")
    }
}

/// A configuration with every option at its value or default.
#[derive(Clone, Debug, Default)]
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
    pub(crate) no_proxy: Option<no_proxy::NoProxy>,
    /// `None`: no limit.
    pub(crate) timeout: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_connections: usize,
    pub(crate) max_long_polls: usize,
    pub(crate) max_async_calls: u64,
    pub(crate) idle_timeout: Duration,
    /// `None`: the kernel does not look after the peer.
    pub(crate) tcp_keepalive: Option<Duration>,
    pub(crate) max_reply_bytes: u64,
    pub(crate) user_agent: String,
    pub(crate) compression: Compression,
    /// A call that may run twice is repeated after these HTTP statuses.
    pub(crate) retry_statuses: Vec<u16>,
    pub(crate) trace_dir: Option<PathBuf>,
    /// The most bytes of each body in a trace.
    pub(crate) trace_bodies: u64,
    pub(crate) api_version: Option<String>,
    pub(crate) api_version_max: Option<String>,
    pub(crate) relogin: Relogin,
    pub(crate) rest: RestWay,
    pub(crate) backoff: Duration,
    pub(crate) max_backoff: Duration,
    pub(crate) close_logs_out: bool,
    /// Zero: keep-alive runs only when it is started by hand.
    pub(crate) keepalive_interval: Duration,
    pub(crate) probe: Probe,
    /// Asked for a credential at each login.
    pub(crate) credentials_function: Option<ProgramFunction<Result<Credential>>>,
    /// Where events go.
    pub(crate) queue: Option<Arc<Queue>>,
}

impl Config {
    pub(crate) fn new(url: &str) -> Result<Config> {
        let mut config = Config {
            tls_verify: true,
            timeout: Some(Duration::from_secs(120)),
            connect_timeout: Duration::from_secs(15),
            max_connections: 64,
            max_long_polls: 64,
            max_async_calls: 16384,
            idle_timeout: Duration::from_secs(15),
            tcp_keepalive: Some(Duration::from_secs(60)),
            max_reply_bytes: 64 << 20,
            user_agent: concat!("libvsession/", env!("CARGO_PKG_VERSION")).into(),
            trace_bodies: 1 << 20,
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(60),
            close_logs_out: true,
            keepalive_interval: Duration::from_secs(600),
            ..Config::default()
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
        self.username = user.or_else(|| self.username.take());
        self.password = password.or_else(|| self.password.take());
        Ok(())
    }

    /// Where requests are traced. Makes the directory.
    fn trace(&self, dir: &Path) -> Result<net::TraceSettings> {
        // A program may change its directory later.
        let absolute = std::path::absolute(dir);
        let made = absolute.and_then(|dir| {
            let made = DirBuilder::new().mode(0o700).create(&dir);
            if dir.is_dir() { Ok(dir) } else { made.map(|()| dir) }
        });
        let dir = made.map_err(|error| {
            let named = NamedFile::of_option("trace.dir", dir);
            named.unusable(format!("is no directory and cannot be made one: {error}")).caused_by(&error)
        })?;
        Ok(net::TraceSettings { dir, bodies: self.trace_bodies })
    }

    /// Refuses a version of the API beside a limit that excludes it.
    pub(crate) fn check_api_version(&self) -> Result<()> {
        match (&self.api_version, &self.api_version_max) {
            (Some(version), Some(newest)) if is_newer(version, newest) => Err(Error::config(format!(
                "option 'api_version' is '{version}', newer than 'api_version_max', which is '{newest}'; change one of them"
            ))),
            _ => Ok(()),
        }
    }

    /// The settings of the network layer. Reads the certificate files, and makes the directory for traces.
    pub(crate) fn net(&self) -> Result<net::Settings> {
        let mut settings = net::Settings {
            tls: self.tls()?,
            proxy: proxy::for_server(&self.proxy, self.no_proxy.as_ref(), &self.url, |name| {
                std::env::var_os(name)
            })?,
            idle_timeout: self.idle_timeout,
            tcp_keepalive: self.tcp_keepalive,
            service: "",
            host: self.url.host.clone(),
            port: self.url.port,
            connect_timeout: self.connect_timeout,
            max_connections: self.max_connections,
            max_long_polls: self.max_long_polls,
            user_agent: self.user_agent.clone(),
            gzip: self.compression == Compression::On,
            trace: self.trace_dir.as_deref().map(|dir| self.trace(dir)).transpose()?,
        };
        if self.compression == Compression::Auto {
            settings.gzip = !settings.stays_on_this_machine();
        }
        Ok(settings)
    }
}
