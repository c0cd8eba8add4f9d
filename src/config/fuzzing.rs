//! What the fuzzer feeds to this layer; see `src/fuzzing.rs`. Secrets are planted into the bytes, and no message and no printed value
//! may show them.

use super::no_proxy::NoProxy;
use super::{Config, from_environment, known_hosts, proxy, url};
use super::{login_text, options};
use crate::error::Error;
use crate::net::Thumbprint;
use crate::status::Status;

/// A secret that looks like nothing else.
const SECRET: &str = "geheim-7f3a";

/// The bytes as text; `None` also if they already hold the secret, which the fuzzer learns from comparisons. In any case, because host
/// names are converted to lower case.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.to_ascii_lowercase().contains(SECRET))
}

/// Asserts that a value or a message does not show the secret.
fn shows_no_secret(shown: &str, from: &str) {
    assert!(!shown.contains(SECRET), "{from:?} shows its password: {shown}");
}

/// The text with the secret inserted: at each place of a short text, at both ends of a long one.
fn planted(text: &str) -> impl Iterator<Item = String> + '_ {
    let all = text.len() <= 64;
    let places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    places.filter(move |at| all || *at == 0 || *at == text.len()).map(|at| {
        let (before, after) = text.split_at(at);
        format!("{before}{SECRET}{after}")
    })
}

