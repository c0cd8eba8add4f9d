//! Redaction: removes secrets from text that a peer sent, and bounds what an error or a log line repeats of it. The library's
//! own words are never redacted: a short password is part of many of them.

use std::borrow::Cow;

use super::secret::MASK;

/// Texts that every server sends in the same words. They do not echo what we sent, and a gap in one would spell a secret.
const STANDARD: &[&str] = &[
    "Cannot complete login due to an incorrect user name or password.",
    "Cannot complete login due to an incorrect user name or password",
    "The session is not authenticated.",
    "Permission to perform this operation was denied.",
    "Unsupported version URI",
    "InvalidLogin",
    "InvalidLoginFault",
    "NotAuthenticated",
    "NotAuthenticatedFault",
    "NoPermission",
    "NoPermissionFault",
    "RestrictedByAdministrator",
    "PasswordExpired",
    "System.View",
    "urn:vim25",
    "http://schemas.xmlsoap.org/soap/envelope/",
    "http://www.w3.org/2001/XMLSchema-instance",
    "http://www.w3.org/2001/XMLSchema",
];

/// Names from SOAP, from vSphere's faults and from its REST services' errors. They do not echo what we sent either.
const STANDARD_NAMES: &[&str] = &[
    "Detail",
    "Fault",
    "detail",
    "fault",
    "faultCause",
    "faultMessage",
    "invalidProperty",
    "localizedMessage",
    "name",
    "obj",
    "object",
    "privilegeId",
    "type",
    "vim25",
    "xml",
    "xmlns",
    "xsd",
    "xsi",
    "ALREADY_EXISTS",
    "ALREADY_IN_DESIRED_STATE",
    "CANCELED",
    "CONCURRENT_CHANGE",
    "ERROR",
    "FEATURE_IN_USE",
    "INTERNAL_SERVER_ERROR",
    "INVALID_ARGUMENT",
    "INVALID_REQUEST",
    "NOT_ALLOWED_IN_CURRENT_STATE",
    "NOT_FOUND",
    "OPERATION_NOT_FOUND",
    "RESOURCE_BUSY",
    "RESOURCE_INACCESSIBLE",
    "RESOURCE_IN_USE",
    "SERVICE_UNAVAILABLE",
    "TIMED_OUT",
    "UNABLE_TO_ALLOCATE_RESOURCE",
    "UNAUTHENTICATED",
    "UNAUTHORIZED",
    "UNEXPECTED_INPUT",
    "UNSUPPORTED",
];

/// Replaces a text in which a gap would show what was removed.
pub(crate) const WITHHELD: &str = "(its text repeats a secret and is left out)";

/// In the place of a body that repeats a secret in a form in which it cannot be cut out.
pub(crate) const LEFT_OUT: &str = "(the body repeats a secret in another form and is left out)";

