//! Replies that refuse a request: a REST service's error, a fault of VI JSON or of SOAP, or a status of whatever stands in front of
//! the server.

use super::json::{self, ELEMENT, Raw};
use crate::error::Error;
use crate::http::Head;
use crate::runtime::redact::{EXCERPT_LENGTH, Redactor};
use crate::soap::answer::{self, Answer};
use crate::soap::fault::Fault;
use crate::status::Status;
use crate::sync::Arc;
use crate::text::Bytes;

/// The largest body that is searched for what a service says.
const LARGEST: usize = 1 << 20;
/// The most characters of a service's words that a message shows.
const SHOWN: usize = 1000;

/// The error for a reply with a status of 400 or above. `request` names the request in the message. `hidden` removes its secrets,
/// which the reply may repeat.
#[cold]
pub(crate) fn of_reply(request: &str, head: &Head, body: &[u8], hidden: Redactor) -> Error {
    let error = match said(body) {
        Some(Said::Rest(error)) => error.into_error(request, head, hidden),
        Some(Said::Fault(fault)) => fault.into_error(request, head.status, hidden),
        None => of_status(request, head, body, hidden),
    };
    let shown = || hidden.redact_body(body).unwrap_or_else(|| body.to_vec());
    error.with(|d| d.body = (!body.is_empty()).then(|| Arc::new(Bytes::from(shown()))))
}

enum Said {
    Rest(ServiceError),
    Fault(Fault),
}

/// The error of a REST service.
#[derive(Debug, Default, PartialEq, Eq)]
struct ServiceError {
    /// For example `NOT_FOUND`.
    kind: String,
    /// The id of its first message, and its text.
    id: String,
    message: String,
}

fn said(body: &[u8]) -> Option<Said> {
    let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= LARGEST)?;
    match text.trim_start().bytes().next()? {
        b'{' => Document::read(text)?.said(),
        b'<' => match answer::read(body.to_vec(), "", "") {
            Ok(Answer::Fault(fault)) => Some(Said::Fault(fault)),
            _ => None,
        },
        _ => None,
    }
}

/// The members of a JSON document that say what went wrong; of each the first.
#[derive(Default)]
struct Document {
    /// VI JSON: the type of the document, and of the fault in it.
    type_name: String,
    inner_type_name: String,
    fault_text: String,
    /// What the fault is about.
    subject: String,
    /// /api and /rest.
    error_type: String,
    legacy_type: String,
    id: String,
    message: String,
}

impl Document {
    fn read(text: &str) -> Option<Document> {
        let mut found = Document::default();
        json::strings(text, |path, raw| found.note(path, raw))?;
        Some(found)
    }

    fn note(&mut self, path: &[&str], raw: Raw<'_>) {
        let place = match path {
            ["_typeName"] => &mut self.type_name,
            ["fault", "_typeName"] => &mut self.inner_type_name,
            ["faultstring" | "localizedMessage"]
            | ["fault", "faultstring"]
            | ["faultMessage", ELEMENT, "message"] => &mut self.fault_text,
            ["privilegeId" | "invalidProperty" | "name"]
            | ["obj", "value"]
            | ["fault", "privilegeId" | "invalidProperty" | "name"]
            | ["fault", "obj", "value"] => &mut self.subject,
            ["error_type"] => &mut self.error_type,
            ["type"] => &mut self.legacy_type,
            ["messages", ELEMENT, "id"] | ["value", "messages", ELEMENT, "id"] => &mut self.id,
            ["messages", ELEMENT, "default_message"] | ["value", "messages", ELEMENT, "default_message"] => {
                &mut self.message
            }
            _ => return,
        };
        if place.is_empty() {
            *place = raw.text().unwrap_or_default().into_owned();
        }
    }

    fn said(self) -> Option<Said> {
        let legacy = || self.legacy_type.strip_prefix("com.vmware.vapi.std.errors.");
        let kind = match &*self.error_type {
            "" => legacy().unwrap_or_default().to_ascii_uppercase(),
            kind => kind.to_string(),
        };
        if !kind.is_empty() {
            return Some(Said::Rest(ServiceError { kind, id: self.id, message: self.message }));
        }
        let name = match &*self.type_name {
            "" | "LocalizedMethodFault" => self.inner_type_name,
            _ => self.type_name,
        };
        (!name.is_empty()).then(|| Said::Fault(Fault::named(name, self.fault_text, self.subject)))
    }
}

