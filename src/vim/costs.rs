//! Texts that are expensive to read. Each family makes one of about a given size. The test checks that the time to read any
//! text grows linearly with its size.

use super::{user_session, versions};
use crate::runtime::redact::Redactor;
use crate::soap::answer::Answer;
use crate::soap::arguments::check_arguments;
use crate::soap::comparison::read_or_error;
use crate::soap::xml::node::Node;
use crate::soap::xml::resolved::Resolved;

type Family = (&'static str, fn(usize) -> String);

fn whole(inside: &str) -> String {
    format!("<e:Envelope xmlns:e='e' xmlns='urn:vim25'><e:Body>{inside}</e:Body></e:Envelope>")
}

fn nested(size: usize, open: impl Fn(usize) -> String, close: &str, each: usize) -> String {
    let depth = size / each;
    let opened: String = (0..depth).map(open).collect();
    whole(&format!("{opened}{}", close.repeat(depth)))
}

fn many(size: usize, each: usize, piece: impl Fn(usize) -> String) -> String {
    (0..size / each).map(piece).collect()
}

/// The limit for prefixes in scope, without those of the envelope.
const PREFIXES: usize = 29;
/// About the limit for attributes of an element.
const MOST: usize = 30;

const FAMILIES: &[Family] = &[
    ("nested declarations", |n| nested(n, |i| format!("<a xmlns:p{i}='u{i}'>"), "</a>", 30)),
    ("nested declarations of one prefix", |n| nested(n, |_| "<a xmlns:p='u'>".into(), "</a>", 19)),
    ("nested declarations, then siblings", |n| {
        let open: String = (0..PREFIXES).map(|i| format!("<a xmlns:p{i:0>40}='u{i}'>")).collect();
        let uses = "<p0000000000000000000000000000000000000000:b/>".repeat(n / 46);
        whole(&format!("{open}{uses}{}", "</a>".repeat(PREFIXES)))
    }),
    ("declarations on one element", |n| {
        whole(&format!("<a{}/>", many(n, 20, |i| format!(" xmlns:p{i}='u{i}'"))))
    }),
    ("siblings that declare", |n| whole(&format!("<a>{}</a>", "<b xmlns:c='d'/>".repeat(n / 16)))),
    ("siblings that declare below declarations", |n| {
        let open: String = (0..PREFIXES).map(|i| format!(" xmlns:p{i}='u{i}'")).collect();
        whole(&format!("<a{open}>{}</a>", "<b xmlns:c='d' c:e=''/>".repeat(n / 23)))
    }),
    ("long namespaces", |n| {
        let open: String =
            (0..PREFIXES).map(|i| format!(" xmlns:p{i}='{}{i}'", "u".repeat(n / 60))).collect();
        let uses: String = (0..PREFIXES).map(|i| format!(" p{i}:x=''")).collect();
        whole(&format!("<a{open}>{}</a>", format!("<b{uses}/>").repeat(n / 600)))
    }),
    ("attributes of one element", |n| whole(&format!("<a{}/>", many(n, 12, |i| format!(" a{i}='1'"))))),
    ("attributes of many elements", |n| {
        let attributes: String = (0..MOST).map(|i| format!(" a{i}=''")).collect();
        whole(&format!("<r>{}</r>", format!("<a{attributes}/>").repeat(n / 210)))
    }),
    ("attributes with long names", |n| {
        let attributes: String = (0..MOST).map(|i| format!(" {}{i}=''", "a".repeat(n / MOST))).collect();
        whole(&format!("<a{attributes}/>"))
    }),
    ("depth", |n| nested(n, |_| "<a>".into(), "</a>", 7)),
    ("depth without an end", |n| "<a>".repeat(n / 3)),
    ("a long name", |n| whole(&format!("<{0}></{0}>", "a".repeat(n / 2)))),
    ("a long name that is not closed", |n| format!("<{}", "\u{e9}".repeat(n / 2))),
    ("nested long names", |n| {
        let name = "a".repeat(n / 2000);
        whole(&format!("{}{}", format!("<{name}>").repeat(1000), format!("</{name}>").repeat(1000)))
    }),
    ("entities", |n| whole(&format!("<RResponse><v>{}</v></RResponse>", "&amp;".repeat(n / 5)))),
    ("references", |n| whole(&format!("<RResponse><v>{}</v></RResponse>", "&#x41;".repeat(n / 6)))),
    ("references with zeros", |n| whole(&format!("<RResponse><v>&#{}1;</v></RResponse>", "0".repeat(n)))),
    ("references to what is not allowed", |n| {
        whole(&format!("<RResponse><v>{}</v></RResponse>", "&#1;".repeat(n / 4)))
    }),
    ("references in a value", |n| {
        whole(&format!("<RResponse><v a='{}'/></RResponse>", "&lt;".repeat(n / 4)))
    }),
    ("ampersands", |n| whole(&format!("<RResponse><v>{}</v></RResponse>", "&".repeat(n)))),
    ("brackets", |n| whole(&format!("<RResponse><v>{}</v></RResponse>", "]>".repeat(n / 2)))),
    ("ends of lines", |n| whole(&format!("<RResponse><v>{}</v></RResponse>", "\r".repeat(n)))),
    ("comments", |n| whole(&format!("<RResponse>{}</RResponse>", "<!---->".repeat(n / 7)))),
    ("a comment of dashes", |n| whole(&format!("<RResponse><!--{}</RResponse>", "- ".repeat(n / 2)))),
    ("comments without an end", |n| whole(&format!("<RResponse>{}</RResponse>", "<!--".repeat(n / 4)))),
    ("comments in the return value", |n| {
        whole(&format!("<RResponse><v>{}</v></RResponse>", "x<!---->".repeat(n / 8)))
    }),
    ("instructions", |n| whole(&format!("<RResponse>{}</RResponse>", "<?a?>".repeat(n / 5)))),
    ("instructions before all", |n| format!("{}<a/>", "<?a?>".repeat(n / 5))),
    ("instructions without an end", |n| "<?a ".repeat(n / 4)),
    ("sections", |n| whole(&format!("<RResponse><v>{}</v></RResponse>", "<![CDATA[x]]>".repeat(n / 13)))),
    ("sections without an end", |n| {
        whole(&format!("<RResponse><v>{}</v></RResponse>", "<![CDATA[".repeat(n / 9)))
    }),
    ("siblings", |n| whole(&format!("<RResponse>{}</RResponse>", "<a/>".repeat(n / 4)))),
    ("siblings and a comment", |n| {
        whole(&format!("<RResponse>{}<!-- c --></RResponse>", "<a/>".repeat(n / 4)))
    }),
    ("siblings with text", |n| whole(&format!("<RResponse>{}<?a?></RResponse>", "<a>1</a>x".repeat(n / 9)))),
    ("fields", |n| whole(&format!("<RResponse><v>{}</v></RResponse>", "<a>1</a>".repeat(n / 8)))),
    ("elements without an end", |n| whole(&"<a b='".repeat(n / 6))),
    ("spaces", |n| whole(&format!("<RResponse{}/>", " ".repeat(n)))),
    ("spaces before all", |n| format!("{}x", " ".repeat(n))),
    ("missing properties", |n| {
        let missing = "<missingSet><fault><fault xsi:type='NotAuthenticated'/></fault></missingSet>";
        let inside = missing.repeat(n / missing.len());
        whole(&format!(
            "<RResponse xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>{inside}</RResponse>"
        ))
    }),
    ("faults", |n| whole(&"<e:Fault/>".repeat(n / 10))),
    ("the text of a fault", |n| {
        whole(&format!("<e:Fault><faultstring>{}</faultstring></e:Fault>", "a&amp;".repeat(n / 6)))
    }),
    ("the detail of a fault", |n| {
        whole(&format!("<e:Fault><detail>{}</detail></e:Fault>", "<a b='secret'>c</a>".repeat(n / 19)))
    }),
    ("the detail of a fault in many prefixes", |n| {
        let open: String = (0..PREFIXES).map(|i| format!(" xmlns:p{i}='u{i}'")).collect();
        whole(&format!("<e:Fault{open}><detail>{}</detail></e:Fault>", "p0 p1".repeat(n / 5)))
    }),
    ("quotes in the detail", |n| {
        whole(&format!("<e:Fault><detail>{}</detail></e:Fault>", "<a b=\"'\" c='>'/>".repeat(n / 16)))
    }),
    ("a fault's many texts", |n| {
        whole(&format!("<e:Fault>{}</e:Fault>", "<faultstring>x</faultstring>".repeat(n / 28)))
    }),
    ("not UTF-8", |n| whole(&format!("<RResponse><v>{}</v></RResponse>", "\u{7f}".repeat(n)))),
    ("control characters", |n| whole(&format!("<RResponse><v>{}</v></RResponse>", "\u{1}".repeat(n)))),
    ("html", |n| format!("<html>{}", "<p>".repeat(n / 3))),
    ("text", |n| "secre".repeat(n / 5)),
    ("versions", |n| {
        format!("<namespaces>{}</namespaces>", "<namespace><name>urn:vim25</name></namespace>".repeat(n / 45))
    }),
];

/// Goes through a text with the cursor, once down and once along each level on the way.
fn walk(text: &str) {
    let resolved = Resolved::default();
    let mut level = text.find('<').and_then(|at| Node::at(text, at));
    for _ in 0..4 {
        let Some(first) = level else { return };
        let mut all = std::iter::successors(Some(first), |node| node.sibling());
        all.by_ref().for_each(|node| {
            let is_xsi = |prefix: &str| resolved.is_xsi(text, prefix, node.place().start);
            let pieces = [node.attribute("type", is_xsi), node.xsi_type(is_xsi)];
            for piece in pieces.into_iter().flatten() {
                let _ = resolved.text(piece);
            }
        });
        let _ = (first.next(), first.child("a/a/a/b"), first.property("a"));
        let _ = first.text().map(|piece| resolved.text(piece));
        level = first.first();
    }
    while let Some(deeper) = level {
        level = deeper.first();
    }
}

/// Reads a text with every reader.
pub(crate) fn read_as_everything(text: &str) {
    const SECRETS: Redactor = Redactor(&["secret-1", "a&amp;x"]);
    // DEL stands for bytes that are not UTF-8.
    let body: Vec<u8> = text.bytes().map(|b| if b == 0x7f { 0xff } else { b }).collect();
    let _ = versions::released(&body);
    let _ = check_arguments(text);
    walk(text);
    match read_or_error(body, SECRETS) {
        Ok(Answer::Reply(reply)) => {
            let _ = user_session::read_login(&reply);
            let _ = reply.with_tree(user_session::read_current_session);
        }
        Ok(Answer::Fault(fault)) => drop(fault.into_error("Method", 500, SECRETS)),
        Err(error) => assert!(error.detail().message.len() < 4000, "{error}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sys::thread_time;

    fn time(text: &str) -> Duration {
        let start = thread_time();
        read_as_everything(text);
        thread_time() - start
    }

    #[test]
    fn any_text_is_read_in_a_time_that_grows_with_its_size_alone() {
        const SIZE: usize = 24_000;
        for (name, family) in FAMILIES {
            let (small, large) = (family(SIZE), family(4 * SIZE));
            assert!((SIZE / 3..SIZE * 3).contains(&small.len()), "{name}: {}", small.len());
            // Linear cost takes four times as long at four times the size, quadratic cost sixteen times.
            // The processor's caches and clock disturb single tries.
            let times = (0..8).map(|_| (time(&small), time(&large)));
            let mut seen = Vec::new();
            let linear = times.inspect(|times| seen.push(*times)).any(|(small, large)| {
                large < 9 * small.max(Duration::from_micros(500)) && large < Duration::from_secs(2)
            });
            assert!(linear, "{name}: {seen:?}");
        }
    }
}
