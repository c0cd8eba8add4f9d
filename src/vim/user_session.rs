//! `UserSession`: the record of a session, which Login returns and `SessionManager.currentSession` holds.

use roxmltree::Node;

use super::property_collector::{read_arguments, specification};
use crate::error::{Error, Result};
use crate::runtime::secret::Wiped;
use crate::soap::envelope::{Reference, element};
use crate::soap::reply::{Field, Reply};
use crate::soap::xml::date_time;
use crate::soap::xml::tree::{child, child_text, text_of, xsi_type};
use crate::status::Status;
use crate::text::Text;

/// The server's record of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UserSession {
    pub(crate) key: Text,
    pub(crate) user_name: Text,
    pub(crate) full_name: Text,
    /// Milliseconds since 1970, UTC; 0 if the server does not say.
    pub(crate) login_time_ms: i64,
    pub(crate) last_active_ms: i64,
    pub(crate) locale: Text,
    pub(crate) message_locale: Text,
    pub(crate) ip_address: Text,
    pub(crate) user_agent: Text,
    pub(crate) extension: bool,
    /// -1 if the server does not say.
    pub(crate) call_count: i64,
}

impl UserSession {
    /// Reads the element that describes a session.
    pub(crate) fn read(node: Node) -> Result<UserSession> {
        let fields: Vec<_> = node
            .children()
            .filter(Node::is_element)
            .map(|field| (field.tag_name().name(), text_of(field)))
            .collect();
        UserSession::of(&fields)
    }

    /// The session with these fields. The first of several fields with one name counts.
    pub(super) fn of(fields: &[Field]) -> Result<UserSession> {
        let find = |name| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| &**value);
        let text = |name| Text::from(find(name).unwrap_or(""));
        let time = |name| find(name).and_then(date_time::to_ms).unwrap_or(0);
        let key = text("key");
        if key.is_empty() {
            return Err(Error::new(
                Status::VSESSION_E_PROTOCOL,
                "the reply describes a session without a key; is this a vSphere server?",
            ));
        }
        Ok(UserSession {
            key,
            user_name: text("userName"),
            full_name: text("fullName"),
            login_time_ms: time("loginTime"),
            last_active_ms: time("lastActiveTime"),
            locale: text("locale"),
            message_locale: text("messageLocale"),
            ip_address: text("ipAddress"),
            user_agent: text("userAgent"),
            extension: matches!(find("extensionSession"), Some("true" | "1")),
            call_count: find("callCount").and_then(|t| t.parse().ok()).unwrap_or(-1),
        })
    }
}

/// The session that Login returns.
pub(crate) fn read_login(reply: &Reply) -> Result<UserSession> {
    if let Some(fields) = reply.fields() {
        return UserSession::of(&fields);
    }
    reply.with_tree(|response| {
        let user = child(response, "returnval").ok_or_else(|| {
            Error::new(
                Status::VSESSION_E_PROTOCOL,
                "the server's reply to Login describes no session; is this a vSphere server?",
            )
        })?;
        UserSession::read(user)
    })
}

/// The arguments of the RetrievePropertiesEx that reads `SessionManager.currentSession`. It needs no privilege.
pub(crate) fn current_session_query(session_manager: Reference) -> String {
    read_arguments(&specification(session_manager, ["currentSession"]), 0)
}

/// Reads the response to that query. `None`: there is no session. Then the response is empty, omits the property, or reports it
/// as withheld.
pub(crate) fn read_current_session(response: Node) -> Result<Option<UserSession>> {
    let property = response
        .descendants()
        .filter(|n| n.tag_name().name() == "propSet")
        .find(|n| child_text(*n, "name").as_deref() == Some("currentSession"))
        .and_then(|n| child(n, "val"));
    match property {
        Some(value) if xsi_type(value).is_none_or(|t| t == "UserSession") => {
            UserSession::read(value).map(Some)
        }
        Some(_) => Err(Error::new(
            Status::VSESSION_E_PROTOCOL,
            "the type of currentSession in the reply is not UserSession; is this a vSphere server?",
        )),
        None => Ok(None),
    }
}

/// The arguments of Login.
pub(crate) fn login_arguments(user: &str, password: &str, locale: Option<&str>) -> Wiped<String> {
    let user = element("userName", user);
    let password = element("password", password);
    let locale = locale.map(|locale| element("locale", locale)).unwrap_or_default();
    // `concat` allocates once, so no unwiped copy of a part is left in memory.
    Wiped::new([user.as_str(), &password, &locale].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = "<key>52-1</key><userName>u</userName><loginTime>2024-02-29T12:34:56Z</loginTime><callCount>7</callCount>";

    fn current(content: &str) -> Result<Option<UserSession>> {
        let text = format!(
            "<R xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><returnval>{content}</returnval></R>"
        );
        read_current_session(roxmltree::Document::parse(&text).unwrap().root_element())
    }

    #[test]
    fn the_arguments_of_a_login_leave_no_copies_behind() {
        let arguments = login_arguments(&"user".repeat(100), &"p&w".repeat(50), Some("en_US"));
        assert_eq!(arguments.capacity(), arguments.len(), "they never grew");
    }

    #[test]
    fn a_session_is_read_with_what_is_absent_left_empty() {
        let set = format!(
            "<objects><propSet><name>currentSession</name><val xsi:type=\"UserSession\">{SESSION}</val></propSet></objects>"
        );
        let session = current(&set).unwrap().unwrap();
        assert_eq!(&*session.key, "52-1");
        assert_eq!(session.login_time_ms, 1_709_210_096_000);
        assert_eq!((session.call_count, session.last_active_ms, &*session.full_name), (7, 0, ""));
    }

    #[test]
    fn a_missing_session_is_told_in_three_ways() {
        assert_eq!(current("").unwrap(), None);
        assert_eq!(
            current("<objects><obj type=\"SessionManager\">SessionManager</obj></objects>").unwrap(),
            None
        );
        let missing = "<objects><missingSet><path>currentSession</path><fault><fault xsi:type=\"NotAuthenticated\"/></fault></missingSet></objects>";
        assert_eq!(current(missing).unwrap(), None);
    }

    #[test]
    fn a_session_without_a_key_is_an_error() {
        let set = "<objects><propSet><name>currentSession</name><val xsi:type=\"UserSession\"><userName>u</userName></val></propSet></objects>";
        assert!(current(set).is_err());
    }
}
