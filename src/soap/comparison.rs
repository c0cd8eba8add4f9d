//! Compares the reader of replies with a tree parser: both must find the same. For tests and the fuzzer.

use std::ops::Range;

use roxmltree::Node;

use super::answer::{Answer, is_blank, read};
use super::fault;
use super::reply::Reply;
use super::xml::decode::decode;
use super::xml::node::{Node as Cursor, type_name};
use super::xml::reader::{Reader, XSI};
use super::xml::repair::REPLACEMENT;
use super::xml::resolved::Resolved;
use super::xml::text::is_allowed;
use super::xml::tree::{self, child};
use crate::error::{Error, Result};
use crate::runtime::redact::Redactor;
use crate::status::Status;

/// The method whose response a text contains.
fn method_in(text: &str) -> &str {
    let mut names = text.split(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '/' | ':'));
    names.find_map(|name| name.strip_suffix("Response")).unwrap_or("Method")
}

/// Reads a body as the reply to a call of the method whose response it contains.
pub(crate) fn read_or_error(body: Vec<u8>, hidden: Redactor) -> Result<Answer> {
    let method = method_in(&String::from_utf8_lossy(&body)).to_string();
    read(body, &method, "urn:vim25").map_err(|unreadable| unreadable.into_error(hidden))
}

/// Reads a reply with the tree parser.
fn read_by_tree(text: &str) -> std::result::Result<(Option<Range<usize>>, Option<String>), String> {
    let options = roxmltree::ParsingOptions { nodes_limit: 1_000_000, ..Default::default() };
    let document =
        roxmltree::Document::parse_with_options(text, options).map_err(|error| error.to_string())?;
    let root = document.root_element();
    if root.tag_name().name() != "Envelope" {
        return Err("no envelope".into());
    }
    if root.children().filter(|n| n.tag_name().name() == "Body").count() > 1 {
        return Err("two bodies".into());
    }
    let body = child(root, "Body").ok_or("no body")?;
    let content = body.children().find(Node::is_element).ok_or("an empty body")?;
    let is_more = |n: Node| {
        n.is_element()
            || n.is_text() && n.text().is_some_and(|text| !is_blank(&text.replace(['&', '<'], "x")))
    };
    if content.prev_siblings().skip(1).chain(content.next_siblings().skip(1)).any(is_more) {
        return Err("more than a response".into());
    }
    if content.tag_name().name() == "Fault" {
        return Ok((None, None));
    }
    let is_own = content.tag_name().name().strip_suffix("Response") == Some(method_in(text));
    if !is_own || content.tag_name().namespace() != Some("urn:vim25") {
        return Err("another method's response".into());
    }
    let mut elements = content.children().filter(Node::is_element);
    let only =
        elements.next().filter(|only| elements.next().is_none() && !only.children().any(|c| c.is_element()));
    Ok((Some(content.range()), only.map(|only| tree::text_of(only).into_owned())))
}

/// Reads a body in every way.
pub(crate) fn read_every_way(body: &[u8]) {
    let _ = std::str::from_utf8(body).map(is_read_as_by_the_parser);
    match read_or_error(body.to_vec(), Redactor::NOTHING) {
        Ok(Answer::Reply(reply)) => {
            is_repaired_as_it_says(&reply, body);
            is_read_as_by_the_parser(&reply.xml);
            assert!(reply.xml[reply.response.clone()].starts_with('<'));
            fields_are_as_the_parser_sees_them(&reply);
            nodes_are_as_the_parser_sees_them(&reply.xml);
        }
        Ok(Answer::Fault(fault)) => {
            let error = fault.into_error("Method", 500, Redactor::NOTHING);
            assert!(error.status() != Status::VSESSION_OK);
            detail_is_a_document(&error);
        }
        Err(error) => assert!(error.status() != Status::VSESSION_OK),
    }
}

