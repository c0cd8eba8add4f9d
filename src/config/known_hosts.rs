//! Files of known hosts in the format of `govc`: lines of `host[:port] THUMBPRINT`, the port 443 where none is named.

use crate::net::Thumbprint;

/// The thumbprints that the text names for this server. Empty lines and lines that begin with `#` are skipped; a line
/// for the server that cannot be read is an error, because skipping it would trust somebody else.
pub(super) fn thumbprints(text: &str, host: &str, port: u16) -> Result<Vec<Thumbprint>, String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, thumbprint) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if !names(name, host, port) {
            continue;
        }
        let thumbprint = Thumbprint::parse(thumbprint)
            .ok_or_else(|| format!("line {}: no thumbprint after the host name", number + 1))?;
        found.push(thumbprint);
    }
    Ok(found)
}

/// Whether the first word of a line means this server.
fn names(name: &str, host: &str, port: u16) -> bool {
    let bare = |name: &str| name.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    if port == 443 && bare(name) == host {
        return true;
    }
    name.rsplit_once(':').is_some_and(|(name, number)| bare(name) == host && number.parse() == Ok(port))
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
}
