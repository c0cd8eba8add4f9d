//! What the fuzzer feeds of this layer; see `src/fuzzing.rs`.

use super::service_content::ServiceContent;
use super::user_session::{UserSession, read_current_session, read_login};
use super::versions;
use crate::runtime::redact::Redactor;
use crate::soap::fuzzing::{is_the_servers, text};
use crate::soap::reply::{self, Answer};
use crate::soap::xml::tree::{self, child};

/// The document of versions.
pub(crate) fn versions(bytes: &[u8]) {
    let inside = format!(
        "<namespaces><namespace><name>urn:vim25</name>{}</namespace></namespaces>",
        String::from_utf8_lossy(bytes)
    );
    for document in [bytes, inside.as_bytes()] {
        if let Some(version) = versions::newest(document) {
            // It becomes part of a header.
            let fits = (1..=32).contains(&version.len()) && version.bytes().all(|b| b.is_ascii_graphic());
            assert!(fits, "{version}");
        }
    }
}

/// What stands inside of a ServiceContent.
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
                // The only one of its type is found by its type too.
                if let Some(found) = content.by_type(kind) {
                    assert_eq!(found.id, &**id);
                }
            }
            assert!(content.by_type("").is_none_or(|r| r.kind.is_empty()));
            let _ = (content.about("apiType"), content.about(""));
        }
    }
}

/// What stands inside of the answer to the question for `currentSession`, and of a UserSession.
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
                // The years 1 to 9999, and the zones around them.
                let years = -62_135_683_200_000..=253_402_387_200_000;
                assert!(years.contains(&session.login_time_ms), "{session:?}");
                assert!(years.contains(&session.last_active_ms), "{session:?}");
            }
        }
    }
}

/// Reads the body of a reply as whatever it may be taken for.
pub(crate) fn reply(body: &[u8]) {
    let _ = versions::newest(body);
    reply::read_every_way(body);
    if let Ok(Answer::Reply(reply)) = reply::read_or_error(body.to_vec(), Redactor::NOTHING) {
        let _ = reply.with_tree(ServiceContent::read);
        let _ = reply.with_tree(read_current_session);
        let _ = read_login(&reply);
    }
}
