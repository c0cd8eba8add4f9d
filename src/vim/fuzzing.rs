//! Fuzz targets of this layer; see `src/fuzzing.rs`.

use super::cookie;
use super::service_content::ServiceContent;
use super::user_session::{UserSession, read_current_session, read_login};
use super::{property_collector, tasks, versions};
use crate::error::Error;
use crate::runtime::redact::Redactor;
use crate::soap::answer::Answer;
use crate::soap::call::cookie_value;
use crate::soap::comparison::{read_every_way, read_or_error};
use crate::soap::fuzzing::{is_the_servers, text};
use crate::soap::xml::reader::Reader;
use crate::soap::xml::tree::{self, child};
use crate::status::Executed;

/// The document of versions.
pub(crate) fn versions(bytes: &[u8]) {
    let inside = format!(
        "<namespaces><namespace><name>urn:vim25</name>{}</namespace></namespaces>",
        String::from_utf8_lossy(bytes)
    );
    for document in [bytes, inside.as_bytes()] {
        for version in versions::released(document) {
            // It becomes part of a header.
            let fits = (1..=32).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_graphic());
            assert!(fits, "{version}");
        }
    }
}

/// The content of a ServiceContent.
pub(crate) fn service_content(bytes: &[u8]) {
    let Some(inside) = text(bytes) else { return };
    let document = format!("<R xmlns=\"urn:vim25\"><returnval>{inside}</returnval></R>");
    let Ok(parsed) = tree::parse(&document) else { return };
    match ServiceContent::read(parsed.root_element()) {
        Err(error) => is_the_servers(&error),
        Ok(content) => {
            for needed in ["sessionManager", "propertyCollector"] {
                let (kind, id) = content.by_name(needed).expect("what is needed is there");
                assert!(!id.is_empty(), "{content:?}");
                // A reference that is the only one of its type is found by type, too.
                if let Some(found) = content.by_type(kind) {
                    assert_eq!(found.id, &**id);
                }
            }
            assert!(content.by_type("").is_none_or(|r| r.kind.is_empty()));
            let _ = (content.about("apiType"), content.about(""));
        }
    }
}

/// The content of the reply that tells `currentSession`, and of a UserSession.
pub(crate) fn current_session(bytes: &[u8]) {
    let Some(inside) = text(bytes) else { return };
    let document = format!(
        "<R xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><returnval>{inside}</returnval></R>"
    );
    let Ok(parsed) = tree::parse(&document) else { return };
    let returned = child(parsed.root_element(), "returnval").expect("it is there");
    let sessions = [read_current_session(parsed.root_element()), UserSession::read(returned).map(Some)];
    for session in sessions {
        match session {
            Err(error) => is_the_servers(&error),
            Ok(None) => {}
            Ok(Some(session)) => {
                assert!(!session.key.is_empty());
                // The years 1 to 9999 in all time zones.
                let years = -62_135_683_200_000..=253_402_387_200_000;
                assert!(years.contains(&session.login_time_ms), "{session:?}");
                assert!(years.contains(&session.last_active_ms), "{session:?}");
            }
        }
    }
}

/// The content of the answers to reads of properties and to waits for changes.
pub(crate) fn properties(bytes: &[u8]) {
    let Some(inside) = text(bytes) else { return };
    let body = format!(
        "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body><RResponse xmlns=\"urn:vim25\">{inside}</RResponse></e:Body></e:Envelope>"
    );
    let Ok(Answer::Reply(reply)) = read_or_error(body.into_bytes(), Redactor::NOTHING) else { return };
    assert!(property_collector::token_of(&reply).is_none_or(|token| !token.is_empty()));
    let ran = |error: &Error| {
        assert!(error.is_fault() && error.executed() == Executed::VSESSION_EXECUTED_YES, "{error:?}");
        let xml = error.detail().fault.as_ref().and_then(|fault| fault.detail.as_deref());
        if let Some(xml) = xml.filter(|xml| xml.len() < tree::LARGEST_TREE) {
            let read = Reader::document(xml).finish();
            assert!(read.is_ok(), "{xml}");
        }
    };
    let missing = property_collector::missing(&reply);
    assert!(missing.is_none() || !property_collector::is_empty(&reply));
    if let Some(missing) = missing {
        ran(&missing.into_error("the read", Redactor::NOTHING));
    }
    let mut progress = tasks::read_progress(&reply);
    if progress.state == Some(tasks::State::Error) {
        ran(&tasks::error_of(&reply, "task-1", Redactor::NOTHING));
    }
    let updates = tasks::read_updates(&reply, &mut progress);
    assert!(updates.version.is_none_or(|version| !version.is_empty()));
    assert!(progress.percent.is_none_or(|percent| (0..=100).contains(&percent)));
    if let Some(missing) = updates.missing {
        ran(&missing.into_error("the wait", Redactor::NOTHING));
    }
}

/// A `Set-Cookie` header.
pub(crate) fn set_cookie(bytes: &[u8]) {
    let Some(header) = text(bytes) else { return };
    for header in
        [header, &format!("vmware_soap_session={header}"), &format!("vmware_soap_session=\"{header}\"")]
    {
        let read = |header: &str| cookie::from_set_cookie(header, 1_709_210_096_789).flatten();
        let Some(value) = read(header) else { continue };
        let taken = value.reveal();
        assert!(header.contains(taken));
        assert!(taken.bytes().all(|b| b.is_ascii_graphic() && !b";,\\".contains(&b)), "{taken:?}");
        let sent = cookie::header(&value);
        assert!(!sent.reveal().contains(['\r', '\n', ';', ' ']), "{}", sent.reveal());
        assert!(!cookie_value(&sent).is_empty() && !cookie_value(&sent).contains('"'));
        // The value that is sent back is read as the same value.
        assert!(read(sent.reveal()) == Some(value));
    }
}

/// Reads the body of a reply with every reader.
pub(crate) fn reply(body: &[u8]) {
    let _ = versions::released(body);
    read_every_way(body);
    if let Ok(Answer::Reply(reply)) = read_or_error(body.to_vec(), Redactor::NOTHING) {
        let _ = reply.with_tree(ServiceContent::read);
        let _ = reply.with_tree(read_current_session);
        let _ = read_login(&reply);
    }
}