/// Removes the secrets that were sent to a peer from what the peer answers.
#[derive(Clone, Copy)]
pub(crate) struct Redactor<'a>(pub(crate) &'a [&'a str]);

impl Redactor<'_> {
    pub(crate) const NOTHING: Redactor<'static> = Redactor(&[]);

    /// The first `max` characters of a peer's text, fit for a message.
    pub(crate) fn quote(&self, text: &str, max: usize) -> String {
        let text = text.trim();
        if STANDARD.contains(&text) {
            return excerpt_of(text, max);
        }
        let mut shown = String::new();
        let (mut at, mut count) = (0, 0);
        let mut is_escaped = false;
        while at < text.len() {
            if count >= max {
                break;
            }
            match self.at(text, at) {
                Some((_, true)) => return WITHHELD.into(),
                Some((length, false)) => {
                    if planted!("secret-shown") && at > 0 {
                        shown.push_str(&text[at..at + length]);
                    }
                    shown.push_str(MASK);
                    at += length;
                    count += MASK.len();
                }
                None => {
                    let character = text[at..].chars().next().unwrap_or_default();
                    is_escaped |= is_format_control(character);
                    push_shown(&mut shown, character);
                    at += character.len_utf8();
                    count += 1;
                }
            }
        }
        // A secret may begin before the end of what is shown, and go on behind it.
        const TAIL: usize = 4096;
        let end = (at..=text.len().min(at + TAIL)).rev().find(|end| text.is_char_boundary(*end));
        // What is shown in place of a control character may spell a secret.
        if is_escaped && self.is_in(&shown)
            || self.is_in_escaped(&[&shown, &text[at..end.unwrap_or(at)]].concat())
        {
            return WITHHELD.into();
        }
        if at < text.len() {
            shown.push(CUT);
        }
        shown
    }

    /// A peer's name: all of it, or nothing.
    pub(crate) fn name(&self, name: &str) -> String {
        if self.is_in_name(name) { MASK.into() } else { excerpt_of(name, 200) }
    }

    /// Whether the name contains a secret.
    pub(crate) fn is_in_name(&self, name: &str) -> bool {
        !STANDARD.contains(&name)
            && !STANDARD_NAMES.contains(&name)
            && self.0.iter().any(|secret| {
                !secret.is_empty() && (*secret == name || secret.len() >= SHORT && name.contains(secret))
            })
    }

    /// A piece of XML (text between tags, or an attribute's value) without the secrets. `None`: it contains none.
    pub(crate) fn redact_xml(&self, piece: &str) -> Option<String> {
        if STANDARD.contains(&piece) {
            return None;
        }
        let mut clean = String::new();
        let (mut at, mut kept) = (0, 0);
        while at < piece.len() {
            match self.at(piece, at) {
                Some((_, true)) => return Some(MASK.into()),
                Some((length, false)) => {
                    clean.push_str(&piece[kept..at]);
                    clean.push_str(MASK);
                    at += length;
                    // A reference such as `&amp;` must not be cut.
                    if !piece.is_char_boundary(at) || cuts_reference(piece, at) {
                        return Some(MASK.into());
                    }
                    kept = at;
                }
                None => {
                    at += decoded(&piece[at..]).filter(|_| piece[at..].starts_with('&')).map_or_else(
                        || piece[at..].chars().next().map_or(1, char::len_utf8),
                        |(_, length)| length,
                    );
                }
            }
        }
        if !clean.is_empty() {
            clean.push_str(&piece[kept..]);
            return Some(clean);
        }
        self.is_in_escaped(piece).then(|| MASK.into())
    }

    /// A whole text (XML, JSON, a form or a page) without the secrets, in whatever escapes they stand. What is XML or JSON stays so,
    /// unless a secret stands where it cannot be cut out: then nothing of the text is left. `None`: it contains none.
    pub(crate) fn redact_document(&self, text: &str) -> Option<String> {
        if self.0.is_empty() || !self.is_in(text) {
            return None;
        }
        let is_xml = text.trim_start().starts_with('<');
        // The names in a tag are the API's own, and a short password is part of many words. These are part of none.
        let no_names: Vec<&str> =
            self.0.iter().copied().filter(|it| !is_word(it) || it.contains(MARKUP)).collect();
        let no_names = Redactor(&no_names);
        let marks = if is_xml { &['<', '>'][..] } else { &['"', '\n'] };
        let mut clean = String::with_capacity(text.len());
        for piece in text.split_inclusive(marks) {
            if is_xml && piece.ends_with('>') {
                for (number, part) in piece.split('"').enumerate() {
                    clean.push_str(if number == 0 { "" } else { "\"" });
                    let is_value = number % 2 == 1;
                    let redacted = if is_value { self.redact_xml(part) } else { no_names.redact_xml(part) };
                    clean.push_str(redacted.as_deref().unwrap_or(part));
                }
                continue;
            }
            let bare = piece.trim_end_matches(marks);
            clean.push_str(self.redact_xml(bare).as_deref().unwrap_or(bare));
            clean.push_str(&piece[bare.len()..]);
        }
        // Markup may split a secret.
        let is_left = match is_xml {
            true => no_names.is_in(&clean) || self.is_in_escaped(&clean),
            false => self.is_in(&clean),
        };
        Some(if is_left { LEFT_OUT.into() } else { clean })
    }

    /// A body of any kind without the secrets. `None`: it contains none.
    pub(crate) fn redact_body(&self, body: &[u8]) -> Option<Vec<u8>> {
        /// The search of a longer text for escapes would take seconds, and no service says so much about an error.
        const LARGEST: usize = 1 << 20;
        match as_text(body) {
            Some(text) if text.len() <= LARGEST => self.redact_document(text).map(String::into_bytes),
            _ => self.redact_bytes(body),
        }
    }

    /// The same for secrets that stand there as they were sent.
    fn redact_bytes(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut clean = Cow::Borrowed(body);
        for secret in self.0.iter().filter(|secret| !secret.is_empty()) {
            let mut kept = 0;
            let mut masked = Vec::new();
            for at in memchr::memmem::find_iter(&clean, secret.as_bytes()) {
                masked.extend_from_slice(&clean[kept..at]);
                masked.extend_from_slice(MASK.as_bytes());
                kept = at + secret.len();
            }
            if kept > 0 {
                masked.extend_from_slice(&clean[kept..]);
                clean = masked.into();
            }
        }
        match clean {
            Cow::Borrowed(_) => None,
            Cow::Owned(clean) => Some(clean),
        }
    }

    /// Whether the text contains a secret, whatever its escapes.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        text.char_indices().any(|(at, _)| self.at(text, at).is_some()) || self.is_in_escaped(text)
    }

    /// Whether the text contains a secret that markup splits, or that was escaped more than once, as in a page that shows the
    /// XML of a request.
    pub(crate) fn is_in_escaped(&self, text: &str) -> bool {
        // More than any page escapes a text; each round takes time that is linear in the text.
        const MAX_ROUNDS: usize = 8;
        let holds_secret = |text: &str| text.char_indices().any(|(at, _)| self.at(text, at).is_some());
        let mut plain = Cow::Borrowed(text);
        for _ in 0..MAX_ROUNDS {
            let bare = without_markup(&plain);
            if bare != *plain && holds_secret(&bare) {
                return true;
            }
            let next = without_references(&plain);
            if next == *plain {
                return false;
            }
            if holds_secret(&next) {
                return true;
            }
            plain = Cow::Owned(next);
        }
        false
    }

    /// The length of the secret that begins here, and whether a gap in its place would reveal it.
    fn at(&self, text: &str, at: usize) -> Option<(usize, bool)> {
        self.0.iter().filter(|secret| !secret.is_empty()).find_map(|secret| {
            let rest = &text[at..];
            let length = length_of(rest, secret)?;
            let is_part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            let alone = !is_part(text[..at].chars().next_back()) && !is_part(rest[length..].chars().next());
            // A secret this short is part of many words.
            if secret.chars().count() < SHORT && !alone {
                return None;
            }
            Some((length, is_word(secret)))
        })
    }
}