impl ServiceError {
    fn into_error(self, request: &str, head: &Head, hidden: Redactor) -> Error {
        let status = match &*self.kind {
            "UNAUTHENTICATED" => Status::VSESSION_E_NOT_AUTHENTICATED,
            "UNAUTHORIZED" => Status::VSESSION_E_NO_PERMISSION,
            _ => Status::VSESSION_E_REST,
        };
        let kind = hidden.name(&self.kind);
        let mut message = format!("{request}: the server answered HTTP {} with {kind}", head.status);
        if !self.id.is_empty() {
            message.push_str(&format!(" ({})", hidden.quote(&self.id, 200)));
        }
        if !self.message.is_empty() {
            message.push_str(&format!(": {}", hidden.quote(&self.message, SHOWN)));
        }
        if status == Status::VSESSION_E_NO_PERMISSION {
            message.push_str("; the account lacks a privilege for this request: grant it on the server");
        }
        let retriable = matches!(head.status, 429 | 503)
            || matches!(&*self.kind, "SERVICE_UNAVAILABLE" | "RESOURCE_BUSY" | "TIMED_OUT");
        // The endpoint said so before it looked for a service.
        let unrouted = head.status == 404 && self.id == "com.vmware.vapi.rest.httpNotFound";
        let error = Error::new(status, message).with(|d| {
            d.service_error = Some(kind.into());
            d.http_status = head.status;
            d.retriable = retriable;
            d.retry_after = head.retry_after().filter(|_| retriable);
        });
        match head.status {
            401 | 429 => error.not_run(),
            404 if unrouted => error.not_run(),
            400..=499 => error.ran(),
            _ => error,
        }
    }
}

