//! Servers to reach without the proxy: the option `no_proxy` and the variables NO_PROXY and no_proxy. A server that curl or Go
//! would reach without the proxy is reached without it here too. An entry that neither understands is reported, because a list
//! that is misread sends a password through a proxy.

use std::net::{IpAddr, Ipv6Addr};

use super::url::{digits, is_name, looks_like_ipv4, port};

#[derive(Clone, Debug, Default)]
pub(crate) struct NoProxy {
    rules: Vec<Rule>,
    /// The number of the first entry that cannot be understood, from one.
    unknown: Option<usize>,
}

#[derive(Clone, Debug)]
struct Rule {
    target: Target,
    /// `None`: any.
    port: Option<u16>,
}

#[derive(Clone, Debug)]
enum Target {
    All,
    /// Addresses with the same first `bits`; a single address has all bits. IPv4 is the part of IPv6 that is mapped to it.
    Network {
        address: Ipv6Addr,
        bits: u8,
    },
    /// The subdomains of a name, and the name itself if `itself`.
    Domain {
        name: String,
        itself: bool,
    },
}

impl NoProxy {
    /// Reads a list whose entries are separated by commas or blanks.
    pub(super) fn parse(list: &str) -> NoProxy {
        let entries =
            list.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|entry| !entry.is_empty());
        let mut all = NoProxy::default();
        for (number, entry) in entries.enumerate() {
            match Rule::parse(&entry.to_ascii_lowercase()) {
                Some(rule) => all.rules.push(rule),
                None => all.unknown = all.unknown.or(Some(number + 1)),
            }
        }
        all
    }

    /// The message about an entry that cannot be understood. It shows only the number: the entry may hold a password.
    pub(super) fn problem(&self) -> Option<String> {
        self.unknown.map(|number| {
            format!(
                "entry {number} is not understood; write hosts, domains, addresses and networks such as vc.example.com, .example.com, 10.0.0.0/8 or [::1]:443, separated by commas"
            )
        })
    }

    /// Whether the list covers the server. `host` is a name in lower case, or an address without brackets. Names are not resolved, so a
    /// network covers only servers that are named by address.
    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        let address = host.parse().ok().map(mapped);
        let host = host.strip_suffix('.').unwrap_or(host);
        self.rules.iter().any(|rule| {
            rule.port.is_none_or(|only| only == port)
                && match (&rule.target, address) {
                    (Target::All, _) => true,
                    (Target::Network { address: network, bits }, Some(address)) => {
                        // Otherwise `::/0` would cover IPv4 addresses too.
                        (*bits >= MAPPED || address.to_ipv4_mapped().is_none())
                            && network.to_bits() ^ address.to_bits()
                                <= u128::MAX.checked_shr((*bits).into()).unwrap_or(0)
                    }
                    (Target::Domain { name, itself }, None) => match host.strip_suffix(name.as_str()) {
                        Some("") => *itself,
                        Some(before) => before.ends_with('.'),
                        None => false,
                    },
                    (Target::Network { .. }, None) | (Target::Domain { .. }, Some(_)) => false,
                }
        })
    }
}

impl Rule {
    fn parse(entry: &str) -> Option<Rule> {
        if let Some((address, bits)) = entry.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let bits = digits::<u8>(bits)?.checked_add(if address.is_ipv4() { MAPPED } else { 0 })?;
            let target = Target::Network { address: mapped(address), bits };
            return (bits <= 128).then_some(Rule { target, port: None });
        }
        if let Ok(address) = entry.parse() {
            return Some(Rule { target: one_address(address), port: None });
        }
        if let Some(rest) = entry.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let port = if rest.is_empty() { None } else { Some(port(rest.strip_prefix(':')?)?) };
            return Some(Rule { target: one_address(address.into()), port });
        }
        let (name, port) = match entry.split_once(':') {
            Some((name, number)) => (name, Some(port(number)?)),
            None => (entry, None),
        };
        let target = match name.parse() {
            Ok(address) => one_address(address),
            Err(_) => domain(name)?,
        };
        Some(Rule { target, port })
    }
}

fn domain(name: &str) -> Option<Target> {
    if name == "*" {
        return Some(Target::All);
    }
    // `.example.com` covers example.com itself for curl and not for Go, `*.example.com` for neither.
    let (name, itself) = match name.strip_prefix("*.") {
        Some(name) => (name, false),
        None => (name.strip_prefix('.').unwrap_or(name), true),
    };
    let good = is_name(name) && !looks_like_ipv4(name);
    good.then(|| Target::Domain { name: name.strip_suffix('.').unwrap_or(name).to_string(), itself })
}

fn one_address(address: IpAddr) -> Target {
    Target::Network { address: mapped(address), bits: 128 }
}

