#!/usr/bin/env python3
"""Compares the header, which is the table of the exported functions, with everything that must agree with it.

    tests/abi/check.py functions     the places where a function of the header must appear and does not; needs no build
    tests/abi/check.py exports       the library exports exactly what the header declares
    tests/abi/check.py header        the committed header is the generated one
    tests/abi/check.py soname        the library has its SONAME
    tests/abi/check.py readme        README's program is the one that the tests compile and run
    tests/abi/check.py prove         shows that each check finds a missing function
    tests/abi/check.py update        writes tests/c/functions.h from the header
"""

import pathlib
import re
import subprocess
import sys

import functions as table
from functions import HEADER, ROOT, Parameter, functions, split, without_comments

LIBRARY = ROOT / "target/release/libvsession.so"


def fail(message):
    sys.exit(message)


def read(*files):
    return without_comments("".join((ROOT / name).read_text() for name in files))


def not_called(text):
    return {f.name for f in functions() if not re.search(rf"\b{f.name}\(", text)}


def not_documented():
    """Each function's comment states its contract in the words that other checks look for."""
    for function in functions():
        comment = function.comment
        wanted = ["Threads: ", "Blocks: "]
        wanted += ["Errors: "] * (function.result == "vsession_status" and function.has_error and len(function.parameters) > 1)
        hands_out = any(p.name == "out" and p.type not in ("bool *",) for p in function.parameters)
        wanted += ["Owner: "] * (hands_out or function.result.endswith("*"))
        for word in wanted:
            if word not in comment:
                yield f"{function.name}: no '{word.strip()}' in its comment"


def not_generated():
    if not table.GENERATED.exists() or table.GENERATED.read_text() != table.generated():
        yield "tests/c/functions.h is out of date: run 'make generated'"


def not_at_the_boundary():
    """tests/c calls each function, passes each pointer as NULL somewhere, and each string as something other than UTF-8."""
    files = ("tests/c/boundary.c", "tests/c/functions.h", "tests/c/shutdown.c")
    for name in sorted(not_called(read(*files))):
        yield f"{name}: not called in tests/c/boundary.c"
    # without_comments would cut URLs in strings.
    text = re.sub(r"/\*.*?\*/", " ", "".join((ROOT / name).read_text() for name in files), flags=re.S)
    # One loop calls three functions with each bad name.
    text = re.sub(r"(\w+\()info, names\[i\]\)", r"\1info, NULL) \1info, BAD_TEXT)", text)
    passed = {}
    for name, arguments in calls(text):
        for position, argument in enumerate(arguments):
            passed.setdefault((name, position), set()).add(argument)
    for function in functions():
        for position, given in enumerate(function.parameters):
            values = passed.get((function.name, position), set())
            # `e` is the place for the error, for which `refuses` also passes NULL.
            is_null = any(v == "NULL" or v.endswith(" NULL") for v in values) or (given.name == "err" and "e" in values)
            if given.is_pointer and not is_null:
                yield f"{function.name}: no call with NULL for '{given.name}' in tests/c/boundary.c"
            if given.type == "const char *" and "BAD_TEXT" not in values:
                yield f"{function.name}: no call with BAD_TEXT for '{given.name}' in tests/c/boundary.c"


def calls(text):
    """Yields each call of a library function: its name and its arguments."""
    for found in re.finditer(r"\b(vsession_\w+)\(", text):
        depth, at = 1, found.end()
        while depth and at < len(text):
            depth += (text[at] == "(") - (text[at] == ")")
            at += 1
        yield found[1], split(text[found.end() : at - 1])


def not_on_small_stacks():
    for name in sorted(not_called(read("tests/c/small_stacks.c", "tests/c/functions.h"))):
        yield f"{name}: not in OTHER_FUNCTIONS of tests/c/small_stacks.c"


def not_under_stress():
    for name in sorted(not_called(read("tests/stress/stress.c"))):
        yield f"{name}: in no operation of tests/stress/stress.c"


def not_fuzzed():
    """Each function has an entry in the fuzzer's table that calls it, or a method of the same name does."""
    text = read("fuzz/targets/api.rs")
    listed = text[text.index("pub const FUNCTIONS") : text.index("\n];")]
    entries = dict(re.findall(r'\(\s*"(vsession_\w+)",(.*?)(?=\(\s*"vsession_|\Z)', listed, flags=re.S))
    for function in functions():
        entry, method = entries.get(function.name, ""), f"|r| r.{function.name.removeprefix('vsession_')}()"
        if not re.search(rf"\b{function.name}\(", entry) and method not in entry:
            yield f"{function.name}: not at the end of FUNCTIONS in fuzz/targets/api.rs"


