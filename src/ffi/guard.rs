//! The guard around the body of every exported function: in a forked child it touches nothing, no panic leaves the library,
//! and errors go to the caller's pointer. The body of an exported function is one `guard!` and nothing else, which a test
//! demands of the parsed sources.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use super::error::vsession_error;
use crate::error::{Error, Result};
use crate::runtime::log::log;
use crate::runtime::{fork, reactor};
use crate::status::{Status, vsession_status};

/// Runs the body of an exported function. What stands outside of the body can neither fail nor panic: names, and constants
/// that the compiler evaluates.
///
/// - `guard!(status(err), || body)`: a function that fails, with its place for the error. `status()`: without such a place.
/// - `guard!(status(err) -> out, || body)`: the same with a place for the result, which must not be NULL. The body makes the result.
/// - `guard!(status_even_after_fork(err), || body)`: the same for the one function that a forked child may call.
/// - `guard!(value(otherwise), || body)`: a function that needs locks or memory. In a forked child, and after a panic, it
///   returns `otherwise`.
/// - `guard!(accessor(otherwise), || body)`: a function that needs neither, so it works in a forked child too.
/// - `guard!(read(object, otherwise), |object| body)`: the same for an object that the caller owns. NULL gives `otherwise`.
/// - `guard!(free(object))`: the same for the end of a boxed object. NULL does nothing.
/// - `guard!(free(object), |object| body)`: the same for an object in something else than a box.
macro_rules! guard {
    (status(), || $body:expr) => {
        $crate::ffi::guard::status(::std::ptr::null_mut(), || $body)
    };
    (status($err:ident), || $body:expr) => {
        $crate::ffi::guard::status($err, || $body)
    };
    (status($err:ident) -> $out:ident, || $body:expr) => {
        $crate::ffi::guard::status($err, || $crate::ffi::guard::fill($out, || $body))
    };
    (status_even_after_fork($err:ident), || $body:expr) => {
        $crate::ffi::guard::status_even_after_fork($err, || $body)
    };
    (value($otherwise:expr), || $body:expr) => {
        $crate::ffi::guard::value(const { $otherwise }, || $body)
    };
    (accessor($otherwise:expr), || $body:expr) => {
        $crate::ffi::guard::accessor(const { $otherwise }, || $body)
    };
    (read($object:ident, $otherwise:expr), |$inner:ident| $body:expr) => {
        $crate::ffi::guard::read($object, const { $otherwise }, |$inner| $body)
    };
    (free($object:ident)) => {
        $crate::ffi::guard::free_box($object)
    };
    (free($object:ident), |$inner:ident| $body:expr) => {
        $crate::ffi::guard::free($object, |$inner| $body)
    };
}
pub(super) use guard;

/// `err` may be NULL. Otherwise it is always written: NULL on success, an error that the caller owns on failure. In a
/// forked child it is NULL, because neither locks nor memory are safe to use in the child of a threaded process.
pub(super) fn status(err: *mut *mut vsession_error, body: impl FnOnce() -> Result<()>) -> vsession_status {
    if fork::is_forked_child() {
        put(err, ptr::null_mut());
        return Status::VSESSION_E_FORKED;
    }
    status_even_after_fork(err, || {
        reactor::retry();
        body()
    })
}

pub(super) fn status_even_after_fork(
    err: *mut *mut vsession_error,
    body: impl FnOnce() -> Result<()>,
) -> vsession_status {
    let failed = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => {
            put(err, ptr::null_mut());
            return Status::VSESSION_OK;
        }
        Ok(Err(error)) => fail(err, error),
        // How far the body came before it panicked is unknown, and so is whether the server ran the call.
        Err(panic) => fail(
            err,
            Error::new(
                Status::VSESSION_E_INTERNAL,
                format!(
                    "a defect in the library (panic: {}); please report it",
                    panic_message(panic.as_ref())
                ),
            ),
        ),
    };
    // unreached: needs a defect in ring, rustls or this library
    failed.unwrap_or_else(|| {
        put(err, ptr::null_mut());
        Status::VSESSION_E_INTERNAL
    })
}

/// Hands the error out. `None`: that panicked too.
#[cold]
fn fail(err: *mut *mut vsession_error, error: Error) -> Option<vsession_status> {
    let hand_out = || {
        let status = error.status();
        log!(Debug, "{error}");
        if !err.is_null() {
            put(err, vsession_error::give(error));
        }
        status
    };
    catch_unwind(AssertUnwindSafe(hand_out)).ok()
}

/// Puts the result that `make` makes into the place that the caller passed for it.
pub(super) fn fill<T>(out: *mut T, make: impl FnOnce() -> Result<T>) -> Result<()> {
    if out.is_null() {
        return Err(Error::invalid_argument("out", "NULL; pass the address of a variable for the result"));
    }
    put(out, make()?);
    Ok(())
}

/// Writes to a place that the caller passed, without reading what was there. NULL: the caller does not want to know.
pub(super) fn put<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: not NULL, and by contract a valid place for a `T`.
        unsafe { place.write(value) };
    }
}