/// Everything that XML forbids has become U+FFFD, one for each, and nothing else has changed.
fn is_repaired_as_it_says(reply: &Reply, body: &[u8]) {
    assert_eq!(reply.body(), body);
    assert_eq!(reply.repairs() == 0, reply.xml.as_bytes() == body);
    let number = |text: &[u8]| memchr::memmem::find_iter(text, "\u{fffd}").count();
    assert_eq!(number(reply.xml.as_bytes()), number(body) + reply.repairs());
    let without_references = String::from_utf8_lossy(body).replace(|c| !is_allowed(c), "\u{fffd}");
    assert!(reply.xml.len() < without_references.len() || *reply.xml == without_references);
    let mut reader = Reader::document(&reply.xml);
    assert_eq!((reader.finish(), reader.bad_reference()), (Ok(()), None));
    assert!(decode(reply.xml.as_bytes().to_vec()).is_ok_and(|again| again.repaired.is_none()));
    let options = roxmltree::ParsingOptions { nodes_limit: 1_000_000, ..Default::default() };
    let Ok(tree) = roxmltree::Document::parse_with_options(&reply.xml, options) else { return };
    for element in tree.descendants() {
        let attributes = element.attributes().map(|attribute| attribute.name());
        for name in attributes.chain([element.tag_name().name()]) {
            let unchanged = || memchr::memmem::find(body, name.as_bytes()).is_some();
            assert!(!name.contains(REPLACEMENT) || unchanged(), "{name}");
        }
    }
}

/// Whether the reader accepts the text. If so, the parser must find the same in it. The reader is slightly stricter than the
/// parser, and has bounds.
fn is_read_as_by_the_parser(text: &str) -> bool {
    let tree = read_by_tree(text);
    match read(text.into(), method_in(text), "urn:vim25") {
        Ok(Answer::Reply(reply)) => {
            // The parser refuses what was replaced.
            let tree = if reply.repaired.is_some() { read_by_tree(&reply.xml) } else { tree };
            // The parser does not turn a carriage return before a reference into a line feed.
            let lines = |text: Option<String>| text.map(|text| text.replace('\r', "\n"));
            let tree = tree.map(|(response, text)| (response, lines(text)));
            assert_eq!(
                tree,
                Ok((Some(reply.response.clone()), lines(reply.text.as_deref().map(str::to_string)))),
                "{text}"
            );
            fields_are_as_the_parser_sees_them(&reply);
            true
        }
        Ok(Answer::Fault(fault)) => {
            let damaged = fault.repairs.is_some() || fault::recognised(text).is_some();
            assert!(damaged || tree == Ok((None, None)), "{text}: {tree:?}");
            true
        }
        Err(_) => false,
    }
}

fn fields_are_as_the_parser_sees_them(reply: &Reply) {
    let Some(fields) = reply.fields() else { return };
    if reply.xml.len() > tree::LARGEST_TREE {
        return;
    }
    let lines = |text: &str| text.replace('\r', "\n");
    let same = reply.with_tree(|response| {
        let value = response.children().find(Node::is_element).expect("the return value");
        let children: Vec<_> = value
            .children()
            .filter(Node::is_element)
            .map(|field| (field.tag_name().name().to_string(), lines(&tree::text_of(field))))
            .collect();
        let fields: Vec<_> = fields.iter().map(|(name, text)| (name.to_string(), lines(text))).collect();
        Ok(children == fields)
    });
    assert!(same.is_ok_and(|same| same), "{}: {fields:?}", reply.xml);
}

/// The detail that an error carries is a document, in which every prefix is declared.
pub(crate) fn detail_is_a_document(error: &Error) {
    let Some(detail) = error.detail().fault.as_ref().and_then(|fault| fault.detail.as_ref()) else { return };
    let whole = roxmltree::Document::parse(detail);
    // The parser has bounds of its own.
    let too_much = |e: &roxmltree::Error| {
        use roxmltree::Error::*;
        matches!(e, NodesLimitReached | AttributesLimitReached | NamespacesLimitReached)
    };
    assert!(whole.as_ref().map_or_else(too_much, |_| true), "{:?}: {}", whole.err(), &**detail);
    nodes_are_as_the_parser_sees_them(detail);
}

/// Whether the cursor could be compared with the parser on this text. It finds the same elements, names, texts, attributes and types
/// in the same order.
pub(crate) fn nodes_are_as_the_parser_sees_them(text: &str) -> bool {
    const LARGEST: usize = 64 * 1024;
    if text.len() > LARGEST {
        return false;
    }
    any_text_can_be_walked(text);
    let (Ok(document), Ok(())) = (roxmltree::Document::parse(text), Reader::document(text).finish()) else {
        return false;
    };
    let resolved = Resolved::default();
    for element in document.descendants().filter(Node::is_element) {
        let node = Cursor::at(text, element.range().start).expect("a start tag");
        is_same_element(element, node, text, &resolved);
    }
    true
}

