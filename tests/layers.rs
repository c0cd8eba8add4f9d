//! Checks the layers of src over the tokens of its files. Dependencies between modules point down only. Everything about
//! threads that the model checker must see (locks, atomics, threads, the clock) comes from src/sync.rs. Unsafe code is
//! allowed only in src/ffi and src/sys.rs. No static has a type that makes other threads wait for its initialization: after
//! a fork during the initialization the child would wait forever. What a lint can check is in clippy.toml instead; a lint
//! cannot tell `crate::sync::Arc` from the type that it re-exports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// From top to bottom. A module may use those in later lines. Modules in the last line may use each other, without a
/// cycle.
const LAYERS: &[&[&str]] = &[
    &["fuzzing"],
    &["ffi"],
    &["session"],
    &["config"],
    &["auth"],
    &["vim"],
    &["rest"],
    &["soap"],
    &["http"],
    &["net"],
    &["runtime"],
    &["sys", "error", "status", "state", "text", "sync", "planted"],
];

/// What src/sync.rs provides in two forms, one for the library and one for the model checker, so no other file may name
/// it. A path covers everything below it.
const PRIMITIVES: &[&str] = &[
    "std::sync",
    "core::sync",
    "alloc::sync",
    "std::thread",
    "std::thread_local",
    "std::time::Instant",
    "std::hash::RandomState",
    "std::collections::hash_map::RandomState",
    "arc_swap",
    "once_cell",
    "parking_lot",
    "shuttle",
    "crate::sys::EventFd",
    "crate::sys::poll",
    "crate::sys::receive",
    "crate::sys::shut_down",
];

const SET_ONCE: &str =
    "set once; the model checker runs threads as coroutines of one thread, so none interrupts another inside";
const NOT_MODELLED: &str = "part of a connection, and the models answer requests without one";
const LOCK: &str = "the lock under crate::sync::Mutex; the models use shuttle's instead";

/// A primitive, a file, and why the file may name the primitive.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("once_cell::race::OnceBox", "planted.rs", SET_ONCE),
    ("once_cell::race::OnceBox", "runtime/reactor.rs", SET_ONCE),
    ("once_cell::sync::OnceCell", "http/line.rs", SET_ONCE),
    ("once_cell::sync::OnceCell", "runtime/task.rs", SET_ONCE),
    ("once_cell::sync::OnceCell", "runtime/wait.rs", SET_ONCE),
    ("once_cell::sync::OnceCell", "session/close.rs", SET_ONCE),
    ("once_cell::sync::OnceCell", "session/flight.rs", SET_ONCE),
    ("once_cell::race::OnceBox", "session/mod.rs", SET_ONCE),
    ("once_cell::race::OnceBox", "session/snapshot.rs", SET_ONCE),
    ("once_cell::race::OnceBox", "ffi/handles.rs", SET_ONCE),
    ("once_cell::sync::OnceCell", "net/resolve.rs", NOT_MODELLED),
    ("once_cell::race::OnceBox", "net/trust_store.rs", NOT_MODELLED),
    ("once_cell::race::OnceBox", "net/tls_config.rs", NOT_MODELLED),
    ("arc_swap::ArcSwapOption", "runtime/log.rs", "no model reads the log"),
    (
        "std::sync::mpsc",
        "ffi/library.rs",
        "vsession_shutdown, which no model calls; its wait must not need a descriptor",
    ),
    ("shuttle::lazy_static", "http/model.rs", "compiled only for the models, which renew it for each run"),
    ("std::sync::atomic", "sys.rs", LOCK),
    ("parking_lot", "sys.rs", LOCK),
    (
        "std::sync::Mutex",
        "session/models.rs",
        "the records of a model's server, which are not part of the library",
    ),
];

/// Types whose initialization makes other threads wait.
const BLOCKING_CELLS: &[&str] = &["Lazy", "LazyLock", "Once", "OnceCell", "OnceLock"];

/// The files of src by their path below src.
type Sources = BTreeMap<String, File>;

/// What matters of one file.
struct File {
    all: Named,
    /// Without tests: `Named::primitives` and `Named::blocking_statics`.
    primitives: BTreeSet<(usize, String)>,
    blocking_statics: Vec<(usize, String)>,
    /// The modules that the file declares in other files, and whether each is only for unit tests.
    modules: Vec<(String, bool)>,
    denies_unsafe_code: bool,
}

