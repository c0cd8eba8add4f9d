//! Checks what a program writes for a call, before it becomes part of an envelope: its arguments and elements of the SOAP header as XML, and
//! the namespace of its service.

use memchr::memchr_iter;

use super::xml::reader::{Event, Reader, StartTag};
use super::xml::repair::Form;
use super::xml::text::{is_allowed, is_white_space};

/// Whether `arguments` can stand inside a request: well-formed elements that use no prefix but `xsi` and `xsd`, or
/// declare their own. The error names the line and the column.
pub(crate) fn check_arguments(arguments: &str) -> Result<(), String> {
    let blank = match planted!("any-blank-between-arguments") {
        true => arguments.trim().is_empty(),
        false => is_white_space(arguments),
    };
    if blank {
        return Ok(());
    }
    if let Some((at, problem)) = bad_character(arguments) {
        return Err(format!("{problem} at {}", place(arguments, at)));
    }
    let mut reader = Reader::content(arguments);
    match (reader.finish(), reader.bad_reference()) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some((at, number))) => {
            Err(format!("{} at {}", Form::Reference(number), place(arguments, at)))
        }
        (Err(problem), _) => {
            Err(format!("not well-formed XML: {} at {}", problem.what.text(), place(arguments, problem.at)))
        }
    }
}

/// Whether `elements` can stand in the SOAP header behind the library's own.
pub(crate) fn check_header(elements: &str) -> Result<(), String> {
    check_arguments(elements)?;
    if is_white_space(elements) {
        return Ok(());
    }
    let mut reader = Reader::content(elements);
    loop {
        let event = reader.next().map_err(|problem| problem.what.text().to_string())?;
        let Some(event) = event else { return Ok(()) };
        if let Event::Start(start) = event
            && start.level == 1
            && let Some(name) = OURS.into_iter().find(|name| &elements[start.local.clone()] == *name)
        {
            let instead = if name == OURS[0] {
                "set 'operation_id' in the call options"
            } else {
                "the session's id goes with a call of another service"
            };
            return Err(format!("the library writes the element {name} itself: {instead}"));
        }
    }
}

/// The elements of the header that the library writes.
const OURS: [&str; 2] = ["operationID", "vcSessionCookie"];

/// Whether elements can be in this namespace: a URI that needs no escaping.
pub(crate) fn check_namespace(namespace: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$()*+,;=%".contains(c);
    match namespace {
        "" => Err("empty; it is a URI, for example urn:pbm".into()),
        // XML reserves them.
        XML | XMLNS => Err("XML reserves this namespace".into()),
        _ => match namespace.chars().find(|c| !is_allowed(*c)) {
            None => Ok(()),
            Some(bad) => {
                Err(format!("the character U+{:04X} cannot stand in the URI of a namespace", u32::from(bad)))
            }
        },
    }
}

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";

/// The same for elements that all have this name, at least one.
pub(crate) fn check_elements(text: &str, name: &str) -> Result<(), String> {
    check_arguments(text)?;
    let (mut reader, mut found) = (Reader::content(text), false);
    while let Ok(Some(event)) = reader.next() {
        let Event::Start(StartTag { level: 1, tag, local }) = event else { continue };
        found = true;
        if text[local.clone()] != *name {
            return Err(format!(
                "the element '{}' at {} is no '{name}'",
                &text[local],
                place(text, tag.start)
            ));
        }
    }
    if found { Ok(()) } else { Err(format!("there is no element '{name}' in it")) }
}

/// The first character that cannot be sent unescaped, with its offset.
pub(crate) fn bad_character(text: &str) -> Option<(usize, String)> {
    let forbidden = text
        .char_indices()
        .find(|(_, c)| !is_allowed(*c))
        .map(|(at, c)| (at, Form::Character(c.into()).to_string()));
    // An XML parser turns it into a line feed.
    let bytes = text.as_bytes();
    let lone = memchr_iter(b'\r', bytes).find(|at| bytes.get(at + 1) != Some(&b'\n'));
    let lone = lone
        .map(|at| (at, "a carriage return without a line feed, which must be written as &#13;,".to_string()));
    [forbidden, lone].into_iter().flatten().min_by_key(|(at, _)| *at)
}

