//! Calls of the exported functions, and what must hold after each: its status fits its arguments, its error fits its status,
//! and no text shows a secret.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_char};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use ::vsession::ffi::certificates::*;
use ::vsession::ffi::error::*;
use ::vsession::ffi::event::*;
use ::vsession::ffi::info::*;
use ::vsession::ffi::node::*;
use ::vsession::ffi::reply::*;
use ::vsession::vsession_status as status;

use super::{COOKIE, MOST, Objects, PASSWORD, Run, end};

/// Functions that have succeeded.
pub(super) static REACHED: Mutex<BTreeSet<&str>> = Mutex::new(BTreeSet::new());
/// The input itself contains a secret.
pub(super) static TAINTED: Mutex<bool> = Mutex::new(false);

/// Uses a returned number, so that the compiler does not remove the read. Returns no text.
pub(super) fn number<T>(value: T) -> *const c_char {
    std::hint::black_box(value);
    null()
}

/// For a function that hands a secret out: checks that it is UTF-8.
pub(super) fn secret(text: *const c_char) -> *const c_char {
    if !text.is_null() {
        unsafe { CStr::from_ptr(text) }.to_str().expect("secrets are UTF-8");
    }
    null()
}

/// Reads a text that the server made, which need not be UTF-8. Returns no text.
pub(super) fn read_bytes(text: *const c_char) -> *const c_char {
    if !text.is_null() {
        std::hint::black_box(unsafe { CStr::from_ptr(text) }.count_bytes());
    }
    null()
}

/// Checks that bytes from the library show no secret.
pub(super) fn shows_no_secret_bytes(bytes: &[u8]) {
    let holds = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    if !*TAINTED.lock().unwrap() {
        assert!(!holds(PASSWORD) && !holds(COOKIE), "a secret is shown: {}", String::from_utf8_lossy(bytes));
    }
}

/// Checks that a text from the library is UTF-8 and shows no secret.
pub(super) fn shows_no_secret(text: *const c_char) {
    if text.is_null() {
        return;
    }
    let text = unsafe { CStr::from_ptr(text) }.to_str().expect("texts are UTF-8");
    if !*TAINTED.lock().unwrap() {
        assert!(!text.contains(PASSWORD) && !text.contains(COOKIE), "a secret is shown: {text}");
    }
}