/// A URL: as it is, and with a password before, behind and inside it.
pub(crate) fn url(bytes: &[u8]) {
    let Some(given) = text(bytes) else { return };
    if let Ok((parsed, user, _)) = url::parse(given) {
        assert!(!parsed.host.is_empty() && parsed.port > 0);
        assert!(parsed.host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_:".contains(c)), "{parsed:?}");
        assert!(
            parsed.path.starts_with('/') && !parsed.path.contains(['@', '?', '#', ' ', '\r', '\n']),
            "{parsed:?}"
        );
        assert!(user.is_none_or(|user| !user.is_empty()));
        // Written out in full it means the same.
        let host = if parsed.host.contains(':') { format!("[{}]", parsed.host) } else { parsed.host.clone() };
        let scheme = if parsed.https { "https" } else { "http" };
        let full = format!("{scheme}://{host}:{}{}", parsed.port, parsed.path);
        assert_eq!(url::parse(&full), Ok((parsed, None, None)), "{given:?}");
    }
    for anywhere in planted(given) {
        if let Err(problem) = url::parse(&anywhere) {
            shows_no_secret(&problem, &anywhere);
        }
    }
    for with_password in [
        format!("https://user:{SECRET}{given}@host/sdk"),
        format!("https://user:{given}{SECRET}@host/sdk"),
        format!("user:{given}{SECRET}{given}@host"),
    ] {
        match url::parse(&with_password) {
            Err(problem) => shows_no_secret(&problem, &with_password),
            Ok((parsed, user, password)) => {
                shows_no_secret(&format!("{parsed:?} {password:?}"), &with_password);
                // An '@' ends the user; where the text has one in front of the password, it is taken for a part of it.
                let user = user.unwrap_or_default();
                shows_no_secret(&user, &with_password);
            }
        }
    }
}

/// An option by its number, and a value: accepted values are those that the documentation names.
pub(crate) fn option(bytes: &[u8]) {
    let Some((number, Some(value))) = bytes.split_first().map(|(n, rest)| (*n, text(rest))) else { return };
    let (name, values) = options::documented(usize::from(number));
    let mut config = Config::new("https://host/sdk").expect("a good URL");
    let accepted = config.set(name, value);
    if let Some(good) = is_documented(name, values, value) {
        assert_eq!(accepted.is_ok(), good, "'{name}' with {value:?}; documented: {values}");
    }
    if let Err(error) = &accepted {
        names_the_option(error, name, values);
    }
    // What is there by now can be set again.
    assert_eq!(config.set(name, value).is_ok(), accepted.is_ok());
    for secret in planted(value) {
        match config.set(name, &secret) {
            Err(error) => shows_no_secret(&format!("{error:?}"), &secret),
            Ok(()) if name == "password" => shows_no_secret(&format!("{config:?}"), &secret),
            Ok(()) => {}
        }
        // Name and value may have been mixed up.
        let unknown = config.set(&secret, value);
        shows_no_secret(&format!("{unknown:?}"), &secret);
    }
    let unknown = config.set(value, SECRET);
    if let Err(error) = unknown {
        shows_no_secret(&error.detail().message, value);
    }
}

fn names_the_option(error: &Error, name: &str, values: &str) {
    let message = &error.detail().message;
    assert_eq!(error.status(), Status::VSESSION_E_INVALID_ARGUMENT);
    assert!(message.contains(&format!("'{name}'")), "{message}");
    assert!(message.contains(&values.replace('`', "'")), "{message}");
}

/// Whether the documentation calls the value good; `None` if it describes good values in another way.
fn is_documented(name: &str, values: &str, value: &str) -> Option<bool> {
    let words: Vec<&str> = values.split('`').skip(1).step_by(2).collect();
    match name {
        _ if value.len() > login_text::MOST => Some(false),
        "url" | "proxy" | "no_proxy" => None,
        "username" | "password" | "locale" => Some(login_text::check(value).is_ok()),
        "api_version_max" => {
            let is_released = |v: &str| {
                v.len() <= 32
                    && v.starts_with(|c: char| c.is_ascii_digit())
                    && v.chars().all(|c| c.is_ascii_digit() || c == '.')
            };
            Some(value.is_empty() || is_released(value))
        }
        "api_version" => Some(value == "auto" || crate::vim::versions::is_version(value)),
        "user_agent" => {
            Some((1..=256).contains(&value.len()) && value.chars().all(|c| (' '..='~').contains(&c)))
        }
        "tls.thumbprint" => {
            let mut all = value.split(',').map(str::trim).filter(|t| !t.is_empty()).peekable();
            let some = all.peek().is_some();
            Some(
                some && all.all(|t| {
                    let digits = t.chars().filter(|c| *c != ':');
                    digits.clone().all(|c| c.is_ascii_hexdigit()) && matches!(digits.count(), 40 | 64)
                }),
            )
        }
        "tls.known_hosts" => Some(value.split(':').any(|path| !path.is_empty())),
        "tls.ca_file" => Some(value.is_empty() || value.split(':').any(|path| !path.is_empty())),
        "tls.verify" | "close.logout" | "allow_empty_password" => {
            Some(words.iter().any(|word| word.eq_ignore_ascii_case(value)))
        }
        "http.retry_statuses" => Some(
            value.trim().is_empty()
                || value.split(',').map(str::trim).all(|status| {
                    matches!(status, "408" | "425" | "429")
                        || status.len() == 3
                            && status.starts_with('5')
                            && status.bytes().all(|b| b.is_ascii_digit())
                }),
        ),
        "tls.min_version" | "http.compression" | "relogin" | "rest" | "keepalive.probe" => {
            Some(words.contains(&value))
        }
        _ if values.starts_with(|c: char| c.is_ascii_digit()) => {
            let number: Option<u64> = value.trim().parse().ok();
            let ranges = values.split(';').next()?.split(", or ");
            Some(number.is_some_and(|number| ranges.clone().any(|range| is_within(range, number))))
        }
        // Texts and paths.
        _ => Some(true),
    }
}

/// `range` is `N to M`, or one number.
fn is_within(range: &str, number: u64) -> bool {
    let bound = |text: &str| text.trim().parse::<u64>().expect("a documented number");
    match range.split_once(" to ") {
        Some((least, most)) => (bound(least)..=bound(most)).contains(&number),
        None => bound(range) == number,
    }
}

/// The variables of the environment, one a line.
pub(crate) fn environment(bytes: &[u8]) {
    let Some(given) = text(bytes) else { return };
    let names = [
        "GOVC_URL",
        "GOVC_USERNAME",
        "GOVC_PASSWORD",
        "GOVC_INSECURE",
        "GOVC_TLS_CA_CERTS",
        "GOVC_TLS_KNOWN_HOSTS",
        "GOVC_CERTIFICATE",
        "GOVC_PRIVATE_KEY",
        "GOVMOMI_LOCALE",
    ];
    let value = |name: &str| {
        let at = names.iter().position(|n| *n == name).unwrap_or_else(|| panic!("another variable: {name}"));
        let value = given.split('\n').nth(at)?.to_string();
        Some(if name == "GOVC_PASSWORD" { value + SECRET } else { value }.into())
    };
    match from_environment(value) {
        Err(error) => {
            assert!(names.iter().any(|name| error.detail().message.contains(name)), "{error}");
            shows_no_secret(&format!("{error:?}"), given);
        }
        Ok(config) => shows_no_secret(&format!("{config:?}"), given),
    }
}

/// The address of a proxy, a NUL, and a list of exceptions.
pub(crate) fn proxy(bytes: &[u8]) {
    let Some(given) = text(bytes) else { return };
    let (address, list) = given.split_once('\0').unwrap_or((given, ""));
    let exceptions = NoProxy::parse(list);
    for anywhere in planted(address) {
        if let Err(problem) = proxy::Choice::parse(&anywhere) {
            shows_no_secret(&problem, &anywhere);
        }
    }
    for anywhere in planted(list) {
        let problem = NoProxy::parse(&anywhere).problem();
        shows_no_secret(&problem.unwrap_or_default(), &anywhere);
    }
    for address in [address.to_string(), format!("http://user:{SECRET}{address}@proxy:3128")] {
        let choice = match proxy::Choice::parse(&address) {
            Err(problem) => {
                shows_no_secret(&problem, &address);
                continue;
            }
            Ok(choice) => choice,
        };
        shows_no_secret(&format!("{choice:?}"), &address);
        if let proxy::Choice::At(proxy) = &choice {
            assert!(!proxy.host.is_empty() && !proxy.host.contains(['[', ']', '@', '/']), "{proxy:?}");
        }
        for server in ["https://vc.example.com", "http://[::1]:8443"] {
            let (server, _, _) = url::parse(server).expect("a good URL");
            let found = proxy::for_server(&choice, Some(&exceptions), &server, |_| None);
            assert!(
                found.expect("no environment").is_some()
                    || list.contains(['*', '.', ':'])
                    || list.to_ascii_lowercase().contains("com")
                    || !matches!(choice, proxy::Choice::At(_))
            );
        }
    }
}

/// A file of known hosts.
pub(crate) fn known_hosts(bytes: &[u8]) {
    let Some(file) = text(bytes) else { return };
    let lines: Vec<_> = known_hosts::lines(file.strip_prefix('\u{feff}').unwrap_or(file)).collect();
    // At the beginning of a file it is passed over, and at that of a line in it it is not.
    if lines.iter().any(|line| line.starts_with('\u{feff}')) {
        return;
    }
    for (host, port) in [("vc.example.com", 443), ("vc.example.com", 8443), ("::1", 443), ("127.0.0.1", 443)]
    {
        let of_lines: Result<Vec<_>, _> =
            lines.iter().map(|line| known_hosts::thumbprints(line, host, port)).collect();
        match known_hosts::thumbprints(file, host, port) {
            Err(problem) => {
                assert!(of_lines.is_err(), "{problem}");
                let number = problem.strip_prefix("line ").and_then(|p| p.split(':').next()?.parse().ok());
                assert!(number.is_some_and(|n: usize| (1..=lines.len()).contains(&n)), "{problem}");
            }
            Ok(found) => {
                assert_eq!(Ok(found.clone()), of_lines.map(|lines| lines.concat()));
                // The plainest of its lines counts.
                for line in &lines {
                    if let Some((word, thumbprint)) = line.trim().split_once(' ')
                        && word.eq_ignore_ascii_case(host)
                        && port == 443
                        && let Some(thumbprint) = Thumbprint::parse(thumbprint)
                    {
                        assert!(found.contains(&thumbprint), "{line:?} was passed over");
                    }
                }
                for thumbprint in found {
                    let written = thumbprint.to_string();
                    assert!(matches!(written.split(':').count(), 20 | 32), "{written}");
                    assert_eq!(Thumbprint::parse(&written), Some(thumbprint));
                    let digits = written.replace(':', "").to_ascii_lowercase();
                    let is_there = |line: &&str| line.to_ascii_lowercase().replace(':', "").contains(&digits);
                    assert!(lines.iter().any(is_there), "{written} is not in the file");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people write, with and without the mistakes that make a password look like something else.
    const ADDRESSES: &[&str] = &[
        "https://user:@host:443/sdk",
        "https://user:/<",
        "https://user:80/<@host",
        "http://user:#@host:3128",
        "http://user:?@host:3128/",
        "http://user:%@host:x",
        "socks5://user:pass@[::1:1080",
        "user:pass@host@host://",
        "https://user:pass@ho st/..",
        "ftp://user:pass@host",
        "https://[pass]@/",
        "://:@/?#",
    ];

    #[test]
    fn no_message_repeats_what_may_be_a_secret_wherever_it_stands() {
        for address in ADDRESSES {
            url(address.as_bytes());
            proxy(address.as_bytes());
            proxy(format!("http://p\0{address}").as_bytes());
            for number in 0..=u8::MAX {
                option(&[&[number], address.as_bytes()].concat());
            }
            for line in 0..9 {
                environment(format!("{}{address}", "\n".repeat(line)).as_bytes());
                environment(format!("vc{}{address}", "\n".repeat(line + 1)).as_bytes());
            }
            for anywhere in planted(address) {
                for name in ["HTTPS_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
                    let variable = |asked: &str| match asked {
                        asked if asked == name => Some(anywhere.clone().into()),
                        "https_proxy" => Some("http://p".into()),
                        _ => None,
                    };
                    let (server, _, _) = url::parse("vc.example.com").unwrap();
                    if let Err(error) = proxy::for_server(&proxy::Choice::Env, None, &server, variable) {
                        shows_no_secret(&format!("{error:?}"), &anywhere);
                        assert!(error.detail().message.contains(name), "{error}");
                    }
                }
            }
        }
    }
}
