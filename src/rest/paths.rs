//! What the path of a request says about it.

use crate::http::percent_decoded;

/// A request of VI JSON, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ViJson {
    /// The type of the managed object.
    pub(crate) kind: String,
    /// A method, or a property.
    pub(crate) member: String,
}

impl ViJson {
    /// `None`: the path is another.
    pub(crate) fn of(path: &str) -> Option<ViJson> {
        let path = decoded(path);
        let mut parts = path.strip_prefix("/sdk/vim25/")?.split('/');
        let (_release, kind, _id, member) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        parts.next().is_none().then(|| ViJson { kind: kind.into(), member: member.into() })
    }

    /// Whether the server answers when something changes, and not before.
    pub(crate) fn is_long_poll(&self) -> bool {
        matches!(&*self.member, "WaitForUpdatesEx" | "WaitForUpdates")
    }

    /// Whether only a live session gets a successful reply to this method. Some properties are open to anybody, and a property read
    /// without a session may come back empty.
    pub(crate) fn proves_session(&self, method: &str) -> bool {
        match method {
            "POST" => !matches!(
                &*self.member,
                "RetrieveServiceContent" | "RetrieveProperties" | "RetrievePropertiesEx"
            ),
            _ => !matches!(&*self.kind, "ServiceInstance" | "SessionManager"),
        }
    }
}

/// Whether the services at this path speak JSON.
pub(crate) fn is_json(path: &str) -> bool {
    let path = decoded(path);
    ["/api/", "/rest/", "/sdk/vim25/"].iter().any(|prefix| path.starts_with(prefix))
}

/// Whether the REST service answers at this path.
pub(crate) fn is_rest(path: &str) -> bool {
    let path = decoded(path);
    path.starts_with("/api/") || path.starts_with("/rest/")
}

/// Whether only a live session gets a successful reply to a request at this path.
pub(crate) fn proves_rest_session(path: &str) -> bool {
    is_rest(path) && !OPEN_TO_ALL.contains(&&*decoded(path))
}

/// What the REST service answers without a session: the negotiation of VI JSON's release.
const OPEN_TO_ALL: &[&str] = &["/api/vcenter/system"];

/// Why a request would end the session or make another one, and what to call instead. The library would not notice. `headers`: their
/// names.
pub(crate) fn changes_session<'a>(
    method: &str,
    path: &str,
    mut headers: impl Iterator<Item = &'a str>,
) -> Option<&'static str> {
    let has_override = headers.any(names_method);
    if matches!(method, "GET" | "HEAD") && !has_override && !query_has_override(path) {
        return None;
    }
    let resource = normalised(path);
    if matches!(&*resource, "/api/session" | "/rest/com/vmware/cis/session") {
        // This one asks whose session it is.
        let asks = method == "POST"
            && !has_override
            && decoded(path) == "/rest/com/vmware/cis/session"
            && path
                .split_once('?')
                .is_some_and(|(_, query)| matches!(query, "~action=get" | "%7Eaction=get"));
        return (!asks).then_some("use vsession_login, vsession_logout or vsession_close");
    }
    let parts: Vec<_> = resource.split('/').collect();
    let ["", "sdk", "vim25", _release, _kind, _id, member] = parts[..] else { return None };
    match member {
        "logout" => Some("use vsession_logout, or vsession_close"),
        "clonesession" | "impersonateuser" => {
            Some("the library has no function for it yet, and would lose the session that it makes")
        }
        member if member.starts_with("login") => Some("use vsession_login"),
        _ => None,
    }
}

/// Whether a header or a parameter with this name may put another method in the place of the request's own: `~method` below `/rest`,
/// and what servers and fronts elsewhere take for the same (`X-HTTP-Method-Override`, `X-HTTP-Method`, `X-Method-Override`, `_method`).
fn names_method(name: &str) -> bool {
    let bare = bare(name);
    bare.contains("methodoverride") || matches!(&*bare, "method" | "xmethod" | "httpmethod" | "xhttpmethod")
}

/// Whether the query has such a parameter, or names an operation besides the one that asks.
fn query_has_override(path: &str) -> bool {
    let query = path.split_once('?').map_or("", |(_, query)| query);
    query.split(['&', ';']).any(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (percent_decoded(name), percent_decoded(value));
        let name = String::from_utf8_lossy(&name);
        names_method(&name) || bare(&name) == "action" && !value.eq_ignore_ascii_case(b"get")
    })
}

