//! The choice of a proxy, if any.

use std::ffi::OsString;

use super::env;
use super::no_proxy::NoProxy;
use super::url::{Authority, Url, split_scheme};
use crate::error::{Error, Result};
use crate::net::{Proxy, ProxyKind};
use crate::runtime::secret::Secret;

/// What the option `proxy` says.
#[derive(Clone, Debug, Default)]
pub(crate) enum Choice {
    #[default]
    None,
    /// The proxy that the environment names.
    Env,
    At(Proxy),
}

impl Choice {
    pub(super) fn parse(value: &str) -> std::result::Result<Choice, String> {
        match value {
            "" | "none" => Ok(Choice::None),
            "env" => Ok(Choice::Env),
            address => parse(address).map(Choice::At),
        }
    }
}

fn parse(address: &str) -> std::result::Result<Proxy, String> {
    let (scheme, rest) = split_scheme(address)?;
    let kind = match scheme.as_deref() {
        None | Some("http") => ProxyKind::Connect,
        Some("socks5" | "socks5h") => ProxyKind::Socks5,
        Some(_) if planted!("proxy-in-the-message") => return Err(format!("{address} is not supported")),
        Some(_) => return Err("this kind of proxy is not supported".into()),
    };
    let (Authority { host, port, user, password }, path) = Authority::split(rest)?;
    if !matches!(path, "" | "/") {
        return Err("the address of a proxy has no path".into());
    }
    let texts = [user.as_deref(), password.as_ref().map(Secret::reveal)];
    if texts.into_iter().flatten().any(|text| text.chars().any(char::is_control)) {
        return Err("the user name or the password holds a control character, which no proxy accepts".into());
    }
    // In Basic authentication a colon ends the user name (RFC 7617).
    if kind == ProxyKind::Connect && user.as_ref().is_some_and(|user| user.contains(':')) {
        return Err("a user name for an HTTP proxy cannot hold a ':'".into());
    }
    let default = if kind == ProxyKind::Connect { 80 } else { 1080 };
    Ok(Proxy { kind, host, port: port.unwrap_or(default), user, password })
}

