#!/usr/bin/env python3
"""Compares what must agree: the library's exports, the header, the list of exports, the C tests, the README.

    tests/abi/check.py exports|header|soname|coverage|boundary|readme|stress|stacks|fuzz
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


def parameters():
    """The functions of the header with the types of their parameters, without their names."""
    text = without_comments(HEADER.read_text())
    found = re.findall(r"\b(vsession_\w+)\s*\(((?:[^(){};]|\([^()]*\))*)\)\s*;", text)
    return {name: [] if given.strip() == "void" else split(given) for name, given in found}


def split(arguments):
    """The arguments of a call, at the commas outside of brackets."""
    parts, depth = [""], 0
    for character in arguments:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def calls(text):
    """Each call of a function of the library, as its name and its arguments."""
    for found in re.finditer(r"\b(vsession_\w+)\(", text):
        depth, at = 1, found.end()
        while depth and at < len(text):
            depth += (text[at] == "(") - (text[at] == ")")
            at += 1
        yield found[1], split(text[found.end() : at - 1])


def boundary():
    """Each pointer is passed as NULL somewhere, and each string as what is not UTF-8; each handle is a wrong one somewhere."""
    files = ("tests/c/boundary.c", "tests/c/status_functions.h", "tests/c/shutdown.c")
    # Not without_comments: the addresses in strings have slashes.
    text = re.sub(r"/\*.*?\*/", " ", "".join((ROOT / name).read_text() for name in files), flags=re.S)
    # One loop calls three functions with each bad name.
    text = re.sub(r"(\w+\()info, names\[i\]\)", r"\1info, NULL) \1info, BAD_TEXT)", text)
    passed = {}
    for name, arguments in calls(text):
        for position, argument in enumerate(arguments):
            passed.setdefault((name, position), set()).add(argument)
    wrong = re.findall(r"X\((vsession_\w+?), (vsession\w*), ", text)
    missing = []
    for name, types in sorted(parameters().items()):
        handles = 0
        for position, given in enumerate(types):
            values = passed.get((name, position), set())
            is_pointer = "*" in given or "_fn " in given
            if is_pointer and not any(v == "NULL" or v.endswith(" NULL") for v in values):
                # `e` is the place for the error, for which `refuses` passes NULL too.
                if not (given.endswith("**err") and "e" in values):
                    missing.append(f"{name}: no call with NULL for '{given}'")
            if given.startswith("const char *") and "BAD_TEXT" not in values:
                missing.append(f"{name}: no call with BAD_TEXT for '{given}'")
            if re.match(r"struct vsession(_config|_cancel|_queue)? \w", given):
                handles += 1
        listed = sum(1 for function, _ in wrong if re.fullmatch(rf"{name}(_queue)?", function) and is_of(function, name))
        # These return no status; functions_without_a_status_take_any_handle and the probe's test have them.
        if name not in ("vsession_get_state", "vsession_get_epoch", "vsession_queue_fd", "vsession_probe_certificate") and listed < handles:
            missing.append(f"{name}: {handles} handles, {listed} lines in status_functions.h")
    if missing:
        fail("\n".join(missing))


def is_of(function, name):
    """Whether a line of status_functions.h is about the function: `NAME_queue` is the second handle of NAME."""
    return function == name or function not in declared()


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
    global parameters
    true_parameters = parameters()
    for planted in (["const char *text"], ["struct vsession session"], ["struct vsession_info **out"]):
        parameters = lambda: {**true_parameters, "vsession_planted": planted}  # noqa: B023,E731
        try:
            boundary()
        except SystemExit as refused:
            seen = "vsession_planted" in str(refused)
        else:
            seen = False
        if not seen:
            fail(f"'boundary' does not see a parameter without a test: {planted}")
    print("boundary: sees a pointer, a string and a handle without a test")
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


ACTIONS = {f.__name__: f for f in (exports, header, soname, coverage, boundary, readme, stress, stacks, fuzz, prove, update)}
if len(sys.argv) != 2 or sys.argv[1] not in ACTIONS:
    fail(__doc__)
ACTIONS[sys.argv[1]]()