impl Run<'_> {
    pub(super) fn trace(&self, what: std::fmt::Arguments) {
        static TRACE: OnceLock<bool> = OnceLock::new();
        if *TRACE.get_or_init(|| std::env::var_os("VSESSION_FUZZ_TRACE").is_some()) {
            eprintln!("{what}");
        }
    }

    pub(super) fn reached(&self) {
        if self.touring {
            REACHED.lock().unwrap().insert(self.name);
        }
    }

    /// Calls a function that returns a status, with or without a place for its error, and checks that status and error
    /// agree.
    pub(super) fn call(&mut self, function: impl FnOnce(*mut *mut vsession_error) -> status) -> bool {
        let without = self.byte() == 0xff;
        let mut error = std::ptr::dangling_mut::<vsession_error>();
        let start = Instant::now();
        let status = function(if without { null_mut() } else { &mut error });
        assert!(start.elapsed() < Duration::from_secs(15), "{} takes too long", self.name);
        self.judge(status);
        if !without {
            assert_eq!(error.is_null(), status == status::VSESSION_OK, "{}: {status:?}", self.name);
            if !error.is_null() {
                assert_eq!(unsafe { vsession_error_status(error) }, status);
                let message = unsafe { vsession_error_message(error) };
                assert!(unsafe { *message } != 0, "{}: an error has a message", self.name);
                self.trace(format_args!("    {:?}", unsafe { CStr::from_ptr(message) }));
                shows_no_secret(message);
                self.own.errors.push(error);
            }
        }
        status == status::VSESSION_OK
    }

    pub(super) fn call_without_error(&mut self, function: impl FnOnce() -> status) {
        let status = function();
        self.judge(status);
    }

    fn judge(&mut self, status: status) {
        self.trace(format_args!("    -> {status:?}"));
        assert_ne!(status, status::VSESSION_E_INTERNAL, "{}", self.name);
        assert_ne!(status, status::VSESSION_E_FORKED, "{}", self.name);
        let refused = self.refused && self.alone && !self.lenient;
        assert!(!refused || status != status::VSESSION_OK, "{} accepts an invalid handle", self.name);
        if status == status::VSESSION_OK {
            self.reached();
        }
    }

    /// Calls a function that returns an object, which must exist exactly after success.
    pub(super) fn gives<T>(
        &mut self,
        function: impl FnOnce(*mut *mut T, *mut *mut vsession_error) -> status,
    ) -> Option<*mut T> {
        let mut out = null_mut();
        let place = self.place(&mut out);
        let succeeded = self.call(|err| function(place, err));
        assert_eq!(!out.is_null(), succeeded && !place.is_null(), "{}", self.name);
        (!out.is_null()).then_some(out)
    }

    /// The same for a function that may succeed without an object.
    pub(super) fn gives_or_not<T>(
        &mut self,
        function: impl FnOnce(*mut *mut T, *mut *mut vsession_error) -> status,
    ) -> Option<*mut T> {
        let mut out = null_mut();
        let place = self.place(&mut out);
        let succeeded = self.call(|err| function(place, err));
        assert!(out.is_null() || succeeded, "{}", self.name);
        (!out.is_null()).then_some(out)
    }

    /// Creates an object and its handle.
    pub(super) fn make(
        &mut self,
        kind: usize,
        function: impl FnOnce(*mut u64, *mut *mut vsession_error) -> status,
    ) -> Option<u64> {
        let mut id = 0;
        let place = self.place(&mut id);
        let succeeded = self.call(|err| function(place, err));
        assert_eq!(id != 0, succeeded && !place.is_null(), "{}", self.name);
        if id == 0 {
            return None;
        }
        let oldest = {
            let mut live = self.handles.live[kind].lock().unwrap();
            live.push(id);
            (live.len() > MOST).then(|| live.remove(0))
        };
        if let Some(oldest) = oldest {
            end(kind, oldest);
            self.handles.dead.lock().unwrap().push(oldest);
        }
        Some(id)
    }

    pub(super) fn makes(
        &mut self,
        kind: usize,
        function: impl FnOnce(*mut u64, *mut *mut vsession_error) -> status,
    ) {
        let _ = self.make(kind, function);
    }

    pub(super) fn calls(&mut self, function: impl FnOnce(*mut *mut vsession_error) -> status) {
        let _ = self.call(function);
    }

    /// Moves a freed handle to the dead ones.
    pub(super) fn bury(&mut self, kind: usize, id: u64) {
        let mut live = self.handles.live[kind].lock().unwrap();
        if let Some(at) = live.iter().position(|known| *known == id) {
            live.remove(at);
            self.handles.dead.lock().unwrap().push(id);
        }
    }

    pub(super) fn reads<T>(&mut self, function: impl FnOnce(&mut Self) -> T) {
        std::hint::black_box(function(self));
        self.reached();
    }

    /// An object of this thread, or NULL.
    pub(super) fn object<T>(&mut self, of: impl FnOnce(&Objects) -> &Vec<*mut T>) -> *mut T {
        let byte = self.byte();
        let all = of(&self.own);
        if byte == 0xff || all.is_empty() { null_mut() } else { all[usize::from(byte) % all.len()] }
    }

    fn reads_object<T>(&mut self, object: *mut T, read: impl FnOnce(*const T) -> *const c_char) {
        let text = read(object);
        shows_no_secret(text);
        if !object.is_null() {
            self.reached();
        }
    }

    pub(super) fn of_error(&mut self, read: impl FnOnce(*const vsession_error) -> *const c_char) {
        let object = self.object(|own| &own.errors);
        self.reads_object(object, read);
    }

    pub(super) fn of_event(&mut self, read: impl FnOnce(*const vsession_event) -> *const c_char) {
        let object = self.object(|own| &own.events);
        self.reads_object(object, read);
    }

    pub(super) fn of_info(&mut self, read: impl FnOnce(*const vsession_info) -> *const c_char) {
        let object = self.object(|own| &own.infos);
        self.reads_object(object, read);
    }

    pub(super) fn of_certificates(
        &mut self,
        read: impl FnOnce(*const vsession_certificates, usize) -> *const c_char,
    ) {
        let object = self.object(|own| &own.certificates);
        let index = match self.byte() {
            0xff => usize::MAX,
            b => usize::from(b),
        };
        self.reads_object(object, |certificates| read(certificates, index));
    }

    /// A server's text may hold anything, so it is only read, to the given length.
    pub(super) fn of_reply(&mut self, read: impl FnOnce(*const vsession_reply, *mut usize) -> *const c_char) {
        let object = self.object(|own| &own.replies);
        let mut length = usize::MAX;
        let place = self.place(&mut length);
        let text = read(object, place);
        if !text.is_null() {
            // Only two of the functions return a length; the other texts end with a NUL.
            let bytes = match length {
                usize::MAX if place.is_null() => &[],
                usize::MAX => unsafe { CStr::from_ptr(text) }.to_bytes(),
                length => unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) },
            };
            assert!(std::str::from_utf8(bytes).is_ok(), "{}", self.name);
        }
        if !object.is_null() {
            self.reached();
        }
    }

    /// For a function that takes a node of a reply or of a fault, or the null node.
    pub(super) fn of_node(&mut self, read: impl FnOnce(vsession_node) -> vsession_text) {
        let way = self.byte();
        let mut node = match way & 1 {
            0 => unsafe { vsession_reply_root(self.object(|own| &own.replies)) },
            _ => unsafe { vsession_error_fault_root(self.object(|own| &own.errors)) },
        };
        for _ in 0..(way >> 1) % 8 {
            node = match self.byte() & 1 {
                0 => unsafe { vsession_node_first(node) },
                _ => unsafe { vsession_node_sibling(node) },
            };
        }
        let text = read(node);
        if text.data.is_null() {
            assert_eq!(text.length, 0);
        } else {
            let bytes = unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), text.length) };
            assert!(std::str::from_utf8(bytes).is_ok(), "{}", self.name);
            if way & 1 == 1 {
                shows_no_secret_bytes(bytes);
            }
        }
        if !vsession_node_is_null(node) {
            self.reached();
        }
    }

    pub(super) fn frees<T>(
        &mut self,
        of: impl FnOnce(&mut Objects) -> &mut Vec<*mut T>,
        free: impl FnOnce(*mut T),
    ) {
        let byte = self.byte();
        let all = of(&mut self.own);
        let object = if byte == 0xff || all.is_empty() {
            null_mut()
        } else {
            all.remove(usize::from(byte) % all.len())
        };
        free(object);
        if !object.is_null() {
            self.reached();
        }
    }
}
