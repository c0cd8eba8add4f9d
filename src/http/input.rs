//! What a program may put into a request: its method, its target and its headers. A request is refused where another reader on the way
//! could take it for something else, or where its path leads out of the place that it names.

use super::head::MAX_LINES;

/// A longer target is refused by the servers.
const LONGEST_TARGET: usize = 16 * 1024;
/// The most bytes of all headers of a program together.
const LARGEST_HEADERS: usize = 64 * 1024;

/// Headers that this library writes, or that are about a single connection.
const OURS: &[(&str, &str)] = &[
    ("accept-encoding", "see the option 'http.compression'; the library decompresses replies"),
    ("connection", "the library keeps and closes its connections"),
    ("content-length", "it follows from the body"),
    ("expect", "the library reads an early reply without it"),
    ("host", "it follows from the option 'url'"),
    ("keep-alive", "the library keeps and closes its connections"),
    ("proxy-authorization", "see the option 'proxy'"),
    ("proxy-connection", "the library keeps and closes its connections"),
    ("te", "the library reads no trailers"),
    ("trailer", "the library sends no trailers"),
    ("transfer-encoding", "the library frames the body"),
    ("upgrade", "the library speaks HTTP/1.1 only"),
    ("user-agent", "see the option 'user_agent'"),
    ("x-request-id", "set 'operation_id' in the call options"),
];

type Problem = String;

/// A method for a request to a server.
pub(crate) fn check_method(method: &str) -> Result<(), Problem> {
    let is_token = |b: u8| b.is_ascii_uppercase() || matches!(b, b'-' | b'_');
    match method {
        "" => Err("empty; pass GET, POST or another method".into()),
        "CONNECT" | "TRACE" => {
            Err(format!("{method} is a request to proxies and for tests, not to a service"))
        }
        _ if method.len() <= 32 && method.bytes().all(is_token) => Ok(()),
        _ => Err("not a method: methods are written in capital letters, for example GET".into()),
    }
}

/// A path on the server, with a query perhaps, as it stands in a request.
pub(crate) fn check_target(target: &str) -> Result<(), Problem> {
    if !target.starts_with('/') {
        let advice = "begin with '/'; host and port are those of the option 'url'";
        return Err(match target.contains("://") {
            true => format!("an address; a path must {advice}, and other servers are out of reach"),
            false => format!("must {advice}"),
        });
    }
    if target.len() > LONGEST_TARGET {
        return Err(format!("longer than {LONGEST_TARGET} bytes"));
    }
    if let Some(bad) = target.chars().find(|c| !is_target_character(*c)) {
        return Err(format!("the character U+{:04X} must be percent-encoded", u32::from(bad)));
    }
    if has_bad_escape(target) {
        return Err("a '%' is not followed by two hexadecimal digits; a '%' itself is written '%25'".into());
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if path.starts_with("//") {
        return Err("begins with '//', which some servers take for a host name".into());
    }
    let plain = percent_decoded(path);
    if plain.iter().any(|b| b.is_ascii_control()) {
        return Err("holds an encoded control character".into());
    }
    // A server may decode before it splits, take a backslash for a slash, and forget what follows a semicolon.
    let leaves = plain.split(|b| matches!(b, b'/' | b'\\')).any(|segment| {
        let name = segment.split(|b| *b == b';').next().unwrap_or(segment);
        matches!(name, b"." | b"..")
    });
    if leaves {
        return Err("holds a segment '.' or '..'; write the path that it stands for".into());
    }
    Ok(())
}

/// RFC 3986, and the brackets that many programs leave as they are in queries.
fn is_target_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%!$&'()*+,;=:@/?[]".contains(c)
}

fn has_bad_escape(text: &str) -> bool {
    let digits = |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    text.split('%').skip(1).any(|rest| !digits(rest))
}

/// The bytes that a percent-encoded text stands for.
pub(crate) fn percent_decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let digit = |at: usize| behind.get(at).and_then(|b| char::from(*b).to_digit(16));
        (rest, _) = match (first, digit(0), digit(1)) {
            // Two hexadecimal digits make one byte.
            (b'%', Some(high), Some(low)) => (&behind[2..], bytes.push((high * 16 + low) as u8)),
            _ => (behind, bytes.push(first)),
        };
    }
    bytes
}

