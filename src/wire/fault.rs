//! SOAP faults. What kind of fault it is stands in the `xsi:type` of its detail; the text beside it may be empty or in
//! any language.

use roxmltree::Node;

use super::xml::{child, child_text, xsi_type};
use crate::error::{Error, Objection};
use crate::status::{Executed, Status};

/// The faults that say that the credentials are no good: InvalidLogin and those derived from it.
const REFUSALS: &[&str] = &["InvalidLogin", "PasswordExpired", "NoClientCertificate", "NoSubjectName"];
/// The faults that say that a privilege is missing.
const NO_PERMISSION: &[&str] = &["NoPermission", "RestrictedByAdministrator"];

/// A fault as the server sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The vim25 type, for example `NotAuthenticated`; empty when the server names none.
    pub(crate) name: String,
    pub(crate) message: String,
    /// The detail element as text; empty when there is none.
    pub(crate) xml: String,
    /// What the fault is about, where it says: a privilege, an object, a property.
    subject: Option<String>,
    objection: Option<Objection>,
}

pub(crate) const NOT_AUTHENTICATED: &str = "NotAuthenticated";

impl Fault {
    /// Reads a `Fault` element; `text` is the document that it stands in.
    pub(crate) fn read(fault: Node, text: &str) -> Fault {
        let detail = child(fault, "detail").or_else(|| child(fault, "Detail"));
        let specific = detail.and_then(|d| d.children().find(Node::is_element));
        let name = specific.map_or("", |s| {
            let element = s.tag_name().name();
            xsi_type(s).unwrap_or_else(|| element.strip_suffix("Fault").unwrap_or(element))
        });
        let subject = specific.and_then(|s| {
            ["privilegeId", "obj", "invalidProperty", "name"]
                .iter()
                .find_map(|part| child_text(s, part).filter(|t| !t.is_empty()))
        });
        let object = specific.and_then(|s| child_text(s, "obj"));
        let reason = child(fault, "Reason").and_then(|r| child_text(r, "Text"));
        let message = child_text(fault, "faultstring").or(reason).unwrap_or("").trim();
        Fault {
            name: name.to_string(),
            message: message.to_string(),
            objection: objection(name, message, object),
            xml: detail.map_or(String::new(), |d| text[d.range()].to_string()),
            subject: subject.map(str::to_string),
        }
    }

    fn status(&self) -> Status {
        match self.name.as_str() {
            NOT_AUTHENTICATED => Status::VSESSION_E_NOT_AUTHENTICATED,
            name if REFUSALS.contains(&name) => Status::VSESSION_E_INVALID_LOGIN,
            name if NO_PERMISSION.contains(&name) => Status::VSESSION_E_NO_PERMISSION,
            _ => Status::VSESSION_E_FAULT,
        }
    }

    /// The fault as an error of the call of `method`.
    pub(crate) fn into_error(self, method: &str, http_status: u16) -> Error {
        let status = self.status();
        let mut message = format!("{method}: the server answered with the fault ");
        message.push_str(if self.name.is_empty() { "(unnamed)" } else { &self.name });
        if let Some(subject) = &self.subject {
            message.push_str(&format!(" ({subject})"));
        }
        if !self.message.is_empty() {
            message.push_str(": ");
            message.push_str(&self.message);
        }
        match status {
            Status::VSESSION_E_INVALID_LOGIN => message.push_str("; check user name and password"),
            Status::VSESSION_E_NO_PERMISSION => {
                message.push_str("; the account lacks a privilege for this call")
            }
            _ => {}
        }
        // These faults are answered before the method does anything.
        let executed = match status {
            Status::VSESSION_E_FAULT => Executed::VSESSION_EXECUTED_YES,
            _ => Executed::VSESSION_EXECUTED_NO,
        };
        Error::new(status, message).with(|d| {
            d.fault_name = Some(self.name).filter(|n| !n.is_empty());
            d.fault_xml = Some(self.xml).filter(|x| !x.is_empty());
            d.http_status = http_status;
            d.executed = executed;
            d.objection = self.objection;
        })
    }
}

