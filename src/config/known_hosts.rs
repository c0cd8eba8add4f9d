//! Known-hosts files in `govc`'s format: lines of `host[:port] THUMBPRINT`, with the port 443 by default. A line counts if it
//! names the server in any spelling. A line that is passed over would leave its server without its pin, so a line whose host
//! cannot be understood is an error.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::url;
use crate::net::Thumbprint;

/// The thumbprints that the text names for this server. Empty lines and comments (`#`) are skipped.
pub(super) fn thumbprints(text: &str, host: &str, port: u16) -> Result<Vec<Thumbprint>, String> {
    let server = (Host::of_server(host), port);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    for (number, line) in (1..).zip(lines(text)) {
        let number = if planted!("lines-from-zero") { number - 1 } else { number };
        let mut words = line.split_whitespace().take_while(|word| !word.starts_with('#'));
        let Some(name) = words.next() else { continue };
        let thumbprint = words.next().unwrap_or_default();
        if words.next().is_some() {
            return Err(format!("line {number}: more than a host name and a thumbprint"));
        }
        let meant = meanings(name)
            .ok_or_else(|| format!("line {number}: it does not begin with a host name; write host:port"))?;
        if !meant.contains(&server) {
            continue;
        }
        let thumbprint = Thumbprint::parse(thumbprint)
            .ok_or_else(|| format!("line {number}: no thumbprint after the host name"))?;
        found.push(thumbprint);
    }
    Ok(found)
}

/// Lines end with LF, CR LF or CR.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

/// A name or an address, whatever its spelling.
#[derive(Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Host {
    /// The host of the server's URL.
    fn of_server(host: &str) -> Host {
        match host.parse::<IpAddr>() {
            Ok(address) => Host::Address(address.to_canonical()),
            // As the resolver reads it.
            Err(_) => {
                numbers(host).map_or_else(|| Host::name(host), |(address, _)| Host::Address(address.into()))
            }
        }
    }

    /// The host of a line, without port. `None`: it could be anything.
    fn of_line(text: &str) -> Option<Host> {
        if let Some(rest) = text.strip_prefix('[') {
            return Host::v6(rest.strip_suffix(']')?);
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Host::Address(address.into()));
        }
        match numbers(text) {
            // With a leading zero: octal to the resolver, decimal to people.
            Some((_, true)) => return None,
            Some((address, false)) => return Some(Host::Address(address.into())),
            // A number that is no address, or a range of addresses.
            None if url::looks_like_ipv4(text) => return None,
            None => {}
        }
        let whole = text.split('.').all(|part| !part.starts_with('-') && !part.ends_with('-'));
        (url::is_name(text) && whole).then(|| Host::name(text))
    }

    fn v6(text: &str) -> Option<Host> {
        // The zone names the interface, which does not matter.
        let address = text.split_once('%').map_or(text, |(address, _)| address);
        Some(Host::Address(IpAddr::from(address.parse::<Ipv6Addr>().ok()?).to_canonical()))
    }

    fn name(text: &str) -> Host {
        Host::Name(text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase())
    }
}

/// The servers that the first word of a line may mean. `::1:443` without brackets is an address, or another address with a port.
fn meanings(word: &str) -> Option<Vec<(Host, u16)>> {
    const HTTPS: u16 = 443;
    let mut all = Vec::new();
    if let Some(host) = Host::v6(word).or_else(|| Host::of_line(word)) {
        all.push((host, HTTPS));
    }
    if let Some((host, port)) = word.rsplit_once(':')
        && let Some(host) = Host::of_line(host).or_else(|| Host::v6(host))
    {
        let port = if port.is_empty() { Some(HTTPS) } else { url::port(port) };
        all.extend(port.map(|port| (host, port)));
    }
    (!all.is_empty()).then_some(all)
}

