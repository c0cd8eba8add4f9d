//! The URL of a server as vSphere users write it: `https` and `/sdk` are implied, user name and password may precede the host, and
//! a user name may hold an `@`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::login_text;
use crate::runtime::secret::{Secret, Wiped};

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Url {
    pub(crate) https: bool,
    /// A name in lower case, or an address in its canonical form, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Begins with a slash and does not end with one.
    pub(crate) path: String,
}

/// The advice of messages where a part of a password may have been taken for something else. They repeat no part of the text.
const CODES: &str =
    "; in a user name or password write '%' as %25, '/' as %2F, '?' as %3F, '#' as %23 and '@' as %40";

type Parsed = (Url, Option<String>, Option<Secret>);

/// Splits a URL into address, user name and password.
pub(super) fn parse(text: &str) -> Result<Parsed, String> {
    let (scheme, rest) = split_scheme(text)?;
    let https = match scheme.as_deref() {
        None | Some("https") => true,
        Some("http") => false,
        Some(_) => {
            return Err("the scheme before '://' is not one of vSphere's; write https:// (or http://)".into());
        }
    };
    let (authority, path) = Authority::split(rest)?;
    let default = if https { 443 } else { 80 };
    let url = Url {
        https,
        host: authority.host,
        port: authority.port.unwrap_or(default),
        path: server_path(path)?,
    };
    for text in
        [authority.user.as_deref(), authority.password.as_ref().map(Secret::reveal)].into_iter().flatten()
    {
        login_text::check(text)
            .map_err(|problem| format!("the user name or the password cannot be sent: {problem}"))?;
    }
    Ok((url, authority.user.filter(|u| !u.is_empty()), authority.password))
}

/// Splits off the scheme, in lower case.
pub(super) fn split_scheme(text: &str) -> Result<(Option<String>, &str), String> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err("it holds control characters; write them as percent codes".into());
    }
    Ok(match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, text),
    })
}

/// The authority of a URL (RFC 3986, 3.2): what precedes the path.
pub(super) struct Authority {
    /// In the form that `host` gives it.
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
}

impl Authority {
    /// Splits the text into authority and path.
    pub(super) fn split(text: &str) -> Result<(Authority, &str), String> {
        if text.contains(['?', '#']) {
            return Err(format!("a query or fragment has no meaning here{CODES}"));
        }
        let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        // Otherwise the beginning of a password with a slash would be taken for a port, and shown.
        if path.contains('@') {
            return Err(format!("an '@' follows the first '/'{CODES}"));
        }
        let (user_info, host_port) = match authority.rsplit_once('@') {
            Some((user_info, host_port)) => (Some(user_info), host_port),
            None => (None, authority),
        };
        let (name, number) = split_port(host_port)?;
        let host = host(name)?;
        let port = match number {
            None => None,
            Some(number) => Some(port(number).ok_or_else(|| {
                if planted!("port-in-the-message") {
                    return format!("is not a port: {number}");
                }
                format!("what follows the host and its colon is not a port (1 to 65535){CODES}")
            })?),
        };
        let (user, password) = match user_info {
            None => (None, None),
            Some(info) => match info.split_once(':') {
                Some((user, password)) => (Some(decode(user)?), Some(Secret::new(decode(password)?))),
                None => (Some(decode(info)?), None),
            },
        };
        Ok((Authority { host, port, user, password }, path))
    }
}

/// Splits `host:port`. An IPv6 address keeps its brackets.
fn split_port(text: &str) -> Result<(&str, Option<&str>), String> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or("the address lacks its closing bracket; write [::1]:443")?;
        return match text.split_at(end + 1) {
            (host, "") => Ok((host, None)),
            (host, rest) => {
                let port = rest.strip_prefix(':').ok_or("only a port may follow the closing bracket")?;
                Ok((host, Some(port)))
            }
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.contains(':') => {
            Err(format!("an IPv6 address needs brackets, as in [::1]:443{CODES}"))
        }
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

/// A port in digits.
pub(super) fn port(text: &str) -> Option<u16> {
    digits(text).filter(|port| *port > 0)
}

/// A number in digits; no sign, no blanks.
pub(super) fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
}

