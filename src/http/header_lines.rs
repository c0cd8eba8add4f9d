//! The header lines of a reply, for a program that reads them.

use crate::runtime::secret::Wiped;

/// The header lines where they arrived. A zero byte follows each name and each value. They may hold cookies, so they are wiped.
pub(crate) struct HeaderLines {
    bytes: Wiped<Vec<u8>>,
    /// Where names and values begin.
    places: Vec<(usize, usize)>,
}

impl std::fmt::Debug for HeaderLines {
    // unreached: a trait requires it, and nothing calls it
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HeaderLines").field("count", &self.places.len()).finish_non_exhaustive()
    }
}

impl HeaderLines {
    /// `bytes` is a head that `head::read` has accepted, so each line is one header, and no byte of it is zero.
    pub(super) fn new(mut bytes: Wiped<Vec<u8>>) -> HeaderLines {
        let mut places = Vec::new();
        let mut at = 0;
        while let Some(length) = memchr::memchr(b'\n', &bytes[at..]) {
            let (begin, end) = (at, at + length);
            at = end + 1;
            let line = &bytes[begin..end];
            // The status line and the empty one at the end are none.
            let Some(colon) = memchr::memchr(b':', line).filter(|_| begin > 0) else { continue };
            let value = end - line[colon + 1..].trim_ascii_start().len();
            let behind = value + bytes[value..end].trim_ascii_end().len();
            bytes[begin + colon] = 0;
            bytes[behind] = 0;
            places.push((begin, value));
        }
        HeaderLines { bytes, places }
    }

    /// The name and the value of a line.
    pub(crate) fn line(&self, number: usize) -> Option<(&[u8], &[u8])> {
        let (name, value) = *self.places.get(number)?;
        Some((self.text(name), self.text(value)))
    }

    /// The value of the first line with this name.
    pub(crate) fn find(&self, name: &str) -> Option<&[u8]> {
        let is_named = |(begin, _): &&(usize, usize)| self.text(*begin).eq_ignore_ascii_case(name.as_bytes());
        self.places.iter().find(is_named).map(|(_, value)| self.text(*value))
    }

    /// The text that begins here and ends before a zero byte.
    fn text(&self, at: usize) -> &[u8] {
        let text = &self.bytes[at..];
        &text[..memchr::memchr(0, text).unwrap_or(text.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::super::head::Head;

    #[test]
    fn header_lines_are_found_where_they_arrived() {
        let head = Head::new(
            200,
            b"HTTP/1.1 200 OK: fine\r\nSet-Cookie: a=b; c\r\nX-Empty:\r\nset-cookie:\td \r\nLast: x\n\r\n",
        );
        let lines = head.into_lines();
        let all: Vec<_> = (0..).map_while(|number| lines.line(number)).collect();
        let wanted: [(&[u8], &[u8]); 4] =
            [(b"Set-Cookie", b"a=b; c"), (b"X-Empty", b""), (b"set-cookie", b"d"), (b"Last", b"x")];
        assert_eq!(all, wanted);
        assert_eq!(lines.find("SET-COOKIE"), Some(&b"a=b; c"[..]));
        assert_eq!((lines.find("OK"), lines.find("a=b; c"), lines.find("")), (None, None, None));
        for (name, value) in all {
            // The slices are parts of one buffer.
            assert!(
                [name, value].iter().all(|text| lines.bytes[offset(&lines.bytes, text) + text.len()] == 0)
            );
        }
    }

    fn offset(whole: &[u8], part: &[u8]) -> usize {
        part.as_ptr().addr() - whole.as_ptr().addr()
    }
}