/// What divides a piece of XML from the next one.
const MARKUP: [char; 4] = ['<', '>', '"', '\''];

/// Whether the secret may be a word, or a part of one.
fn is_word(secret: &str) -> bool {
    secret.chars().count() < 8 || secret.chars().all(char::is_alphabetic)
}

/// A secret with fewer characters is only looked for as a whole word.
pub(crate) const SHORT: usize = 4;

/// The text without tags and comments. A `>` in the value of an attribute ends a tag here.
fn without_markup(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, markup)) = rest.find('<').map(|at| rest.split_at(at)) {
        let section = markup.strip_prefix("<![CDATA[");
        let end = match section {
            Some(_) => "]]>",
            None if markup.starts_with("<!--") => "-->",
            None => ">",
        };
        let Some((inside, behind)) = section.unwrap_or(markup).split_once(end) else { break };
        plain.push_str(before);
        plain.push_str(section.map_or("", |_| inside));
        rest = behind;
    }
    plain.push_str(rest);
    plain
}

/// The text that a piece of XML stands for.
pub(crate) fn without_references(piece: &str) -> String {
    let mut plain = String::new();
    let mut rest = piece;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        let (character, length) = decoded(&rest[at..]).unwrap_or(('&', 1));
        plain.push(character);
        rest = &rest[at + length..];
    }
    plain.push_str(rest);
    plain
}