impl File {
    fn of(text: &str) -> File {
        let without_tests = Named::of(text, false);
        File {
            all: Named::of(text, true),
            primitives: without_tests.primitives(),
            blocking_statics: without_tests.blocking_statics,
            modules: declared_modules(text),
            denies_unsafe_code: text.contains("#![deny(unsafe_code)]"),
        }
    }
}

fn rank(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// What a file's code names.
#[derive(Default)]
struct Named {
    /// Line, path, and whether the path is in a `use`.
    paths: Vec<(usize, String, bool)>,
    /// Statics with a type in `BLOCKING_CELLS`.
    blocking_statics: Vec<(usize, String)>,
    /// `unsafe`, and `unsafe_code` in an attribute.
    unsafe_code: Vec<usize>,
}

fn is_punct(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if ident == name)
}

fn line(token: &TokenTree) -> usize {
    token.span().start().line
}

/// Every path that starts at `at`, which moves past them: `a::{b, c::{self, d}}` is a::b, a::c and a::c::d.
fn paths_at(tokens: &[TokenTree], at: &mut usize) -> Vec<String> {
    let mut head = String::new();
    loop {
        match tokens.get(*at) {
            Some(TokenTree::Ident(name)) => head += &name.to_string(),
            Some(TokenTree::Punct(star)) if star.as_char() == '*' && !head.is_empty() => head.push('*'),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && !head.is_empty() => {
                *at += 1;
                let inner: Vec<_> = group.stream().into_iter().collect();
                let branches = inner.split(|token| is_punct(Some(token), ','));
                let paths = branches.filter(|branch| !branch.is_empty()).flat_map(|b| paths_at(b, &mut 0));
                let joined = |path: String| format!("{head}{path}").trim_end_matches("::self").to_owned();
                return paths.map(joined).collect();
            }
            _ => return vec![head.trim_end_matches(':').to_owned()],
        }
        *at += 1;
        if !(is_punct(tokens.get(*at), ':') && is_punct(tokens.get(*at + 1), ':')) {
            return vec![head];
        }
        *at += 2;
        head += "::";
    }
}

/// The number of tokens in the first item.
fn length_of_item(tokens: &[TokenTree]) -> usize {
    // The braces inside these items do not end them.
    let ends_with_semicolon = ["use", "static", "type"];
    let kind = tokens.iter().find_map(|token| match token {
        TokenTree::Ident(ident) if ident != "pub" => Some(ident.to_string()),
        _ => None,
    });
    let to_semicolon = kind.is_some_and(|kind| ends_with_semicolon.contains(&kind.as_str()));
    let is_end = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !to_semicolon,
        token => is_punct(Some(token), ';'),
    };
    tokens.iter().position(is_end).map_or(tokens.len(), |end| end + 1)
}

fn is_test_attribute(tokens: &[TokenTree]) -> bool {
    let is = |group: &Group| group.to_string().replace(' ', "") == "[cfg(test)]";
    is_punct(tokens.first(), '#') && matches!(tokens.get(1), Some(TokenTree::Group(group)) if is(group))
}

impl Named {
    fn of(text: &str, with_tests: bool) -> Named {
        let mut named = Named::default();
        named.read(text.parse().expect("Rust"), with_tests);
        // A use of the macro of crate::sync names only the macro.
        if named.paths.iter().any(|(_, path, in_use)| *in_use && path == "crate::sync::thread_local") {
            named.paths.retain(|(_, path, _)| path != "std::thread_local");
        }
        named
    }

