//! Writing and reading XML: escaping, parsing within limits, and looking at elements by local name.

use std::borrow::Cow;
use std::ops::Range;

use roxmltree::{Document, Node, ParsingOptions};

use super::document::{self, Listener, Problem, Start, What};
use crate::error::{Error, Result};
use crate::runtime::redact::{EXCERPT_LENGTH, Redactor};
use crate::status::Status;

/// Text as it may stand between tags or in a quoted attribute. Made in one piece: a text that grows leaves copies behind,
/// and this one may be a password.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    // Without a way out of the loop: so the compiler looks at many bytes at a time.
    if !text.bytes().fold(false, |found, b| found | matches!(b, b'&' | b'<' | b'>' | b'"' | b'\'' | b'\r')) {
        return text.into();
    }
    let escape_of = |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&apos;"),
        // A parser makes a line feed of it.
        '\r' => Some("&#13;"),
        _ => None,
    };
    let length = text.chars().map(|c| escape_of(c).map_or(c.len_utf8(), str::len)).sum();
    let mut escaped = String::with_capacity(length);
    for c in text.chars() {
        match escape_of(c) {
            Some(escape) => escaped.push_str(escape),
            None => escaped.push(c),
        }
    }
    escaped.into()
}

/// Whether XML can carry this text. It has no way to write other control characters than tab and line ends, nor U+FFFE and
/// U+FFFF.
pub(crate) fn is_text(text: &str) -> bool {
    text.chars().all(document::is_allowed)
}

/// Whether this can be the name of an element.
pub(crate) fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
}

/// The largest document that becomes a tree. Those that do describe a server or a session, and take some kilobytes.
pub(crate) const LARGEST_TREE: usize = 256 * 1024;
/// What a tree takes for a node, for an attribute and for a prefix in scope, with what is free while it grows.
const NODE: usize = 300;
/// Elements, attributes and texts of such a document.
const MOST_NODES: usize = 16 * 1024;
/// Each may be repeated for each element that declares another.
const MOST_DECLARATIONS: usize = 512;
/// The parser calls itself for each level, and a caller's stack may be small.
const MOST_LEVELS: usize = 128;

/// Parses a small document: one that the library itself asked for. What would be dear is refused before the parser sees it.
pub(crate) fn parse(text: &str) -> Result<Document<'_>> {
    let protocol = |what| {
        Error::new(Status::VSESSION_E_PROTOCOL, format!("the reply {what}; is this a vSphere server?"))
    };
    if text.len() > LARGEST_TREE {
        return Err(protocol("is far larger than any description of a server or of a session"));
    }
    let mut census = Census::default();
    document::document(text, &mut census).map_err(|problem| unreadable(text, problem, Redactor::NOTHING))?;
    if census.nodes > MOST_NODES || census.declarations > MOST_DECLARATIONS {
        return Err(protocol("has far more elements than any description of a server or of a session"));
    }
    if census.levels > MOST_LEVELS {
        return Err(protocol("is nested far deeper than any description of a server or of a session"));
    }
    // The parser would end the process.
    let need = census.nodes * NODE + 2 * text.len() + census.declarations * NODE;
    if Vec::<u8>::new().try_reserve_exact(need).is_err() {
        return Err(no_memory());
    }
    Document::parse_with_options(
        text,
        ParsingOptions { nodes_limit: 4 * MOST_NODES as u32, ..ParsingOptions::default() },
    )
    .map_err(|error| {
        Error::new(
            Status::VSESSION_E_MALFORMED_XML,
            format!("the reply is XML that does not parse ({error})"),
        )
    })
}

/// What a tree of a document would hold.
#[derive(Default)]
struct Census {
    nodes: usize,
    declarations: usize,
    levels: usize,
}

impl Listener for Census {
    fn began(&mut self, start: &Start) -> std::result::Result<(), Problem> {
        // With a text before it and one behind it.
        self.nodes += 3 + start.attributes();
        self.levels = self.levels.max(start.level);
        self.declarations += start.bindings().filter(|binding| binding.level == start.level).count();
        Ok(())
    }