fn is_same_element(element: Node, node: Cursor, text: &str, resolved: &Resolved) {
    let name = element.tag_name().name();
    assert_eq!((node.name(), node.xml()), (name, &text[element.range()]));
    let start = |node: Option<Cursor>| node.map(|node| node.place().start);
    let begins = |element: Option<Node>| element.map(|element| element.range().start);
    let children = || element.children().filter(Node::is_element);
    let behind = || element.next_siblings().skip(1).filter(Node::is_element);
    let named = |wanted: &str, node: &Node| node.tag_name().name() == wanted;
    assert_eq!(start(node.first()), begins(children().next()), "{text}");
    assert_eq!(start(node.sibling()), begins(behind().next()), "{text}");
    assert_eq!(start(node.next()), begins(behind().find(|other| named(name, other))), "{text}");
    assert_eq!(start(node.child("no-such")), None);
    for child in children().take(4) {
        let name = child.tag_name().name();
        let first = children().find(|other| named(name, other));
        assert_eq!(start(node.child(name)), begins(first), "{text}");
        for grandchild in child.children().filter(Node::is_element).take(4) {
            let last = grandchild.tag_name().name();
            let all = children().filter(|other| named(name, other)).flat_map(|other| other.children());
            let first = all.into_iter().find(|other| other.is_element() && named(last, other));
            assert_eq!(start(node.child(&format!("{name}/{last}"))), begins(first), "{text}");
        }
    }
    let sets = || children().filter(|set| named("propSet", set));
    let leaf = |element: &Node| !element.children().any(|child| child.is_element());
    let name_of = |set: Node| child(set, "name").filter(leaf).map(|name| tree::text_of(name).into_owned());
    for property in sets().filter_map(name_of).take(4) {
        let first = sets().find(|set| name_of(*set).as_ref() == Some(&property));
        let value = first.and_then(|set| child(set, "val"));
        assert!(property.contains('\r') || start(node.property(&property)) == begins(value), "{text}");
    }
    // The parser does not turn a carriage return before a reference into a line feed.
    let lines = |text: &str| text.replace('\r', "\n");
    let whole = node.text().map(|piece| lines(&piece.plain().expect("memory")));
    let expected = children().next().is_none().then(|| lines(&tree::text_of(element)));
    assert_eq!(whole, expected, "{text}");
    let is_xsi = |prefix: &str| resolved.is_xsi(text, prefix, node.place().start);
    let is_type = |own: &roxmltree::Attribute| own.namespace() == Some(XSI) && own.name() == "type";
    for attribute in element.attributes() {
        let same = element.attributes().filter(|other| other.name() == attribute.name() && !is_type(other));
        let expected = same.clone().find(|other| other.namespace().is_none()).or(same.clone().next());
        let found = node.attribute(attribute.name(), is_xsi).map(|piece| piece.plain().expect("memory"));
        assert_eq!(found.as_deref(), expected.map(|attribute| attribute.value()), "{text}");
    }
    let found = node.xsi_type(is_xsi).map(|piece| piece.plain().expect("memory"));
    let expected = element.attributes().find(is_type);
    assert_eq!(found.as_deref().map(type_name), expected.map(|own| type_name(own.value())), "{text}");
}

/// Whatever the text is, each step from any place in it ends, and none panics.
pub(crate) fn any_text_can_be_walked(text: &str) {
    const MOST: usize = 100;
    for (at, _) in text.match_indices('<').take(MOST) {
        let Some(node) = Cursor::at(text, at) else { continue };
        let steps = [node.first(), node.sibling(), node.next(), node.child("a/b"), node.property("a")];
        for step in steps.into_iter().flatten() {
            assert!(step.place().start > at);
            assert!(Cursor::again(text, step.place()).is_some());
        }
        let _ = (node.name(), node.xml());
        let pieces = [node.text(), node.attribute("type", |_| false), node.xsi_type(|_| true)];
        for piece in pieces.into_iter().flatten() {
            let _ = piece.plain();
        }
    }
}

