//! SOAP faults. What kind of fault it is stands in the `xsi:type` of its detail; the text beside it may be empty or in
//! any language.

use roxmltree::Node;

use super::xml::{child, child_text, xsi_type};
use crate::error::Error;
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
        let reason = child(fault, "Reason").and_then(|r| child_text(r, "Text"));
        Fault {
            name: name.to_string(),
            message: child_text(fault, "faultstring").or(reason).unwrap_or("").trim().to_string(),
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
        })
    }
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
    fn a_fault_without_detail_is_still_a_fault() {
        let error = read("", "Unsupported version URI").into_error("LoginByToken", 500);
        assert_eq!(error.status(), Status::VSESSION_E_FAULT);
        assert_eq!(error.detail().fault_name, None);
    }
}