/// An IPv4 address in one of the forms that the resolver accepts besides four decimal numbers: `127.1`, `0x7f000001`. Also whether
/// it holds an octal number, which begins with a zero.
fn numbers(text: &str) -> Option<(Ipv4Addr, bool)> {
    let text = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let mut octal = false;
    let mut number = |part: &str| -> Option<u32> {
        let (digits, radix) = match part.strip_prefix("0x") {
            Some(digits) => (digits, 16),
            None if part.len() > 1 && part.starts_with('0') => {
                octal = true;
                (part, 8)
            }
            None => (part, 10),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        u32::from_str_radix(digits, radix).ok()
    };
    let parts: Vec<u32> = text.split('.').map(&mut number).collect::<Option<_>>()?;
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() < 4)?;
    let room = 8 * (4 - first.len() as u32);
    if first.iter().any(|part| *part > 255) || u64::from(*last) >= 1 << room {
        return None;
    }
    let address = first.iter().zip([24, 16, 8]).fold(*last, |sum, (part, shift)| sum | part << shift);
    Some((Ipv4Addr::from(address), octal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_by_host_and_port() {
        let a = Thumbprint::sha256(b"a");
        let b = Thumbprint::sha1(b"b");
        let text = format!(
            "# comment\n\nvc.example.com {a}\r\nVC.example.com:8443 {b}\n[::1]:443 {b}\n10.0.0.1 {a}\n"
        );
        assert_eq!(thumbprints(&text, "vc.example.com", 443), Ok(vec![a.clone()]));
        assert_eq!(thumbprints(&text, "vc.example.com", 8443), Ok(vec![b.clone()]));
        assert_eq!(thumbprints(&text, "::1", 443), Ok(vec![b]));
        assert_eq!(thumbprints(&text, "10.0.0.1", 443), Ok(vec![a]));
        assert_eq!(thumbprints(&text, "other", 443), Ok(vec![]));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_an_error_only_for_its_host() {
        assert!(thumbprints("vc nonsense", "vc", 443).unwrap_err().contains("line 1"));
        assert!(thumbprints("vc", "vc", 443).is_err());
        assert_eq!(thumbprints("vc nonsense", "other", 443), Ok(vec![]));
    }

    /// If one of these lines were passed over, the server would be without its pin.
    #[test]
    fn a_server_is_found_in_every_spelling() {
        let a = Thumbprint::sha256(b"a");
        for (words, host, port) in [
            (&["vc", "VC", "vc.", "vc:443", "vc:0443", "vc:", "vC.:443"][..], "vc", 443),
            (&["vc", "vc."], "vc.", 443),
            (&["vc:8443", "vc.:08443", "VC:8443"], "vc", 8443),
            (
                &["::1", "[::1]", "[::1]:443", "[0:0:0:0:0:0:0:1]", "0:0:0:0:0:0:0:1:443", "[::1]:"],
                "::1",
                443,
            ),
            (&["[0000::0001]:8443", "::1:8443", "[::0.0.0.1]:8443", "[::1%lo]:8443"], "::1", 8443),
            (&["[FE80::A]", "fe80::a", "[fe80:0::a%eth0]"], "fe80::a", 443),
            (&["10.0.0.1", "10.0.0.1.", "[::ffff:10.0.0.1]", "[::ffff:a00:1]:443", "10.1"], "10.0.0.1", 443),
            (&["0xa000001", "167772161"], "10.0.0.1", 443),
            (&["10.0.0.1"], "::ffff:10.0.0.1", 443),
            (&["127.0.0.1", "127.1", "[::ffff:7f00:1]"], "0177.1", 443),
        ] {
            for word in words {
                for line in [
                    format!("{word} {a}"),
                    format!("\u{feff}{word} {a}"),
                    format!(" \t{word}\t{a}  # ours\r\n"),
                    format!("other {a}\r{word} {a}\r"),
                    format!("\u{feff}# ours\r\n{word}\u{a0}{a}"),
                ] {
                    assert_eq!(
                        thumbprints(&line, host, port),
                        Ok(vec![a.clone()]),
                        "{line:?} for {host}:{port}"
                    );
                }
            }
        }
    }

    #[test]
    fn others_are_passed_over() {
        let a = Thumbprint::sha256(b"a");
        for (word, host, port) in [
            ("vc:8443", "vc", 443),
            ("vc", "vc", 8443),
            ("vc.example.com", "vc", 443),
            ("[::2]", "::1", 443),
            ("::1:443", "::1", 8443),
            ("10.0.0.2", "10.0.0.1", 443),
            ("10", "vc", 443),
            ("#vc", "vc", 443),
        ] {
            assert_eq!(
                thumbprints(&format!("{word} {a}"), host, port),
                Ok(vec![]),
                "{word} for {host}:{port}"
            );
        }
    }

    #[test]
    fn a_name_that_could_be_any_servers_is_an_error_with_its_line() {
        let a = Thumbprint::sha256(b"a");
        for word in [
            "v\u{200b}c",
            "v\u{feff}c",
            "münchen",
            "vc..",
            "v..c",
            "vc-",
            "-vc",
            "10.1.2.256",
            "10.258.3",
            "10.1.2.3-10.1.2.9",
            "*.example.com",
            "vc,other",
            "https://vc",
            "vc/sdk",
            "user@vc",
            "|1|x=|y=",
            "[vc]",
            "[::1",
            "vc:99999",
            "vc:0",
            "vc:+443",
            "vc:80x",
            "010.0.0.1",
            ".",
            "v\0c",
        ] {
            let problem = thumbprints(&format!("other {a}\n{word} {a}\n"), "vc", 443).unwrap_err();
            assert!(problem.starts_with("line 2: "), "{word}: {problem}");
        }
        let two = format!("other {a} vc {a}");
        assert!(thumbprints(&two, "vc", 443).unwrap_err().starts_with("line 1: more"), "{two}");
        let separated = format!("other {a}\u{2028}vc {a}");
        assert!(thumbprints(&separated, "vc", 443).is_err());
    }
}
