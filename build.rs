//! Does what cargo does not: generates the C header from the Rust sources, and sets the SONAME and the linker's other options.

use std::path::Path;

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let out = std::env::var("OUT_DIR").expect("cargo sets it");

    // The header in include/ is a copy of this one; a test compares them.
    println!("cargo:rerun-if-changed=src");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    match cbindgen::generate(&root) {
        Ok(bindings) => {
            bindings.write_to_file(Path::new(&out).join("vsession.h"));
        }
        Err(error) => panic!("the header could not be generated: {error}"),
    }

    let major = std::env::var("CARGO_PKG_VERSION_MAJOR").expect("cargo sets it");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libvsession.so.{major}");
    // The library's threads and thread-local values outlive a dlclose, so their code must stay loaded.
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo:rustc-cdylib-link-arg=-Wl,-z,relro,-z,now");
}
