//! The head of a reply: what it says about the body, and its header lines by name. httparse parses the syntax; this module decides
//! what follows from it.
//!
//! Proxies and other libraries may read the same reply. If one of them could see its end in another place, the reply is still
//! read, but the connection serves no further request: `Delimited::certain` says so.

use std::mem::MaybeUninit;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_cert::der::DateTime;

use super::header_lines::HeaderLines;
use crate::error::{Error, Result};
use crate::runtime::secret::Wiped;
use crate::status::Status;

/// A head with more header lines is refused.
pub(super) const MAX_LINES: usize = 128;
/// A larger head is refused.
pub(super) const MAX_BYTES: usize = 64 * 1024;

/// The head of a reply as it arrived. It may contain cookies, so it is wiped.
#[derive(Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    bytes: Wiped<Vec<u8>>,
}

impl std::fmt::Debug for Head {
    // unreached: a trait requires it, and nothing calls it
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Head").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Head {
    /// `bytes` is a head that `read` has accepted.
    pub(crate) fn new(status: u16, bytes: &[u8]) -> Head {
        Head { status, bytes: Wiped::new(bytes.to_vec()) }
    }

    /// The head as it arrived.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The values of the header lines with this name, in order. Values that are not UTF-8 are left out.
    pub(crate) fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        // httparse has refused continuation lines, so each line is one header.
        let lines = self.bytes.split(|byte| *byte == b'\n').skip(1);
        lines.filter_map(move |line| {
            let (before, rest) = line.split_at_checked(name.len())?;
            let value = rest.strip_prefix(b":").filter(|_| before.eq_ignore_ascii_case(name.as_bytes()))?;
            std::str::from_utf8(value.trim_ascii()).ok()
        })
    }

    /// The value of the first header line with this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// How long the server asks the client to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let value = self.get("retry-after")?;
        if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            // What no clock can count is far away too.
            return Some(Duration::from_secs(value.parse().unwrap_or(u32::MAX).into()));
        }
        // By the server's own clock, where the reply tells its time.
        let until = date(value)?;
        let own_clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(until.saturating_sub(self.get("date").and_then(date).unwrap_or_else(own_clock)))
    }

    /// Whether the status says what became of the request, whatever the body is. SOAP answers with 200 and 500, and then the body
    /// decides.
    pub(super) fn says_enough(&self) -> bool {
        self.status >= 300 && self.status != 500
    }

    /// The header lines, for whoever reads all of them.
    pub(crate) fn into_lines(self) -> HeaderLines {
        HeaderLines::new(self.bytes)
    }
}

/// A date of HTTP as the time since 1970. Only the form that RFC 9110 (5.6.7) has servers send is read.
fn date(text: &str) -> Option<Duration> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let parts: Vec<_> = text.strip_suffix(" GMT")?.split([' ', ':']).collect();
    let [_, day, month, year, hour, minute, second] = parts[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? as u8 + 1;
    let two = |digits: &str| digits.parse().ok();
    let date = DateTime::new(year.parse().ok()?, month, two(day)?, two(hour)?, two(minute)?, two(second)?);
    Some(date.ok()?.unix_duration())
}

/// How the body after a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delimiter {
    NoBody,
    Length(u64),
    Chunked,
    /// The body ends with the connection.
    Close,
}

/// What the body is encoded with (Content-Encoding).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    None,
    Gzip,
    /// Something that this library does not decode and did not ask for.
    Foreign,
}

impl Coding {
    /// What another Content-Encoding line adds: a list of codings, in the order in which they were applied.
    fn and(mut self, list: &[u8]) -> Coding {
        for name in list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
            self = match self {
                coding if is(b"") || is(b"identity") => coding,
                Coding::None if is(b"gzip") || is(b"x-gzip") => Coding::Gzip,
                _ => Coding::Foreign,
            };
        }
        self
    }
}

/// What a head says about its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Delimited {
    /// The length of the head in bytes.
    pub(super) head: usize,
    pub(super) status: u16,
    pub(super) delimiter: Delimiter,
    pub(super) coding: Coding,
    /// Every reader sees the end of the reply in the same place, and the connection stays open after it.
    pub(super) certain: bool,
}

impl Delimited {
    /// An interim reply (RFC 9110, 15.2), which is followed by the final one.
    pub(super) fn is_interim(&self) -> bool {
        self.status < 200
    }
}