    fn ended(&mut self, _: usize, _: Range<usize>) {}
}

pub(crate) fn no_memory() -> Error {
    Error::new(
        Status::VSESSION_E_RESOURCE,
        "there is not enough memory to read the reply; ask for less at a time or lower max_reply_bytes",
    )
}

/// The error for a reply that is no document.
pub(super) fn unreadable(text: &str, problem: Problem, hidden: Redactor) -> Error {
    let Problem { at, what } = problem;
    match what {
        What::NoMemory => no_memory(),
        _ if looks_like_html(text) => not_soap(text, &format!("{} at byte {at}", what.text()), hidden),
        What::Doctype => Error::new(
            Status::VSESSION_E_DTD,
            "the reply holds a document type declaration, which SOAP forbids; something else than a vSphere server answered",
        ),
        What::Cut => Error::new(
            Status::VSESSION_E_MALFORMED_XML,
            format!(
                "the reply is XML that ends too early, after {at} bytes; it may have been cut off on the way"
            ),
        ),
        What::Malformed(_) => Error::new(
            Status::VSESSION_E_MALFORMED_XML,
            format!("the reply is XML that does not parse: {} at byte {at}", what.text()),
        ),
        What::Excess(_) => Error::new(
            Status::VSESSION_E_MALFORMED_XML,
            format!(
                "the reply is XML that is not read: {}, at byte {at}; is this a vSphere server?",
                what.text()
            ),
        ),
    }
}

fn looks_like_html(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let starts = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    starts("<html") || starts("<!doctype html") || !text.starts_with('<')
}

/// The error for a reply that is something else than SOAP.
pub(super) fn not_soap(text: &str, reason: &str, hidden: Redactor) -> Error {
    let start = hidden.quote(text, EXCERPT_LENGTH);
    Error::new(
        Status::VSESSION_E_NOT_SOAP,
        format!(
            "the reply is not SOAP ({reason}); it begins with '{start}'. Check that 'url' leads to a vSphere server and not to a proxy or a web page"
        ),
    )
}

/// The first child element with this local name, in whatever namespace: servers differ in their prefixes.
pub(crate) fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.children().find(|c| c.is_element() && c.tag_name().name() == name)
}

/// The text of an element without children: all of it, also behind a comment.
pub(crate) fn text_of<'a>(node: Node<'a, '_>) -> Cow<'a, str> {
    let mut texts = node.children().filter(Node::is_text).filter_map(|text| text.text());
    let first = texts.next().unwrap_or("");
    match texts.next() {
        None => first.into(),
        Some(second) => [first, second].into_iter().chain(texts).collect::<String>().into(),
    }
}

/// The text of a child element; `None` when there is no such element.
pub(crate) fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<Cow<'a, str>> {
    child(node, name).map(text_of)
}

/// The local part of the `xsi:type` attribute.
pub(crate) fn xsi_type<'a>(node: Node<'a, '_>) -> Option<&'a str> {
    let value = node.attribute(("http://www.w3.org/2001/XMLSchema-instance", "type"))?;
    Some(value.rsplit(':').next().unwrap_or(value))
}

