//! The options by name: one table, from which setters, errors and documentation are made. A new option is one entry.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::no_proxy::NoProxy;
use super::{Compression, Config, Probe, Relogin, RestWay, login_text};
use crate::error::{Error, Result};
use crate::net::Thumbprint;
use crate::runtime::secret::Secret;
use crate::vim::versions::{is_released, is_version};

struct Opt {
    name: &'static str,
    /// The good values, for messages and the documentation.
    values: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "for the documentation, which a test writes"))]
    default: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "as above"))]
    about: &'static str,
    set: fn(&mut Config, &str) -> std::result::Result<(), String>,
}

/// The values that `boolean` accepts.
const BOOLEAN: &str = "`true` or `false`; also `1`, `0`, `yes`, `no`, `on`, `off`, in any case";

/// The longest time in milliseconds; the next number means "for ever" in the C API.
const LONGEST: u64 = u32::MAX as u64 - 1;
/// The kernel takes no more than 32,767 seconds.
const LONGEST_KEEPALIVE: u64 = 32_767_000;
const POSITIVE_MILLISECONDS: &str = "1 to 4294967294";

const OPTIONS: &[Opt] = &[
    Opt {
        name: "url",
        values: "`[https://][user[:password]@]host[:port][/sdk]`",
        default: "",
        about: "The server. `https` and `/sdk` are implied. User name and password are taken out of it and never sent as a part of it.",
        set: |c, v| c.set_url(v),
    },
    Opt {
        name: "username",
        values: "text",
        default: "",
        about: "The user to log in as, for example `administrator@vsphere.local`.",
        set: |c, v| optional_text(v).map(|v| c.username = v),
    },
    Opt {
        name: "password",
        values: "text",
        default: "",
        about: "The password. Its memory is zeroed when the last session and configuration that use it are gone. An empty value is an empty password and is not sent; see `allow_empty_password`.",
        set: |c, v| login_text::check(v).map(|()| c.password = Some(Secret::new(v))),
    },
    Opt {
        name: "password_file",
        values: "a path",
        default: "",
        about: "A file with the password, read at every login, so that a rotated password is found. Takes precedence over `password`. It must be a regular file of at most 64 KiB in UTF-8; a byte order mark at its beginning and line ends at its end are not part of the password. If the file is empty or cannot be used, the login fails before anything is sent.",
        set: |c, v| path(v).map(|v| c.password_file = v),
    },
    Opt {
        name: "locale",
        values: "a locale such as `en_US`",
        default: "the server's",
        about: "The language of the server's messages in this session.",
        set: |c, v| optional_text(v).map(|v| c.locale = v),
    },
    Opt {
        name: "tls.verify",
        values: BOOLEAN,
        default: "true",
        about: "Whether the server's certificate must be trusted. `false` accepts any certificate, even that of an attacker in between; a thumbprint that `tls.thumbprint` or `tls.known_hosts` names for the server is still required.",
        set: |c, v| boolean(v).map(|v| c.tls_verify = v),
    },
    Opt {
        name: "tls.ca_file",
        values: "paths of PEM files, separated by `:`",
        default: "the system's roots",
        about: "The certificates to trust instead of the system's. A CA certificate (basicConstraints CA:TRUE, and no key usage that forbids it to issue certificates) is a trust anchor for all servers. Any other certificate is trusted only as a server's own certificate, whose name and dates are verified. Read when a session is opened.",
        set: |c, v| {
            let files = paths(v);
            if files.is_empty() && !v.is_empty() {
                return Err("names no file".into());
            }
            c.tls_ca_files = files;
            Ok(())
        },
    },
    Opt {
        name: "tls.thumbprint",
        values: "SHA-256 or SHA-1 in hexadecimal, with or without colons; several separated by commas",
        default: "",
        about: "Trust only a certificate with one of these thumbprints, on every connection, regardless of its issuer, names, dates and form. Takes precedence over `tls.verify`, `tls.known_hosts` and `tls.ca_file`. An empty value is refused, because it would pin nothing.",
        set: |c, v| {
            let all: Option<Vec<_>> =
                v.split(',').filter(|t| !t.trim().is_empty()).map(Thumbprint::parse).collect();
            let all = all.ok_or("is not a thumbprint (64 or 40 hexadecimal digits)")?;
            if all.is_empty() {
                return Err("holds no thumbprint; do not set the option to pin none".into());
            }
            c.tls_thumbprints = all;
            Ok(())
        },
    },
    Opt {
        name: "tls.known_hosts",
        values: "paths of files, separated by `:`",
        default: "",
        about: "Files in govc's format (an empty value is refused, because it would pin nothing): lines of `host[:port] THUMBPRINT`, with the port 443 by default. If they name the server, in any spelling, only a certificate with that thumbprint is trusted, with `tls.verify=false` too; otherwise the other options decide. A line whose host cannot be understood is an error. Read when a session is opened.",
        set: |c, v| {
            c.tls_known_hosts = paths(v);
            if c.tls_known_hosts.is_empty() {
                return Err("names no file; do not set the option to pin no server".into());
            }
            Ok(())
        },
    },
    Opt {
        name: "tls.min_version",
        values: "`1.2` or `1.3`",
        default: "1.2",
        about: "The lowest version of TLS to speak. Versions before 1.2 are not supported.",
        set: |c, v| one_of(v, &[("1.2", false), ("1.3", true)]).map(|v| c.tls_only_1_3 = v),
    },
    Opt {
        name: "certificate",
        values: "path of a PEM file",
        default: "",
        about: "The client certificate to present when the server asks for one, followed by the intermediate certificates. Read when a session is opened.",
        set: |c, v| path(v).map(|v| c.certificate = v),
    },
    Opt {
        name: "private_key",
        values: "path of a PEM file (PKCS#8, PKCS#1 or SEC1, not encrypted)",
        default: "the file of `certificate`",
        about: "The private key of `certificate`.",
        set: |c, v| path(v).map(|v| c.private_key = v),
    },
    Opt {
        name: "proxy",
        values: "`none`, `env`, or `http://[user:password@]host[:port]`, or `socks5://[user:password@]host[:port]`",
        default: "none",
        about: "The proxy to reach the server through: HTTP CONNECT or SOCKS 5. The proxy resolves the server's name. The default port is 80 or 1080. Characters with a meaning in a URL are percent-encoded in user name and password. `env` takes the proxy from HTTPS_PROXY (for http:// from http_proxy, in lower case only) or ALL_PROXY, and the exceptions from NO_PROXY; the environment is read only then, when a session is opened.",
        set: |c, v| super::proxy::Choice::parse(v).map(|v| c.proxy = v),
    },
    Opt {
        name: "no_proxy",
        values: "hosts, domains and addresses, each with an optional `:port`; networks; or `*`; separated by commas or blanks",
        default: "",
        about: "Servers to reach without the proxy. `example.com` and `.example.com` cover the domain and its subdomains, `*.example.com` only the subdomains; `10.0.0.0/8` and `2001:db8::/32` cover servers that the URL names by address. A server that curl or Go would reach without the proxy is reached without it. An entry that neither understands is refused: in this option at once; in NO_PROXY and no_proxy, which apply with `proxy` = `env` if this option is not set, by `vsession_open`, unless another entry names the server.",
        set: |c, v| {
            let list = NoProxy::parse(v);
            if let Some(problem) = list.problem() {
                return Err(problem);
            }
            c.no_proxy = Some(list).filter(|_| !v.is_empty());
            Ok(())
        },
    },
    Opt {
        name: "timeout_ms",
        values: "0 to 4294967294; 0: no limit",
        default: "120000",
        about: "How long a call may take in all, including connecting, waiting, a login and a retry. A call's own `timeout_ms` takes precedence.",
        set: |c, v| milliseconds(v, 0..=LONGEST).map(|v| c.timeout = Some(v).filter(|v| !v.is_zero())),
    },
    Opt {
        name: "connect_timeout_ms",
        values: POSITIVE_MILLISECONDS,
        default: "15000",
        about: "How long making one connection may take: DNS, TCP, proxy and TLS together.",
        set: |c, v| milliseconds(v, 1..=LONGEST).map(|v| c.connect_timeout = v),
    },
    Opt {
        name: "max_connections",
        values: "1 to 1024",
        default: "64",
        about: "The maximum number of connections to the server at a time, those of `max_long_polls` not counted. Further calls wait for one, in order; a call whose reply would come after its deadline ends at once instead, with VSESSION_E_OVERLOADED. Logouts may use two more. Sessions with equal connection options share them.",
        set: |c, v| number(v, 1..=1024).map(|v| c.max_connections = v as usize),
    },
    Opt {
        name: "max_long_polls",
        values: "1 to 16384",
        default: "64",
        about: "The maximum number of `WaitForUpdatesEx` and `WaitForUpdates` calls that wait at the server at a time, each on a connection of its own, so that they take none of the `max_connections` from other calls. Further ones wait for their turn. Sessions with equal connection options share the limit. The limit of open files (`ulimit -n`) must leave room for the connections.",
        set: |c, v| number(v, 1..=16384).map(|v| c.max_long_polls = v as usize),
    },
    Opt {
        name: "max_async_calls",
        values: "1 to 1048576",
        default: "16384",
        about: "The maximum number of asynchronous calls that a session has under way, those that wait for a connection included. `vsession_call_async` refuses one more at once, with VSESSION_E_OVERLOADED.",
        set: |c, v| number(v, 1..=1_048_576).map(|v| c.max_async_calls = v),
    },
    Opt {
        name: "idle_timeout_ms",
        values: POSITIVE_MILLISECONDS,
        default: "15000",
        about: "How long a connection may be idle before it is closed. With a value above the server's own limit, more calls meet a connection that the server is about to close.",
        set: |c, v| milliseconds(v, 1..=LONGEST).map(|v| c.idle_timeout = v),
    },
    Opt {
        name: "tcp.keepalive_ms",
        values: "0, or 1000 to 32767000; 0: none",
        default: "60000",
        about: "How long a connection may be silent under a call before the system asks the peer for a sign of life (TCP keep-alive), in whole seconds, rounded up. A firewall then does not forget the connection of a call that waits for long. A peer that vanished is noticed after about twice this time, and so is one that takes nothing of a request: the call fails with VSESSION_E_CONNECTION. Without it, only the call's deadline ends such a wait.",
        set: |c, v| {
            none_or_seconds(v, LONGEST_KEEPALIVE).map(|v| c.tcp_keepalive = Some(v).filter(|v| !v.is_zero()))
        },
    },
    Opt {
        name: "max_reply_bytes",
        values: "1024 to 4294967295",
        default: "67108864",
        about: "The size limit of a reply, after decompression. A reply takes its own size in memory, and the text of its return value may take as much once more.",
        set: |c, v| number(v, 1024..=u32::MAX.into()).map(|v| c.max_reply_bytes = v),
    },
    Opt {
        name: "user_agent",
        values: "printable ASCII, of 1 to 256 characters",
        default: "libvsession/VERSION",
        about: "The name of the program (User-Agent); vCenter shows it in its list of sessions.",
        set: |c, v| {
            if !(1..=256).contains(&v.len()) || !v.bytes().all(|b| (0x20..=0x7e).contains(&b)) {
                return Err("must be printable ASCII, of 1 to 256 characters".into());
            }
            c.user_agent = v.to_string();
            Ok(())
        },
    },
    Opt {
        name: "http.compression",
        values: "`auto`, `on` or `off`",
        default: "auto",
        about: "Whether replies are asked for in gzip. It saves time on a slow line and costs both sides CPU time. `auto` asks for it unless the server has a loopback address and no proxy is in between. A reply that comes in gzip without being asked for is read all the same.",
        set: |c, v| {
            let values = [("auto", Compression::Auto), ("on", Compression::On), ("off", Compression::Off)];
            one_of(v, &values).map(|v| c.compression = v)
        },
    },
    Opt {
        name: "http.retry_statuses",
        values: "HTTP statuses, separated by commas: 408, 425, 429, 500 to 599",
        default: "",
        about: "A call that is marked idempotent is sent again if the answer has one of these statuses. A SOAP or VI JSON fault stands, and so does a REST service's own error with 408 or 425, which shows that the service ran the call; its other errors do not. It is sent again after the time that the server asks for with `Retry-After`, otherwise after half a second, then twice as long, up to 10 seconds, with jitter; as often as the retry budget of the server pays for it, and never if the pause would last until the call's deadline: the answer stands then. `429,503` suits a server that is starting or overloaded. docs/keepalive.md has the budget.",
        set: |c, v| {
            let good = |status: &u16| matches!(status, 408 | 425 | 429 | 500..=599);
            let status = |text: &str| text.parse().ok().filter(good).filter(|_| text.len() == 3);
            let all = v.split(',').map(|text| status(text.trim()));
            let statuses = if v.trim().is_empty() { Some(Vec::new()) } else { all.collect() };
            statuses.map(|v| c.retry_statuses = v).ok_or_else(|| "names something else".into())
        },
    },
    Opt {
        name: "trace.dir",
        values: "a path",
        default: "",
        about: "A directory to which each request and its reply are written, as files that only the user can read: a request as a file for `curl -K`, without passwords, cookies, tokens and signatures. docs/tracing.md describes them. The directory is made when a session is opened, if its parent exists. Sessions and processes may share it. Nothing is ever removed from it.",
        set: |c, v| path(v).map(|v| c.trace_dir = v),
    },
    Opt {
        name: "trace.bodies",
        values: "0 to 4294967295",
        default: "1048576",
        about: "The most bytes that `trace.dir` gets of the body of a request or a reply. A request that was cut cannot be sent again.",
        set: |c, v| number(v, 0..=u32::MAX.into()).map(|v| c.trace_bodies = v),
    },
    Opt {
        name: "api_version",
        values: "a version such as `8.0.2.0`, or `auto`",
        default: "auto",
        about: "The version of the vim25 API to speak. `auto` takes the newest released version that the server lists or, if it has no list, the version in its `AboutInfo`; and chooses again if the server turns out to have been replaced.",
        set: |c, v| {
            if v != "auto" && !is_version(v) {
                return Err("is not a version".into());
            }
            c.api_version = Some(v.to_string()).filter(|v| v != "auto");
            Ok(())
        },
    },
    Opt {
        name: "api_version_max",
        values: "a released version such as `8.0.2.0`",
        default: "",
        about: "The newest version of the vim25 API to speak, although the server offers newer ones: for a program that was tested with it. `api_version` = `auto` then takes the newest listed version that is not newer. If the server lists only newer ones, the login fails. Empty: no limit. `vsession_info_api_version` tells the version in use.",
        set: |c, v| {
            if !v.is_empty() && !is_released(v) {
                return Err("is not a released version".into());
            }
            c.api_version_max = Some(v.to_string()).filter(|v| !v.is_empty());
            Ok(())
        },
    },
    Opt {
        name: "relogin",
        values: "`auto` or `never`",
        default: "auto",
        about: "Whether the library logs in on its own, at the first call and when the session has ended. With `never` such calls fail with VSESSION_E_NOT_AUTHENTICATED. A login by hand covers one login to REST, where REST has a session of its own.",
        set: |c, v| one_of(v, &[("auto", Relogin::Auto), ("never", Relogin::Never)]).map(|v| c.relogin = v),
    },
    Opt {
        name: "relogin.backoff_ms",
        values: POSITIVE_MILLISECONDS,
        default: "1000",
        about: "After an automatic login failed for a reason other than refused credentials, the next one waits this long, then twice as long, and so on, with jitter. The delay that the server asks for with `Retry-After` is added. While a program asks, a login that failed in an outage before the server looked at the credentials is tried again each second; docs/keepalive.md has the rule.",
        set: |c, v| milliseconds(v, 1..=LONGEST).map(|v| c.backoff = v),
    },
    Opt {
        name: "relogin.max_backoff_ms",
        values: POSITIVE_MILLISECONDS,
        default: "60000",
        about: "The longest such wait.",
        set: |c, v| milliseconds(v, 1..=LONGEST).map(|v| c.max_backoff = v),
    },
    Opt {
        name: "rest",
        values: "`auto`, `unified`, `api` or `legacy`",
        default: "auto",
        about: "Where the session for REST requests comes from. `auto`: the vim25 session, if the server is a vCenter of version 8.0.3 or later that accepts it for REST; otherwise a login to `/api/session`, or, where the server does not have that, to `/rest/com/vmware/cis/session`. `unified`: the vim25 session or none. `api` and `legacy`: a login to the first or the second of these paths. REST may use as many connections as `max_connections` again, so that the outage of one service is not the other's; idle ones serve both.",
        set: |c, v| {
            let values = [
                ("auto", RestWay::Auto),
                ("unified", RestWay::Unified),
                ("api", RestWay::Api),
                ("legacy", RestWay::Legacy),
            ];
            one_of(v, &values).map(|v| c.rest = v)
        },
    },
    Opt {
        name: "keepalive.interval_ms",
        values: "0, or 1000 to 4294967294; 0: none",
        default: "600000",
        about: "How long a session may be unused before keep-alive sends a probe. Other successful calls put it off. The server ends idle sessions after 30 minutes or so.",
        set: |c, v| none_or_seconds(v, LONGEST).map(|v| c.keepalive_interval = v),
    },
    Opt {
        name: "keepalive.probe",
        values: "`current_time` or `current_session`",
        default: "current_time",
        about: "The probe of keep-alive: CurrentTime, or a read of SessionManager.currentSession, which needs no privilege and refreshes what is known of the session. `vsession_config_set_keepalive_fn` sets a function of the program instead.",
        set: |c, v| {
            let values = [("current_time", Probe::CurrentTime), ("current_session", Probe::CurrentSession)];
            one_of(v, &values).map(|v| c.probe = v)
        },
    },
    Opt {
        name: "close.logout",
        values: BOOLEAN,
        default: "true",
        about: "Whether `vsession_close` logs the session out. `false` leaves the session alive for another holder of its cookie.",
        set: |c, v| boolean(v).map(|v| c.close_logs_out = v),
    },
    Opt {
        name: "allow_empty_password",
        values: BOOLEAN,
        default: "false",
        about: "Whether an empty password is sent. It is right for an ESXi host whose root has none yet. Elsewhere an empty password usually comes from a variable that was never set, and the server counts it as a failed login. An empty `password_file` is always refused.",
        set: |c, v| boolean(v).map(|v| c.allow_empty_password = v),
    },
];