/// Headers of a program. `reserved`: lower-case names that the session writes in this request, with the reason.
pub(crate) fn check_headers<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    reserved: &[(&str, &str)],
) -> Result<(), Problem> {
    let (mut count, mut size) = (0, 0);
    for (name, value) in headers {
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(format!(
                "'{}' is not a name of a header",
                name.escape_debug().take(60).collect::<String>()
            ));
        }
        let lower = name.to_ascii_lowercase();
        if let Some((_, why)) = OURS.iter().chain(reserved).find(|(ours, _)| *ours == lower) {
            return Err(format!("the library writes the header {name} itself: {why}"));
        }
        if !super::request::is_header_text(value) {
            return Err(format!(
                "the value for {name} holds a line end or another character that no header may have"
            ));
        }
        (count, size) = (count + 1, size + name.len() + value.len());
        if count > MAX_LINES || size > LARGEST_HEADERS {
            return Err(format!("more than {MAX_LINES} headers, or {LARGEST_HEADERS} bytes of them"));
        }
    }
    Ok(())
}

/// RFC 9110, 5.6.2.
fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_names_in_capital_letters() {
        for method in ["GET", "POST", "PATCH", "M-SEARCH", "VERSION_CONTROL"] {
            assert_eq!(check_method(method), Ok(()));
        }
        for method in
            ["", "get", "Get", "GET ", "GET /x HTTP/1.1\r\n", "G\0", "CONNECT", "TRACE", "GÉT", "123"]
        {
            assert!(check_method(method).is_err(), "{method:?}");
        }
        assert!(check_method(&"A".repeat(33)).is_err());
    }

    #[test]
    fn a_target_is_a_path_that_stays_where_it_begins() {
        for target in [
            "/",
            "/api/vcenter/vm?filter.names=a%20b&x=[1]",
            "/folder/a%20b/c.vmdk?dcPath=DC0&dsName=x%2fy",
            "/rest/com/vmware/cis/session?~action=get",
            "/a/...",
            "/a/..b",
            "/a?../..//",
            "/a?x=http://b",
            "/a;b=c",
        ] {
            assert_eq!(check_target(target), Ok(()), "{target}");
        }
        for target in [
            "", "api/session", "*", "http://other/api", "//other/api", "/a b", "/a\r\nX: y", "/a#b",
            "/a\\..\\b", "/é", "/a%", "/a%2", "/a%zz", "/a?b%é1", "/a%00", "/a%0d%0aX:", "/..",
            "/api/../sdk", "/api/%2e%2E/sdk", "/api/.%2e/sdk", "/api/..%2fsdk", "/api/..%5csdk",
            "/api/..;x/sdk", "/api/.;/sdk", "/./api",
        ] {
            assert!(check_target(target).is_err(), "{target:?}");
        }
        assert!(check_target(&format!("/{}", "a".repeat(LONGEST_TARGET))).is_err());
        assert_eq!(percent_decoded("/a%2Fb%zz%"), b"/a/b%zz%");
    }

    #[test]
    fn headers_are_single_lines_that_are_the_programs_to_write() {
        let check =
            |name: &str, value: &str| check_headers([(name, value)].into_iter(), &[("cookie", "reason")]);
        for (name, value) in [("Accept", "application/json"), ("x_y", ""), ("Range", "bytes=0-9\t")] {
            assert_eq!(check(name, value), Ok(()), "{name}");
        }
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a\r\nb", "x"),
            ("é", "x"),
            ("a", "x\r\nb: c"),
            ("a", "x\nb"),
            ("a", "\0"),
            ("a", "é"),
            ("Host", "other"),
            ("Content-Length", "5"),
            ("TRANSFER-ENCODING", "chunked"),
            ("Connection", "close"),
            ("Cookie", "x"),
        ] {
            assert!(check(name, value).is_err(), "{name:?}: {value:?}");
        }
        assert!(check("Cookie", "x").unwrap_err().ends_with("reason"));
        let many = |count: usize, length: usize| {
            let value = "v".repeat(length);
            check_headers((0..count).map(|_| ("name", &*value)), &[])
        };
        assert_eq!(many(MAX_LINES, 8), Ok(()));
        assert!(many(MAX_LINES + 1, 8).is_err() && many(2, LARGEST_HEADERS).is_err());
    }
}
