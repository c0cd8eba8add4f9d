//! Requests, and how their heads are written (HTTP/1.1).

use ureq::http::Method;
use ureq::http::uri::PathAndQuery;

use super::retry::Retry;
use super::stream::Framing;
use crate::error::{Error, Result};
use crate::status::Status;

/// Which connections a request may take, so that requests of one kind do not wait for those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// One of `max_connections`.
    Usual,
    /// The same, and two more where all of them are in use: a logout must not wait for calls.
    Urgent,
    /// One of `max_long_polls`: the server answers when something changes, which may take hours.
    LongPoll,
}

#[derive(Debug)]
pub(crate) struct HttpRequest<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a PathAndQuery,
    /// Header lines that never change, each with its line end.
    pub(crate) fixed_lines: &'static str,
    /// The other headers, except those that this module adds.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    /// The pieces of the body, in order.
    pub(crate) body: &'a [&'a [u8]],
    /// Decides whether the request is sent again.
    pub(crate) retry: &'a Retry,
    /// Once sent, only the deadline ends the wait for the reply.
    pub(crate) commit_when_sent: bool,
    pub(crate) lane: Lane,
    /// The largest body that the reply may have, decompressed.
    pub(crate) max_reply_bytes: u64,
    /// The program reads the body of the reply in whatever coding it comes.
    pub(crate) any_coding: bool,
}

impl HttpRequest<'_> {
    fn body_length(&self) -> usize {
        self.body.iter().map(|piece| piece.len()).sum()
    }

    /// Whether its head states the length of its body (RFC 9110, 8.6).
    fn states_length(&self) -> bool {
        !self.body.is_empty() || matches!(self.method, Method::POST | Method::PUT | Method::PATCH)
    }
}

/// What follows the target in the heads of all requests of a client: the rest of the first line, and common header lines.
/// `server` is `host:port`.
pub(super) fn common_part(server: &str, tls: bool, user_agent: &str, gzip: bool) -> String {
    // Without a default port, like other clients: some reverse proxies compare the whole value.
    let host = server.strip_suffix(if tls { ":443" } else { ":80" }).unwrap_or(server);
    let coding = if gzip { "Accept-Encoding: gzip\r\n" } else { "" };
    format!(" HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {user_agent}\r\n{coding}")
}

/// An upper bound of the length of a request's head.
pub(super) fn length_of_head(request: &HttpRequest, common: &str) -> usize {
    /// The first line without method and path, the line of the length and the empty one.
    const FRAME: usize = 80;
    let path = request.path.as_str().len();
    let own: usize = request.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    request.method.as_str().len() + FRAME + path + common.len() + request.fixed_lines.len() + own
}

/// Writes the head of a request to the end of `out`. `given`: the framing of a body that the program gives.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    request: &HttpRequest,
    common: &str,
    given: Option<Framing>,
) -> Result<()> {
    for piece in [request.method.as_str(), " ", request.path.as_str(), common, request.fixed_lines] {
        out.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in request.headers {
        // Some values come from the server. A line end in a value would begin another header.
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
    let own = || request.states_length().then(|| Framing::Length(request.body_length() as u64));
    match given.or_else(own) {
        Some(Framing::Length(length)) => {
            for piece in ["Content-Length: ", itoa::Buffer::new().format(length), "\r\n\r\n"] {
                out.extend_from_slice(piece.as_bytes());
            }
        }
        Some(Framing::Chunked) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
        None => out.extend_from_slice(b"\r\n"),
    }
    Ok(())
}

pub(super) fn is_header_text(value: &str) -> bool {
    // Without an early return, so that the compiler can test many bytes at once.
    value.bytes().fold(true, |good, b| good & (b == b'\t' || (b' '..=b'~').contains(&b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request<'a>(
        path: &'a PathAndQuery,
        headers: &'a [(&'a str, &'a str)],
        retry: &'a Retry,
    ) -> HttpRequest<'a> {
        HttpRequest {
            method: Method::POST,
            path,
            fixed_lines: "",
            headers,
            body: &[b"bo", b"dy"],
            retry,
            commit_when_sent: false,
            lane: Lane::Usual,
            max_reply_bytes: 10,
            any_coding: false,
        }
    }

    #[test]
    fn the_length_of_a_head_is_known_before_it_is_written() {
        let retry = Retry::new(false);
        let path = PathAndQuery::from_static("/sdk?a=b");
        let common = common_part("vc.example.com:443", true, "test/1", true);
        let cookie = "c".repeat(10_000);
        for headers in [&[][..], &[("Cookie", &*cookie), ("SOAPAction", "x")]] {
            let large = [0; 100_000];
            let request = HttpRequest { body: &[&large], ..request(&path, headers, &retry) };
            let mut out = Vec::new();
            write_head(&mut out, &request, &common, None).unwrap();
            let most = length_of_head(&request, &common);
            assert!((most - 60..=most).contains(&out.len()), "{} of {most}", out.len());
        }
    }

    #[test]
    fn the_host_is_named_without_the_port_that_goes_without_saying() {
        for (tls, server, host) in [
            (true, "vc.example.com:443", "vc.example.com"),
            (false, "vc.example.com:80", "vc.example.com"),
            (true, "vc.example.com:80", "vc.example.com:80"),
            (false, "vc.example.com:443", "vc.example.com:443"),
            (true, "[2001:db8::1]:443", "[2001:db8::1]"),
            (true, "[2001:db8::1]:8443", "[2001:db8::1]:8443"),
            (false, "192.0.2.1:80", "192.0.2.1"),
        ] {
            let headers = common_part(server, tls, "test/1", true);
            assert_eq!(headers.lines().nth(1), Some(&*format!("Host: {host}")), "{server}");
        }
    }

    #[test]
    fn a_header_of_two_lines_is_refused() {
        let retry = Retry::new(false);
        let path = PathAndQuery::from_static("/sdk?a=b");
        let mut out = Vec::new();
        write_head(
            &mut out,
            &request(&path, &[("Cookie", "a=\"b\"")], &retry),
            &common_part("vc.example.com:443", true, "test/1", true),
            None,
        )
        .unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "POST /sdk?a=b HTTP/1.1\r\nHost: vc.example.com\r\nUser-Agent: test/1\r\n\
             Accept-Encoding: gzip\r\nCookie: a=\"b\"\r\nContent-Length: 4\r\n\r\n"
        );
        for bad in ["a\r\nb: c", "a\nb", "a\0", "ü"] {
            let headers = [("Cookie", bad)];
            assert!(
                write_head(&mut Vec::new(), &request(&path, &headers, &retry), "", None).is_err(),
                "{bad:?}"
            );
        }
    }
}