/// Line and column, both from 1, counted in characters.
fn place(text: &str, at: usize) -> String {
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before[before.rfind('\n').map_or(0, |end| end + 1)..].chars().count() + 1;
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use super::super::comparison::changed;
    use super::*;

    fn check_by_tree(arguments: &str) -> Result<(), String> {
        let wrapped = format!(
            r#"<x xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema">{arguments}</x>"#
        );
        let document = roxmltree::Document::parse(&wrapped).map_err(|error| error.to_string())?;
        let mut texts = document.root_element().children().filter(roxmltree::Node::is_text);
        if texts.all(|text| is_white_space(text.text().unwrap_or(""))) { Ok(()) } else { Err("text".into()) }
    }

    #[test]
    fn what_the_reader_accepts_the_parser_accepts_too() {
        let good = "<a xsi:type=\"xsd:string\">1 &lt; 2</a>\n<b xmlns='urn:x' xmlns:p='q'><p:c p:d='1'/><e>]]&gt;</e></b> ";
        assert!(check_arguments(good).is_ok() && check_by_tree(good).is_ok());
        let (mut known, mut all) = (0, 0);
        for changed in changed(good) {
            all += 1;
            if check_arguments(&changed).is_ok() {
                known += 1;
                assert_eq!(check_by_tree(&changed), Ok(()), "{changed}");
            }
        }
        assert!(known > all / 20, "{known} of {all}");
    }

    #[test]
    fn arguments_that_would_break_the_envelope_are_refused() {
        assert!(check_arguments("").is_ok());
        assert!(check_arguments("<a xsi:type=\"xsd:string\">1</a><b/>").is_ok());
        assert!(check_arguments("<a xmlns:p='u' xmlns:q='v' x='' p:x='' q:x=''/>").is_ok());
        for bad in [
            "<a>",
            "</Body>",
            "<a></b>",
            "</x><x>",
            "just text",
            "<a/>&undefined;",
            "\u{c}",
            "<a xmlns:p='http://www.w3.org/2000/xmlns&#47;'/>",
            "<a xmlns:p='u' xmlns:q='&#117;' p:x='' q:x=''/>",
        ] {
            assert!(check_arguments(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_header_of_the_programs_own_leaves_the_librarys_elements_alone() {
        for good in ["", " ", "<a/>", "<w:Security xmlns:w='urn:w'><operationID/></w:Security><b xmlns=''/>"]
        {
            assert_eq!(check_header(good), Ok(()), "{good}");
        }
        for bad in [
            "a",
            "<a>",
            "</Header>",
            "<p:a/>",
            "<operationID/>",
            "<a/><operationID>1</operationID>",
            "<p:vcSessionCookie xmlns:p='urn:p'>x</p:vcSessionCookie>",
            "<vcSessionCookie xmlns=''/>",
        ] {
            assert!(check_header(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_namespace_is_a_uri_that_needs_no_escaping() {
        for good in ["urn:pbm", "http://docs.oasis-open.org/ws-sx/ws-trust/200512/", "urn:x?a=b#c"] {
            assert_eq!(check_namespace(good), Ok(()), "{good}");
        }
        for bad in ["", " ", "urn:\"x", "urn:'x", "urn:<x", "urn:&x", "urn:x\n", "urn:\u{e9}", XML, XMLNS] {
            assert!(check_namespace(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn elements_of_another_name_are_refused_with_their_place() {
        assert_eq!(check_elements("<s><t/></s>\n<!-- c --><s/>", "s"), Ok(()));
        let other = check_elements("<s/>\n <t/>", "s").unwrap_err();
        assert_eq!(other, "the element 't' at line 2, column 2 is no 's'");
        for none in ["", " ", "<!-- c -->"] {
            assert!(check_elements(none, "s").unwrap_err().contains("no element 's'"), "{none}");
        }
        assert!(check_elements("<s>", "s").unwrap_err().contains("not well-formed"));
    }

    #[test]
    fn an_error_of_arguments_names_the_place_in_them() {
        for (arguments, place) in [
            ("<a>\n <b></a>", "line 2, column 5"),
            ("<a/>\n\u{e4}\u{e4}", "line 2, column 1"),
            ("<a>\u{e4}\u{1}</a>", "line 1, column 5"),
            ("<a>\u{ffff}</a>", "line 1, column 4"),
            ("<a>\r</a>", "line 1, column 4"),
            ("<a>\r\n&#0;</a>", "line 2, column 1"),
            ("<a>&#xFFFE;</a>", "line 1, column 4"),
            ("<a>&#xD800;</a>", "line 1, column 4"),
            ("</x><x>", "line 1, column 1"),
            ("<a x='1' x='2'/>", "line 1, column 15"),
            ("<p:a/>", "line 1, column 1"),
            ("<a>", "line 1, column 4"),
        ] {
            let error = check_arguments(arguments).unwrap_err();
            assert!(error.ends_with(place), "{arguments}: {error}");
        }
        assert_eq!(check_arguments("<a>1\r\n2&#13;&#10;</a>\r\n<!-- c --><b><![CDATA[x]]></b>"), Ok(()));
    }
}