/// Whether `at` is inside a reference such as `&amp;`.
fn cuts_reference(piece: &str, at: usize) -> bool {
    let before = &piece[..at];
    before
        .rfind('&')
        .is_some_and(|begin| decoded(&piece[begin..]).is_some_and(|(_, length)| begin + length > at))
}

/// So many characters of a secret's beginning count as the secret. It bounds the work for a text that repeats the beginning over and
/// over.
const BEGINNING: usize = 64;

/// The length of the secret, or of a long beginning of it, at the start of the text, where XML, URL or JSON escapes may stand for its
/// characters.
fn length_of(text: &str, secret: &str) -> Option<usize> {
    if text.starts_with(secret) {
        return Some(secret.len());
    }
    let mut at = 0;
    for (count, wanted) in secret.chars().enumerate() {
        let rest = &text[at..];
        at += match decoded(rest) {
            Some((character, length)) if character == wanted => length,
            _ if rest.starts_with(wanted) => wanted.len_utf8(),
            _ if count >= BEGINNING => break,
            _ => return None,
        };
    }
    Some(at)
}

/// The character for which an escape at the start of the text stands, and the length of the escape.
fn decoded(text: &str) -> Option<(char, usize)> {
    let bytes = text.as_bytes();
    match bytes.first()? {
        b'&' => {
            let is_in_name = |b: &&u8| b.is_ascii_alphanumeric() || **b == b'#';
            let end = 1 + bytes[1..].iter().take_while(is_in_name).count();
            let name = Some(&text[1..end]).filter(|_| bytes.get(end) == Some(&b';'))?;
            let number = |digits, radix| u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
            let character = match name {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => match name.strip_prefix('#')?.strip_prefix(['x', 'X']) {
                    Some(digits) => number(digits, 16)?,
                    None => number(&name[1..], 10)?,
                },
            };
            Some((character, end + 1))
        }
        b'%' => {
            let mut character = [0; 4];
            for length in 1..=4 {
                let digits = text.get(3 * length - 3..3 * length)?.strip_prefix('%')?;
                character[length - 1] = u8::from_str_radix(digits, 16).ok()?;
                if let Ok(text) = std::str::from_utf8(&character[..length]) {
                    return Some((text.chars().next()?, 3 * length));
                }
            }
            None
        }
        b'+' => Some((' ', 1)),
        b'\\' if bytes.get(1) == Some(&b'u') => {
            let first = code_unit(&text[2..])?;
            let second = text[6..].strip_prefix("\\u").and_then(code_unit);
            // What lies beyond the first 65,536 characters takes two.
            let units = std::iter::once(first).chain(second.filter(|_| (0xd800..0xdc00).contains(&first)));
            let character = char::decode_utf16(units).next()?.ok()?;
            Some((character, 6 * character.len_utf16()))
        }
        b'\\' => text[1..].chars().next().map(|character| (character, 1 + character.len_utf8())),
        _ => None,
    }
}

/// The code unit whose four hexadecimal digits stand at the start of the text, behind a `\u`.
pub(crate) fn code_unit(text: &str) -> Option<u16> {
    let digits = text.get(..4)?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

/// A body as text. A character that was cut off at its end is left out.
pub(crate) fn as_text(body: &[u8]) -> Option<&str> {
    match std::str::from_utf8(body) {
        Ok(text) => Some(text).filter(|text| !text.contains('\0')),
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&body[..error.valid_up_to()]).ok(),
        Err(_) => None,
    }
}

