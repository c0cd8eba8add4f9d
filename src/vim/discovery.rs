//! Discovery of a server before a login, and the answers that contradict an earlier discovery. Nothing is stored here: the
//! session keeps the result.

use super::service::{SERVICE_INSTANCE, Service, VIM25};
use crate::error::{Error, Objection, Result};
use crate::http::{Head, HttpReply, Lane, Retry};
use crate::runtime::log::log;
use crate::runtime::redact::{EXCERPT_LENGTH, Redactor};
use crate::runtime::wait::Watch;
use crate::soap::call::Call;
use crate::soap::endpoint::Endpoint;
use crate::soap::envelope::Reference;
use crate::soap::http_status::OVERLOADED;
use crate::soap::operation_id::next_operation_id;
use crate::status::Status;
use crate::vim::service_content::ServiceContent;
use crate::vim::versions;

/// The version for a server that lists none. Servers accept it for RetrieveServiceContent even if they do not list it.
const OLD_VERSION: &str = "5.5";

/// Asks the server: two requests, or one if the version is given. `newest`: the newest version to speak, if that is limited.
pub(crate) async fn discover(
    endpoint: &Endpoint,
    version: Option<&str>,
    newest: Option<&str>,
    watch: &Watch,
) -> Result<Service> {
    let service = match version {
        Some(version) => {
            retrieve(endpoint, version, watch).await.map_err(|error| given_version(error, version))
        }
        None => match listed_version(endpoint, newest, watch).await {
            Ok(Some(version)) => retrieve(endpoint, &version, watch).await,
            Ok(None) => discover_unlisted(endpoint, newest, watch).await,
            Err(error) => Err(error),
        },
    };
    service.map_err(|error| before_the_login(endpoint.named(error)))
}

/// The service of a server that lists no version that the library can use.
async fn discover_unlisted(endpoint: &Endpoint, newest: Option<&str>, watch: &Watch) -> Result<Service> {
    let limited = |version: &str| match newest {
        Some(newest) if versions::is_newer(version, newest) => newest.to_string(),
        _ => version.to_string(),
    };
    let old = retrieve(endpoint, &limited(OLD_VERSION), watch).await?;
    let version = old.content.about("apiVersion").map(|version| &**version);
    let Some(version) = version.filter(|version| versions::is_released(version)).map(limited) else {
        return Ok(old);
    };
    match retrieve(endpoint, &version, watch).await {
        Err(error) if error.is_no_answer() => Ok(old),
        result => result,
    }
}

async fn retrieve(endpoint: &Endpoint, version: &str, watch: &Watch) -> Result<Service> {
    let action = soap_action(version);
    let call = Call {
        method: "RetrieveServiceContent",
        this: Reference { kind: SERVICE_INSTANCE, id: SERVICE_INSTANCE },
        arguments: "",
        cookie: None,
        action: &action,
        operation_id: &next_operation_id(),
        retry: &Retry::of_question(),
        lane: Lane::Usual,
        commit_when_sent: false,
        extras: None,
    };
    let content = endpoint.call(&call, watch).await?.with_tree(ServiceContent::read)?;
    Ok(Service::new(version, content))
}

/// The `SOAPAction`, which tells the server the API version of a call.
pub(super) fn soap_action(version: &str) -> String {
    format!("{VIM25}/{version}")
}

/// Logs a warning if the server handled a call in another version of the API than the call named. Used for logins only, to
/// warn once for each session.
pub(super) fn warn_of_other_version(endpoint: &Endpoint, action: &str, head: &Head, hidden: Redactor) {
    /// The version in which the server handled the call.
    const APPLIED_ACTION: &str = "x-applied-soapaction";
    if let Some(applied) = head.get(APPLIED_ACTION)
        && applied.trim_matches(['"', ' ']) != action
    {
        log!(
            Warning,
            "{} was asked in the version {action} and answered in {}; set 'api_version' to a version that it supports",
            endpoint.server(),
            hidden.quote(applied, EXCERPT_LENGTH)
        );
    }
}

/// The newest version that the server lists and that the library may speak. `None`: it lists none, or its list cannot be read.
async fn listed_version(endpoint: &Endpoint, newest: Option<&str>, watch: &Watch) -> Result<Option<String>> {
    let operation_id = next_operation_id();
    let asked = |error: Error| error.with(|d| d.operation_id = Some(operation_id.as_str().into()));
    let reply = endpoint.get("vimServiceVersions.xml", &operation_id, watch).await;
    let HttpReply { head, body, .. } = reply.map_err(asked)?;
    let body = body.map_err(asked)?;
    let error =
        || asked(endpoint.unexpected(&head, &body, "the list of its API versions", Redactor::NOTHING));
    match head.status {
        200 => chosen(&versions::released(&body), newest, &endpoint.server()),
        300..=399 | 407 => Err(error()),
        // The server or a proxy before it is starting or overloaded: a later request may succeed.
        408 | 429 | 500..=599 => Err(error().with(|d| d.retry_after = head.retry_after())),
        // A proxy forbids the list or does not know it. Discovery works without it.
        _ => Ok(None),
    }
}

