#!/usr/bin/env python3
"""Holds the layering of src/: arrows between modules go down only, unsafe code stands where it may, and what the model
checker has to see of threads (locks, atomics, threads, clock) comes from src/sync.rs. No static is of a kind that has other
threads wait while one makes it: a child that was forked meanwhile would wait for ever.

    tests/layers.py            checks src/
    tests/layers.py prove      plants a breach of each rule in a copy of src/ and demands that it is found
"""

import pathlib
import re
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]

# From top to bottom. A module may use those in later lines. Those in the last line may use each other, without a circle.
LAYERS = [
    ["fuzzing"],
    ["ffi"],
    ["session"],
    ["config"],
    ["auth"],
    ["vim"],
    ["soap"],
    ["http"],
    ["net"],
    ["runtime"],
    ["sys", "error", "status", "state", "text", "sync", "planted"],
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
BOTTOM = LAYERS[-1]

# Where unsafe code may stand.
UNSAFE = re.compile(r"^(ffi/.*|sys\.rs)$")

# What src/sync.rs offers in the library's build and the model checker in its own, so nobody else names it. What one of
# these paths begins with is meant too.
PRIMITIVES = [
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
]
PROVIDER = re.compile(r"^(sync\.rs|sync/.*)$")

ONCE = "set once; under the model checker threads are coroutines of one thread, and none meets another inside"
NOT_MODELLED = "of what happens on a connection, and the models answer requests before there is one"
# Primitive, file, and why it may be named there all the same.
DELIBERATE = [
    ("once_cell::race::OnceBox", "planted.rs", ONCE),
    ("once_cell::race::OnceBox", "runtime/timer.rs", ONCE),
    ("once_cell::sync::OnceCell", "session/flight.rs", ONCE),
    ("once_cell::race::OnceBox", "session/snapshot.rs", ONCE),
    ("once_cell::race::OnceBox", "ffi/handles.rs", ONCE),
    ("once_cell::sync::OnceCell", "net/resolve.rs", NOT_MODELLED),
    ("once_cell::race::OnceBox", "net/trust_store.rs", NOT_MODELLED),
    ("arc_swap::ArcSwapOption", "runtime/log.rs", "no model listens to the log"),
    ("std::sync::mpsc", "ffi/library.rs", "vsession_shutdown, which is in no model; its wait must not need a descriptor"),
    ("shuttle::lazy_static", "http/model.rs", "is compiled for the models alone, where it is new for each run"),
    ("std::sync::atomic", "sys.rs", "the lock under crate::sync::Mutex; the models have shuttle's in its place"),
    ("parking_lot", "sys.rs", "the same"),
    ("std::sync::Mutex", "session/models.rs", "the ledger of a model's server: no step of the library's"),
]


def code_of(text):
    """The text with comments, strings and character literals blanked out; lines stay where they are."""
    pattern = (
        r"//[^\n]*|/\*.*?\*/"
        r"|r(#*)\"(?:.|\n)*?\"\1"
        r"|[bc]?\"(?:\\.|[^\"\\])*\""
        r"|'(?:\\[^\n]*?|[^\\'\n])'"
    )
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


def module_path(file):
    """`session/flight.rs` as ["session", "flight"]."""
    parts = list(file.with_suffix("").parts)
    if parts[-1] in ("mod", "lib"):
        parts.pop()
    return parts


def paths_in(tree):
    """Every path that `tree` begins with: `a::{b, c::{self, d}}` is a::b, a::c and a::c::d."""
    prefix = re.match(r"(?:\s*\w+\s*::)*\s*", tree)
    head = re.sub(r"\s", "", prefix.group())
    rest = tree[prefix.end() :]
    if not rest.startswith("{"):
        name = re.match(r"\w+|\*", rest)
        return [(head + (name.group() if name else "")).removesuffix("::self").rstrip(":")]
    branches, depth, start = [], 0, 1
    for match in re.finditer(r"[{},]", rest):
        depth += {"{": 1, "}": -1, ",": 0}[match.group()]
        if depth == 0 or depth == 1 and match.group() == ",":
            branches.append(rest[start : match.start()])
            start = match.end()
        if depth == 0:
            break
    return [(head + path).removesuffix("::self") for branch in branches if branch.strip() for path in paths_in(branch)]


def first_names(tree):
    """The first names of the paths in `tree`, each once."""
    names = dict.fromkeys(path.split("::")[0] for path in paths_in(tree))
    return [name for name in names if name not in ("", "self", "*")]


def arrows(file, code):
    """Every (line, module) that the code of a file names, by `crate::` or by as many `super::` as lead to the root."""
    here = module_path(file)
    # In a nested `mod tests` there is one more `super`; taking one too many for the root is then harmless.
    found = []
    for match in re.finditer(r"\bcrate\s*::\s*", code):
        line = code.count("\n", 0, match.start()) + 1
        found += [(line, name) for name in first_names(code[match.end() : match.end() + 2000])]
    for match in re.finditer(r"\b((?:super\s*::\s*)+)(?=[\w{])", code):
        if match.group(1).count("super") >= len(here) > 0:
            line = code.count("\n", 0, match.start()) + 1
            names = first_names(code[match.end() : match.end() + 2000])
            found += [(line, name) for name in names if name in RANK]
    return found


def end_of_item(code, start):
    """Where the item that begins at `start` ends: behind its braces, or behind its semicolon."""
    depth = 0
    for match in re.finditer(r"[][(){};]", code[start:]):
        token, end = match.group(), start + match.end()
        if token in "([{":
            depth += 1
        elif token in ")]}":
            depth -= 1
            # A `use` or a value ends behind its semicolon.
            if depth == 0 and token == "}" and not re.match(r"\s*;", code[end:]):
                return end
        elif depth == 0:
            return end
    return len(code)


def without_tests(code):
    """The code with what is compiled for unit tests alone blanked out; what the models are made of stays."""
    while match := re.search(r"#\[cfg\(test\)\]", code):
        end = end_of_item(code, match.end())
        code = code[: match.start()] + re.sub(r"[^\n]", " ", code[match.start() : end]) + code[end:]
    return code


def unit_tests(source):
    """Files that are modules for unit tests alone."""
    found = set()
    for path in source.rglob("*.rs"):
        folder = path.parent if path.stem in ("mod", "lib") else path.with_suffix("")
        for name in re.findall(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;", code_of(path.read_text())):
            found |= {folder / f"{name}.rs", folder / name / "mod.rs"}
    return found


def primitives(code):
    """Every (line, primitive) that the code names, and not by way of crate::sync."""
    named = []  # (position, path, whether in a `use`)
    roots = "|".join(sorted({primitive.split("::")[0] for primitive in PRIMITIVES}))
    for match in re.finditer(rf"(?<![\w:])(use\s+)?(?:::\s*)?\b(?=(?:{roots})\b)", code):
        named += [(match.end(), path, bool(match.group(1))) for path in paths_in(code[match.end() :])]
    for match in re.finditer(r"(?<![\w:])sys\s*::", code):
        named.append((match.start(), f"crate::{paths_in(code[match.start() :])[0]}", False))
    # The macro needs no `use`.
    if not re.search(r"\buse\s+crate::sync::[^;]*\bthread_local\b", code):
        named += [(match.start(), "std::thread_local", False) for match in re.finditer(r"(?<![\w:])thread_local\s*!", code)]

    def is_primitive(path, in_use):
        # To use a whole module is to give its primitives other names; those of crate::sys are looked for by that name.
        whole = path.removesuffix("::*") if in_use and path not in ("crate", "crate::sys") else None
        return any(f"{path}::".startswith(f"{primitive}::") or f"{primitive}::".startswith(f"{whole}::") for primitive in PRIMITIVES)

    return sorted({(code.count("\n", 0, position) + 1, path) for position, path, in_use in named if is_primitive(path, in_use)})


def circle(uses):
    """A circle among the modules of the bottom layer, or None."""

    def walk(module, path):
        if module in path:
            return path[path.index(module) :] + [module]
        return next(filter(None, (walk(other, path + [module]) for other in sorted(uses.get(module, ())))), None)

    return next(filter(None, (walk(module, []) for module in BOTTOM)), None)


def check(source):
    """What is wrong below `source`, one line each."""
    problems = []
    lib = code_of((source / "lib.rs").read_text())
    declared = set(re.findall(r"^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+)\s*;", lib, flags=re.M))
    for module in sorted(declared ^ set(RANK)):
        where = "src/lib.rs" if module in declared else "tests/layers.py"
        problems.append(f"{where}: module '{module}' is not in the other one; give it a layer, or remove it")
    if not re.search(r"#!\[(deny|forbid)\(unsafe_code\)\]", lib):
        problems.append("src/lib.rs: #![deny(unsafe_code)] is missing")

    bottom_uses = {}
    unit_test_files = unit_tests(source)
    deliberate = {(primitive, file) for primitive, file, _ in DELIBERATE}
    not_met = set(deliberate)
    for path in sorted(source.rglob("*.rs")):
        file = path.relative_to(source)
        code = code_of(path.read_text())
        if not UNSAFE.match(file.as_posix()):
            for match in re.finditer(r"\bunsafe\b|\ballow\s*\(\s*unsafe_code", code):
                line = code.count("\n", 0, match.start()) + 1
                problems.append(f"src/{file}:{line}: unsafe code stands only in src/ffi and src/sys.rs")
        if not PROVIDER.match(file.as_posix()) and path not in unit_test_files:
            for line, found in primitives(without_tests(code)):
                meant = {(primitive, file.as_posix()) for primitive, _, _ in DELIBERATE if f"{found}::".startswith(f"{primitive}::")}
                meant &= deliberate
                not_met -= meant
                if not meant:
                    problems.append(f"src/{file}:{line}: '{found}' is to come from crate::sync, so that the models see it")
        if path not in unit_test_files:
            for match in re.finditer(r"\bstatic\s+(?:ref\s+)?\w+\s*:[^=;]*\b(Lazy|LazyLock|Once|OnceCell|OnceLock)\b", without_tests(code)):
                line = code.count("\n", 0, match.start()) + 1
                problems.append(f"src/{file}:{line}: a static '{match.group(1)}' has threads wait; take once_cell::race or PerProcess")
        if file.as_posix() == "lib.rs":
            continue
        own = module_path(file)[0]
        for line, used in arrows(file, code):
            if own not in RANK or used == own:
                continue
            if used not in RANK:
                problems.append(f"src/{file}:{line}: 'crate::{used}' has no layer; name the module that it is from")
            elif own in BOTTOM and used in BOTTOM:
                bottom_uses.setdefault(own, set()).add(used)
            elif RANK[used] <= RANK[own]:
                problems.append(f"src/{file}:{line}: '{own}' uses '{used}', which stands above it")
    if found := circle(bottom_uses):
        problems.append("a circle: " + " -> ".join(found))
    for primitive, file in sorted(not_met):
        problems.append(f"tests/layers.py: src/{file} does not name '{primitive}' any more; take it out of DELIBERATE")
    return problems


# File, text that is added to it, and a part of the complaint that must follow.
BREACHES = [
    ("runtime/wait.rs", "use crate::net::Settings;", "'runtime' uses 'net'"),
    ("http/client.rs", "use crate::soap::xml;", "'http' uses 'soap'"),
    ("soap/reply.rs", "use crate::{error::Error as E, session::{Session, View}};", "'soap' uses 'session'"),
    ("vim/service.rs", "fn f() { crate::config::f(); }", "'vim' uses 'config'"),
    ("auth/password.rs", "use super::super::session::Session;", "'auth' uses 'session'"),
    ("error.rs", "use super::runtime::log;", "'error' uses 'runtime'"),
    ("status.rs", "use crate::error::Error;", "a circle: "),
    ("session/flight.rs", "use crate::ffi::handles;", "'session' uses 'ffi'"),
    ("session/flight.rs", "fn f() { unsafe {} }", "unsafe code"),
    ("net/tls.rs", "#[allow(unsafe_code)] fn f() {}", "unsafe code"),
    ("lib.rs", "mod stray;", "'stray'"),
    ("session/flight.rs", "use std::sync::Mutex;", "'std::sync::Mutex' is to come from crate::sync"),
    ("session/flight.rs", "use std::{fmt, sync::{atomic::AtomicU64}};", "'std::sync::atomic::AtomicU64' is"),
    ("session/flight.rs", "use std::{fmt, sync::{self as threads}};", "'std::sync' is"),
    ("session/flight.rs", "use std::time::{self, Duration};", "'std::time' is"),
    ("session/flight.rs", "use std::time::*;", "'std::time::*' is"),
    ("session/keepalive.rs", "fn f() { ::std::thread::sleep(X); }", "'std::thread::sleep' is"),
    ("session/keepalive.rs", "fn f() -> bool { std::time::Instant::now() > X }", "'std::time::Instant::now' is"),
    ("session/snapshot.rs", "use arc_swap::ArcSwap;", "'arc_swap::ArcSwap' is"),
    ("session/models.rs", "use std::thread;", "'std::thread' is"),
    ("runtime/wait.rs", "fn f() { sys::poll(X); }", "'crate::sys::poll' is"),
    ("runtime/timer.rs", "use std::sync::Condvar;", "'std::sync::Condvar' is"),
    ("runtime/workers.rs", "thread_local! { static X: u8 = 1; }", "'std::thread_local' is"),
    ("ffi/handles.rs", "static X: std::sync::atomic::AtomicBool = Y;", "'std::sync::atomic::AtomicBool' is"),
    ("ffi/handles.rs", "#[cfg(any(test, fuzzing))] fn f() { std::thread::yield_now(); }", "'std::thread::yield_now' is"),
    ("http/semaphore.rs", "use parking_lot::Condvar;", "'parking_lot::Condvar' is"),
    ("session/flight.rs", "static X: OnceCell<u8> = OnceCell::new();", "a static 'OnceCell'"),
    ("net/trust_store.rs", "fn f() { static X: [once_cell::sync::Lazy<u8>; 2] = Y; }", "a static 'Lazy'"),
]
# What looks like a breach and is none.
HARMLESS = [
    ("runtime/wait.rs", '// use crate::net::Settings; unsafe\nconst X: &str = "crate::session \\" unsafe";'),
    ("session/flight.rs", "use super::snapshot::View as V; use crate::http::Client;"),
    ("session/flight.rs", "#[cfg(test)] mod more { use std::sync::{Arc, Mutex}; fn f() { std::thread::yield_now(); } }"),
    ("session/flight.rs", "#[cfg(test)] use std::{sync::Arc}; use std::time::{Duration, SystemTime};"),
    ("session/flight.rs", "use crate::sys::{self, Interest}; use crate::sync::thread; fn f() { thread::yield_now(); }"),
    ("sync/mutex.rs", "use std::sync::Condvar;"),
    ("session/flight.rs", "fn f() { let x: OnceCell<u8> = OnceCell::new(); } static X: OnceBox<u8> = OnceBox::new();"),
]


def prove():
    with tempfile.TemporaryDirectory() as directory:
        copy = pathlib.Path(directory) / "src"
        shutil.copytree(ROOT / "src", copy)
        failures = [f"without a breach: {problem}" for problem in check(copy)]
        for name, addition, complaint in BREACHES + [(n, a, None) for n, a in HARMLESS]:
            file = copy / name
            whole = file.read_text()
            file.write_text(f"{whole}\n{addition}\n")
            problems = check(copy)
            file.write_text(whole)
            if complaint is None and problems:
                failures.append(f"harmless, but refused: {name}: {addition}: {problems}")
            elif complaint is not None and not any(complaint in problem for problem in problems):
                failures.append(f"not found: {name}: {addition}: {problems}")
    return failures


if sys.argv[1:] not in ([], ["prove"]):
    sys.exit(__doc__)
complaints = prove() if sys.argv[1:] else check(ROOT / "src")
for complaint in complaints:
    print(complaint)
sys.exit(1 if complaints else 0)