/// Marks a text that was cut.
const CUT: char = '…';

/// The start of a peer's text, for an error or a log line: bounded, on one line, and without characters that change how
/// the rest is displayed.
pub(crate) fn excerpt(text: &str) -> String {
    excerpt_of(text, EXCERPT_LENGTH)
}

/// How many characters an excerpt has at most.
pub(crate) const EXCERPT_LENGTH: usize = 80;

fn excerpt_of(text: &str, max: usize) -> String {
    let mut chars = text.trim().chars();
    let mut shown = String::new();
    chars.by_ref().take(max).for_each(|c| push_shown(&mut shown, c));
    if chars.next().is_some() {
        shown.push(CUT);
    }
    shown
}

fn push_shown(shown: &mut String, character: char) {
    match character {
        '\t' | '\n' | '\r' => shown.push(' '),
        c if is_format_control(c) => shown.extend(c.escape_unicode()),
        c => shown.push(c),
    }
}

/// Whether a character controls how others are displayed: it could forge a line of a log, or reverse a message.
pub(crate) fn is_format_control(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_escaped_more_than_once_is_not_shown() {
        for secret in ["Tr0ub&dor", "a<b>c&d1", "Quote'\"x&y"] {
            let redactor = Redactor(&[secret]);
            let mut escaped = secret.to_string();
            for _ in 0..5 {
                escaped = escaped
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('>', "&gt;")
                    .replace('"', "&quot;")
                    .replace('\'', "&apos;");
                let page = format!("Blocked: &lt;password&gt;{escaped}&lt;/password&gt;");
                for shown in [redactor.quote(&page, 200), redactor.quote(&page, 30)] {
                    assert!(!shown.contains(&secret[..2]), "{secret}: {shown}");
                }
                assert!(redactor.redact_xml(&page).is_some_and(|clean| !clean.contains(&secret[..2])));
            }
        }
        assert_eq!(Redactor(&["secret-1"]).quote("a &amp;amp; b", 100), "a &amp;amp; b");
        // More often than any page escapes a text.
        let ampersands = format!("<a>&{}b</a>", "amp;".repeat(20));
        assert_eq!(Redactor(&["secret-1"]).redact_xml(&ampersands), None);
        // Percent signs that stand for no text.
        assert_eq!(Redactor(&["secret-1"]).quote("%ff%ff%ff%ff", 100), "%ff%ff%ff%ff");
    }

    #[test]
    fn a_secret_that_markup_splits_is_not_shown() {
        let redactor = Redactor(&["hunter42!"]);
        for page in [
            "<p>hun<!-- -->ter42!</p>",
            "<b>hun</b><i>ter</i>42!",
            "hun<![CDATA[ter]]>42!",
            "hun<?p?>ter42&#33;",
            "hun&lt;b&gt;ter42!",
            "hun<!-- > -->ter42!",
            "<h1>x < y</h1> hun<b>ter42!",
        ] {
            for before in ["", &"x".repeat(77)] {
                assert_eq!(redactor.quote(&format!("{before}{page}"), 80), WITHHELD, "{page}");
            }
        }
        for page in ["<b>hun</b> <i>ter42!</i>", "1 < 2", "<<<", "<!-- hunter", "a <b"] {
            assert_eq!(redactor.quote(page, 80), page);
        }
    }

    #[test]
    fn a_reference_with_zeros_in_front_hides_no_secret() {
        let page = format!("bad hunter4&#{}50;&#x{}21;.", "0".repeat(50), "0".repeat(5000));
        assert_eq!(Redactor(&["hunter42!"]).quote(&page, 80), "bad ***.");
    }

    #[test]
    fn a_peers_text_is_redacted_whatever_its_escapes() {
        let quote = |text: &str, secret: &str| Redactor(&[secret]).quote(text, 80);
        assert_eq!(
            quote("user bob, password hunter42!, hunter42!", "hunter42!"),
            "user bob, password ***, ***"
        );
        assert_eq!(quote("nothing", ""), "nothing");
        let secret = "p<w&\"x'\u{e4} 1";
        for echo in [
            secret,
            "p&lt;w&amp;&quot;x&apos;\u{e4} 1",
            "p&lt;w&amp;\"x'&#xE4; 1",
            "p%3Cw%26%22x%27%C3%A4+1",
            "p<w&\\\"x'\\u00e4 1",
        ] {
            assert_eq!(quote(&format!("bad {echo}."), secret), "bad ***.", "{echo}");
        }
        assert_eq!(quote(&"hunter42!".repeat(50), "hunter42!"), format!("{}…", "***".repeat(27)));
    }

    #[test]
    fn a_gap_never_spells_the_secret() {
        let standard = "Cannot complete login due to an incorrect user name or password.";
        for secret in ["e", "login", "password", "incorrect user"] {
            assert_eq!(Redactor(&[secret]).quote(standard, 80), standard);
        }
        assert_eq!(Redactor(&["login"]).quote("the login of bob failed", 80), WITHHELD);
        assert_eq!(Redactor(&["bob"]).quote("the login of bob failed", 80), WITHHELD);
        assert_eq!(Redactor(&["e"]).quote("the login of bob failed", 80), "the login of bob failed");
        assert_eq!(Redactor(&["login"]).name("InvalidLogin"), "InvalidLogin");
        assert_eq!(Redactor(&["BUSY"]).name("RESOURCE_BUSY"), "RESOURCE_BUSY");
        assert_eq!(Redactor(&["hunter42"]).name("xhunter42Fault"), "***");
    }

    #[test]
    fn redacted_xml_is_still_xml() {
        let clean = |piece: &str, secret: &str| Redactor(&[secret]).redact_xml(piece);
        assert_eq!(clean("a &amp; b", "amp"), None);
        assert_eq!(clean("say hunter42&lt; now", "hunter42<").as_deref(), Some("say *** now"));
        assert_eq!(clean("x hunter42&lt;", "hunter42&").as_deref(), Some("***"));
        assert_eq!(clean("the login failed", "login").as_deref(), Some("***"));
    }

    #[test]
    fn characters_that_change_how_others_are_shown_are_written_as_numbers() {
        // The general category Cf of Unicode, and the separators of lines and of paragraphs, without the signs that have a shape of
        // their own.
        for c in "\u{ad}\u{61c}\u{180e}\u{200b}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{206f}\u{feff}\u{fff9}\u{fffb}\u{e0001}\u{e007f}"
            .chars()
        {
            assert_eq!(excerpt(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
        for c in "\u{ac}\u{ae}\u{200a}\u{2010}\u{2027}\u{202f}\u{2070}\u{fefe}\u{fffd}\u{e0080}".chars() {
            assert_eq!(excerpt(&format!("a{c}b")), format!("a{c}b"));
        }
    }

    #[test]
    fn a_text_that_repeats_the_beginning_of_a_long_secret_is_searched_in_linear_time() {
        // With time for each pair of a place in the text and a character of the secret this would take hours.
        let secret = "a".repeat(100_000) + "b";
        let shown = [secret.as_str()];
        let text = format!("<t>{}</t>", "a".repeat(900_000));
        let clean = Redactor(&shown).redact_document(&text).unwrap();
        assert!(!clean.contains("aaaa"), "{}", clean.len());
        assert_eq!(Redactor(&shown).redact_document(&format!("<t>{}</t>", "a".repeat(BEGINNING - 1))), None);
    }

    #[test]
    fn an_excerpt_is_bounded_and_stays_on_one_line() {
        assert_eq!(excerpt(" whole\n"), "whole");
        assert_eq!(excerpt("a\r\nb\u{202e}c\u{2028}\u{1b}[2J\0"), "a  b\\u{202e}c\\u{2028}\\u{1b}[2J\\u{0}");
        assert_eq!(excerpt(&"x".repeat(1000)), format!("{}…", "x".repeat(80)));
    }
}