impl Config {
    /// Sets an option by its documented name.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let Some(option) = OPTIONS.iter().find(|o| o.name == name) else {
            let names: Vec<_> = OPTIONS.iter().map(|o| o.name).collect();
            // Text that does not look like a name may be a value in the wrong place, and a secret.
            let looks_like_one = name.len() <= 64
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_'));
            let shown = if looks_like_one { format!("named '{name}'") } else { "of this name".into() };
            return Err(Error::invalid_argument(
                "name",
                format!("there is no option {shown}; the options are {}", names.join(", ")),
            ));
        };
        let set = match value.len() {
            0..=login_text::MOST => (option.set)(self, value),
            _ => Err("it is longer than 64 KiB".into()),
        };
        set.map_err(|problem| {
            // The value is not repeated: it may be a secret.
            let values = option.values.replace('`', "'");
            Error::invalid_argument("value", format!("option '{name}': {problem}; good values: {values}"))
        })
    }
}

pub(super) fn boolean(value: &str) -> std::result::Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("is neither true nor false".into()),
    }
}

/// Text for a login; `None` if it is empty.
fn optional_text(value: &str) -> std::result::Result<Option<String>, String> {
    login_text::check(value)?;
    Ok(Some(value.to_string()).filter(|value| !value.is_empty()))
}

