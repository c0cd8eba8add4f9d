//! The session cookie. vCenter quotes its value and wants the quotes back; the simulator does not.

use crate::runtime::secret::Secret;

const NAME: &str = "vmware_soap_session";

/// The value of the session cookie in one `Set-Cookie` header, quotes included; `None` when it is another cookie, is
/// empty, or holds characters that no cookie may have.
pub(crate) fn from_set_cookie(header: &str) -> Option<Secret> {
    let (name, rest) = header.split_once('=')?;
    if name.trim() != NAME {
        return None;
    }
    let value = rest.split(';').next().unwrap_or("").trim();
    is_value(value).then(|| Secret::new(value))
}

/// The `Cookie` header that presents this value.
pub(crate) fn header(value: &Secret) -> Secret {
    Secret::new(format!("{NAME}={}", value.reveal()))
}

/// What is secret in such a header: the value without the quotes around it.
pub(crate) fn bare_value(header: &Secret) -> &str {
    let text = header.reveal();
    text.split_once('=').map_or(text, |(_, value)| value).trim_matches('"')
}

fn is_value(value: &str) -> bool {
    let bare = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    // RFC 6265: printable ASCII without blank, quote, comma, semicolon and backslash.
    !bare.is_empty()
        && bare.bytes().all(|b| (0x21..=0x7e).contains(&b) && !matches!(b, b'"' | b',' | b';' | b'\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(header: &str) -> Option<String> {
        from_set_cookie(header).map(|s| s.reveal().to_string())
    }

    #[test]
    fn quotes_are_kept() {
        assert_eq!(
            value("vmware_soap_session=\"52a1c0ffee\"; Path=/; HttpOnly; Secure;").as_deref(),
            Some("\"52a1c0ffee\"")
        );
        assert_eq!(value("vmware_soap_session=0ff-1ce").as_deref(), Some("0ff-1ce"));
    }

    #[test]
    fn other_and_unusable_cookies_are_left_alone() {
        for header in [
            "",
            "vmware_soap_session",
            "vmware_soap_session=",
            "vmware_soap_session=\"\"",
            "vmware_soap_session=\"open",
            "vmware_soap_session=a b",
            "vmware_soap_session=a\u{e9}",
            "JSESSIONID=1; vmware_soap_session=2",
            "xvmware_soap_session=1",
        ] {
            assert_eq!(value(header), None, "{header}");
        }
    }
}