/// Pieces of text that may change the meaning of a document.
#[cfg(test)]
const PIECES: &[&str] = &[
    "", "<", ">", "/", "&", "\"", "'", " ", "=", ":", "\n", "\r", "\t", "\u{1}", "x", "]", "!", "?", "-",
    "1", "\u{fffe}", "xmlns", "</", "/>", "<a>", "</a>", "<a/>", " p:z='1'", " xmlns:p='2'", "&amp;", "&#1;",
    "<!--", "-->", "]]>", "Body", "Fault", "<!-- a -->", "<?b c?>", "<![CDATA[&<]]>", "\r\n", "&#x41;",
    " xmlns='3'", "\u{e9}", "<x:y/>", " xmlns:xsi='1'",
];

/// The texts made by inserting each piece at each place of a text, and by replacing up to five characters with it.
#[cfg(test)]
pub(super) fn changed(text: &str) -> impl Iterator<Item = String> {
    let places: Vec<_> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    (0..places.len()).flat_map(move |place| {
        let ends = [0, 1, 2, 5].map(|replaced| places.get(place + replaced).copied());
        let (before, ends) = (&text[..places[place]], ends.into_iter().flatten());
        ends.flat_map(move |end| PIECES.iter().map(move |piece| format!("{before}{piece}{}", &text[end..])))
            .collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Valid replies with the forms of XML that servers use.
    const GOOD: [&str; 5] = [
        "<Envelope xmlns:p='q'><Body><RResponse xmlns='urn:vim25'><x>t<y>1&amp;</y> <p:z p:a='1'>2</p:z><y/></x></RResponse></Body></Envelope>",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<s:Envelope xmlns:s=\"e\" xmlns:xsi=\"i\"><s:Header><a>1</a></s:Header>\n<s:Body>\n<RResponse xmlns=\"urn:vim25\"><returnval type=\"T\" xsi:type=\"M\">a&amp;b \u{e9}</returnval></RResponse></s:Body></s:Envelope>\n",
        "<Envelope xmlns='urn:vim25'><Body><RResponse><x y='1'><z/></x><x a=\"&lt;\">]]&gt;</x></RResponse><!-- c --></Body><S/></Envelope>",
        "<Envelope xmlns='e' xmlns:p='urn:&#118;im25'><p:Body><p:RResponse xmlns:r='urn:vim25'><r:x p:y='1'/></p:RResponse></p:Body></Envelope>",
        // The declarations of vSphere servers, which the reader knows.
        "<soapenv:Envelope xmlns:soapenc=\"http://schemas.xmlsoap.org/soap/encoding/\"\n \
         xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\"\n xmlns:xsd=\"http://www.w3.org/2001/XMLSchema\"\n \
         xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><Body><RResponse xmlns='urn:vim25' xsi:a=''/></Body>\
         </soapenv:Envelope>",
    ];

    #[test]
    fn the_cursor_finds_what_the_parser_finds_in_replies_changed_in_any_place() {
        let (mut known, mut all) = (0, 0);
        for changed in changed(GOOD[0]) {
            known += usize::from(nodes_are_as_the_parser_sees_them(&changed));
            all += 1;
        }
        assert!(known > all / 20, "{known} of {all}");
    }

    /// Whether the parser accepts the text although XML forbids it.
    fn is_leniency(text: &str) -> bool {
        let problem = match read_or_error(text.into(), Redactor::NOTHING) {
            Ok(_) => return false,
            Err(error) => error.detail().message.clone(),
        };
        let lenient = [
            "XML declaration",
            "an invalid processing instruction",
            "a prefix is declared for a namespace that it cannot have",
            "a name is expected",
            "an element has an attribute twice",
        ];
        lenient.iter().any(|lenient| problem.contains(lenient))
            || text.starts_with("<?xml") && problem.contains("a '&' that does not begin a reference")
            || text.contains("</:")
    }

    #[test]
    fn replies_changed_in_any_place_are_judged_as_the_parser_judges_them() {
        let (mut known, mut all) = (0, 0);
        for good in GOOD {
            assert!(is_read_as_by_the_parser(good));
            for (at, _) in good.char_indices().chain([(good.len(), ' ')]) {
                assert_eq!(
                    is_read_as_by_the_parser(&good[..at]),
                    good[at..].trim().is_empty(),
                    "cut at {at}"
                );
            }
            for changed in changed(good) {
                let read = is_read_as_by_the_parser(&changed);
                known += usize::from(read);
                let tree = read_by_tree(&changed);
                assert!(read || tree.is_err() || is_leniency(&changed), "{changed}: {tree:?}");
                all += 1;
            }
        }
        assert!(known > all / 20, "{known} of {all}");
    }
}