/// The first of the listed versions, the newest first, that is not newer than `newest`.
fn chosen(listed: &[String], newest: Option<&str>, server: &str) -> Result<Option<String>> {
    let is_allowed = |version: &&String| newest.is_none_or(|newest| !versions::is_newer(version, newest));
    match (listed.iter().find(is_allowed), listed.last(), newest) {
        (None, Some(oldest), Some(newest)) => Err(Error::config(format!(
            "option 'api_version_max' is '{newest}', and {server} lists only newer versions of its API, the oldest is {oldest}; set a newer one"
        ))),
        (version, ..) => Ok(version.cloned()),
    }
}

fn given_version(error: Error, version: &str) -> Error {
    match error.detail().objection {
        Some(Objection::Version) => error.reworded(|message| {
            format!("{message}; option 'api_version' is '{version}', which this server does not support: set it to 'auto'")
        }),
        _ => error,
    }
}

/// A failed discovery as the error of a login: the login did not run, and a fault says nothing about the credentials or a
/// session. The questions are the same for every server, so a server that fails over them is starting or overloaded.
fn before_the_login(error: Error) -> Error {
    let is_fault = error.is_fault();
    let fails =
        matches!((error.status(), error.detail().http_status), (Status::VSESSION_E_HTTP, 408 | 500..=599));
    let error = match &*error.detail().message {
        message if fails && !message.contains(OVERLOADED) => {
            let message = format!("{message}; {OVERLOADED}");
            error.reworded(|_| message)
        }
        _ => error,
    };
    error
        .with(|d| {
            d.own_question = true;
            d.retriable |= fails;
            if is_fault {
                d.status = Status::VSESSION_E_FAULT;
            }
        })
        .not_run()
}

/// Methods that the library itself calls, and methods that every server has.
const BASICS: [&str; 6] = [
    "RetrieveServiceContent",
    "Login",
    "Logout",
    "CurrentTime",
    "RetrieveProperties",
    "RetrievePropertiesEx",
];

impl Service {
    /// Whether the answer to a call contradicts what is known of the server: its version, an object in its service content, a
    /// method that every server has. Mistakes of the caller do not count.
    pub(crate) fn is_contradicted(&self, error: &Error, method: &str, this: &str, arguments: &str) -> bool {
        let basic = BASICS.contains(&method);
        match &error.detail().objection {
            None => false,
            Some(Objection::Version) => true,
            Some(Objection::Request { silent }) => *silent || (basic && arguments.is_empty()),
            Some(Objection::Method) => basic,
            Some(Objection::Object(named)) => self.names(named.as_deref().unwrap_or(this)),
        }
    }

    /// The same for the library's own calls about the session.
    pub(crate) fn is_contradicted_by(&self, error: &Error) -> bool {
        error.detail().objection.is_some()
    }

    fn names(&self, id: &str) -> bool {
        id == SERVICE_INSTANCE || self.content.names(id)
    }
}

impl Objection {
    /// Whether the objection proves that a call on the object `this` did not run.
    pub(crate) fn proves_not_run(&self, this: &str) -> bool {
        match self {
            Objection::Version | Objection::Request { .. } | Objection::Method => true,
            Objection::Object(named) => named.as_deref().is_none_or(|id| id == this),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vim::service::tests::service;

    fn objecting(objection: Objection) -> Error {
        Error::new(Status::VSESSION_E_FAULT, "planted").with(|d| d.objection = Some(objection))
    }

    #[test]
    fn what_is_known_is_contradicted_by_what_concerns_it_alone() {
        let service = service("8.0.2.0");
        let object = |id: &str| Objection::Object(Some(id.to_string()));
        for (objection, method, this, arguments, contradicts) in [
            (Objection::Version, "PowerOnVM_Task", "vm-1", "", true),
            (object("sm"), "Login", "sm", "<x/>", true),
            (object("vm-1"), "RetrievePropertiesEx", "pc", "<x/>", false),
            (Objection::Object(None), "PowerOnVM_Task", "vm-1", "", false),
            (Objection::Object(None), "Foo", "sm", "", true),
            (Objection::Object(None), "CurrentTime", SERVICE_INSTANCE, "", true),
            (Objection::Method, "CurrentTime", SERVICE_INSTANCE, "", true),
            (Objection::Method, "CurentTime", SERVICE_INSTANCE, "", false),
            (Objection::Request { silent: false }, "CurrentTime", SERVICE_INSTANCE, "", true),
            (Objection::Request { silent: false }, "CurentTime", SERVICE_INSTANCE, "", false),
            (Objection::Request { silent: false }, "RetrievePropertiesEx", "pc", "<wrong/>", false),
            (Objection::Request { silent: true }, "PowerOnVM_Task", "vm-1", "", true),
        ] {
            let error = objecting(objection);
            assert_eq!(
                service.is_contradicted(&error, method, this, arguments),
                contradicts,
                "{error:?} {method}"
            );
        }
        assert!(!service.is_contradicted(
            &Error::new(Status::VSESSION_E_FAULT, "planted"),
            "CurrentTime",
            "sm",
            ""
        ));
    }

    #[test]
    fn a_call_cannot_have_run_where_its_own_object_is_missing() {
        let object = |id: &str| Objection::Object(Some(id.to_string()));
        assert!(Objection::Version.proves_not_run("vm-1"));
        assert!(object("vm-1").proves_not_run("vm-1"));
        assert!(!object("group-d1").proves_not_run("vm-1"), "it may have been an argument");
    }
}