    fn read(&mut self, stream: TokenStream, with_tests: bool) {
        let tokens: Vec<TokenTree> = stream.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if !with_tests && is_test_attribute(&tokens[at..]) {
                at += 2 + length_of_item(&tokens[at + 2..]);
                continue;
            }
            let before = at.checked_sub(1).and_then(|before| tokens.get(before));
            match &tokens[at] {
                TokenTree::Group(group) => self.read(group.stream(), with_tests),
                TokenTree::Ident(ident) if ident == "unsafe" || ident == "unsafe_code" => {
                    self.unsafe_code.push(line(&tokens[at]));
                }
                // Not a lifetime.
                TokenTree::Ident(ident) if ident == "static" && !is_punct(before, '\'') => {
                    self.read_static(&tokens[at..]);
                }
                TokenTree::Ident(ident) if !is_punct(before, '.') && !is_punct(before, '\'') => {
                    let absolute = is_punct(before, ':') && at >= 3 && is_punct(tokens.get(at - 2), ':');
                    let in_use = is_ident(before, "use") || (absolute && is_ident(tokens.get(at - 3), "use"));
                    let line = ident.span().start().line;
                    let mut paths = paths_at(&tokens, &mut at);
                    if paths == ["thread_local"] && is_punct(tokens.get(at), '!') {
                        paths = vec!["std::thread_local".to_owned()];
                    }
                    self.paths.extend(paths.into_iter().map(|path| (line, path, in_use)));
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn read_static(&mut self, tokens: &[TokenTree]) {
        let typed =
            tokens.iter().take_while(|token| !is_punct(Some(token), '=') && !is_punct(Some(token), ';'));
        let typed: TokenStream = typed.cloned().collect();
        let words = typed.to_string();
        let mut words = words.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(cell) = words.find(|word| BLOCKING_CELLS.contains(word)) {
            self.blocking_statics.push((line(&tokens[0]), cell.to_owned()));
        }
    }

    /// Every (line, root module) that is named by `crate::` or by enough `super::`.
    fn modules(&self, file: &str) -> Vec<(usize, String)> {
        let depth = module_path(file).len();
        let module = |path: &String| {
            let mut parts = path.split("::").skip_while(|part| *part == "super");
            let supers = path.split("::").take_while(|part| *part == "super").count();
            // A nested `mod tests` needs one more `super::`; one more than the root has is harmless.
            let at_root = depth > 0 && supers >= depth;
            let name = match parts.next()? {
                "crate" => parts.next()?,
                name if at_root && rank(name).is_some() => name,
                _ => return None,
            };
            (!["self", "*", ""].contains(&name)).then(|| name.to_owned())
        };
        self.paths.iter().filter_map(|(line, path, _)| Some((*line, module(path)?))).collect()
    }

    /// Every (line, primitive) that is named, except through crate::sync.
    fn primitives(&self) -> BTreeSet<(usize, String)> {
        let begins = |path: &str, with: &str| format!("{path}::").starts_with(&format!("{with}::"));
        let is_primitive = |path: &str, in_use: bool| {
            // Importing a whole module gives its primitives other names.
            let whole = Some(path.trim_end_matches("::*"))
                .filter(|path| in_use && !["crate", "crate::sys"].contains(path));
            PRIMITIVES.iter().any(|p| begins(path, p) || whole.is_some_and(|whole| begins(p, whole)))
        };
        let full = |path: &String| if begins(path, "sys") { format!("crate::{path}") } else { path.clone() };
        let named = self.paths.iter().map(|(line, path, in_use)| (*line, full(path), *in_use));
        named
            .filter(|(_, path, in_use)| is_primitive(path, *in_use))
            .map(|(line, path, _)| (line, path))
            .collect()
    }
}

/// `session/renewal.rs` as session and renewal.
fn module_path(file: &str) -> Vec<&str> {
    let mut parts: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
    parts.pop_if(|last| ["mod", "lib"].contains(last));
    parts
}

/// See `File::modules`.
fn declared_modules(text: &str) -> Vec<(String, bool)> {
    let tokens: Vec<TokenTree> = text.parse::<TokenStream>().expect("Rust").into_iter().collect();
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        if is_ident(tokens.get(at), "mod") && is_punct(tokens.get(at + 2), ';') {
            let visibility = tokens[..at].iter().rev().take_while(|token| {
                is_ident(Some(token), "pub")
                    || matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis)
            });
            let attribute = (at - visibility.count()).checked_sub(2);
            let for_tests = attribute.is_some_and(|attribute| is_test_attribute(&tokens[attribute..]));
            found.push((tokens[at + 1].to_string(), for_tests));
        }
    }
    found
}

/// The modules that are only for unit tests.
fn unit_test_files(sources: &Sources) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (file, content) in sources {
        for (name, _) in content.modules.iter().filter(|(_, for_tests)| *for_tests) {
            let path = [module_path(file), vec![name.as_str()]].concat().join("/");
            found.extend([format!("{path}.rs"), format!("{path}/mod.rs")]);
        }
    }
    found
}

/// A cycle among the modules of the bottom layer.
fn cycle(uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(uses: &BTreeMap<String, BTreeSet<String>>, module: &str, path: &[String]) -> Option<Vec<String>> {
        let path = [path, &[module.to_owned()]].concat();
        if path[..path.len() - 1].iter().any(|before| before == module) {
            return Some(path);
        }
        uses.get(module).into_iter().flatten().find_map(|other| walk(uses, other, &path))
    }
    uses.keys().find_map(|module| walk(uses, module, &[]))
}