/// The bits before an IPv4 address that is mapped to IPv6.
const MAPPED: u8 = 96;

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lists, hosts, and whether curl 7.88.1 (`--noproxy`), Go 1.26 (NO_PROXY) and this library bypass the proxy.
    const TABLE: &[(&str, &str, bool, bool, bool)] = &[
        // list, host, curl, Go, here
        ("10.0.0.0/8", "10.1.2.3", true, true, true),
        ("10.0.0.0/8", "11.1.2.3", false, false, false),
        ("10.1.2.3/8", "10.9.9.9", true, true, true),
        ("localhost,10.1.2.0/24", "10.1.2.3", true, true, true),
        ("10.1.2.0/25", "10.1.2.128", false, false, false),
        ("10.1.2.3/32", "10.1.2.3", true, true, true),
        ("10.1.2.3/32", "10.1.2.2", false, false, false),
        ("0.0.0.0/0", "10.1.2.3", false, true, true),
        ("10.0.0.0/08", "10.1.2.3", true, true, true),
        ("2001:db8::/32", "2001:db8::1", false, true, true),
        ("2001:db8::/32", "2001:db9::1", false, false, false),
        ("2001:db8::1/128", "2001:db8::1", false, true, true),
        ("::/0", "2001:db8::1", false, true, true),
        ("::/0", "10.1.2.3", false, false, false),
        ("0.0.0.0/0", "2001:db8::1", false, false, false),
        ("10.0.0.0/8", "vc.example.com", false, false, false),
        ("example.com", "vc.example.com", true, true, true),
        ("example.com", "example.com", true, true, true),
        ("example.com", "badexample.com", false, false, false),
        (".example.com", "vc.example.com", true, true, true),
        (".example.com", "example.com", true, false, true),
        (".example.com", "badexample.com", false, false, false),
        ("*.example.com", "vc.example.com", false, true, true),
        ("*.example.com", "example.com", false, false, false),
        ("*", "vc.example.com", true, true, true),
        ("a,*", "vc.example.com", false, true, true),
        ("*", "10.1.2.3", true, true, true),
        ("vc.example.com:443", "vc.example.com", false, true, true),
        ("vc.example.com:8443", "vc.example.com", false, false, false),
        (".example.com:443", "vc.example.com", false, true, true),
        ("10.1.2.3:443", "10.1.2.3", false, true, true),
        ("10.1.2.3:80", "10.1.2.3", false, false, false),
        ("[2001:db8::1]:443", "2001:db8::1", false, true, true),
        ("[2001:db8::1]:80", "2001:db8::1", false, false, false),
        ("2001:db8::1", "2001:db8::1", true, true, true),
        ("2001:DB8:0::1", "2001:db8::1", false, true, true),
        ("example.com.", "vc.example.com", true, false, true),
        ("example.com", "vc.example.com.", true, false, true),
        ("a example.com", "vc.example.com", true, false, true),
        (" a ,\texample.com , ", "vc.example.com", true, true, true),
        ("EXAMPLE.com", "vc.example.com", true, true, true),
        ("::ffff:10.1.2.3", "10.1.2.3", false, true, true),
        ("10.1.2.3", "::ffff:10.1.2.3", false, true, true),
        ("10.0.0.0/8", "::ffff:10.1.2.3", false, true, true),
        ("::ffff:10.0.0.0/104", "10.1.2.3", false, true, true),
        ("::ffff:10.0.0.0/104", "11.1.2.3", false, false, false),
        // Neither accepts brackets without a port, but the meaning is clear.
        ("[2001:db8::1]", "2001:db8::1", false, false, true),
        ("*:443", "vc.example.com", false, false, true),
        ("*:80", "vc.example.com", false, false, false),
        ("", "vc.example.com", false, false, false),
    ];

    #[test]
    fn a_server_that_curl_or_go_reaches_directly_is_reached_directly() {
        for (list, host, curl, go, here) in TABLE {
            let exceptions = NoProxy::parse(list);
            assert_eq!(exceptions.problem(), None, "{list}");
            assert_eq!(exceptions.covers(host, 443), *here, "{list:?} and {host}");
            assert!(*here || !curl && !go, "{list:?} and {host}");
        }
    }

    #[test]
    fn an_entry_that_is_not_understood_is_reported_by_its_number() {
        for entry in [
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/255.0.0.0",
            "2001:db8::/129",
            "[2001:db8::]/32",
            "10.0.0.0/8:443",
            "10.1.2.0/24/",
            "/8",
            "10.*",
            "10.",
            "10.1.2",
            "10.1.2.3.",
            "010.1.2.3",
            "0x7f.1",
            "*example.com",
            "vc*",
            "*.*",
            "**",
            "..example.com",
            "*..example.com",
            ".",
            "example..com",
            "example.com:",
            "example.com:0",
            "example.com:99999",
            "example.com:+80",
            ":443",
            "https://vc.example.com",
            "a;b",
            "user@host",
            "<local>",
            "[::1",
            "::1]",
            "[::1]443",
            "[10.1.2.3]",
            "fe80::1%eth0",
            "b\u{fc}cher.example",
            "::ffff:10.0.0.0/129",
        ] {
            let exceptions = NoProxy::parse(&format!("a.example, {entry}"));
            let problem = exceptions.problem().unwrap_or_else(|| panic!("{entry} is understood"));
            assert!(problem.contains("entry 2 ") && exceptions.covers("a.example", 443), "{problem}");
        }
    }
}
