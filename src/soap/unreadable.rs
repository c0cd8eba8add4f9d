//! Bodies that are neither a response nor a fault, and the error for each.

use std::fmt;
use std::ops::Range;

use super::xml::problem::{Problem, What};
use super::xml::repair::{BadCharacter, Repaired};
use crate::error::Error;
use crate::runtime::redact::{EXCERPT_LENGTH, Redactor};
use crate::status::Status;

/// A body that is neither a response nor a fault.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(super) text: String,
    pub(super) reason: Reason,
    /// The body begins with the method's own response, which proves that the method ran.
    pub(super) ran: bool,
}

#[derive(Debug)]
pub(super) enum Reason {
    NotXml {
        problem: Problem,
        damage: Option<Damage>,
    },
    Utf16 {
        beginning: String,
    },
    /// The root element is not an envelope; its name.
    OtherRoot(Range<usize>),
    NoBody,
    EmptyBody,
    /// The body holds another element than the method's response or a fault, or more than one of them.
    OtherContent {
        found: Range<usize>,
        expected: String,
    },
    NoMemory,
}

/// A character that XML forbids, in a document that is not well-formed.
#[derive(Debug)]
pub(super) enum Damage {
    /// At the place of the problem, or in the tag there.
    Here(BadCharacter),
    /// The first one of the document.
    Somewhere(BadCharacter),
}

impl Damage {
    /// `problem`: the offset of a problem in what the server sent.
    pub(super) fn of(repaired: &Repaired, problem: usize) -> Damage {
        repaired.here(problem).map_or(Damage::Somewhere(repaired.repairs.first), Damage::Here)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Here(bad) => {
                write!(f, "{bad} is a part of it, and such a character is replaced in texts and values only")
            }
            Damage::Somewhere(bad) => write!(f, "the reply is damaged: it contains {bad}"),
        }
    }
}

impl Unreadable {
    /// There was not enough memory to read it, so nothing is known about the body.
    pub(crate) fn is_for_lack_of_memory(&self) -> bool {
        matches!(
            self.reason,
            Reason::NoMemory | Reason::NotXml { problem: Problem { what: What::NoMemory, .. }, .. }
        )
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The error. `hidden` removes the secrets of the call, which the body may repeat.
    pub(crate) fn into_error(self, hidden: Redactor) -> Error {
        let Unreadable { text, reason, ran } = self;
        let error = match reason {
            Reason::NotXml { problem, damage } => {
                let error = not_xml(&text, problem, hidden);
                match damage {
                    Some(damage) if error.status() == Status::VSESSION_E_MALFORMED_XML => {
                        error.reworded(|message| format!("{message}; {damage}"))
                    }
                    _ => error,
                }
            }
            Reason::Utf16 { beginning } => {
                not_soap(&beginning, "it is in UTF-16, and SOAP servers send UTF-8", hidden)
            }
            Reason::OtherRoot(root) => not_soap(
                &text,
                &format!("its root element is '{}'", hidden.quote(&text[root], EXCERPT_LENGTH)),
                hidden,
            ),
            Reason::NoBody => not_soap(&text, "the envelope has no body", hidden),
            Reason::EmptyBody => Error::new(Status::VSESSION_E_PROTOCOL, "the body of the reply is empty"),
            Reason::OtherContent { found, expected } => {
                let found = &text[found];
                let again = if expected.contains(&format!("'{found}'")) {
                    " once more or in another namespace"
                } else {
                    ""
                };
                Error::new(
                    Status::VSESSION_E_PROTOCOL,
                    format!(
                        "the body of the reply holds '{}'{again}, where {expected} and nothing else is expected; a proxy in between may have mixed up replies",
                        hidden.quote(found, EXCERPT_LENGTH)
                    ),
                )
            }
            // unreached: needs a process without free descriptors or memory
            Reason::NoMemory => no_memory(),
        };
        if ran { error.ran() } else { error }
    }

    /// Whether the body is an envelope, or a part of one.
    pub(crate) fn is_of_soap(&self) -> bool {
        match &self.reason {
            Reason::OtherContent { .. } | Reason::NoBody | Reason::EmptyBody | Reason::NoMemory => true,
            Reason::NotXml { .. } => self.text.contains("Envelope"),
            Reason::Utf16 { beginning } => beginning.contains("Envelope"),
            Reason::OtherRoot(_) => false,
        }
    }

    /// Whether the body proves that the method ran, although it cannot be read.
    pub(crate) fn proves_run(&self) -> bool {
        self.ran
    }
}

/// The error for a reply that the reader refuses, or that cannot become a tree.
pub(super) fn not_xml(text: &str, problem: Problem, hidden: Redactor) -> Error {
    let Problem { at, what } = problem;
    let (status, message) = match what {
        // unreached: needs a process without free descriptors or memory
        What::NoMemory => return no_memory(),
        _ if looks_like_html(text) => return not_soap(text, &format!("{} at byte {at}", what.text()), hidden),
        What::Doctype => (
            Status::VSESSION_E_DTD,
            "the reply contains a document type declaration, which SOAP forbids; check that 'url' leads to a vSphere server".into(),
        ),
        What::Cut => (
            Status::VSESSION_E_MALFORMED_XML,
            format!("the reply is XML that ends too early, after {at} bytes; it may have been cut off on the way"),
        ),
        What::Malformed(_) => (
            Status::VSESSION_E_MALFORMED_XML,
            format!("the reply is not well-formed XML: {} at byte {at}", what.text()),
        ),
        What::Excess(_) => (
            Status::VSESSION_E_MALFORMED_XML,
            format!("the reply exceeds a limit for XML: {} at byte {at}; is this a vSphere server?", what.text()),
        ),
        What::TooLargeForTree(_) => {
            (Status::VSESSION_E_PROTOCOL, format!("the reply {}; is this a vSphere server?", what.text()))
        }
    };
    Error::new(status, message)
}

// unreached: needs a process without free descriptors or memory
fn no_memory() -> Error {
    Error::new(
        Status::VSESSION_E_RESOURCE,
        "there is not enough memory to read the reply; ask for less at a time or lower 'max_reply_bytes'",
    )
}

fn looks_like_html(text: &str) -> bool {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let starts = |with: &str| text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    starts("<html") || starts("<!doctype html") || !text.starts_with('<')
}

fn not_soap(text: &str, reason: &str, hidden: Redactor) -> Error {
    let start = hidden.quote(text, EXCERPT_LENGTH);
    Error::new(
        Status::VSESSION_E_NOT_SOAP,
        format!(
            "the reply is not SOAP ({reason}); it begins with '{start}'. Check that 'url' leads to a vSphere server and not to a proxy or a web page"
        ),
    )
}