/// The problems, one line each.
fn check(sources: &Sources) -> Vec<String> {
    let mut problems = Vec::new();
    let bottom = LAYERS[LAYERS.len() - 1];
    let declared: BTreeSet<_> = sources["lib.rs"].modules.iter().map(|(name, _)| name.clone()).collect();
    let listed: BTreeSet<_> = LAYERS.iter().copied().flatten().map(|name| (*name).to_owned()).collect();
    for module in declared.symmetric_difference(&listed) {
        problems.push(format!(
            "module '{module}' is only in one of src/lib.rs and tests/layers.rs; give it a layer, or remove it"
        ));
    }
    if !sources["lib.rs"].denies_unsafe_code {
        problems.push("src/lib.rs: #![deny(unsafe_code)] is missing".to_owned());
    }
    let for_tests = unit_test_files(sources);
    let mut bottom_uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut unused: BTreeSet<_> = EXCEPTIONS.iter().map(|(primitive, file, _)| (*primitive, *file)).collect();
    for (file, File { all, primitives, blocking_statics, .. }) in sources {
        if !file.starts_with("ffi/") && !["sys.rs", "lib.rs"].contains(&file.as_str()) {
            let complaint =
                |line| format!("src/{file}:{line}: unsafe code is allowed only in src/ffi and src/sys.rs");
            problems.extend(all.unsafe_code.iter().map(complaint));
        }
        if !for_tests.contains(file) {
            for (line, cell) in blocking_statics {
                problems.push(format!(
                    "src/{file}:{line}: a static '{cell}' makes threads wait; use once_cell::race or PerProcess"
                ));
            }
            let provides = file == "sync.rs" || file.starts_with("sync/");
            for (line, found) in primitives.iter().filter(|_| !provides) {
                let applies = |(primitive, of, _): &&(&str, &str, &str)| {
                    of == file && format!("{found}::").starts_with(&format!("{primitive}::"))
                };
                match EXCEPTIONS.iter().find(applies) {
                    Some((primitive, of, _)) => drop(unused.remove(&(*primitive, *of))),
                    None => problems.push(format!(
                        "src/{file}:{line}: '{found}' must come from crate::sync, so that the models see it"
                    )),
                }
            }
        }
        let own = module_path(file).first().copied().unwrap_or("").to_owned();
        let Some(own_rank) = rank(&own) else { continue };
        for (line, used) in all.modules(file).into_iter().filter(|(_, used)| *used != own) {
            match rank(&used) {
                None => problems.push(format!(
                    "src/{file}:{line}: 'crate::{used}' has no layer; name the module that it comes from"
                )),
                Some(_) if bottom.contains(&own.as_str()) && bottom.contains(&used.as_str()) => {
                    bottom_uses.entry(own.clone()).or_default().insert(used);
                }
                Some(rank) if rank <= own_rank => {
                    problems.push(format!(
                        "src/{file}:{line}: '{own}' uses '{used}', which is in a higher layer"
                    ));
                }
                Some(_) => {}
            }
        }
    }
    problems.extend(cycle(&bottom_uses).map(|cycle| format!("a cycle: {}", cycle.join(" -> "))));
    problems.extend(unused.into_iter().map(|(primitive, file)| {
        format!("tests/layers.rs: src/{file} no longer names '{primitive}'; remove it from EXCEPTIONS")
    }));
    problems
}