/// A name in lower case, or an address in its canonical form. An IPv6 address comes in brackets, and loses them.
fn host(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("it names no host".into());
    }
    if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| "the text in brackets is not an IPv6 address")?;
        return Ok(address.to_string());
    }
    if looks_like_ipv4(text) {
        let address: Ipv4Addr = text
            .parse()
            .map_err(|_| "it looks like an IPv4 address but is none; write four numbers from 0 to 255")?;
        return Ok(address.to_string());
    }
    if !is_name(text) {
        return Err("the host name is not a valid one (letters, digits, '-' and '_', in labels of 1 to 63 characters between dots)".into());
    }
    Ok(text.to_ascii_lowercase())
}

/// Whether the last label is a number. Then resolvers read the whole as an address, even in forms such as `127.1` and `0x7f000001`,
/// which nothing else here recognises.
pub(super) fn looks_like_ipv4(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let last = text.rsplit('.').next().unwrap_or("").to_ascii_lowercase();
    match last.strip_prefix("0x") {
        Some(digits) => digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// Whether this is a valid host name. A trailing dot is allowed.
pub(super) fn is_name(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_part = |part: &str| {
        (1..=63).contains(&part.len())
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    text.len() <= 253 && text.split('.').all(is_part)
}

/// The path on the server. It becomes a part of requests and messages, so unusual characters are refused.
fn server_path(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    if path.is_empty() {
        return Ok("/sdk".into());
    }
    let good = |c: char| c.is_ascii_alphanumeric() || "/%-._~!$&'()*+,;=:".contains(c);
    if !path.chars().all(good) {
        return Err(format!("the path holds characters that need percent codes{CODES}"));
    }
    let parts: Option<Vec<_>> = path.split('/').map(percent_decoded).collect();
    let parts = parts.ok_or("the path holds a '%' that does not begin a percent code")?;
    if parts
        .iter()
        .any(|part| matches!(part.as_slice(), b"." | b"..") || part.iter().any(u8::is_ascii_control))
    {
        return Err("the path holds '.', '..' or control characters".into());
    }
    Ok(path.to_string())
}

/// Decodes percent-encoding. The message repeats no part of the text, which may be a password.
fn decode(text: &str) -> Result<String, String> {
    let bytes = percent_decoded(text);
    bytes.and_then(|mut bytes| String::from_utf8(std::mem::take(&mut bytes)).ok()).ok_or_else(|| {
        format!(
            "the user name or the password holds a '%' that does not begin a percent code of UTF-8 text{CODES}"
        )
    })
}

fn percent_decoded(text: &str) -> Option<Wiped<Vec<u8>>> {
    // Allocated at once: it may be a password, and a vector that grows leaves copies behind.
    let mut bytes = Wiped::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let (code, after) = after.split_at_checked(2)?;
            let digit = |b: u8| char::from(b).to_digit(16);
            bytes.push((digit(code[0])? * 16 + digit(code[1])?) as u8);
            rest = after;
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> (bool, String, u16, String) {
        let (url, _, _) = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        (url.https, url.host, url.port, url.path)
    }

    #[test]
    fn what_is_left_out_is_implied() {
        let expected = (true, "vc.example.com".to_string(), 443, "/sdk".to_string());
        for text in
            ["vc.example.com", "https://vc.example.com", "https://VC.example.com/", "vc.example.com:443/sdk/"]
        {
            assert_eq!(address(text), expected, "{text}");
        }
        assert_eq!(address("http://h:8989/x/sdk"), (false, "h".into(), 8989, "/x/sdk".into()));
        assert_eq!(address("http://h").2, 80);
        assert_eq!(address("https://[::1]:8443"), (true, "::1".into(), 8443, "/sdk".into()));
        assert_eq!(address("https://[::1]"), (true, "::1".into(), 443, "/sdk".into()));
    }

    #[test]
    fn credentials_are_taken_out_and_decoded() {
        let (url, user, password) = parse("https://administrator@vsphere.local:p%40ss%3A1@vc/sdk").unwrap();
        assert_eq!(url.host, "vc");
        assert_eq!(user.as_deref(), Some("administrator@vsphere.local"));
        assert_eq!(password.unwrap().reveal(), "p@ss:1");
        let (_, user, password) = parse("user@vc").unwrap();
        assert_eq!((user.as_deref(), password), (Some("user"), None));
    }

    #[test]
    fn addresses_have_one_spelling() {
        for (text, host) in [
            ("https://[2001:DB8:0::0:1]/", "2001:db8::1"),
            ("[::ffff:10.1.2.3]", "::ffff:10.1.2.3"),
            ("10.1.2.3:8443", "10.1.2.3"),
            ("VC_1.Example.com.", "vc_1.example.com."),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(address(text).1, host, "{text}");
        }
    }

    #[test]
    fn a_port_is_digits_from_1_to_65535() {
        for (text, port) in [("h:1", 1), ("h:65535", 65535), ("http://[::1]:0080", 80)] {
            assert_eq!(address(text).2, port, "{text}");
        }
        for port in ["", "0", "65536", "99999", "80x", "-1", "+80", " 80", "8 0", "0x50", "\u{664}"] {
            for text in
                [format!("https://h:{port}"), format!("http://u:p@[::1]:{port}/sdk"), format!("h:{port}/sdk")]
            {
                if !text.ends_with(' ') {
                    assert!(parse(&text).is_err(), "{text}");
                }
            }
        }
    }

    #[test]
    fn characters_that_a_login_cannot_carry_are_refused_even_percent_encoded() {
        for text in ["u:a%00b@h", "u:a%01b@h", "u:%ef%bf%bf@h", "u%1f@h", "u:a\u{7}@h", "u:a\nb@h"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let (_, _, password) = parse("u:a%0D%0A%09b@h").unwrap();
        assert_eq!(password.unwrap().reveal(), "a\r\n\tb");
    }

    #[test]
    fn hosts_and_paths_that_others_would_read_differently_are_refused() {
        for host in [
            "127.1", "0x7f.1", "0x7f000001", "127.0.0.0x1", "2130706433", "010.0.0.300", "1.2.3.4.5",
            "10.1.2.3.", "a..b", ".a", "a.", "-",
        ] {
            let good = ["a.", "-"].contains(&host);
            assert_eq!(parse(host).is_ok(), good, "{host}");
        }
        for bad in ["a\\b", "h\u{e9}", "a,b", "[fe80::1%25eth0]", &"a".repeat(64), &"a.".repeat(130)] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for path in [
            "/sdk/..", "/a/../sdk", "/./sdk", "/%2e%2E/sdk", "/a%00", "/a%0d%0aX:y", "/s<k", "/s\\k", "/%zz",
            "/%4", "/\u{e9}",
        ] {
            assert!(parse(&format!("https://h{path}")).is_err(), "{path}");
        }
        assert_eq!(address("https://h/a%20b/..c").3, "/a%20b/..c");
    }

    #[test]
    fn mistakes_are_named_without_showing_the_password() {
        for text in [
            "",
            "https://",
            "ftp://h",
            "https://h:0",
            "https://h:99999",
            "https://::1",
            "https://[::1",
            "https://h/sdk?x",
            "https://a b/",
            "https://h/a b",
            "https://[1.2.3.4]/",
            "https://[::1]8443/",
            "https://%zz:geheim@h",
            "https://%zz@h",
            "https://u:geheim%4@h",
            "https://u:geheim%zz@h",
            "https://u:geheim/1@h",
            "https://u:80/geheim@h",
            "u:geheim://1@h",
            "https://[geheim]/@h",
            "https://user:/geheim<",
            "https://user:geheim",
            "https://user:geheim/",
            "https://user:80geheim@h:x",
            "https://user/geheim<@h",
            "https://u:%+1geheim@h",
            "https://u:geheim@h:",
            "geheim://u:p@h",
            "https://u:p@h:1:geheim",
            "https://u:p@h/geheim\\",
            "https://u:p@geheim geheim",
        ] {
            let message = parse(text).map(|_| ()).unwrap_err();
            assert!(!message.contains("geheim"), "{message}");
        }
    }
}
