//! HTTP/1.1 in its plain form, which is how vSphere servers answer most calls: a head, and a body whose length it states.
//! Requests are written here. Of replies only the plain ones are understood; every other, proper or not, is left to ureq,
//! so what is accepted here must be what ureq accepts, with the same result.

use std::mem::MaybeUninit;

use ureq::http::Uri;

use super::framing;
use super::message::{HttpRequest, Method};
use crate::error::{Error, Result};
use crate::runtime::secret::Secret;
use crate::status::Status;

/// A head of more lines or bytes than this is not plain.
const MOST_HEADERS: usize = 32;
const LONGEST_HEAD: usize = 8 * 1024;

/// The header lines that all requests of a client share.
pub(super) fn common_headers(uri: &Uri, user_agent: &str) -> String {
    // As everybody else sends it: fronts that choose by the name compare all of it.
    let host = match (uri.scheme_str(), uri.port_u16()) {
        (Some("https"), Some(443)) | (Some("http"), Some(80)) => uri.host(),
        _ => uri.authority().map(|a| a.as_str()),
    }
    .unwrap_or("");
    format!("Host: {host}\r\nUser-Agent: {user_agent}\r\nAccept: text/xml, */*\r\nAccept-Encoding: gzip\r\n")
}

/// At least as much as the head of a request takes.
pub(super) fn length_of_head(request: &HttpRequest, common: &str) -> usize {
    /// The first line without the path, the line of the length and the empty one.
    const FRAME: usize = 80;
    let path = request.uri.path_and_query().map_or(1, |p| p.as_str().len());
    let own: usize = request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    FRAME + path + common.len() + own
}

