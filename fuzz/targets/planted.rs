//! One fault of each kind that the fuzzer looks for, guarded by bytes that it must find through coverage.

use std::hint::black_box;
use std::sync::Mutex;

/// Checks the three bytes one after another, so that each adds coverage.
fn found(bytes: &[u8]) -> bool {
    bytes.first() == Some(&b'v') && bytes.get(1) == Some(&b'i') && bytes.get(2) == Some(&b'm')
}

pub fn panic(bytes: &[u8]) {
    assert!(!found(bytes), "planted");
}

pub fn overread(bytes: &[u8]) {
    if found(bytes) {
        let few = black_box(vec![1u8; 3]);
        // SAFETY: none; this is the planted fault.
        black_box(unsafe { few.as_ptr().add(black_box(3)).read() });
    }
}

pub fn leak(bytes: &[u8]) {
    if found(bytes) {
        std::mem::forget(black_box(vec![1u8; 1000]));
    }
}

pub fn growth(bytes: &[u8]) {
    static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
    if found(bytes) {
        KEPT.lock().unwrap().push(vec![1; 8 << 20]);
    }
}

pub fn hang(bytes: &[u8]) {
    while found(black_box(bytes)) {
        std::hint::spin_loop();
    }
}