/// A name without what stands around its words, in which servers differ.
fn bare(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The path as the most lenient server may read it: letters in any case, no empty segments, no parameters (`;x`).
fn normalised(path: &str) -> String {
    let path = decoded(path).to_ascii_lowercase();
    let segments = path.split(['/', '\\']).map(|segment| segment.split(';').next().unwrap_or_default());
    segments.filter(|segment| !segment.is_empty()).flat_map(|segment| ["/", segment]).collect()
}

/// The path without the query, and without percent-encoding, as the server reads it.
fn decoded(path: &str) -> String {
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    String::from_utf8_lossy(&percent_decoded(path)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_vi_json_names_type_and_member() {
        let read = ViJson::of("/sdk/vim25/8.0.3.0/Folder/group-d1/name?x=y").unwrap();
        assert_eq!((&*read.kind, &*read.member), ("Folder", "name"));
        assert!(ViJson::of("/sdk/%76im25/8.0.3.0/Folder/group-d1/name").is_some());
        for other in
            ["/sdk", "/sdk/vim25/8.0.3.0", "/sdk/vim25/8.0.3.0/Folder/group-d1/a/b", "/api/sdk/vim25/a/b/c/d"]
        {
            assert_eq!(ViJson::of(other), None, "{other}");
        }
        let of = |path: &str| ViJson::of(&format!("/sdk/vim25/8.0.3.0/{path}")).unwrap();
        assert!(of("PropertyCollector/pc/WaitForUpdatesEx").is_long_poll());
        assert!(!of("Folder/f/name").is_long_poll());
        for (method, proves) in [("POST", "ServiceInstance/s/CurrentTime"), ("GET", "Folder/f/name")] {
            assert!(of(proves).proves_session(method), "{proves}");
        }
        for (method, open) in [
            ("POST", "PropertyCollector/p/RetrievePropertiesEx"),
            ("POST", "ServiceInstance/s/RetrieveServiceContent"),
            ("GET", "ServiceInstance/s/content"),
            ("GET", "SessionManager/s/message"),
        ] {
            assert!(!of(open).proves_session(method), "{open}");
        }
    }

    #[test]
    fn requests_that_change_the_session_itself_are_recognised_however_they_are_written() {
        for (method, path) in [
            ("POST", "/api/session"),
            ("DELETE", "/api/session/"),
            ("DELETE", "/api/%73ession?x"),
            ("POST", "/rest/com/vmware/cis/session"),
            ("DELETE", "/rest/com/vmware/cis/session?~action=get"),
            ("POST", "/rest/com/vmware/cis/session?~action=get&~method=delete"),
            ("POST", "/rest/com/vmware/cis/session?x=~action=get"),
            ("POST", "/api/session?~action=get"),
            ("DELETE", "/api/session?~action=get"),
            ("DELETE", "/api//session"),
            ("DELETE", "/API/Session"),
            ("DELETE", "/api/session;x"),
            ("DELETE", "/api;x/session%3Bx=y/"),
            ("DELETE", "/api%2f/%53ession/;x"),
            ("DELETE", "/api%5csession"),
            ("DELETE", "/rest/com/vmware//CIS/session"),
            ("POST", "/sdk/vim25/8.0.3.0/SessionManager/SessionManager/Login"),
            ("POST", "/sdk/vim25/8.0.3.0/SessionManager/SessionManager/LoginByToken"),
            ("POST", "/sdk/vim25/8.0.3.0/SessionManager/SessionManager/%4cogout"),
            ("POST", "/sdk/vim25/8.0.3.0/SessionManager/SessionManager/CloneSession"),
            ("POST", "/sdk//vim25/8.0.3.0/SessionManager/SessionManager/Logout;x"),
        ] {
            assert!(changes_session(method, path, std::iter::empty()).is_some(), "{method} {path}");
        }
        for (method, path) in [
            ("GET", "/api/session"),
            ("POST", "/rest/com/vmware/cis/session?~action=get"),
            ("POST", "/rest/com/vmware/cis/session?%7Eaction=get"),
            ("POST", "/api/vcenter/vm"),
            ("POST", "/api/sessions"),
            ("GET", "/API//session"),
            ("POST", "/api/session/x"),
            ("POST", "/sdk/vim25/8.0.3.0/ServiceInstance/ServiceInstance/CurrentTime"),
        ] {
            assert!(changes_session(method, path, std::iter::empty()).is_none(), "{method} {path}");
        }
    }

    #[test]
    fn a_request_that_names_another_method_is_judged_as_that_one_may_be() {
        const OWN: &str = "/rest/com/vmware/cis/session";
        for query in [
            "~method=DELETE",
            "%7Emethod=post",
            "a=b&~M%65thod=delete",
            "a;~method=delete",
            "_method=DELETE",
            "x-http-method-override=DELETE",
            "~action=delete",
            "~action",
            "?~method=delete",
        ] {
            for method in ["GET", "HEAD", "POST"] {
                for path in [OWN, "/api/session", "/API//session;x"] {
                    let path = format!("{path}?{query}");
                    assert!(changes_session(method, &path, std::iter::empty()).is_some(), "{method} {path}");
                }
            }
        }
        for header in [
            "X-HTTP-Method-Override",
            "x_http_method_override",
            "X-HTTP-Method",
            "X-Method-Override",
            "X-METHOD",
        ] {
            for (method, path) in [
                ("GET", OWN),
                ("HEAD", "/api/session"),
                ("POST", "/rest/com/vmware/cis/session?~action=get"),
                ("GET", "/sdk/vim25/8.0.3.0/SessionManager/SessionManager/Logout"),
            ] {
                let headers = ["Accept", header];
                assert!(changes_session(method, path, headers.into_iter()).is_some(), "{header} {path}");
            }
            assert!(changes_session("GET", "/api/vcenter/vm", [header].into_iter()).is_none(), "{header}");
        }
        for (path, header) in [
            ("/api/session?a=b", "Accept"),
            ("/rest/com/vmware/cis/session?~action=get", "X-Methodical"),
            ("/rest/com/vmware/cis/tagging/tag?~method=OPTIONS", "Accept"),
        ] {
            assert!(changes_session("GET", path, [header].into_iter()).is_none(), "{path} {header}");
        }
    }

    #[test]
    fn services_that_speak_json_are_known_by_their_path() {
        assert!(is_json("/api/vcenter/vm?x") && is_json("/rest/x") && is_json("/sdk/vim25/8.0.3.0/a/b/c"));
        assert!(is_rest("/api/vcenter/vm?x") && is_rest("/%72est/x") && !is_rest("/sdk/vim25/8.0.3.0/a/b/c"));
        assert!(
            proves_rest_session("/api/vcenter/vm")
                && !proves_rest_session("/api/vcenter/system?action=hello")
        );
        assert!(!is_json("/sdk") && !is_json("/folder/api/x") && !is_json("/apis/x"));
    }
}
