//! Which proxy to use, if any. ureq's own type reads the addresses and the lists of exceptions.

use std::net::IpAddr;

use ureq::Proxy as Address;
use ureq::ProxyProtocol;

use super::url::{Url, is_host};
use crate::error::{Error, Result};
use crate::net::{Proxy, ProxyKind};
use crate::runtime::secret::Secret;
use crate::status::Status;

/// What the option `proxy` says.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    None,
    /// Look at the environment.
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
    let parsed = Address::new(address).map_err(|_| "is not the address of a proxy".to_string())?;
    let kind = match parsed.protocol() {
        ProxyProtocol::Http => ProxyKind::Connect,
        ProxyProtocol::Socks5 | ProxyProtocol::Socks5h => ProxyKind::Socks5,
        _ => return Err("is a kind of proxy that is not supported".into()),
    };
    let host = parsed.host();
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if !is_host(host) {
        return Err("is not the address of a proxy".into());
    }
    Ok(Proxy {
        kind,
        host: host.to_string(),
        port: parsed.port(),
        user: parsed.username().map(str::to_string),
        password: parsed.password().map(Secret::new),
    })
}

/// The proxy for this server.
pub(super) fn for_server(
    choice: &Choice,
    no_proxy: Option<&str>,
    url: &Url,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>> {
    let set = |names: &[&'static str]| {
        names.iter().find_map(|name| Some((*name, variable(name).filter(|v| !v.is_empty())?)))
    };
    let (proxy, exceptions) = match choice {
        Choice::None => return Ok(None),
        Choice::At(proxy) => (proxy.clone(), no_proxy.map(str::to_string)),
        Choice::Env => {
            let names: &[&'static str] = if url.https {
                &["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
            } else {
                // The capital form can be set by whoever sends a header named Proxy to a CGI program.
                &["http_proxy", "ALL_PROXY", "all_proxy"]
            };
            let Some((name, address)) = set(names) else { return Ok(None) };
            let proxy = parse(&address).map_err(|problem| {
                Error::new(
                    Status::VSESSION_E_CONFIG,
                    format!("option 'proxy' is 'env', and what {name} holds {problem}"),
                )
            })?;
            (
                proxy,
                no_proxy.map(str::to_string).or_else(|| set(&["NO_PROXY", "no_proxy"]).map(|(_, list)| list)),
            )
        }
    };
    let excepted = exceptions.is_some_and(|list| is_excepted(&url.host, &list));
    Ok(Some(proxy).filter(|_| !excepted))
}

fn is_excepted(host: &str, list: &str) -> bool {
    let mut builder = Address::builder(ProxyProtocol::Http).host("unused").port(1);
    let address = host.parse::<IpAddr>();
    for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        // ureq compares texts, and a URL has brackets around an address that the list usually has none around.
        if address.is_ok() && entry.trim_matches(['[', ']']).parse() == address {
            return true;
        }
        builder = builder.no_proxy(entry);
    }
    let text = if host.contains(':') { format!("http://[{host}]/") } else { format!("http://{host}/") };
    match (builder.build(), text.parse()) {
        (Ok(rules), Ok(uri)) => rules.is_no_proxy(&uri),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::url;

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
    fn the_environment_is_looked_at_only_when_asked() {
        let environment = |name: &str| match name {
            "HTTPS_PROXY" => Some("http://p:1".to_string()),
            "NO_PROXY" => Some("localhost,.internal".to_string()),
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
        let environment = |name: &str| (name == "all_proxy").then(|| "gopher://p".to_string());
        for url in ["vc", "http://vc"] {
            let error = for_server(&Choice::Env, None, &server(url), environment).unwrap_err();
            assert!(error.detail().message.contains("all_proxy holds"), "{error}");
        }
    }

    #[test]
    fn exceptions_go_past_the_proxy() {
        let proxy = Choice::parse("http://p:1").unwrap();
        let host =
            |url, list| for_server(&proxy, Some(list), &server(url), |_| None).unwrap().map(|p| p.host);
        assert_eq!(host("vc.example.com", "vc.example.com"), None);
        assert_eq!(host("vc.example.com", "a, .example.com"), None);
        assert_eq!(host("vc.example.com", "*"), None);
        assert_eq!(host("vc.example.com", "example.org").as_deref(), Some("p"));
        for same in ["2001:db8::1", "a, [2001:db8::1]", "2001:db8:0::1"] {
            assert_eq!(host("https://[2001:db8::1]", same), None, "{same}");
        }
        assert_eq!(host("https://[2001:db8::1]", "2001:db8::2").as_deref(), Some("p"));
    }
}