/// Reads the head at the beginning of `input`. `None`: it is not complete.
pub(super) fn read(input: &[u8], to_head_request: bool) -> Result<Option<Delimited>> {
    let mut headers = [const { MaybeUninit::uninit() }; MAX_LINES];
    let mut reply = httparse::Response::new(&mut []);
    let parsed =
        httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut reply, input, &mut headers);
    let length = match parsed {
        Ok(httparse::Status::Complete(length)) if length <= MAX_BYTES => length,
        Ok(httparse::Status::Partial) if input.len() <= MAX_BYTES => return Ok(None),
        Ok(_) => return Err(too_large(format_args!("{MAX_BYTES} bytes"))),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(too_large(format_args!("{MAX_LINES} header lines")));
        }
        Err(error) => return Err(improper(error)),
    };
    let (Some(version @ (0 | 1)), Some(status @ 100..)) = (reply.version, reply.code) else {
        return Err(improper("its version or status is unknown"));
    };
    if status == 101 {
        // What follows is no HTTP, and no answer to the request.
        return Err(improper("it switches to another protocol, for which nobody asked"));
    }
    let head = &input[..length];
    let mut certain = head.starts_with(b"HTTP/1.") && head.ends_with(b"\r\n\r\n");
    let mut body_length = None;
    let (mut transfer_encodings, mut chunked, mut unknown) = (0, 0, false);
    let mut coding = Coding::None;
    let mut keep_alive = 0;
    for header in reply.headers.iter() {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        certain &= follows_a_line_end(head, header.name);
        match header.name.len() {
            14 if is("content-length") => {
                let (length, simple) = content_length(header.value)?;
                certain &= simple;
                if body_length.replace(length).is_some_and(|other| other != length) {
                    return Err(improper("it states two lengths"));
                }
            }
            17 if is("transfer-encoding") => {
                transfer_encodings += 1;
                match header.value {
                    value if value.eq_ignore_ascii_case(b"chunked") => chunked += 1,
                    // No coding: a word of RFC 2616 that RFC 9112 no longer has.
                    value if value.eq_ignore_ascii_case(b"identity") => certain = false,
                    _ => unknown = true,
                }
            }
            10 if is("connection") => {
                keep_alive += 1;
                certain &= header.value.eq_ignore_ascii_case(b"keep-alive");
            }
            16 if is("content-encoding") => coding = coding.and(header.value),
            _ => {}
        }
    }
    certain &= transfer_encodings + usize::from(body_length.is_some()) <= 1;
    // HTTP/1.0 closes the connection unless it says otherwise, and has no chunks.
    certain &= keep_alive <= 1 && (version == 1 || keep_alive == 1 && transfer_encodings == 0);
    let states_no_body = body_length.is_none() && transfer_encodings == 0;
    let delimiter = match (status, body_length) {
        (100..=199 | 204 | 304, _) => {
            // A careless reader would expect the body that these lines announce.
            certain &= states_no_body;
            Delimiter::NoBody
        }
        _ if to_head_request => Delimiter::NoBody,
        // RFC 9112, 6.1: whoever passed it on did not know chunks, so what arrives may or may not be in chunks.
        _ if version == 0 && transfer_encodings > 0 => {
            return Err(improper("it is HTTP/1.0 and has a Transfer-Encoding, which HTTP/1.0 lacks"));
        }
        // Nobody asked for another coding, so nobody can tell where the body ends and what it says.
        _ if unknown || chunked > 1 => {
            return Err(improper(
                "its Transfer-Encoding is not 'chunked', which is the only one for replies",
            ));
        }
        // It overrides a Content-Length beside it (RFC 9112, 6.3). Such a reply may be an attempt to have two readers see two ends, so
        // nothing that follows it on this connection is believed: `certain` is false.
        _ if chunked == 1 => Delimiter::Chunked,
        (_, Some(length)) => Delimiter::Length(length),
        (_, None) => {
            certain = false;
            Delimiter::Close
        }
    };
    Ok(Some(Delimited { head: length, status, delimiter, coding, certain }))
}