/// An `xsd:dateTime` as milliseconds since 1970, UTC. A time without a zone is taken as UTC.
pub(crate) fn date_time_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let mut time = time.splitn(3, ':');
    let hour = time.next()?.parse::<i64>().ok()?;
    let minute = time.next()?.parse::<i64>().ok()?;
    let seconds = time.next()?.parse::<f64>().ok()?;
    let offset_minutes = match zone.chars().next() {
        None | Some('Z') => 0,
        Some(sign) => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let total = i64::from(hours.parse::<u8>().ok()?) * 60 + i64::from(minutes.parse::<u8>().ok()?);
            if sign == '-' { -total } else { total }
        }
    };
    let in_range = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..61.0).contains(&seconds)
        && offset_minutes.abs() <= 14 * 60;
    if !in_range {
        return None;
    }
    // Days since 1970 by the usual count of days with March as the first month.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let minutes = days * 1440 + hour * 60 + minute - offset_minutes;
    Some(minutes * 60_000 + (seconds * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_zone_and_fraction() {
        assert_eq!(date_time_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(date_time_ms("2024-02-29T12:34:56.789Z"), Some(1_709_210_096_789));
        assert_eq!(date_time_ms("2024-02-29T14:34:56.789+02:00"), Some(1_709_210_096_789));
        assert_eq!(date_time_ms("2024-02-29T10:04:56.789012-02:30"), Some(1_709_210_096_789));
        for bad in [
            "",
            "2024-02-29",
            "2024-13-01T00:00:00Z",
            "x-y-zT1:2:3",
            "2024-01-01T99:00:00Z",
            "2024-01-01T00:00:00+9223372036854775807:00",
            "2024-01-01T00:00:00+00:-9223372036854775808",
            "2024-01-01T00:00:00+0\u{e9}",
        ] {
            assert_eq!(date_time_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn escaping_survives_a_parser() {
        let text = "a<b>&\"c'd\r";
        let document = format!("<x y=\"{0}\">{0}</x>", escape(text));
        let document = parse(&document).unwrap();
        assert_eq!(document.root_element().text(), Some(text));
        assert_eq!(document.root_element().attribute("y"), Some(text));
    }

    #[test]
    fn what_xml_cannot_carry_is_known() {
        for code in 0..=0x1_ffff {
            let Some(c) = char::from_u32(code) else { continue };
            // The parser knows the same rule.
            let document = format!("<x>{c}</x>");
            let parsed = matches!(c, '<' | '&') || Document::parse(&document).is_ok();
            assert_eq!(is_text(&c.to_string()), parsed, "U+{code:04X}");
        }
    }

    #[test]
    fn escaping_leaves_no_copies_behind() {
        let escaped = escape(&"p<&\u{e9}>'\"w".repeat(20)).into_owned();
        assert_eq!(escaped.capacity(), escaped.len(), "it never grew");
    }

    #[test]
    fn what_a_tree_would_take_much_for_never_becomes_one() {
        let large = format!("<a>{}</a>", "x".repeat(LARGEST_TREE));
        let many = format!("<a>{}</a>", "<b/>".repeat(MOST_NODES));
        let declaring = format!("<a>{}</a>", "<b xmlns:c='d'/>".repeat(MOST_DECLARATIONS + 1));
        let deep = format!("{}{}", "<a>".repeat(MOST_LEVELS + 1), "</a>".repeat(MOST_LEVELS + 1));
        for text in [large, many, declaring, deep] {
            assert_eq!(parse(&text).unwrap_err().status(), Status::VSESSION_E_PROTOCOL);
        }
        let prefixes = (0..100).map(|i| format!(" xmlns:p{i}='u'")).collect::<String>();
        let attributes = (0..100).map(|i| format!(" a{i}='u'")).collect::<String>();
        for text in [format!("<a{prefixes}/>"), format!("<a{attributes}/>")] {
            assert_eq!(parse(&text).unwrap_err().status(), Status::VSESSION_E_MALFORMED_XML);
        }
    }

    #[test]
    fn a_text_goes_on_behind_a_comment() {
        let document = parse("<x><a>a<!-- c -->b<?d?>c<![CDATA[<]]></a><b/></x>").unwrap();
        assert_eq!(child_text(document.root_element(), "a").as_deref(), Some("abc<"));
        assert_eq!(child_text(document.root_element(), "b").as_deref(), Some(""));
    }

    #[test]
    fn bad_documents_have_a_status_of_their_own() {
        let status = |text: &str| parse(text).unwrap_err().status();
        assert_eq!(status("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"), Status::VSESSION_E_DTD);
        assert_eq!(status("<a><b></a>"), Status::VSESSION_E_MALFORMED_XML);
        assert_eq!(status("<a><b>cut"), Status::VSESSION_E_MALFORMED_XML);
        assert_eq!(status("<html><body><br></body></html>"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status("<!DOCTYPE html><html><br></html>"), Status::VSESSION_E_NOT_SOAP);
        assert_eq!(status("service unavailable"), Status::VSESSION_E_NOT_SOAP);
    }
}