fn sources() -> Sources {
    fn read(root: &Path, folder: &Path, found: &mut Sources) {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                read(root, &path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, File::of(&std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Sources::new();
    read(&root, &root, &mut found);
    found
}

#[test]
fn modules_use_lower_layers_only_and_primitives_come_from_sync() {
    let problems = check(&sources());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// A file, text to add to it, and a part of the expected complaint.
const BREACHES: &[(&str, &str, &str)] = &[
    ("runtime/wait.rs", "use crate::net::Settings;", "'runtime' uses 'net'"),
    ("http/client.rs", "use crate::soap::reply;", "'http' uses 'soap'"),
    ("soap/reply.rs", "use crate::{error::Error as E, session::{Session, View}};", "'soap' uses 'session'"),
    ("vim/service.rs", "fn f() { crate::config::f(); }", "'vim' uses 'config'"),
    ("vim/service.rs", "fn f() { log!(Info, \"{}\", crate::config::f()); }", "'vim' uses 'config'"),
    ("auth/password.rs", "use super::super::session::Session;", "'auth' uses 'session'"),
    ("error.rs", "use super::runtime::log;", "'error' uses 'runtime'"),
    ("status.rs", "use crate::error::Error;", "a cycle: "),
    ("session/renewal.rs", "use crate::ffi::handles;", "'session' uses 'ffi'"),
    ("session/renewal.rs", "fn f() { unsafe {} }", "unsafe code"),
    ("net/tls.rs", "#[allow(unsafe_code)] fn f() {}", "unsafe code"),
    ("lib.rs", "mod stray;", "'stray'"),
    ("session/renewal.rs", "use std::sync::Mutex;", "'std::sync::Mutex' must come from crate::sync"),
    (
        "session/renewal.rs",
        "use std::{fmt, sync::{atomic::AtomicU64}};",
        "'std::sync::atomic::AtomicU64' must",
    ),
    ("session/renewal.rs", "use std::{fmt, sync::{self as threads}};", "'std::sync' must"),
    ("session/renewal.rs", "use std::time::{self, Duration};", "'std::time' must"),
    ("session/renewal.rs", "use std::time::*;", "'std::time::*' must"),
    ("session/keepalive.rs", "fn f() { ::std::thread::sleep(X); }", "'std::thread::sleep' must"),
    (
        "session/keepalive.rs",
        "fn f() -> bool { std::time::Instant::now() > X }",
        "'std::time::Instant::now' must",
    ),
    ("session/snapshot.rs", "use arc_swap::ArcSwap;", "'arc_swap::ArcSwap' must"),
    ("session/models.rs", "use std::thread;", "'std::thread' must"),
    ("runtime/wait.rs", "fn f() { sys::poll(X); }", "'crate::sys::poll' must"),
    ("runtime/reactor.rs", "use std::sync::Condvar;", "'std::sync::Condvar' must"),
    ("runtime/workers.rs", "thread_local! { static X: u8 = 1; }", "'std::thread_local' must"),
    (
        "ffi/handles.rs",
        "static X: std::sync::atomic::AtomicBool = Y;",
        "'std::sync::atomic::AtomicBool' must",
    ),
    (
        "ffi/handles.rs",
        "#[cfg(any(test, fuzzing))] fn f() { std::thread::yield_now(); }",
        "'std::thread::yield_now' must",
    ),
    ("http/semaphore.rs", "use parking_lot::Condvar;", "'parking_lot::Condvar' must"),
    ("session/renewal.rs", "static X: OnceCell<u8> = OnceCell::new();", "a static 'OnceCell'"),
    ("net/trust_store.rs", "fn f() { static X: [once_cell::sync::Lazy<u8>; 2] = Y; }", "a static 'Lazy'"),
];

/// Text that resembles a breach but is allowed.
const HARMLESS: &[(&str, &str)] = &[
    (
        "runtime/wait.rs",
        "// use crate::net::Settings; unsafe\nconst X: &str = \"crate::session \\\" unsafe\";",
    ),
    ("session/renewal.rs", "use super::snapshot::View as V; use crate::http::Client;"),
    (
        "session/renewal.rs",
        "#[cfg(test)] mod more { use std::sync::{Arc, Mutex}; fn f() { std::thread::yield_now(); } }",
    ),
    ("session/renewal.rs", "#[cfg(test)] use std::{sync::Arc}; use std::time::{Duration, SystemTime};"),
    (
        "session/renewal.rs",
        "use crate::sys::{self, Interest}; use crate::sync::thread; fn f() { thread::yield_now(); }",
    ),
    ("sync/model.rs", "use std::sync::Condvar;"),
    (
        "session/renewal.rs",
        "fn f() { let x: OnceCell<u8> = OnceCell::new(); } static X: OnceBox<u8> = OnceBox::new();",
    ),
];

#[test]
fn each_planted_breach_is_found() {
    let mut sources = sources();
    let mut check_with = |file: &str, addition: &str| {
        // A file that does not exist is planted alone.
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = sources.insert(file.to_owned(), File::of(&format!("{text}\n{addition}\n")));
        let problems = check(&sources);
        match whole {
            Some(whole) => sources.insert(file.to_owned(), whole),
            None => sources.remove(file),
        };
        problems
    };
    for (file, addition, complaint) in BREACHES {
        let problems = check_with(file, addition);
        assert!(
            problems.iter().any(|problem| problem.contains(complaint)),
            "{file}: {addition}: {problems:?}"
        );
    }
    for (file, addition) in HARMLESS {
        let problems = check_with(file, addition);
        assert!(problems.is_empty(), "{file}: {addition}: {problems:?}");
    }
}