/// Whether the line before the one that begins with `name`, a part of `head`, ends with CRLF: httparse accepts a lone LF too.
fn follows_a_line_end(head: &[u8], name: &str) -> bool {
    let at = (name.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
    at.checked_sub(2).and_then(|before| head.get(before..at)) == Some(b"\r\n")
}

/// The length in a Content-Length line, which may list it several times, and whether the line is a plain number.
fn content_length(value: &[u8]) -> Result<(u64, bool)> {
    let mut all = value.split(|byte| *byte == b',').map(|element| decimal(element.trim_ascii()));
    let first = all.next().flatten();
    match first {
        Some(length) if all.all(|other| other == first) => {
            Ok((length, value.len() <= 18 && value.iter().all(u8::is_ascii_digit)))
        }
        _ => Err(improper("its Content-Length is not one number")),
    }
}

/// A number in decimal digits and nothing else.
fn decimal(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    if digits.is_empty() { None } else { digits.iter().try_fold(0, add) }
}

#[cold]
fn too_large(limit: std::fmt::Arguments) -> Error {
    Error::new(
        Status::VSESSION_E_REPLY_TOO_LARGE,
        format!("the head of the reply has more than {limit}; is this a vSphere server?"),
    )
}

/// The error of a reply that breaks the rules of HTTP.
#[cold]
pub(super) fn improper(problem: impl std::fmt::Display) -> Error {
    let mut status = Status::VSESSION_E_PROTOCOL;
    if planted!("improper-reply-blames-the-configuration") {
        status = Status::VSESSION_E_CONFIG;
    }
    Error::new(status, format!("the reply is not proper HTTP ({problem}); is this a vSphere server?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &str) -> Result<Delimited> {
        let head = format!("{lines}\r\n\r\n");
        let read = read(format!("{head}body").as_bytes(), false)?.expect("it is complete");
        assert!(head.len() - 2 <= read.head && read.head <= head.len());
        Ok(read)
    }

    fn length_and_certain(lines: &str) -> Option<(Delimiter, bool)> {
        of(lines).ok().map(|read| (read.delimiter, read.certain))
    }

    #[test]
    fn a_usual_head_leaves_no_doubt() {
        let four = Some((Delimiter::Length(4), true));
        for lines in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4",
            "HTTP/1.1 503\r\nContent-Length:4  \r\nConnection: Keep-Alive",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\ncontent-length: 4",
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nX-Empty:",
            "HTTP/1.0 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive",
        ] {
            assert_eq!(length_and_certain(lines), four, "{lines}");
        }
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nContent-Encoding: gzip";
        let read = of(chunked).unwrap();
        assert_eq!((read.delimiter, read.certain, read.coding), (Delimiter::Chunked, true, Coding::Gzip));
        assert_eq!(length_and_certain("HTTP/1.1 204 No Content\r\nX: y"), Some((Delimiter::NoBody, true)));
    }

    #[test]
    fn the_coding_of_a_body_is_none_gzip_or_foreign() {
        for (codings, read) in [
            (&[][..], Coding::None),
            (&["identity"], Coding::None),
            (&[""], Coding::None),
            (&["x-gzip"], Coding::Gzip),
            (&["GZIP"], Coding::Gzip),
            (&["identity, gzip"], Coding::Gzip),
            (&["gzip", "identity"], Coding::Gzip),
            (&["br"], Coding::Foreign),
            (&["gzip, gzip"], Coding::Foreign),
            (&["gzip", "br"], Coding::Foreign),
            (&["zstd", "gzip"], Coding::Foreign),
        ] {
            let lines: String = codings.iter().map(|it| format!("\r\nContent-Encoding: {it}")).collect();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: 4{lines}");
            assert_eq!(of(&head).unwrap().coding, read, "{codings:?}");
        }
    }

    #[test]
    fn chunks_override_a_length_beside_them_and_no_other_transfer_coding_is_read() {
        for lines in [
            "Content-Length: 16\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 16",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        ] {
            let read = length_and_certain(&format!("HTTP/1.1 200 OK\r\n{lines}"));
            assert_eq!(read, Some((Delimiter::Chunked, false)), "{lines}");
        }
        for lines in
            ["xchunked", "gzip, chunked", "chunked, gzip", "chunked, chunked", "gzip", "", "\u{b}chunked"]
        {
            let lines = format!("Transfer-Encoding: {lines}");
            for more in ["", "\r\nContent-Length: 4", "\r\nTransfer-Encoding: chunked"] {
                let error = of(&format!("HTTP/1.1 200 OK\r\n{lines}{more}")).unwrap_err();
                assert_eq!(error.status(), Status::VSESSION_E_PROTOCOL, "{lines}{more}");
            }
        }
        assert!(of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked").is_err());
        // Without a body it does not matter.
        assert_eq!(
            length_and_certain("HTTP/1.1 304 x\r\nTransfer-Encoding: gzip"),
            Some((Delimiter::NoBody, false))
        );
    }

    #[test]
    fn a_head_that_others_may_read_differently_is_read_and_leaves_a_doubt() {
        for lines in [
            "HTTP/1.1 200 OK",
            "HTTP/1.1 200 OK\nContent-Length: 4",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\n",
            "HTTP/1.1 200 OK\r\nX: y\nContent-Length: 4",
            "\r\nHTTP/1.1 200 OK\r\nContent-Length: 4",
            "HTTP/1.1 200 OK\r\nContent-Length: 4, 4",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive, close",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: keep-alive\r\nConnection: close",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: identity",
            "HTTP/1.1 204 No Content\r\nContent-Length: 4",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 4",
            "HTTP/1.1 100 Continue\r\nContent-Length: 4",
            "HTTP/1.0 200 OK\r\nContent-Length: 4",
        ] {
            assert_eq!(length_and_certain(lines).map(|read| read.1), Some(false), "{lines}");
        }
    }

    #[test]
    fn a_head_that_breaks_the_rules_is_refused() {
        for lines in [
            "HTTP/2.0 200 OK\r\nContent-Length: 4",
            "HTTP/1.1 000 Nothing",
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x",
            "HTTP/1.1 200 OK\r\nContent-Length : 4",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 4",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5",
            "HTTP/1.1 200 OK\r\nContent-Length: 4, 5",
            "HTTP/1.1 200 OK\r\nContent-Length: +4",
            "HTTP/1.1 200 OK\r\nContent-Length: -4",
            "HTTP/1.1 200 OK\r\nContent-Length: 0x4",
            "HTTP/1.1 200 OK\r\nContent-Length:",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
            "HTTP/1.0 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: identity\r\nConnection: keep-alive",
            "220 mail.example.com ESMTP",
        ] {
            assert_eq!(of(lines).unwrap_err().status(), Status::VSESSION_E_PROTOCOL, "{lines}");
        }
    }

    #[test]
    fn a_head_beyond_a_limit_is_refused_and_the_error_names_the_limit() {
        let lines = |number| format!("HTTP/1.1 200 OK{}", "\r\na: b".repeat(number));
        assert!(of(&lines(MAX_LINES)).is_ok());
        let many = of(&lines(MAX_LINES + 1)).unwrap_err();
        let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(MAX_BYTES));
        let endless = read(&long.as_bytes()[..MAX_BYTES + 1], false).unwrap_err();
        for (error, limit) in
            [(many, "128 header lines"), (of(&long).unwrap_err(), "65536 bytes"), (endless, "65536 bytes")]
        {
            assert_eq!(error.status(), Status::VSESSION_E_REPLY_TOO_LARGE, "{error}");
            assert!(error.detail().message.contains(limit), "{error}");
        }
    }

    #[test]
    fn a_reply_to_head_has_no_body_whatever_it_states() {
        for lines in ["Content-Length: 4\r\n", "Transfer-Encoding: chunked\r\n"] {
            let head = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
            let read = read(head.as_bytes(), true).unwrap().unwrap();
            assert_eq!((read.delimiter, read.certain), (Delimiter::NoBody, true));
        }
    }

    #[test]
    fn header_lines_are_found_by_name() {
        let head = Head::new(
            503,
            b"HTTP/1.1 503 x\r\nSet-Cookie: a=b\r\nRetry-After:\t7 \r\nset-cookie: c=\"d\"\r\nX:\xff\r\nSet-Cookie2: e\r\n\r\n",
        );
        assert_eq!(head.all("set-cookie").collect::<Vec<_>>(), ["a=b", "c=\"d\""]);
        assert_eq!(head.get("RETRY-AFTER"), Some("7"));
        assert_eq!(head.retry_after(), Some(Duration::from_secs(7)));
        assert_eq!((head.get("x"), head.get("cookie"), head.get("HTTP/1.1 503 x")), (None, None, None));
    }

    #[test]
    fn a_pause_until_a_date_counts_from_the_servers_own_time() {
        let pause = |lines: &str| {
            Head::new(503, format!("HTTP/1.1 503 x\r\n{lines}\r\n\r\n").as_bytes()).retry_after()
        };
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        const DATE: &str = "Date: Wed, 28 Feb 2024 23:59:50 GMT\r\n";
        for (date, expected) in [
            ("Thu, 29 Feb 2024 00:00:00 GMT", seconds(10)),
            ("Fri, 01 Mar 2024 01:00:00 GMT", seconds(10 + 25 * 3600)),
            ("Wed, 28 Feb 2024 23:59:50 GMT", seconds(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", seconds(0)),
            ("Thu, 30 Feb 2024 00:00:00 GMT", None),
            ("Thu, 29 feb 2024 00:00:00 GMT", None),
            ("Thu, 29 Feb 2024 24:00:00 GMT", None),
            ("Thu, 29 Feb 2024 00:00:00", None),
            ("Thu, 29 Feb 2024 GMT", None),
            ("soon", None),
            ("-1", None),
            ("", None),
            ("99999999999999999999", seconds(u32::MAX.into())),
        ] {
            assert_eq!(pause(&format!("{DATE}Retry-After: {date}")), expected, "{date}");
        }
        // By our clock, where the reply does not tell its time.
        for other in ["", "Date: today\r\n"] {
            assert_eq!(pause(&format!("{other}Retry-After: Sun, 06 Nov 1994 08:49:37 GMT")), seconds(0));
            let far = pause(&format!("{other}Retry-After: Fri, 31 Dec 9999 23:59:59 GMT")).unwrap();
            assert!(far > Duration::from_secs(7000 * 365 * 24 * 3600), "{far:?}");
        }
    }
}
