//! The session cookie. vCenter puts its value into quotes and expects them back; the simulator uses no quotes.

use crate::runtime::secret::Secret;
use crate::soap::xml::date_time;

const NAME: &str = "vmware_soap_session";

/// The value of the session cookie after a reply with these `Set-Cookie` headers, quotes included. The last header about it
/// counts. `None`: the reply sets none or deletes it.
#[cold]
pub(crate) fn of_reply<'a>(headers: impl Iterator<Item = &'a str>, now_ms: i64) -> Option<Secret> {
    headers.filter_map(|header| from_set_cookie(header, now_ms)).last()?
}

/// What one `Set-Cookie` header does to the session cookie: sets a value, or deletes it (`Some(None)`). `None`: it is about
/// another cookie, or the value contains characters that cookies must not have.
pub(crate) fn from_set_cookie(header: &str, now_ms: i64) -> Option<Option<Secret>> {
    let mut parts = header.split(';');
    let (name, value) = parts.next()?.split_once('=')?;
    if name.trim() != NAME {
        return None;
    }
    let value = value.trim();
    if matches!(value, "" | "\"\"") || has_expired(parts, now_ms) {
        return Some(None);
    }
    is_value(value).then(|| Some(Secret::joined(&[value])))
}

/// Whether a cookie with these attributes has expired, which is how a server deletes it (RFC 6265, 5.2 and 5.3). The last of
/// several attributes of one name counts, and Max-Age overrides Expires.
fn has_expired<'a>(attributes: impl Iterator<Item = &'a str>, now_ms: i64) -> bool {
    let (mut age, mut end) = (None, None);
    for (name, value) in attributes.filter_map(|attribute| attribute.split_once('=')) {
        let (name, value) = (name.trim(), value.trim());
        if name.eq_ignore_ascii_case("max-age") {
            let digits = value.strip_prefix('-').unwrap_or(value);
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
                age = Some(value.starts_with('-') || digits.bytes().all(|b| b == b'0'));
            }
        } else if name.eq_ignore_ascii_case("expires") {
            end = cookie_date_ms(value).or(end);
        }
    }
    age.unwrap_or(end.is_some_and(|end| end <= now_ms))
}

/// Parses the date of a cookie (RFC 6265, 5.1.1): day, name of the month, year and time in any order.
fn cookie_date_ms(text: &str) -> Option<i64> {
    const MONTHS: &str = "janfebmaraprmayjunjulaugsepoctnovdec";
    let (mut day, mut month, mut year, mut time) = (None, None, None, None);
    for token in text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').filter(|t| !t.is_empty()) {
        let number = token.parse::<u16>().ok();
        if token.contains(':') {
            time = time.or(Some(token));
        } else if let Some(number) = number {
            if day.is_none() && token.len() <= 2 {
                day = Some(number);
            } else if year.is_none() {
                year = Some(number);
            }
        } else if let Some(name) = token.get(..3)
            && let Some(at) = MONTHS.find(&name.to_ascii_lowercase())
            && at % 3 == 0
        {
            month = month.or(Some(at / 3 + 1));
        }
    }
    let year = match year? {
        year @ ..70 => 2000 + year,
        year @ ..100 => 1900 + year,
        year => year,
    };
    date_time::to_ms(&format!("{year}-{}-{}T{}Z", month?, day?, time?))
}

/// The value of the `Cookie` header with this session cookie.
pub(crate) fn header(value: &Secret) -> Secret {
    Secret::joined(&[NAME, "=", value.reveal()])
}

fn is_value(value: &str) -> bool {
    let bare = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).unwrap_or(value);
    // RFC 6265: printable ASCII without space, quote, comma, semicolon and backslash.
    !bare.is_empty()
        && bare.bytes().all(|b| {
            ((0x21..=0x7e).contains(&b) || planted!("blank-in-a-cookie") && b == b' ')
                && !matches!(b, b'"' | b',' | b';' | b'\\')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_709_210_096_789;

    fn value(header: &str) -> Option<String> {
        from_set_cookie(header, NOW).flatten().map(|s| s.reveal().to_string())
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
            "vmware_soap_session=\"open",
            "vmware_soap_session=a b",
            "vmware_soap_session=a\u{e9}",
            "JSESSIONID=1; vmware_soap_session=2",
            "xvmware_soap_session=1",
            "JSESSIONID=; Max-Age=0",
        ] {
            assert_eq!(from_set_cookie(header, NOW), None, "{header}");
        }
    }

    #[test]
    fn a_cookie_without_time_left_is_deleted() {
        for attributes in [
            "Max-Age=0",
            "path=/; max-age = -1 ; HttpOnly",
            "Max-Age=60; Max-Age=0",
            "Max-Age=000; Expires=Fri, 01 Jan 2100 00:00:00 GMT",
            "Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "expires=Thu, 01-Jan-1970 00:00:10 GMT; Max-Age=soon",
            "Expires=Thursday, 01-Jan-70 00:00:00 GMT",
            "Expires=Thu Jan  1 00:00:00 1970",
            "Expires=Thu, 29 Feb 2024 12:34:56 GMT",
        ] {
            let header = format!("vmware_soap_session=gone; {attributes}");
            assert_eq!(from_set_cookie(&header, NOW), Some(None), "{attributes}");
        }
        for header in ["vmware_soap_session=", "vmware_soap_session=\"\"; Path=/"] {
            assert_eq!(from_set_cookie(header, NOW), Some(None), "{header}");
        }
        for attributes in [
            "Max-Age=1",
            "Max-Age=99999999999999999999999",
            "Max-Age=",
            "Max-Age=-",
            "Max-Age=3600; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "Expires=Thu, 29 Feb 2024 12:34:57 GMT",
            "Expires=Thu, 29-Feb-69 12:34:57 GMT",
            "Expires=0",
            "Expires=",
            "Expires=Thu, 01 Xyz 1970 00:00:00 GMT",
            "Expires=Thu, 99 Jan 1970 00:00:00 GMT",
        ] {
            let header = format!("vmware_soap_session=kept; {attributes}");
            assert_eq!(value(&header).as_deref(), Some("kept"), "{attributes}");
        }
    }

    #[test]
    fn the_later_of_two_cookies_counts_and_a_deletion_deletes() {
        let after = |headers: &[&str]| {
            of_reply(headers.iter().copied(), NOW).map(|cookie| cookie.reveal().to_string())
        };
        let (one, two) = ("vmware_soap_session=one", "vmware_soap_session=two");
        let gone = "vmware_soap_session=x; Max-Age=0";
        assert_eq!(after(&[]), None);
        assert_eq!(after(&[one, two]).as_deref(), Some("two"));
        assert_eq!(after(&[one, gone]), None);
        assert_eq!(after(&[gone, one]).as_deref(), Some("one"));
        assert_eq!(after(&[one, "JSESSIONID=3", "vmware_soap_session=a b"]).as_deref(), Some("one"));
    }
}
