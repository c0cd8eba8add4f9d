//! Why a document cannot be read.

/// Why a document cannot be read, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) at: usize,
    pub(crate) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It is not well-formed.
    Malformed(&'static str),
    /// It ends too early.
    Cut,
    Doctype,
    /// It may be well-formed, but exceeds a bound of the reader.
    Excess(&'static str),
    /// It is well-formed, but too large for a tree.
    TooLargeForTree(&'static str),
    NoMemory,
}

impl What {
    pub(crate) fn text(self) -> &'static str {
        match self {
            What::Malformed(text) | What::Excess(text) | What::TooLargeForTree(text) => text,
            What::Cut => "the text ends in the middle of an element",
            What::Doctype => "a document type declaration",
            // unreached: needs a process without free descriptors or memory
            What::NoMemory => "there is not enough memory",
        }
    }
}

pub(crate) type Read<T> = Result<T, Problem>;
