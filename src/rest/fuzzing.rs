//! Fuzz targets of this layer; see `src/fuzzing.rs`.

use super::{error, json, session};
use crate::http::Head;
use crate::runtime::redact::Redactor;
use crate::status::{Executed, Status};

/// A secret that looks like nothing else.
const SECRET: &str = "geheim-7f3a";

/// The last two digits of a status from 400 to 599, and the body of the reply: a REST service's error, a fault of VI JSON, the id of a
/// session, or anything else.
pub(crate) fn rest_reply(bytes: &[u8]) {
    let Some((&first, body)) = bytes.split_first() else { return };
    let status = 400 + u16::from(first) % 200;
    reads_strings(body);
    reads_id(body);
    reads_error(status, body);
    let holds_secret = |body: &[u8]| body.windows(SECRET.len()).any(|part| part == SECRET.as_bytes());
    if holds_secret(body) {
        return;
    }
    // The reply repeats a secret of the request.
    for at in [0, body.len() / 2, body.len()] {
        let repeated = [&body[..at], SECRET.as_bytes(), &body[at..]].concat();
        let shown = reads_error(status, &repeated);
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

/// What is told of a document is in it, and the names of what is outside are never more than its depth.
fn reads_strings(body: &[u8]) {
    let Ok(document) = std::str::from_utf8(body) else { return };
    let mut told = 0;
    let whole = json::strings(document, |path, raw| {
        told += 1;
        assert!(path.len() <= 64 && path.iter().all(|name| document.contains(name)));
        if let Some(text) = raw.text() {
            assert!(text.len() <= document.len());
        }
    });
    assert!(told <= document.len() / 2);
    if whole.is_some() {
        // Blanks around it and one more array change nothing.
        let mut again = 0;
        let deeper = json::strings(&format!(" [{document}\n]\t"), |_, _| again += 1);
        assert!(deeper.is_none() || again == told);
        // A document that goes on is none.
        for rest in ["]", ",", "\"", "{}"] {
            assert!(json::strings(&format!("{document} {rest}"), |_, _| {}).is_none(), "{document:?}{rest}");
        }
    }
}

/// An id becomes the value of a header.
fn reads_id(body: &[u8]) {
    if let Some(id) = session::id_of(body) {
        let id = id.reveal();
        assert!(!id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic()), "{id:?}");
    }
}

/// Returns all that the error shows.
fn reads_error(status: u16, body: &[u8]) -> String {
    let head = Head::new(status, b"HTTP/1.1 400 No\r\nRetry-After: 3\r\n\r\n");
    let error = error::of_reply("GET /api/x", &head, body, Redactor(&[SECRET]));
    let detail = error.detail();
    use Status::*;
    match detail.status {
        VSESSION_E_HTTP => assert!(detail.service_error.is_none() && detail.fault_name.is_none()),
        VSESSION_E_REST => assert!(detail.service_error.is_some()),
        VSESSION_E_FAULT | VSESSION_E_INVALID_LOGIN => assert!(detail.fault_name.is_some()),
        VSESSION_E_NOT_AUTHENTICATED | VSESSION_E_NO_PERMISSION => {
            assert!(detail.service_error.is_some() != detail.fault_name.is_some());
        }
        other => panic!("{other:?}: {error}"),
    }
    assert_eq!(detail.http_status, status);
    assert!(detail.message.starts_with("GET /api/x: the server answered ") && detail.message.len() < 20_000);
    assert!(
        status != 401 || detail.service_error.is_none() || error.executed() == Executed::VSESSION_EXECUTED_NO
    );
    let shown = detail.body.as_ref().map(|body| String::from_utf8_lossy(body).into_owned());
    assert_eq!(shown.is_some(), !body.is_empty());
    format!("{detail:?} {}", shown.unwrap_or_default())
}