/// The error where no service has said anything: the status alone counts, and whoever sent it may have passed the request on.
fn of_status(request: &str, head: &Head, body: &[u8], hidden: Redactor) -> Error {
    let status = head.status;
    let retriable = matches!(status, 429 | 502..=504);
    let retry_after = head.retry_after().filter(|_| retriable);
    let advice = match (status, retry_after) {
        (_, Some(time)) => format!("; try again in {} s, as the server asks", time.as_secs()),
        (429 | 503, None) => "; the server is starting or overloaded: try again later".into(),
        (502 | 504, None) => {
            "; the service behind the server's front does not answer: try again later".into()
        }
        (404, None) => "; nothing is served at this path, or the object does not exist".into(),
        (407, None) => "; a proxy asks for credentials".into(),
        _ => String::new(),
    };
    let beginning = String::from_utf8_lossy(&body[..body.len().min(LARGEST)]);
    let beginning = match hidden.quote(&beginning, EXCERPT_LENGTH) {
        start if start.is_empty() => "an empty body".into(),
        start => format!("a body that begins with '{start}'"),
    };
    let message = format!("{request}: the server answered HTTP {status} with {beginning}{advice}");
    let error = Error::new(Status::VSESSION_E_HTTP, message).with(|d| {
        d.http_status = status;
        d.retriable = retriable;
        d.retry_after = retry_after;
    });
    match status {
        401 | 405 | 407 | 411 | 413..=415 | 417 | 421 | 426 | 428 | 429 | 431 => error.not_run(),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Executed;

    fn error(status: u16, headers: &str, body: &str) -> Error {
        let head = Head::new(status, format!("HTTP/1.1 {status} x\r\n{headers}\r\n").as_bytes());
        of_reply("GET /api/x", &head, body.as_bytes(), Redactor(&["5ecre7"]))
    }

    const NO: Executed = Executed::VSESSION_EXECUTED_NO;
    const MAYBE: Executed = Executed::VSESSION_EXECUTED_MAYBE;
    const YES: Executed = Executed::VSESSION_EXECUTED_YES;

    #[test]
    fn a_services_error_is_named_and_says_whether_the_service_ran_the_request() {
        let api = |kind: &str, id: &str| {
            format!(
                r#"{{"messages":[{{"args":[],"default_message":"Its words.","id":"{id}"}}],"error_type":"{kind}"}}"#
            )
        };
        use Status::*;
        for (status, kind, id, expected, executed) in [
            (401, "UNAUTHENTICATED", "authn", VSESSION_E_NOT_AUTHENTICATED, NO),
            (403, "UNAUTHORIZED", "authz", VSESSION_E_NO_PERMISSION, YES),
            (400, "INVALID_ARGUMENT", "bad", VSESSION_E_REST, YES),
            (404, "NOT_FOUND", "com.vmware.api.vcenter.vm.not_found", VSESSION_E_REST, YES),
            (404, "NOT_FOUND", "com.vmware.vapi.rest.httpNotFound", VSESSION_E_REST, NO),
            (409, "ALREADY_EXISTS", "twice", VSESSION_E_REST, YES),
            (429, "SERVICE_UNAVAILABLE", "busy", VSESSION_E_REST, NO),
            (500, "ERROR", "broken", VSESSION_E_REST, MAYBE),
            (503, "SERVICE_UNAVAILABLE", "starting", VSESSION_E_REST, MAYBE),
        ] {
            let error = error(status, "Retry-After: 3\r\n", &api(kind, id));
            let detail = error.detail();
            assert_eq!((error.status(), error.executed()), (expected, executed), "{error}");
            assert_eq!((detail.http_status, detail.service_error.as_deref()), (status, Some(kind)));
            assert_eq!(detail.retry_after.is_some(), detail.retriable);
            assert_eq!(detail.retriable, kind == "SERVICE_UNAVAILABLE");
            assert!(detail.message.starts_with(&format!(
                "GET /api/x: the server answered HTTP {status} with {kind} ({id}): Its words."
            )));
            assert!(detail.body.as_ref().unwrap().starts_with(b"{\"messages"));
        }
        let legacy = r#"{"type":"com.vmware.vapi.std.errors.not_found","value":{"messages":[{"id":"i","default_message":"m"}]}}"#;
        let error = error(404, "", legacy);
        assert_eq!(error.detail().service_error.as_deref(), Some("NOT_FOUND"));
        assert!(error.detail().message.ends_with("NOT_FOUND (i): m"), "{error}");
    }

    #[test]
    fn a_fault_of_vi_json_has_the_status_of_the_same_fault_in_soap() {
        for body in [
            r#"{"_typeName":"NotAuthenticated","privilegeId":"System.View","faultstring":"words"}"#,
            r#"{"faultstring":"words","privilegeId":"System.View","faultMessage":[],"_typeName":"NotAuthenticated"}"#,
            r#"{"_typeName":"LocalizedMethodFault","fault":{"privilegeId":"System.View","_typeName":"NotAuthenticated"},"localizedMessage":"words"}"#,
            r#"{"fault":{"_typeName":"NotAuthenticated","faultstring":"words","privilegeId":"System.View"}}"#,
            r#"{"faultMessage":[{"key":"k","arg":[],"message":"words"}],"_typeName":"\u004eotAuthenticated","privilegeId":"System.View"}"#,
        ] {
            let error = error(500, "", body);
            assert_eq!(
                (error.status(), error.executed()),
                (Status::VSESSION_E_NOT_AUTHENTICATED, NO),
                "{body}"
            );
            assert_eq!(error.detail().fault_name.as_deref(), Some("NotAuthenticated"));
            let words =
                "GET /api/x: the server answered with the fault NotAuthenticated (System.View): words";
            assert_eq!(error.detail().message[..], *words, "{body}");
        }
        let other = error(
            500,
            "",
            r#"{"_typeName":"InvalidPowerState","faultCause":{"fault":{"_typeName":"NotAuthenticated"}}}"#,
        );
        assert_eq!((other.status(), other.executed()), (Status::VSESSION_E_FAULT, YES));
        let soap = "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><e:Fault><faultstring>w</faultstring>\
            <detail><NoPermissionFault/></detail></e:Fault></e:Body></e:Envelope>";
        assert_eq!(error(500, "", soap).status(), Status::VSESSION_E_NO_PERMISSION);
    }

    #[test]
    fn a_status_without_a_services_words_proves_little() {
        for (status, executed, retriable) in [
            (400, MAYBE, false),
            (401, NO, false),
            (403, MAYBE, false),
            (404, MAYBE, false),
            (405, NO, false),
            (429, NO, true),
            (500, MAYBE, false),
            (503, MAYBE, true),
        ] {
            for body in ["", "<html>", "{\"a\":", "{}", "[\"error_type\"]", "{\"error_type\":7}"] {
                let error = error(status, "Retry-After: 3\r\n", body);
                assert_eq!(error.status(), Status::VSESSION_E_HTTP, "{error}");
                assert_eq!((error.executed(), error.detail().retriable), (executed, retriable), "{error}");
                assert_eq!(error.detail().message.contains("in 3 s"), retriable, "{error}");
                assert_eq!(error.detail().body.is_some(), !body.is_empty());
            }
        }
    }

    #[test]
    fn no_error_shows_a_secret_of_the_request() {
        for body in [
            r#"{"error_type":"5ecre7","messages":[{"id":"5ecre7","default_message":"of 5ecre7, 5ecre7"}]}"#,
            r#"{"_typeName":"5ecre7Fault","faultstring":"5ecre7"}"#,
            "no 5ecre7 JSON",
        ] {
            let error = error(400, "", body);
            let shown = format!(
                "{:?} {}",
                error.detail(),
                String::from_utf8_lossy(error.detail().body.as_ref().unwrap())
            );
            assert!(!shown.contains("5ecre7"), "{shown}");
        }
    }

    #[test]
    fn no_error_shows_a_secret_in_other_spellings() {
        // Each as services, pages and proxies may write it.
        const SECRET: &str = "pa/ss\"w<r&d \u{e4}\u{1f511}";
        let head = Head::new(400, b"HTTP/1.1 400 x\r\n\r\n");
        for (spelt, what) in [
            (SECRET.to_string(), "as it is"),
            ("pa\\/ss\\\"w<r&d \u{e4}\u{1f511}".into(), "JSON"),
            (r#"pa/ss\u0022w\u003cr\u0026d \u00e4\ud83d\udd11"#.into(), "JSON in ASCII"),
            (r#"\u0070\u0061\u002Fss\"w<r&d \u00E4\uD83D\uDD11"#.into(), "JSON, all kinds"),
            ("pa/ss&quot;w&lt;r&amp;d &#228;&#x1F511;".into(), "references"),
            ("pa%2Fss%22w%3Cr%26d+%C3%A4%F0%9F%94%91".into(), "a form"),
            ("pa/ss&amp;quot;w&amp;lt;r&amp;amp;d \u{e4}\u{1f511}".into(), "references twice"),
        ] {
            for body in [
                format!(r#"{{"messages":[{{"default_message":"you sent {spelt}."}}],"error_type":"X"}}"#),
                format!("<html><p>you sent {spelt}.</p></html>"),
                format!("<html><input value='{spelt}' x=\"{spelt}\" y={spelt}></html>"),
                format!("you sent {spelt}."),
            ] {
                let error = of_reply("GET /api/x", &head, body.as_bytes(), Redactor(&[SECRET]));
                let shown = String::from_utf8_lossy(error.detail().body.as_ref().unwrap()).into_owned();
                for text in [&*shown, &error.detail().message] {
                    assert!(
                        !text.contains("r&") && !text.contains(&spelt) && !text.contains("1f511"),
                        "{what}: {text}"
                    );
                    assert!(text.contains("***") || text.contains("left out"), "{what}: {text}");
                }
            }
        }
        let binary = [&b"\xff\0"[..], SECRET.as_bytes(), b"\xff"].concat();
        let error = of_reply("GET /api/x", &head, &binary, Redactor(&[SECRET]));
        assert_eq!(error.detail().body.as_ref().unwrap()[..], *b"\xff\0***\xff");
        let large = format!("{} {SECRET}", "x".repeat(LARGEST));
        let error = of_reply("GET /api/x", &head, large.as_bytes(), Redactor(&[SECRET]));
        assert!(error.detail().body.as_ref().unwrap().ends_with(b"x ***"));
    }

    #[test]
    fn a_huge_or_deep_body_is_not_searched() {
        let huge = format!("{{\"error_type\":\"X\",\"a\":\"{}\"}}", "x".repeat(LARGEST));
        let error = error(400, "", &huge);
        assert_eq!(error.status(), Status::VSESSION_E_HTTP);
        assert!(error.detail().message.len() < 2000);
        assert_eq!(
            error.detail().body.as_ref().unwrap().len(),
            huge.len(),
            "the program gets the whole body"
        );
        assert!(super::said("[".repeat(LARGEST).as_bytes()).is_none());
    }
}
