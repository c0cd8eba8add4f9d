//! What an HTTP status says about a reply with an unexpected body: whether the request may have run, whether it may succeed
//! later, and what to do.

use crate::error::Error;
use crate::http::Head;
use crate::runtime::redact::{EXCERPT_LENGTH, Redactor};
use crate::status::Status;

/// How much of a body is searched for secrets: more than an error shows, because escaped secrets are longer.
const BEGINNING: usize = 64 * 1024;

/// What a status says about a request.
struct Meaning {
    /// The server did not run it.
    refused: bool,
    /// The same request may succeed later.
    retriable: bool,
    advice: Advice,
}

enum Advice {
    None,
    /// The reply redirects; redirects are not followed.
    Redirect,
    /// The reply may say when to try again.
    Later(&'static str),
    Do(&'static str),
    /// Nothing is served at the path.
    Path,
}

pub(crate) const OVERLOADED: &str = "the server is starting or overloaded";

/// The table of statuses. A 408 or 499 may come from a gateway that passed the request on and stopped waiting. A 409 or 410 may
/// be the outcome of the request.
///
/// A 500 is neither retriable nor an outage: SOAP prescribes it for faults, so it comes from the service, which failed at this request
/// and may fail at it again. The fronts of vCenter and ESXi say 502 to 504 where they do not reach the service. That the service fails at
/// everything shows in its answer to a question of the library's own; see `Error::is_failure_of_the_service`.
fn meaning(status: u16) -> Meaning {
    use Advice::*;
    let (refused, retriable, advice) = match status {
        300..=399 => (true, false, Redirect),
        401 | 403 => (
            true,
            false,
            Do("something in front of the server asks for other credentials or forbids the path"),
        ),
        404 => (true, false, Path),
        407 => (true, false, Do("a proxy asks for credentials")),
        429 => (true, true, Later(OVERLOADED)),
        503 => (false, true, Later(OVERLOADED)),
        502 | 504 => (false, true, Later("the service behind the server's front does not answer")),
        400 | 405 | 411 | 413..=415 | 417 | 421 | 426 | 428 | 431 => (true, false, None),
        _ => (false, false, None),
    };
    Meaning { refused, retriable, advice }
}

/// The error for a reply whose body is not `wanted`. `path_setting`: what sets the path of the request. `redactor` removes the secrets of
/// the request, which the body may repeat.
#[cold]
pub(crate) fn error(head: &Head, body: &[u8], wanted: &str, path_setting: &str, redactor: Redactor) -> Error {
    let status = head.status;
    let Meaning { refused, retriable, advice } = meaning(status);
    // A pause is of no use where the request would fail again.
    let retry_after = head.retry_after().filter(|_| retriable);
    let advice = match advice {
        Advice::None => String::new(),
        Advice::Redirect => match head.get("location") {
            Some(target) => format!(
                "; it redirects to '{}': if that is the right server, set 'url' to it",
                redactor.quote(target, 400)
            ),
            None => "; it names no other address, so something in front of the server answered: check host, port and \
                     path in 'url'"
                .into(),
        },
        Advice::Later(why) => match retry_after {
            Some(time) => format!("; {why}: try again in {} s, as the server asks", time.as_secs()),
            None => format!("; {why}: try again later"),
        },
        Advice::Do(what) => format!("; {what}"),
        Advice::Path => format!("; nothing is served at this path: check the path in {path_setting}"),
    };
    let error = Error::new(
        Status::VSESSION_E_HTTP,
        format!(
            "the server answered HTTP {status} with {} instead of {wanted}{advice}",
            beginning(body, redactor)
        ),
    )
    .with(|d| {
        d.http_status = status;
        d.retriable = retriable;
        d.retry_after = retry_after;
    });
    if refused { error.not_run() } else { error }
}

/// Describes a body by its beginning.
fn beginning(body: &[u8], redactor: Redactor) -> String {
    match redactor.quote(&String::from_utf8_lossy(&body[..body.len().min(BEGINNING)]), EXCERPT_LENGTH) {
        start if start.is_empty() => "an empty body".into(),
        start => format!("a body that begins with '{start}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_proves_that_nobody_ran_the_request_or_proves_nothing() {
        for status in 100..=599 {
            let known = [400, 401, 403, 404, 405, 407, 411, 413, 414, 415, 417, 421, 426, 428, 429, 431];
            let refused = (300..=399).contains(&status) || known.contains(&status);
            let Meaning { refused: found, retriable, .. } = meaning(status);
            assert_eq!(found, refused, "{status}");
            assert_eq!(retriable, [429, 502, 503, 504].contains(&status), "{status}");
        }
    }

    #[test]
    fn a_pause_is_told_where_the_same_request_may_succeed_after_it() {
        for status in 100..=599 {
            let head = Head::new(status, b"HTTP/1.1 000 x\r\nRetry-After: 7\r\n\r\n");
            let error = error(&head, b"", "SOAP", "'url'", Redactor::NOTHING);
            let detail = error.detail();
            assert_eq!(detail.retry_after.is_some(), detail.retriable, "{status}");
            assert_eq!(detail.message.contains("7 s"), detail.retriable, "{status}");
        }
    }
}
