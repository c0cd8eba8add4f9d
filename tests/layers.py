#!/usr/bin/env python3
"""Holds the layering of src/: arrows between modules go down only, and unsafe code stands where it may.

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
    ["auth"],
    ["api"],
    ["config"],
    ["wire"],
    ["net"],
    ["runtime"],
    ["sys", "error", "status", "state", "sync"],
]
RANK = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
BOTTOM = LAYERS[-1]

# Where unsafe code may stand.
UNSAFE = re.compile(r"^(ffi/.*|sys\.rs)$")


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
    """`session/gate.rs` as ["session", "gate"]."""
    parts = list(file.with_suffix("").parts)
    if parts[-1] in ("mod", "lib"):
        parts.pop()
    return parts


def first_names(tree):
    """The first names of what stands after `crate::`: one, or those in braces."""
    if not tree.startswith("{"):
        name = re.match(r"\w+", tree)
        return [name.group()] if name else []
    names, depth, start = [], 0, True
    for token in re.findall(r"\w+|::|[{},*]", tree):
        if token == "{":
            depth += 1
        elif token == "}":
            depth -= 1
            if depth == 0:
                break
        elif token == ",":
            start = depth == 1
            continue
        elif depth == 1 and start and token != "self":
            names.append(token)
        start = token == "{" and depth == 1
    return names


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
    for path in sorted(source.rglob("*.rs")):
        file = path.relative_to(source)
        code = code_of(path.read_text())
        if not UNSAFE.match(file.as_posix()):
            for match in re.finditer(r"\bunsafe\b|\ballow\s*\(\s*unsafe_code", code):
                line = code.count("\n", 0, match.start()) + 1
                problems.append(f"src/{file}:{line}: unsafe code stands only in src/ffi and src/sys.rs")
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
    return problems


# File, text that is added to it, and a part of the complaint that must follow.
BREACHES = [
    ("runtime/wait.rs", "use crate::net::Settings;", "'runtime' uses 'net'"),
    ("net/client.rs", "use crate::wire::xml;", "'net' uses 'wire'"),
    ("wire/xml.rs", "use crate::{error::Error as E, session::{Session, Cell}};", "'wire' uses 'session'"),
    ("config/mod.rs", "fn f() { crate::api::soap::next_operation_id(); }", "'config' uses 'api'"),
    ("auth/password.rs", "use super::super::session::Session;", "'auth' uses 'session'"),
    ("error.rs", "use super::runtime::log;", "'error' uses 'runtime'"),
    ("status.rs", "use crate::error::Error;", "a circle: "),
    ("session/gate.rs", "use crate::ffi::handles;", "'session' uses 'ffi'"),
    ("session/gate.rs", "fn f() { unsafe {} }", "unsafe code"),
    ("net/tls.rs", "#[allow(unsafe_code)] fn f() {}", "unsafe code"),
    ("lib.rs", "mod stray;", "'stray'"),
]
# What looks like a breach and is none.
HARMLESS = [
    ("runtime/wait.rs", '// use crate::net::Settings; unsafe\nconst X: &str = "crate::session \\" unsafe";'),
    ("session/gate.rs", "use super::cell::Cell as C; use crate::net::Client;"),
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