/// Writes the head of a request to the end of `out`.
pub(super) fn write_head(out: &mut Vec<u8>, request: &HttpRequest, common: &str) -> Result<()> {
    let method = match request.method {
        Method::Get => "GET ",
        Method::Post => "POST ",
    };
    let target = request.uri.path_and_query().map_or("/", |p| p.as_str());
    for piece in [method, target, " HTTP/1.1\r\n", common] {
        out.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in request.headers {
        // Some values come from the server. One with a line's end in it would be a header of its own.
        if !is_header_text(value) {
            return Err(Error::new(
                Status::VSESSION_E_PROTOCOL,
                format!("the value for the header {name} holds characters that no header may have"),
            ));
        }
        for piece in [name, ": ", value, "\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    if request.method == Method::Post {
        let length = request.body_length() as u64;
        for piece in ["Content-Length: ", itoa::Buffer::new().format(length), "\r\n"] {
            out.extend_from_slice(piece.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

fn is_header_text(value: &str) -> bool {
    // Without a way out of the loop: so the compiler looks at many bytes at a time.
    value.bytes().fold(true, |good, b| good & (b == b'\t' || (b' '..=b'~').contains(&b)))
}

/// The header in which a server says for which version of the API it took a call.
pub(super) const APPLIED_ACTION: &str = "x-applied-soapaction";

/// The head of a plain reply.
pub(super) struct PlainHead {
    /// How long it is itself.
    pub(super) length: usize,
    pub(super) status: u16,
    pub(super) body_length: u64,
    pub(super) set_cookies: Vec<Secret>,
    pub(super) applied_action: Option<String>,
}

/// What the bytes that have arrived are.
pub(super) enum Look {
    /// The beginning of a head.
    More,
    Plain(PlainHead),
    NotPlain,
}

/// Looks at the beginning of a reply to a request that may have a body in its reply.
pub(super) fn look(input: &[u8]) -> Look {
    let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
    let mut reply = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut reply, input, &mut headers);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if input.len() < LONGEST_HEAD => return Look::More,
        Ok(httparse::Status::Partial) | Err(_) => return Look::NotPlain,
    };
    let (Some(1), Some(status @ (200 | 500))) = (reply.version, reply.code) else { return Look::NotPlain };
    let head = &input[..length];
    if !framing::is_framed_by_line_ends(head) {
        return Look::NotPlain;
    }
    let mut body_length = None;
    let mut set_cookies = Vec::new();
    let mut applied_action = None;
    for header in reply.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        if !framing::follows_a_line_end(head, header.name) {
            return Look::NotPlain;
        }
        match header.name.len() {
            14 if is("content-length") => match decimal(header.value) {
                Some(length) if body_length.is_none() => body_length = Some(length),
                _ => return Look::NotPlain,
            },
            10 if is("set-cookie") => {
                // What is no text is no cookie either.
                set_cookies.extend(std::str::from_utf8(header.value).ok().map(Secret::new));
            }
            10 if is("connection") && !header.value.eq_ignore_ascii_case(b"keep-alive") => {
                return Look::NotPlain;
            }
            20 if is(APPLIED_ACTION) => {
                applied_action = std::str::from_utf8(header.value).ok().map(str::to_string);
            }
            16 if is("content-encoding") => return Look::NotPlain,
            17 if is("transfer-encoding") => return Look::NotPlain,
            _ => {}
        }
    }
    match body_length {
        Some(body_length) => {
            Look::Plain(PlainHead { length, status, body_length, set_cookies, applied_action })
        }
        None => Look::NotPlain,
    }
}

/// A number in decimal digits and nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if !(1..=18).contains(&digits.len()) {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(head: &str) -> Option<(u16, u64, Vec<String>)> {
        match look(format!("{head}\r\n\r\nbody").as_bytes()) {
            Look::Plain(found) => {
                assert_eq!(found.length, head.len() + 4);
                let cookies = found.set_cookies.iter().map(|c| c.reveal().to_string()).collect();
                Some((found.status, found.body_length, cookies))
            }
            Look::NotPlain => None,
            Look::More => panic!("'{head}' is complete"),
        }
    }

    #[test]
    fn a_plain_head_is_understood() {
        assert_eq!(plain("HTTP/1.1 200 OK\r\nContent-Length: 4"), Some((200, 4, vec![])));
        assert_eq!(
            plain(
                "HTTP/1.1 500 \r\nconnection: Keep-Alive\r\nset-cookie: a=b\r\nCONTENT-LENGTH:0\r\nSet-Cookie: c=\"d\""
            ),
            Some((500, 0, vec!["a=b".into(), "c=\"d\"".into()]))
        );
    }

    #[test]
    fn every_other_head_is_left_to_ureq() {
        for head in [
            "HTTP/1.0 200 OK\r\nContent-Length: 4",
            "HTTP/1.1 100 Continue\r\nContent-Length: 4",
            "HTTP/1.1 204 No Content\r\nContent-Length: 4",
            "HTTP/1.1 302 Found\r\nContent-Length: 4",
            "HTTP/1.1 200 OK",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 4",
            "HTTP/1.1 200 OK\r\nContent-Length: +4",
            "HTTP/1.1 200 OK\r\nContent-Length: 4, 4",
            "HTTP/1.1 200 OK\r\nContent-Length:",
            "HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive, close",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Encoding: gzip",
            "220 mail.example.com ESMTP",
            "\r\nHTTP/1.1 200 OK\r\nContent-Length: 4",
            "HTTP/1.1 200 OK\nContent-Length: 4",
            "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 4",
            "HTTP/1.1 200 OK\r\nX:\nContent-Length: 4",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\n",
        ] {
            assert_eq!(plain(head), None, "{head}");
        }
        let many = format!("HTTP/1.1 200 OK\r\nContent-Length: 4{}", "\r\na: b".repeat(MOST_HEADERS));
        assert_eq!(plain(&many), None);
    }

    #[test]
    fn a_head_that_is_cut_anywhere_wants_more() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 4\r\n\r\n";
        for end in 0..head.len() {
            assert!(matches!(look(&head[..end]), Look::More), "{end}");
        }
    }

    fn request<'a>(uri: &'a Uri, headers: &'a [(&'static str, &'a str)]) -> HttpRequest<'a> {
        HttpRequest {
            method: Method::Post,
            uri,
            headers,
            body: &["bo", "dy"],
            idempotent: false,
            commit_when_sent: false,
            ends_session: false,
            max_reply_bytes: 10,
            set_cookies: None,
        }
    }

    #[test]
    fn the_length_of_a_head_is_known_before_it_is_written() {
        let uri = "https://vc.example.com/sdk?a=b".parse().unwrap();
        let common = common_headers(&uri, "test/1");
        let cookie = "c".repeat(10_000);
        for headers in [&[][..], &[("Cookie", &*cookie), ("SOAPAction", "x")]] {
            let request = HttpRequest { body: &[&"0".repeat(100_000)], ..request(&uri, headers) };
            let mut out = Vec::new();
            write_head(&mut out, &request, &common).unwrap();
            let most = length_of_head(&request, &common);
            assert!((most - 60..=most).contains(&out.len()), "{} of {most}", out.len());
        }
    }

    #[test]
    fn the_host_is_named_without_the_port_that_goes_without_saying() {
        for (address, host) in [
            ("https://vc.example.com:443/", "vc.example.com"),
            ("http://vc.example.com:80/", "vc.example.com"),
            ("https://vc.example.com:80/", "vc.example.com:80"),
            ("http://vc.example.com:443/", "vc.example.com:443"),
            ("https://[2001:db8::1]:443/", "[2001:db8::1]"),
            ("https://[2001:db8::1]:8443/", "[2001:db8::1]:8443"),
            ("http://192.0.2.1:80/", "192.0.2.1"),
        ] {
            let headers = common_headers(&address.parse().unwrap(), "test/1");
            assert_eq!(headers.lines().next(), Some(&*format!("Host: {host}")), "{address}");
        }
    }

    #[test]
    fn a_header_of_two_lines_is_refused() {
        let uri = "https://vc.example.com:443/sdk?a=b".parse().unwrap();
        let mut out = Vec::new();
        write_head(&mut out, &request(&uri, &[("Cookie", "a=\"b\"")]), &common_headers(&uri, "test/1"))
            .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "POST /sdk?a=b HTTP/1.1\r\nHost: vc.example.com\r\nUser-Agent: test/1\r\nAccept: text/xml, */*\r\n\
             Accept-Encoding: gzip\r\nCookie: a=\"b\"\r\nContent-Length: 4\r\n\r\n"
        );
        for bad in ["a\r\nb: c", "a\nb", "a\0", "ü"] {
            let headers = [("Cookie", bad)];
            assert!(write_head(&mut Vec::new(), &request(&uri, &headers), "").is_err(), "{bad:?}");
        }
    }
}
