//! What stands around the body of every exported function: nothing is touched in a forked child, no panic leaves the
//! library, and errors go to the caller's pointer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::vsession_error;
use crate::error::{Error, Result};
use crate::runtime::log::log;
use crate::runtime::{fork, timer};
use crate::status::{Status, vsession_status};

/// Runs the body of a function that returns a status. `err` may be NULL; otherwise it is always written: NULL on success,
/// an error that the caller owns on failure.
pub(super) fn status(err: *mut *mut vsession_error, body: impl FnOnce() -> Result<()>) -> vsession_status {
    if fork::is_forked_child() {
        // No lock and no allocation: in the child of a threaded process neither is safe.
        return put_error(err, None, Status::VSESSION_E_FORKED);
    }
    timer::retry();
    status_even_after_fork(err, body)
}

/// The same for the one function that a forked child may call.
pub(super) fn status_even_after_fork(
    err: *mut *mut vsession_error,
    body: impl FnOnce() -> Result<()>,
) -> vsession_status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => put_error(err, None, Status::VSESSION_OK),
        Ok(Err(error)) => {
            let status = error.status();
            put_error(err, Some(error), status)
        }
        Err(panic) => {
            let message = panic_message(panic.as_ref());
            let error = Error::new(
                Status::VSESSION_E_INTERNAL,
                format!("a defect in the library (panic: {message}); please report it"),
            );
            put_error(err, Some(error), Status::VSESSION_E_INTERNAL)
        }
    }
}

/// Runs the body of a function that returns a plain value; `otherwise` is returned in a forked child or after a panic.
pub(super) fn value<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    if fork::is_forked_child() {
        return otherwise;
    }
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

/// Reads an object that the caller owns; NULL gives `otherwise`. Needs neither locks nor memory, so it works in a forked
/// child too.
pub(super) fn read<O, T>(object: *const O, otherwise: T, look: impl FnOnce(&O) -> T) -> T {
    if object.is_null() {
        return otherwise;
    }
    // SAFETY: not NULL, and by contract an object that the caller owns and has not freed.
    let object = unsafe { &*object };
    accessor(otherwise, || look(object))
}

/// Runs the body of an accessor: it reads an object that the caller owns and needs neither locks nor memory, so it works
/// in a forked child too.
pub(super) fn accessor<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

fn put_error(
    err: *mut *mut vsession_error,
    error: Option<Error>,
    status: vsession_status,
) -> vsession_status {
    if let Some(error) = &error {
        log!(Debug, "{error}");
    }
    if !err.is_null() {
        let owned = error.map_or(std::ptr::null_mut(), vsession_error::give);
        // SAFETY: the caller passes NULL or a valid place for a pointer.
        unsafe { err.write(owned) };
    }
    status
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status_and_goes_no_further() {
        let mut error = std::ptr::null_mut();
        let status = status(&mut error, || panic!("a planted {}", "panic"));
        assert_eq!(status, Status::VSESSION_E_INTERNAL);
        // SAFETY: the guard has just made it.
        let executed = unsafe { super::super::error::vsession_error_executed(error) };
        assert_eq!(
            executed,
            crate::status::Executed::VSESSION_EXECUTED_MAYBE,
            "nobody knows what it did before"
        );
        // SAFETY: the guard has just made it.
        let message = unsafe { std::ffi::CStr::from_ptr(super::super::error::vsession_error_message(error)) };
        assert!(message.to_string_lossy().contains("a planted panic"));
        // SAFETY: as above.
        let executed = unsafe { super::super::error::vsession_error_executed(error) };
        assert_eq!(executed, crate::status::Executed::VSESSION_EXECUTED_MAYBE, "it proves nothing");
        // SAFETY: as above, and it is freed once.
        unsafe { super::super::error::vsession_error_free(error) };
        assert_eq!(value(7, || panic!("planted")), 7);
        assert_eq!(accessor(8, || panic!("planted")), 8);
    }

    /// What may stand around a guard: it cannot panic.
    const AROUND: [&str; 4] = [
        "put_length(length, 0);",
        "const VERSION: &str = concat!(env!(\"CARGO_PKG_VERSION\"), \"\\0\");",
        // A test for NULL, with the guard inside.
        "is_null() {",
        "}",
    ];

    /// Whether everything in the body of a function happens inside of one guard.
    fn is_guarded(body: &str) -> bool {
        const GUARDS: [&str; 5] = ["guard::", "read(", "user_text(", "user_number(", "let body = || {"];
        let mut lines =
            body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        let around = |line: &str| AROUND.iter().any(|harmless| line.ends_with(harmless));
        let Some(first) = lines.find(|line| !around(line)) else { return false };
        if !GUARDS.iter().any(|guard| first.starts_with(guard)) {
            return false;
        }
        // To the end of the guard's own brackets, after which nothing may follow.
        let rest = &body[body.find(first).unwrap_or(0)..];
        let mut depth = 0;
        for (at, character) in rest.char_indices() {
            match character {
                '(' | '{' => depth += 1,
                ')' | '}' => depth -= 1,
                _ => continue,
            }
            if depth == 0 {
                let mut after = rest[at + 1..].lines().map(str::trim);
                let called_later = rest.starts_with("let body")
                    && rest.trim_end().ends_with("guard::status_even_after_fork(err, body)");
                return called_later || after.all(|line| line.is_empty() || line == ";" || around(line));
            }
        }
        false
    }

    /// Reads the sources: a function that is exported without a guard, or that does something outside of it, fails here.
    #[test]
    fn every_exported_function_is_guarded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/ffi");
        let mut functions = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
            // The marker is put together, so that this test does not find itself.
            for function in text.split(concat!("#[unsafe(", "no_mangle)]")).skip(1) {
                let end = function.find("\n}\n").unwrap_or(function.len());
                let (signature, body) = function[..end].split_once("{\n").unwrap();
                let name = signature.split("fn ").nth(1).unwrap_or("").split('(').next().unwrap_or("");
                assert!(
                    is_guarded(body),
                    "{name} is exported without a guard, or does something outside of it"
                );
                functions += 1;
            }
        }
        assert!(functions > 60, "only {functions} functions were found");
    }

    #[test]
    fn what_stands_outside_of_a_guard_is_found() {
        let good = "    // Why.\n    guard::status(err, || {\n        go(out)?;\n        Ok(())\n    })";
        assert!(is_guarded(good));
        assert!(is_guarded("if !x.is_null() {\n    guard::accessor((), || drop(x));\n}"));
        for bad in [
            "go(out)",
            "let x = look(out);\n    guard::status(err, || Ok(()))",
            "guard::status(err, || Ok(()));\n    go(out)",
            "if !x.is_null() {\n    guard::accessor((), || drop(x));\n    go(x);\n}",
            "if !x.is_null() {\n}",
            "",
        ] {
            assert!(!is_guarded(bad), "{bad}");
        }
    }
}