pub(super) fn value<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    if fork::is_forked_child() {
        return otherwise;
    }
    accessor(otherwise, body)
}

pub(super) fn accessor<T>(otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(otherwise)
}

pub(super) fn read<O, T>(object: *const O, otherwise: T, look: impl FnOnce(&O) -> T) -> T {
    if object.is_null() {
        return otherwise;
    }
    // SAFETY: not NULL, and by contract an object that the caller owns and has not freed.
    let object = unsafe { &*object };
    accessor(otherwise, || look(object))
}

pub(super) fn free<O>(object: *mut O, free: impl FnOnce(*mut O)) {
    if !object.is_null() {
        accessor((), || free(object));
    }
}

pub(super) fn free_box<O>(object: *mut O) {
    // SAFETY: by contract the library made the object by `Box::into_raw`, and the caller frees it once.
    free(object, |object| drop(unsafe { Box::from_raw(object) }));
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
    use quote::ToTokens;

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
        // SAFETY: as above, and it is freed once.
        unsafe { super::super::error::vsession_error_free(error) };
        assert_eq!(value(7, || panic!("planted")), 7);
        assert_eq!(accessor(8, || panic!("planted")), 8);
    }

    #[test]
    fn a_panic_has_a_message_whatever_it_holds() {
        assert_eq!(panic_message(&"planted"), "planted");
        assert_eq!(panic_message(&String::from("planted")), "planted");
        assert_eq!(panic_message(&7), "no message");
    }

    /// Why the function is not guarded, or nothing.
    fn unguarded(function: &syn::ItemFn) -> Option<&'static str> {
        let found = match &function.block.stmts[..] {
            [syn::Stmt::Macro(found)] => &found.mac,
            [syn::Stmt::Expr(syn::Expr::Macro(found), _)] => &found.mac,
            _ => return Some("its body is not one guard!"),
        };
        if !found.path.is_ident("guard") {
            return Some("its body is another macro than guard!");
        }
        // The compiler checks the rest: each form returns another type, and takes names and constants only.
        let parameters: Vec<_> =
            function.sig.inputs.iter().map(|p| p.to_token_stream().to_string()).collect();
        let takes_err = parameters.iter().any(|p| p.starts_with("err :"));
        let gives_err = found.tokens.to_string().split(',').next().unwrap_or("").contains("(err)");
        (takes_err != gives_err).then_some("its guard does not get its place for the error")
    }

    /// The functions of a file that are exported, by any attribute that exports.
    fn exported(text: &str) -> Vec<syn::ItemFn> {
        fn collect(items: Vec<syn::Item>, found: &mut Vec<syn::ItemFn>) {
            for item in items {
                match item {
                    syn::Item::Fn(function) => {
                        let attributes = function.attrs.iter().map(|a| a.to_token_stream().to_string());
                        if attributes
                            .into_iter()
                            .any(|a| a.contains("no_mangle") || a.contains("export_name"))
                        {
                            found.push(function);
                        }
                    }
                    syn::Item::Mod(module) => {
                        collect(module.content.map(|(_, items)| items).unwrap_or_default(), found);
                    }
                    _ => {}
                }
            }
        }
        let mut found = Vec::new();
        collect(syn::parse_file(text).unwrap().items, &mut found);
        found
    }

    #[test]
    fn every_exported_function_is_guarded() {
        let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let mut functions = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                // A macro could export what this test does not see.
                let named = text.matches(concat!("unsafe(", "no_mangle)")).count()
                    + text.matches(concat!("export", "_name")).count();
                let found = exported(&text);
                if !path.ends_with("ffi/guard.rs") {
                    assert_eq!(found.len(), named, "{path:?} exports something inside of a macro");
                }
                for function in found {
                    assert_eq!(unguarded(&function), None, "{}", function.sig.ident);
                    functions += 1;
                }
            }
        }
        assert!(functions > 60, "only {functions} functions were found");
    }

    #[test]
    fn a_function_without_a_guard_is_found() {
        let why = |signature: &str, body: &str| {
            let text = format!(
                "mod inner {{ #[unsafe(no_mangle)] pub extern \"C\" fn f({signature}) {{ {body} }} }}"
            );
            unguarded(&exported(&text)[0])
        };
        assert_eq!(why("err: *mut E", "guard!(status(err), || Ok(()))"), None);
        assert_eq!(why("out: *mut T, err: *mut E", "guard!(status(err) -> out, || Ok(1))"), None);
        assert_eq!(why("x: i32", "guard!(accessor(0), || x)"), None);
        for (signature, body) in [
            ("", ""),
            ("", "go(x)"),
            ("", "let x = go(); guard!(accessor(0), || x)"),
            ("", "guard!(accessor(()), || ()); go()"),
            ("", "if x { guard!(accessor(0), || 0) } else { 1 }"),
            ("", "status(err, || Ok(()))"),
            ("", "other!(accessor(0), || 0)"),
            ("err: *mut E", "guard!(status(), || Ok(()))"),
            ("x: *mut E", "guard!(status(err), || Ok(()))"),
        ] {
            assert!(why(signature, body).is_some(), "{signature}: {body}");
        }
    }
}