def not_under_faults():
    """Each function that waits or takes a session is an entry point of the fault matrix, or is listed as one that makes no request."""
    text = (ROOT / "tests/faults/entries.rs").read_text() + (ROOT / "tests/faults/header.rs").read_text()
    for function in functions():
        waits = "Blocks: never" not in function.comment
        takes_session = any(p == Parameter("struct vsession", "session") for p in function.parameters)
        if (waits or takes_session) and f'"{function.name}"' not in text:
            yield f"{function.name}: neither in ENTRIES of tests/faults/entries.rs nor in ASK_NOBODY of tests/faults/header.rs"


PLACES = (
    not_documented,
    not_generated,
    not_at_the_boundary,
    not_on_small_stacks,
    not_under_stress,
    not_fuzzed,
    not_under_faults,
)


def check_functions():
    missing = [line for place in PLACES for line in place()]
    if missing:
        fail("\n".join(missing))


def exports():
    """The dynamic symbols that the library defines, of any kind, are exactly the functions of the header."""
    lines = subprocess.run(
        ["nm", "-D", "--defined-only", "--format=posix", LIBRARY], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    compare({line.split()[0] for line in lines}, {f.name for f in functions()})


def compare(exported, declared):
    problems = [f"{name}: exported by the library, and not in include/vsession.h" for name in sorted(exported - declared)]
    problems += [f"{name}: in include/vsession.h, and not exported" for name in sorted(declared - exported)]
    if problems:
        fail("\n".join(problems))


def update():
    table.GENERATED.write_text(table.generated())


def header():
    made = sorted(ROOT.glob("target/release/build/vsession-*/out/vsession.h"), key=lambda p: p.stat().st_mtime)
    if not made:
        fail("no generated header; run 'make all'")
    if made[-1].read_text() != HEADER.read_text():
        fail("include/vsession.h is out of date; run 'make generated'")


def soname():
    dynamic = subprocess.run(["readelf", "-d", LIBRARY], check=True, capture_output=True, text=True).stdout
    if "Library soname: [libvsession.so.0]" not in dynamic:
        fail(f"not the SONAME libvsession.so.0:\n{dynamic}")


PLANTED = """
/**
 * Asks the server. Blocks: until the server answers.
 */
vsession_status vsession_planted(struct vsession session, const char *name, struct vsession_info **out, struct vsession_error **err);

#ifdef __cplusplus
}  // extern "C"
"""
WANTED = {
    not_documented: ("Threads:", "Owner:", "Errors:"),
    not_generated: ("out of date",),
    not_at_the_boundary: ("not called", "NULL for 'name'", "NULL for 'out'", "NULL for 'err'", "BAD_TEXT for 'name'"),
    not_on_small_stacks: ("vsession_planted",),
    not_under_stress: ("vsession_planted",),
    not_fuzzed: ("vsession_planted",),
    not_under_faults: ("vsession_planted",),
}


def prove():
    """Adds a function to the header: every check must miss it somewhere. 'exports' must notice a function missing on either side."""
    check_functions()
    true_header = HEADER.read_text()
    planted = re.sub(r'\n#ifdef __cplusplus\n\}  // extern "C"\n', PLANTED, true_header)
    if planted == true_header:
        fail("no function can be planted: the end of the header has changed")
    table.functions.__defaults__ = (planted,)
    for place, parts in WANTED.items():
        said = "\n".join(place())
        for part in parts:
            if part not in said:
                fail(f"'{place.__name__}' does not find '{part}': {said}")
        print(f"{place.__name__}: finds a missing function")
    declared = {f.name for f in functions(true_header)}
    for exported in (declared | {"vsession_planted"}, declared - {"vsession_open"}):
        try:
            compare(exported, declared)
        except SystemExit:
            continue
        fail("'exports' does not notice a difference")
    print("exports: notices a function missing on either side")


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


ACTIONS = {f.__name__: f for f in (exports, header, soname, readme, prove, update)} | {"functions": check_functions}
if len(sys.argv) != 2 or sys.argv[1] not in ACTIONS:
    fail(__doc__)
ACTIONS[sys.argv[1]]()