/// The proxy for this server. The environment is read only if the option says so.
pub(super) fn for_server(
    choice: &Choice,
    no_proxy: Option<&NoProxy>,
    url: &Url,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Proxy>> {
    let excepted = |list: &NoProxy| list.covers(&url.host, url.port);
    match choice {
        Choice::None => Ok(None),
        Choice::At(proxy) => Ok(Some(proxy.clone()).filter(|_| !no_proxy.is_some_and(excepted))),
        Choice::Env => {
            let proxy = of_environment(url.https, &variable)?;
            let excepted = proxy.is_some()
                && match no_proxy {
                    Some(list) => excepted(list),
                    None => excepted_by_environment(url, &variable)?,
                };
            Ok(proxy.filter(|_| !excepted))
        }
    }
}

fn of_environment(https: bool, variable: &impl Fn(&str) -> Option<OsString>) -> Result<Option<Proxy>> {
    let names: &[&str] = if https {
        &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    } else {
        // In a CGI program HTTP_PROXY holds the request header `Proxy`, which any client can send.
        &["http_proxy", "ALL_PROXY", "all_proxy"]
    };
    for name in names {
        if let Some(address) = env::text(variable, name)? {
            return parse(&address).map(Some).map_err(|problem| blame(name, &problem));
        }
    }
    Ok(None)
}

/// curl and Go differ in which of the two names they read first; an exception in either counts. An entry that cannot be understood
/// may mean this server, and then the password must not go to the proxy.
fn excepted_by_environment(url: &Url, variable: &impl Fn(&str) -> Option<OsString>) -> Result<bool> {
    let mut unread = None;
    for name in ["NO_PROXY", "no_proxy"] {
        let list = env::text(variable, name)?.map(|list| NoProxy::parse(&list)).unwrap_or_default();
        if list.covers(&url.host, url.port) {
            return Ok(true);
        }
        unread = unread.or(list.problem().map(|problem| blame(name, &problem)));
    }
    unread.map_or(Ok(false), Err)
}

fn blame(variable: &str, problem: &str) -> Error {
    Error::config(format!(
        "option 'proxy' is 'env', and the environment variable {variable} cannot be used: {problem}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::url;
    use crate::status::Status;

    fn server(address: &str) -> Url {
        url::parse(address).unwrap().0
    }

    #[test]
    fn addresses_are_read() {
        let proxy = parse("http://us%40er:p%3Aw@proxy.example.com:3128").unwrap();
        assert_eq!(
            (proxy.kind, proxy.host.as_str(), proxy.port),
            (ProxyKind::Connect, "proxy.example.com", 3128)
        );
        assert_eq!(proxy.user.as_deref(), Some("us@er"));
        assert_eq!(proxy.password.unwrap().reveal(), "p:w");
        assert_eq!(parse("socks5://127.0.0.1:1080").unwrap().kind, ProxyKind::Socks5);
        for bad in ["ftp://x", "http://", "https://proxy:1", "socks4://x:1", "http://b[::1]:1"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_host_is_what_stands_behind_the_at_or_the_address_is_refused() {
        for good in [
            "http://us:er@home:p@ss@proxy:3128",
            "us\\er:p w;d@proxy:3128",
            "socks5://u:p%23%2F%3f%40@proxy:3128/",
        ] {
            let proxy = parse(good).unwrap_or_else(|problem| panic!("{good}: {problem}"));
            assert_eq!((proxy.host.as_str(), proxy.port), ("proxy", 3128), "{good}");
        }
        for password in [
            "8080#geheim", "8080/geheim", "8080?geheim", "geheim#", "/geheim", "%", "%4", "%zz", "%+1",
            "%ff", "%01", "%7f", "a\nb",
        ] {
            for address in [
                format!("http://user:{password}@proxy:3128"),
                format!("socks5://user:{password}@proxy"),
                format!("user:{password}@proxy:3128"),
            ] {
                let problem = parse(&address).map(|_| ()).unwrap_err();
                assert!(!problem.contains("geheim") && !problem.contains("user:"), "{problem}");
            }
        }
        for bad in [
            "http://us%3Aer:p@proxy",
            "http://proxy/path",
            "http://proxy:80/x",
            "http://u:p@",
            "http://u:p@:80",
            "http://127.1:80",
            "http://a..b",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_is_digits_from_1_to_65535_and_80_or_1080_by_default() {
        for (address, port) in [
            ("http://p", 80),
            ("p", 80),
            ("p:1/", 1),
            ("http://p:65535", 65535),
            ("socks5://p", 1080),
            ("socks5h://[::1]:443", 443),
        ] {
            assert_eq!(parse(address).unwrap().port, port, "{address}");
        }
        for port in ["", "0", "65536", "99999", "80x", "-1", "+80", " 80", "0x50", "8 0"] {
            for address in
                [format!("http://p:{port}"), format!("socks5://u:p@[::1]:{port}/"), format!("p:{port}/")]
            {
                assert!(parse(&address).is_err(), "{address}");
            }
        }
    }

    #[test]
    fn the_environment_is_looked_at_only_when_asked() {
        let environment = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://p:1".into()),
            "NO_PROXY" => Some("localhost,.internal".into()),
            _ => None,
        };
        let host =
            |choice, url| for_server(&choice, None, &server(url), environment).unwrap().map(|p| p.host);
        assert_eq!(host(Choice::None, "vc"), None);
        assert_eq!(host(Choice::Env, "vc").as_deref(), Some("p"));
        assert_eq!(host(Choice::Env, "vc.internal"), None);
        assert_eq!(host(Choice::Env, "http://vc"), None);
        for (value, none) in [("", true), ("none", true), ("env", false)] {
            assert_eq!(host(Choice::parse(value).unwrap(), "vc").is_none(), none, "{value}");
        }
        let broken = for_server(&Choice::Env, None, &server("vc"), |_| Some("ftp://p".into())).unwrap_err();
        assert!(broken.detail().message.contains("HTTPS_PROXY"), "{}", broken.detail().message);
    }

    #[test]
    fn a_bad_variable_is_named() {
        let environment = |name: &str| (name == "all_proxy").then(|| "gopher://p".into());
        for url in ["vc", "http://vc"] {
            let error = for_server(&Choice::Env, None, &server(url), environment).unwrap_err();
            assert!(error.detail().message.contains("variable all_proxy cannot"), "{error}");
        }
    }

    #[test]
    fn exceptions_go_past_the_proxy() {
        let proxy = Choice::parse("http://p:1").unwrap();
        let host = |url, list| {
            for_server(&proxy, Some(&NoProxy::parse(list)), &server(url), |_| None).unwrap().map(|p| p.host)
        };
        assert_eq!(host("vc.example.com", "vc.example.com"), None);
        assert_eq!(host("vc.example.com", "a, .example.com"), None);
        assert_eq!(host("vc.example.com", "*"), None);
        assert_eq!(host("vc.example.com", "example.org").as_deref(), Some("p"));
        for same in ["2001:db8::1", "a, [2001:db8::1]", "2001:db8:0::1"] {
            assert_eq!(host("https://[2001:db8::1]", same), None, "{same}");
        }
        assert_eq!(host("https://[2001:db8::1]", "2001:db8::2").as_deref(), Some("p"));
    }

    #[test]
    fn a_variable_that_is_not_understood_lets_no_password_through_the_proxy() {
        let open = |lists: &'static [(&str, &str)]| {
            let environment = move |name: &str| match name {
                "http_proxy" => Some("http://p:1".into()),
                name => lists.iter().find(|(n, _)| *n == name).map(|(_, list)| list.into()),
            };
            for_server(&Choice::Env, None, &server("http://vc.example.com"), environment)
        };
        let went_direct = |lists| open(lists).unwrap().is_none();
        assert!(went_direct(&[("NO_PROXY", "10.*,example.com")]));
        assert!(went_direct(&[("NO_PROXY", "10.*"), ("no_proxy", "example.com")]));
        assert!(went_direct(&[("NO_PROXY", "a"), ("no_proxy", "example.com")]));
        assert!(!went_direct(&[("NO_PROXY", "a"), ("no_proxy", "b")]));
        for list in [&[("NO_PROXY", "a, u:geheim@p*")], &[("no_proxy", "a, u:geheim@p*")]] {
            let error = open(list).unwrap_err();
            assert_eq!(error.status(), Status::VSESSION_E_CONFIG);
            let message = &error.detail().message;
            assert!(
                message.contains(list[0].0) && message.contains("entry 2") && !message.contains("geheim"),
                "{message}"
            );
        }
        for name in ["http_proxy", "NO_PROXY", "no_proxy"] {
            use std::os::unix::ffi::OsStringExt;
            let environment = |asked: &str| match asked {
                asked if asked == name => Some(OsString::from_vec(b"http://u:g\xe9@p".to_vec())),
                "ALL_PROXY" => Some("http://p:1".into()),
                _ => None,
            };
            let error = for_server(&Choice::Env, None, &server("http://vc"), environment).unwrap_err();
            assert!(error.detail().message.contains(name), "{error}");
        }
        // The option takes precedence, and the variables are not read then.
        let list = NoProxy::parse("example.com");
        let environment = |name: &str| match name {
            "http_proxy" => Some("http://p:1".into()),
            _ => Some("10.*".into()),
        };
        let found = for_server(&Choice::Env, Some(&list), &server("http://vc.example.com"), environment);
        assert!(found.unwrap().is_none());
    }
}
