//! The prefixes in scope and their namespaces.

use std::borrow::Cow;
use std::ops::Range;

use super::names::Name;
use super::{Form, Reader, StartTag};
use crate::soap::xml::limits::MAX_PREFIXES;
use crate::soap::xml::problem::Read;
use crate::soap::xml::text::{is_same_value, local_part_of_value};

const XML: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
pub(in crate::soap) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// The declaration of a prefix: the places of the prefix and of its namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    prefix: Name,
    uri: (usize, usize),
    /// The level of the element that declares it.
    pub(crate) level: usize,
    /// The first binding of the same namespace, once it has been looked up.
    first: Option<usize>,
}

impl Binding {
    pub(super) fn new(prefix: Name, uri: (usize, usize), level: usize) -> Binding {
        Binding { prefix, uri, level, first: None }
    }

    /// Empty for the default namespace.
    pub(crate) fn prefix<'a>(&self, text: &'a str) -> &'a str {
        &text[self.prefix.local..self.prefix.end]
    }

    pub(in crate::soap::xml) fn place_of_prefix(&self) -> Range<usize> {
        self.prefix.local..self.prefix.end
    }

    /// With its references unresolved.
    pub(crate) fn uri<'a>(&self, text: &'a str) -> &'a str {
        &text[self.uri.0..self.uri.1]
    }

    fn is_of(&self, namespace: &str, text: &str) -> bool {
        is_same_value(self.uri(text), namespace)
    }
}

impl<'a> Reader<'a> {
    /// The declarations in scope at the last start tag, its own included. An inner declaration follows the outer one that it
    /// hides.
    pub(crate) fn bindings(&self) -> &[Binding] {
        &self.bindings
    }

    /// The local part of the `xsi:type` attribute of the last start tag.
    pub(crate) fn xsi_type(&self) -> Option<Cow<'a, str>> {
        let text = self.text;
        let attribute = self.attributes.iter().find(|attribute| {
            &text[attribute.name.local..attribute.name.end] == "type"
                && self.binding_of(attribute.name).is_some_and(|at| self.bindings[at].is_of(XSI, text))
        })?;
        local_part_of_value(&text[attribute.value.0..attribute.value.1])
    }

    /// Whether the element of the last start tag is in this namespace.
    pub(crate) fn is_in_namespace(&self, start: &StartTag, namespace: &str) -> bool {
        let prefix = self.text[start.tag.start + 1..start.local.start].trim_end_matches(':');
        let mut innermost = self.bindings.iter().rev();
        let declared = innermost.find(|binding| binding.prefix(self.text) == prefix);
        declared.is_some_and(|binding| binding.is_of(namespace, self.text))
    }

    /// An attribute that declares a prefix or the default namespace.
    #[inline]
    pub(super) fn declare(&mut self, name: Name, uri: (usize, usize), level: usize) -> Read<()> {
        let default = !name.has_prefix();
        let prefix = if default { Name { start: name.end, local: name.end, end: name.end } } else { name };
        let (named, value) = (self.bytes(prefix.local, prefix.end), &self.text[uri.0..uri.1]);
        let is_value = |uri| value == uri || self.value_has_reference && is_same_value(value, uri);
        if named == b"xmlns"
            || is_value(XMLNS)
            || (named == b"xml") != is_value(XML)
            || value.is_empty() && !default
        {
            return Err(self.malformed("a prefix is declared for a namespace that it cannot have"));
        }
        if named == b"xml" {
            return Ok(());
        }
        if self.bindings.len() == MAX_PREFIXES {
            return Err(self.excess("too many prefixes are declared"));
        }
        self.bindings.push(Binding::new(prefix, uri, level));
        Ok(())
    }

    /// Whether the attribute is a declaration with a prefix.
    fn declares_prefix(&self, name: Name) -> bool {
        name.has_prefix() && self.bytes(name.start, name.local) == b"xmlns:"
    }

    /// The index of the binding of a name's prefix.
    #[inline]
    fn binding_of(&self, name: Name) -> Option<usize> {
        if !name.has_prefix() {
            return None;
        }
        let prefix = self.bytes(name.start, name.local - 1);
        self.bindings.iter().rposition(|Binding { prefix: Name { local, end, .. }, .. }| {
            end - local == prefix.len() && self.bytes(*local, *end) == prefix
        })
    }

    #[inline(always)]
    fn is_declared(&self, name: Name) -> bool {
        !name.has_prefix()
            || self.binding_of(name).is_some()
            || match self.bytes(name.start, name.local - 1) {
                b"xml" => true,
                b"xsi" | b"xsd" => self.form == Form::Content,
                _ => false,
            }
    }

    /// Checks the tag at `start`: all its prefixes are declared, and no two prefixed attributes have the same expanded name.
    #[inline]
    pub(super) fn check_prefixes(&mut self, element: Name, start: usize) -> Read<()> {
        let mut declared = self.is_declared(element);
        if self.in_prefix > 0 {
            let names = || self.attributes.iter().map(|attribute| attribute.name);
            declared &= names().all(|name| self.declares_prefix(name) || self.is_declared(name));
        }
        let problem = match declared {
            false => "a prefix that is not declared",
            true if self.in_prefix > 1 && self.has_attribute_in_two_prefixes() => {
                "an element has an attribute twice"
            }
            true => return Ok(()),
        };
        self.at = start;
        Err(self.malformed(problem))
    }

    fn has_attribute_in_two_prefixes(&mut self) -> bool {
        for i in 1..self.attributes.len() {
            for j in 0..i {
                let (a, b) = (self.attributes[i].name, self.attributes[j].name);
                let alike = a.has_prefix() && self.bytes(a.local, a.end) == self.bytes(b.local, b.end);
                if alike
                    && let (Some(of_a), Some(of_b)) = (self.binding_of(a), self.binding_of(b))
                    && self.first_of_namespace(of_a) == self.first_of_namespace(of_b)
                {
                    return true;
                }
            }
        }
        false
    }

    /// The outermost binding of the same namespace. Looked up once for each binding, because a namespace may be long.
    fn first_of_namespace(&mut self, binding: usize) -> usize {
        if let Some(first) = self.bindings[binding].first {
            return first;
        }
        let uri = self.bindings[binding].uri(self.text);
        let first = self.bindings[..binding].iter().position(|other| other.is_of(uri, self.text));
        *self.bindings[binding].first.insert(first.unwrap_or(binding))
    }

    #[inline]
    pub(super) fn forget_prefixes(&mut self, level: usize) {
        while self.bindings.last().is_some_and(|binding| binding.level == level) {
            self.bindings.pop();
        }
    }
}
