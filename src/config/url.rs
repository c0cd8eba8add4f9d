//! The address of a server, as vSphere users write it: `https` is implied, and so is `/sdk`; user and password may stand
//! in front of the host, and a user name may hold an `@` of its own.

use crate::runtime::secret::Secret;

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Url {
    pub(crate) https: bool,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Begins with a slash and does not end with one.
    pub(crate) path: String,
}

/// What messages advise where a password may have been taken for something else. They repeat no part of the text: it may be
/// that password.
const CODES: &str = "; in a user name or password write '/' as %2F, '?' as %3F and '#' as %23";

type Parsed = (Url, Option<String>, Option<Secret>);

/// Splits a URL into address, user and password.
pub(super) fn parse(text: &str) -> Result<Parsed, String> {
    let text = text.trim();
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => ("https".to_string(), text),
    };
    let https = match scheme.as_str() {
        "https" => true,
        "http" => false,
        _ => {
            return Err("what stands before '://' is no scheme for vSphere; use https:// (or http://)".into());
        }
    };
    if rest.contains(['?', '#']) {
        return Err(format!("a query or fragment has no meaning here; write https://host/sdk{CODES}"));
    }
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    let (user_info, host_port) = match authority.rfind('@') {
        Some(at) => (Some(&authority[..at]), &authority[at + 1..]),
        None => (None, authority),
    };
    let (host, port) = split_host(host_port)?;
    let port = match port {
        Some(port) => port.parse().ok().filter(|p| *p > 0).ok_or_else(|| {
            format!("what follows the host and its colon is not a port (1 to 65535){CODES}")
        })?,
        None if https => 443,
        None => 80,
    };
    let path = path.trim_end_matches('/');
    let path = if path.is_empty() { "/sdk" } else { path };
    // Else the beginning of a password with a slash would be taken for a port, and shown as such.
    if path.contains('@') {
        return Err(format!("an '@' stands behind the first '/'{CODES}"));
    }
    let unusable = |c: char| c.is_control() || c.is_whitespace();
    if path.contains(unusable) {
        return Err("the path holds blanks or control characters".into());
    }
    let (user, password) = match user_info {
        None => (None, None),
        Some(info) => match info.split_once(':') {
            Some((user, password)) => (Some(decode(user)?), Some(Secret::new(decode(password)?))),
            None => (Some(decode(info)?), None),
        },
    };
    let url = Url { https, host: host.to_ascii_lowercase(), port, path: path.to_string() };
    Ok((url, user.filter(|u| !u.is_empty()), password))
}

fn split_host(text: &str) -> Result<(&str, Option<&str>), String> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) =
            rest.split_once(']').ok_or("the address lacks its closing bracket; write [::1]:443")?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err("what stands in brackets is not an IPv6 address".into());
        }
        match rest {
            "" => (host, None),
            rest => (host, Some(rest.strip_prefix(':').ok_or("only a port may follow the closing bracket")?)),
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address needs brackets; write https://[::1]/sdk".into());
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err("it names no host; write https://host/sdk".into());
    }
    if !is_host(host) {
        return Err("the host name holds characters that no host name has".into());
    }
    Ok((host, port.filter(|p| !p.is_empty())))
}

/// Whether this can be a name or an address, without brackets.
pub(super) fn is_host(text: &str) -> bool {
    let is_host_character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    !text.is_empty() && text.chars().all(is_host_character)
}

/// Undoes percent-encoding. The message names no part of the text: it may be a password.
fn decode(text: &str) -> Result<String, String> {
    let bad = || {
        "user or password hold a '%' that does not begin a percent code; write %25 for a percent sign"
            .to_string()
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'%' {
            let code = after.get(..2).and_then(|c| std::str::from_utf8(c).ok()).ok_or_else(bad)?;
            bytes.push(u8::from_str_radix(code, 16).map_err(|_| bad())?);
            rest = &after[2..];
        } else {
            bytes.push(byte);
            rest = after;
        }
    }
    String::from_utf8(bytes).map_err(|_| bad())
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
        ] {
            let message = parse(text).map(|_| ()).unwrap_err();
            assert!(!message.contains("geheim"), "{message}");
        }
    }
}
