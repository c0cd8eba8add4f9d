//! Reads JSON that a server sent, without a tree: memory does not grow with the document, and its depth is bounded.

use std::borrow::Cow;

/// Objects and arrays inside of each other beyond this are no document that a vSphere server sends.
const MAX_DEPTH: usize = 64;

/// The name, in a path, of an element of an array.
pub(super) const ELEMENT: &str = "";

/// A string as it stands in the document, without its quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw<'d>(&'d str);

/// Tells each string of a document, with the names that lead to it. `None`: it is not JSON, or too deep. Some strings may have been
/// told by then.
pub(super) fn strings<'d>(document: &'d str, mut tell: impl FnMut(&[&'d str], Raw<'d>)) -> Option<()> {
    let mut input = Input(document);
    // What closes each open object or array, and the name of its member that is being read.
    let mut closers = Vec::new();
    let mut path = Vec::new();
    loop {
        match input.peek()? {
            open @ (b'{' | b'[') => {
                input.next()?;
                let closer = if open == b'{' { b'}' } else { b']' };
                if input.peek()? == closer {
                    input.next()?;
                } else {
                    if closers.len() == MAX_DEPTH {
                        return None;
                    }
                    closers.push(closer);
                    path.push(input.name(closer)?);
                    continue;
                }
            }
            b'"' => tell(&path, input.string()?),
            _ => input.literal()?,
        }
        // A value has ended, and perhaps what it is in.
        loop {
            let Some(closer) = closers.last().copied() else {
                return input.peek().is_none().then_some(());
            };
            path.pop();
            match input.next()? {
                b',' => {
                    path.push(input.name(closer)?);
                    break;
                }
                end if end == closer => {
                    closers.pop();
                }
                _ => return None,
            }
        }
    }
}

struct Input<'d>(&'d str);

impl<'d> Input<'d> {
    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        self.0 = self.0.trim_start_matches([' ', '\t', '\r', '\n']);
        self.0.bytes().next()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek().filter(u8::is_ascii)?;
        self.0 = &self.0[1..];
        Some(byte)
    }

    /// The name of the next member of an object; the elements of an array have none.
    fn name(&mut self, closer: u8) -> Option<&'d str> {
        if closer == b']' {
            return Some(ELEMENT);
        }
        let Raw(name) = self.string()?;
        (self.next()? == b':').then_some(name)
    }

    fn string(&mut self) -> Option<Raw<'d>> {
        if self.next()? != b'"' {
            return None;
        }
        let mut escaped = false;
        for (at, byte) in self.0.bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    let raw = Raw(&self.0[..at]);
                    self.0 = &self.0[at + 1..];
                    return Some(raw);
                }
                ..b' ' => return None,
                _ => {}
            }
        }
        None
    }

    /// A number, true, false or null. Nobody reads the number, so its syntax is not checked further.
    fn literal(&mut self) -> Option<()> {
        let end = self.0.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')));
        let (literal, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        let is_number = literal.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        (is_number || matches!(literal, "true" | "false" | "null")).then_some(())
    }
}

impl<'d> Raw<'d> {
    /// The text that it stands for. `None`: it has an escape that JSON does not know.
    pub(super) fn text(self) -> Option<Cow<'d, str>> {
        let Raw(raw) = self;
        if !raw.contains('\\') {
            return Some(raw.into());
        }
        let mut text = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((before, escape)) = rest.split_once('\\') {
            text.push_str(before);
            let (&kind, behind) = escape.as_bytes().split_first()?;
            rest = std::str::from_utf8(behind).ok()?;
            text.push(match kind {
                b'"' | b'\\' | b'/' => char::from(kind),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    let first = take_unit(&mut rest)?;
                    let pair = (0xd800..0xdc00).contains(&first).then(|| rest.strip_prefix("\\u")).flatten();
                    let second = pair.and_then(|mut low| Some((take_unit(&mut low)?, low)));
                    match second.filter(|(low, _)| (0xdc00..0xe000).contains(low)) {
                        Some((low, behind)) => {
                            rest = behind;
                            char::from_u32(0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00))
                        }
                        None => char::from_u32(first),
                    }
                    .unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                _ => return None,
            });
        }
        text.push_str(rest);
        Some(text.into())
    }
}

/// Four hexadecimal digits.
fn take_unit(rest: &mut &str) -> Option<u32> {
    let (digits, behind) = rest.split_at_checked(4)?;
    *rest = behind;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(document: &str) -> Option<Vec<(String, String)>> {
        let mut all = Vec::new();
        strings(document, |path, raw| {
            all.push((path.join("/"), raw.text().map_or("?".into(), Cow::into_owned)));
        })?;
        Some(all)
    }

    #[test]
    fn each_string_is_told_with_the_names_that_lead_to_it() {
        let found = read(
            r#" {"a":"1","b":{"c":["2",{"d":"3"},[],{},-1.5e3,true,null],"e":"4"},"f":"5\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83dx"} "#,
        );
        let found = found.unwrap();
        let found: Vec<_> = found.iter().map(|(path, text)| (&**path, &**text)).collect();
        assert_eq!(
            found,
            [
                ("a", "1"),
                ("b/c/", "2"),
                ("b/c//d", "3"),
                ("b/e", "4"),
                ("f", "5\"\\/\u{8}\u{c}\n\r\té\u{1f600}\u{fffd}x"),
            ]
        );
        assert_eq!(read("\"alone\"").unwrap(), [(String::new(), "alone".into())]);
        assert_eq!(read("[\"x\", \"y\"]").unwrap().len(), 2);
        assert_eq!(read("17").unwrap(), []);
    }

    #[test]
    fn what_is_not_json_is_refused_wherever_it_ends() {
        for bad in [
            "", "{", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{1:2}", "[1 2]", "[1}", "{\"a\":1]",
            "1 2", "tru", "\"a", "\"a\nb\"", "\"a\\\"", "<html>", "é", "[é]", "{\"a\":é}",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
        let whole = r#"{"a":["b",{"c":"\u00e9\\"}],"d":null}"#;
        assert!(read(whole).is_some());
        assert!((0..whole.len()).all(|end| read(&whole[..end]).is_none()));
        for bad in ["\"\\x\"", "\"\\u12\"", "\"\\u+123\"", "\"\\u12é\"", "\"\\é\""] {
            assert_eq!(read(bad).unwrap()[0].1, "?", "{bad}");
        }
    }

    #[test]
    fn a_document_is_only_so_deep() {
        let deep = |depth: usize| "[".repeat(depth) + "1" + &"]".repeat(depth);
        assert!(read(&deep(MAX_DEPTH)).is_some());
        assert!(read(&deep(MAX_DEPTH + 1)).is_none());
        assert!(read(&"[".repeat(10_000_000)).is_none());
        assert!(read(&"{\"a\":".repeat(1_000_000)).is_none());
    }
}