/// The value with this name.
fn one_of<T: Clone>(value: &str, values: &[(&str, T)]) -> std::result::Result<T, String> {
    let named = values.iter().find(|(name, _)| *name == value);
    named.map(|(_, value)| value.clone()).ok_or_else(|| "is not one of them".into())
}

fn number(value: &str, range: RangeInclusive<u64>) -> std::result::Result<u64, String> {
    let number: u64 = value.trim().parse().map_err(|_| "is not a number".to_string())?;
    if range.contains(&number) || planted!("number-out-of-range") {
        Ok(number)
    } else {
        Err("is out of range".into())
    }
}

fn milliseconds(value: &str, range: RangeInclusive<u64>) -> std::result::Result<Duration, String> {
    number(value, range).map(Duration::from_millis)
}

/// Zero, or at least a second.
fn none_or_seconds(value: &str, longest: u64) -> std::result::Result<Duration, String> {
    match milliseconds(value, 0..=longest)? {
        time if time.is_zero() || time >= Duration::from_secs(1) => Ok(time),
        _ => Err("is out of range".into()),
    }
}

/// The paths between the colons, without empty ones.
fn paths(value: &str) -> Vec<PathBuf> {
    value.split(':').filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

/// `None` if the value is empty.
fn path(value: &str) -> std::result::Result<Option<PathBuf>, String> {
    Ok(Some(PathBuf::from(value)).filter(|_| !value.is_empty()))
}

/// Name and documented values of an option by any number.
#[cfg(any(test, fuzzing))]
pub(super) fn documented(number: usize) -> (&'static str, &'static str) {
    let option = &OPTIONS[number % OPTIONS.len()];
    (option.name, option.values)
}

/// The table as Markdown: `docs/options.md`.
#[cfg(test)]
pub(crate) fn documentation() -> String {
    let mut text = String::from(
        "# Options\n\nNames and values for `vsession_config_set`. This page is generated from the table in `src/config/options.rs` by `make generated`.\n\nAn empty value of an option that is a text, a path or a list, and whose default is none or described in words, unsets it: `password_file=` is as if it had never been set. `password`, `tls.thumbprint` and `tls.known_hosts` are different, and say so. Any other option refuses an empty value, or takes it for its default.\n\n| option | values | default | what it does |\n|---|---|---|---|\n",
    );
    for option in OPTIONS {
        let default = if option.default.is_empty() { "none" } else { option.default };
        text.push_str(&format!("| `{}` | {} | {default} | {} |\n", option.name, option.values, option.about));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_value_names_the_good_ones() {
        let mut config = Config::new("vc").unwrap();
        let message = config.set("relogin", "sometimes").unwrap_err().detail().message.clone();
        assert!(message.contains("'auto' or 'never'"), "{message}");
        let message = config.set("timeout_ms", "-1").unwrap_err().detail().message.clone();
        assert!(message.contains("0 to 4294967294"), "{message}");
    }

    #[test]
    fn keep_alive_runs_each_ten_minutes_or_each_second_at_most() {
        let mut config = Config::new("vc").unwrap();
        assert_eq!(config.keepalive_interval, Duration::from_secs(600));
        for bad in ["1", "999", "-1", "4294967295"] {
            assert!(config.set("keepalive.interval_ms", bad).is_err(), "{bad}");
        }
        for good in [0, 1000, 1001, u32::MAX - 1] {
            config.set("keepalive.interval_ms", &good.to_string()).unwrap();
            assert_eq!(config.keepalive_interval, Duration::from_millis(good.into()));
        }
    }

    #[test]
    fn a_silent_connection_is_asked_after_a_second_at_least_or_never() {
        let mut config = Config::new("vc").unwrap();
        for bad in ["1", "999", "-1"] {
            assert!(config.set("tcp.keepalive_ms", bad).is_err(), "{bad}");
        }
        for (good, expected) in [("0", None), ("1000", Some(Duration::from_secs(1)))] {
            config.set("tcp.keepalive_ms", good).unwrap();
            assert_eq!(config.tcp_keepalive, expected);
        }
    }

    /// The defaults on the page are the real ones: setting an option to its default changes nothing.
    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let new = format!("{:?}", Config::new("vc").unwrap());
        for option in OPTIONS.iter().filter(|o| !o.default.is_empty()) {
            let mut config = Config::new("vc").unwrap();
            let default = match option.default {
                // Described in words: no value stands for it.
                "the server's" | "the system's roots" | "the file of `certificate`" => "",
                default => &default.replace("VERSION", env!("CARGO_PKG_VERSION")),
            };
            config.set(option.name, default).unwrap_or_else(|e| panic!("{}: {e}", option.name));
            assert_eq!(format!("{config:?}"), new, "{}", option.name);
        }
    }

    #[test]
    fn a_value_that_is_too_long_or_would_end_a_line_is_refused() {
        let mut config = Config::new("vc").unwrap();
        for option in OPTIONS {
            let message = config
                .set(option.name, &"1".repeat(login_text::MOST + 1))
                .unwrap_err()
                .detail()
                .message
                .clone();
            assert!(message.contains(&format!("'{}'", option.name)) && message.len() < 2000, "{message}");
        }
        assert!(Config::new(&format!("https://u:p@h/{}", "x".repeat(login_text::MOST))).is_err());
        for (option, value) in [
            ("user_agent", "a\r\nX-Other: b"),
            ("user_agent", "a\nb"),
            ("user_agent", "\u{e9}"),
            ("user_agent", &"a".repeat(257)),
            ("api_version", "8.0\r\nX: y"),
            ("url", "https://vc\r\nX: y/sdk"),
            ("url", "https://vc/sdk HTTP/1.1\r\nX: y"),
            ("proxy", "http://p\r\nX: y:3128"),
            ("proxy", "http://u:p\r\nX: y@p:3128"),
            ("proxy", "http://u:p%0d%0aX: y@p:3128"),
        ] {
            let message = config.set(option, value).unwrap_err().detail().message.clone();
            assert!(message.contains(option) && !message.contains("X:"), "{message}");
        }
    }

    /// Those whose default is none, or is described in words.
    #[test]
    fn an_empty_value_unsets_an_option_or_is_refused() {
        let values = [
            ("password_file", "/p"),
            ("username", "u"),
            ("locale", "en_US"),
            ("tls.ca_file", "/ca.pem"),
            ("certificate", "/c.pem"),
            ("private_key", "/k.pem"),
            ("no_proxy", "a.example.com"),
            ("http.retry_statuses", "503"),
        ];
        for option in OPTIONS {
            let mut config = Config::new("vc").unwrap();
            let new = format!("{config:?}");
            let value = values.iter().find(|(name, _)| *name == option.name);
            if let Some((name, value)) = value {
                config.set(name, value).unwrap();
                assert_ne!(format!("{config:?}"), new, "{name}");
                config.set(name, "").unwrap();
                assert_eq!(format!("{config:?}"), new, "{name}");
            } else if option.name != "password" && config.set(option.name, "").is_ok() {
                assert_eq!(format!("{config:?}"), new, "{}", option.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message =
            Config::new("vc").unwrap().set("tls.verfy", "true").unwrap_err().detail().message.clone();
        assert!(message.contains("tls.verify"), "{message}");
    }

    #[test]
    fn the_documented_page_is_current() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/options.md");
        if std::env::var_os("VSESSION_UPDATE_GENERATED").is_some() {
            std::fs::write(page, documentation()).unwrap();
        }
        let committed = std::fs::read_to_string(page).unwrap_or_default();
        assert!(committed == documentation(), "docs/options.md is out of date; run 'make generated'");
    }

    #[test]
    fn compression_is_asked_for_where_the_server_is_on_another_machine() {
        for (url, proxy, gzip) in [
            ("http://vc.example.com/sdk", "none", true),
            ("http://127.0.0.1:8989/sdk", "none", false),
            ("http://[::ffff:127.0.0.1]:8989/sdk", "none", false),
            ("http://127.0.0.1:8989/sdk", "http://proxy:3128", true),
        ] {
            let mut config = Config::new(url).unwrap();
            config.set("proxy", proxy).unwrap();
            assert_eq!(config.net().unwrap().gzip, gzip, "{url} through {proxy}");
        }
    }
}