/// What a fault objects to. Servers name these faults, or say it in words that they do not translate.
fn objection(name: &str, message: &str, object: Option<&str>) -> Option<Objection> {
    let unnamed = matches!(name, "" | "InvalidRequest" | "RuntimeFault" | "MethodFault");
    let words = message.to_ascii_lowercase();
    match name {
        "MethodNotFound" => Some(Objection::Method),
        "ManagedObjectNotFound" => {
            let named = object.map(|id| id.trim().to_string()).filter(|id| !id.is_empty());
            Some(Objection::Object(named.or_else(|| object_in(message))))
        }
        _ if !unnamed => None,
        _ if words.contains("unsupported version") || words.contains("unsupported namespace") => {
            Some(Objection::Version)
        }
        _ if words.contains("has already been deleted or has not been completely created") => {
            Some(Objection::Object(object_in(message)))
        }
        "" | "InvalidRequest" => Some(Objection::Request { silent: message.is_empty() }),
        _ => None,
    }
}

/// The id in `The object 'vim.SessionManager:SessionManager' has already been deleted`.
fn object_in(message: &str) -> Option<String> {
    let quoted = message.split('\'').nth(1)?;
    Some(quoted.split_once(':')?.1.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(detail: &str, message: &str) -> Fault {
        let text = format!(
            r#"<f:Fault xmlns:f="http://schemas.xmlsoap.org/soap/envelope/"><faultcode>ServerFaultCode</faultcode><faultstring>{message}</faultstring>{detail}</f:Fault>"#
        );
        let document = roxmltree::Document::parse(&text).unwrap();
        Fault::read(document.root_element(), &text)
    }

    #[test]
    fn the_type_attribute_names_the_fault() {
        let fault = read(
            r#"<detail><NotAuthenticatedFault xmlns="urn:vim25" xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:type="NotAuthenticated"><privilegeId>System.View</privilegeId></NotAuthenticatedFault></detail>"#,
            "",
        );
        assert_eq!(fault.name, NOT_AUTHENTICATED);
        assert!(fault.xml.starts_with("<detail>"));
        let error = fault.into_error("CurrentTime", 500);
        assert_eq!(error.status(), Status::VSESSION_E_NOT_AUTHENTICATED);
        assert!(error.detail().message.contains("System.View"));
    }

    #[test]
    fn the_element_names_the_fault_where_the_attribute_is_missing() {
        let fault =
            read(r#"<detail><InvalidLoginFault xmlns="urn:vim25"/></detail>"#, "Anmeldung fehlgeschlagen");
        assert_eq!(fault.name, "InvalidLogin");
        let error = fault.into_error("Login", 500);
        assert_eq!(error.status(), Status::VSESSION_E_INVALID_LOGIN);
        assert!(error.detail().message.contains("Anmeldung fehlgeschlagen"));
    }

    #[test]
    fn what_a_fault_objects_to_is_told_by_its_name_or_its_words() {
        let named = |name: &str, inside: &str| {
            format!(
                r#"<detail><{name}Fault xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:type="{name}">{inside}</{name}Fault></detail>"#
            )
        };
        let version =
            "Unsupported version URI &quot;urn:vim25/8.0.2.0&quot; while parsing SOAP body at line 1";
        let deleted =
            "The object 'vim.SessionManager:sm' has already been deleted or has not been completely created";
        let object = |id: &str| Some(Objection::Object(Some(id.to_string())));
        for (detail, message, expected) in [
            (String::new(), version, Some(Objection::Version)),
            (named("InvalidRequest", ""), version, Some(Objection::Version)),
            (named("InvalidRequest", ""), "", Some(Objection::Request { silent: true })),
            (named("InvalidRequest", ""), "Unexpected element", Some(Objection::Request { silent: false })),
            (named("MethodNotFound", ""), "", Some(Objection::Method)),
            (named("ManagedObjectNotFound", "<obj type=\"T\">vm-1</obj>"), deleted, object("vm-1")),
            (named("ManagedObjectNotFound", ""), deleted, object("sm")),
            (named("ManagedObjectNotFound", ""), "gone", Some(Objection::Object(None))),
            (String::new(), deleted, object("sm")),
            (named("InvalidState", ""), version, None),
        ] {
            assert_eq!(read(&detail, message).objection, expected, "{detail} {message}");
        }
    }

    #[test]
    fn a_fault_without_detail_is_still_a_fault() {
        let error = read("", "Unsupported version URI").into_error("LoginByToken", 500);
        assert_eq!(error.status(), Status::VSESSION_E_FAULT);
        assert_eq!(error.detail().fault_name, None);
    }
}
