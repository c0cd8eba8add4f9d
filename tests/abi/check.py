#!/usr/bin/env python3
"""Compares what must agree: the library's exports, the header, the list of exports, the C tests, the README.

    tests/abi/check.py exports|header|soname|coverage|readme|stress|stacks|fuzz
    tests/abi/check.py prove       a function that is exported and nowhere else is found by each of them
    tests/abi/check.py update      writes tests/abi/exports.txt from the library
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "target/release/libvsession.so"
HEADER = ROOT / "include/vsession.h"
LIST = ROOT / "tests/abi/exports.txt"


def fail(message):
    sys.exit(message)


def same(left, left_name, right, right_name):
    for name in sorted(left - right):
        print(f"{name}: in {left_name}, not in {right_name}")
    for name in sorted(right - left):
        print(f"{name}: in {right_name}, not in {left_name}")
    if left != right:
        fail(f"{left_name} and {right_name} differ")


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def exported():
    """Every dynamic symbol that the library defines, of whatever kind."""
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", LIBRARY], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    return {line.split()[0] for line in lines}


def declared():
    """The functions in the header."""
    text = without_comments(HEADER.read_text())
    text = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    names = set(re.findall(r"\b(vsession_\w+)\s*\(", text))
    if len(names) < 40:
        fail("the header's functions are not found; did its layout change?")
    return names


def exports():
    symbols = exported()
    strangers = [name for name in symbols if not name.startswith("vsession_")]
    if strangers:
        fail(f"exported, but not the library's: {strangers}")
    listed = set(LIST.read_text().split())
    same(symbols, "the library", listed, "tests/abi/exports.txt")
    same(symbols, "the library", declared(), "include/vsession.h")


def update():
    LIST.write_text("".join(f"{name}\n" for name in sorted(exported())))


def header():
    """The committed header is the one that the newest release build generated."""
    made = sorted(ROOT.glob("target/release/build/vsession-*/out/vsession.h"), key=lambda p: p.stat().st_mtime)
    if not made:
        fail("no generated header; run 'make all'")
    if made[-1].read_text() != HEADER.read_text():
        fail("include/vsession.h is out of date; run 'make generated'")


def soname():
    dynamic = subprocess.run(["readelf", "-d", LIBRARY], check=True, capture_output=True, text=True).stdout
    if "Library soname: [libvsession.so.0]" not in dynamic:
        fail(f"not the SONAME libvsession.so.0:\n{dynamic}")


def calls_every_function(*files):
    """Each exported function is called in one of the files."""
    text = without_comments("".join((ROOT / name).read_text() for name in files))
    missing = [name for name in sorted(exported()) if not re.search(rf"\b{name}\(", text)]
    if missing:
        fail(f"not in {' or '.join(files)}: {', '.join(missing)}")


def coverage():
    """Each exported function is in the boundary test."""
    calls_every_function("tests/c/boundary.c", "tests/c/status_functions.h", "tests/c/shutdown.c")


def stacks():
    """Each exported function is tried with little stack."""
    calls_every_function("tests/c/small_stacks.c", "tests/c/status_functions.h")


def stress():
    """Each exported function is in the stress program."""
    calls_every_function("tests/stress/stress.c")


def fuzz():
    """Each exported function has an entry in the fuzzer's table, which calls it."""
    text = without_comments((ROOT / "fuzz/targets/api.rs").read_text())
    table = text[text.index("pub const FUNCTIONS") : text.index("\n];")]
    entries = dict(re.findall(r'\(\s*"(vsession_\w+)",(.*?)(?=\(\s*"vsession_|\Z)', table, flags=re.S))
    wanting = [name for name in sorted(exported()) if not re.search(rf"\b{name}\(", entries.get(name, ""))]
    # What needs more than a line has a method of its own name.
    wanting = [name for name in wanting if f"|r| r.{name.removeprefix('vsession_')}()" not in entries.get(name, "")]
    if wanting:
        fail(f"not in the table of fuzz/targets/api.rs: {', '.join(wanting)}")


def prove():
    """With one function more in the library, all that go through the exported functions fail."""
    global exported
    true_exports = exported()
    exported = lambda: true_exports | {"vsession_planted"}  # noqa: E731
    checks = (exports, coverage, stress, stacks, fuzz)
    for check in checks:
        try:
            check()
        except SystemExit as refused:
            print(f"{check.__name__}: {refused}")
        else:
            fail(f"'{check.__name__}' does not see a function that is missing")
    print(f"{len(checks)} checks see a function that is missing")


def readme():
    """README's program of at most 30 lines is examples-c/minimal.c, which is compiled and run as it is."""
    path = ROOT / "README.md"
    example = (ROOT / "examples-c/minimal.c").read_text()
    if len(example.splitlines()) > 30:
        fail("examples-c/minimal.c is longer than 30 lines")
    if not path.exists():
        return
    blocks = re.findall(r"^```c\n(.*?)^```$", path.read_text(), flags=re.S | re.M)
    if example not in blocks:
        fail("README.md shows no ```c block that equals examples-c/minimal.c")
    for block in blocks:
        if "int main(" in block and block != example:
            fail("README.md shows another program than examples-c/minimal.c; nothing compiles it")


ACTIONS = {f.__name__: f for f in (exports, header, soname, coverage, readme, stress, stacks, fuzz, prove, update)}
if len(sys.argv) != 2 or sys.argv[1] not in ACTIONS:
    fail(__doc__)
ACTIONS[sys.argv[1]]()
