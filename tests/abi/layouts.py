#!/usr/bin/env python3
"""Compares the binary interface that the header describes with the recorded one: functions with their parameters, structures
with their members, enumerations with their values.

    tests/abi/layouts.py check     compares the header with tests/abi/vsession.abi
    tests/abi/layouts.py update    records the interface of the header
    tests/abi/layouts.py prove     shows that changes that would break programs are found

abidiff reads the C types from debug information, which a Rust library lacks. So it gets a library of stubs: each function of the
header with an empty body, compiled as C++, where enumerations are distinct types.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

from functions import HEADER, ROOT, functions

RECORDED = ROOT / "tests/abi/vsession.abi"

# abidiff's exit status: a change, and one that certainly breaks programs.
CHANGED, BREAKS = 4, 8


def stubs(header, folder):
    """A library of stubs for the header."""
    folder = pathlib.Path(folder)
    (folder / "vsession.h").write_text(header)
    source = ['#include "vsession.h"', 'extern "C" {']
    for function in functions(header):
        body = "" if function.result == "void" else "return {};"
        types = ", ".join(given.type for given in function.parameters)
        source.append(f"{function.result} {function.name}({types}) {{ {body} }}")
    # What no parameter names: enumerations that travel as numbers, and constants.
    enumerations = sorted(set(re.findall(r"^enum (vsession_\w+)", header, flags=re.M)))
    source.append(f"void enumerations({', '.join(f'enum {name}' for name in enumerations)}) {{}}")
    constants = re.findall(r"^#define (VSESSION_\w+) +\(?(?:-?\d+|U?INT\d+_MAX)\)?$", header, flags=re.M)
    source.append("enum constants : long long { " + ", ".join(f"C_{name} = {name}" for name in constants) + " };")
    source.append("void constants(enum constants) {}")
    source.append("}")
    (folder / "stubs.cpp").write_text("\n".join(source))
    library = folder / "libvsession.so"
    command = ["g++", "-std=c++17", "-g", "-w", "-fPIC", "-shared", "-Wl,-soname,libvsession.so.0", "stubs.cpp", "-o", library]
    subprocess.run(command, cwd=folder, check=True)
    return library


def compare(header):
    """Returns abidiff's exit status and its output."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["abidiff", "--no-show-locs", RECORDED, stubs(header, folder)], capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr


def check():
    status, words = compare(HEADER.read_text())
    if status == 0:
        return
    print(words)
    if status & ~CHANGED:
        sys.exit("the header breaks programs that were compiled against the recorded one: docs/abi.md says what to do")
    sys.exit("the header's interface has changed: see docs/abi.md; 'tests/abi/layouts.py update' records what was only added")


def update():
    with tempfile.TemporaryDirectory() as folder:
        library = stubs(HEADER.read_text(), folder)
        text = subprocess.run(
            ["abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", library], check=True, capture_output=True, text=True
        ).stdout
    # The name of the temporary directory is not part of the interface.
    RECORDED.write_text(re.sub(r" (?:path|comp-dir-path|filepath)='[^']*'", "", text))


def prove():
    """Checks that each change to a copy of the header is found."""
    header = HEADER.read_text()
    changes = {
        "a function that is gone": (r"vsession_status vsession_cancel_reset\(struct vsession_cancel cancel\);", ""),
        "a parameter of another type": (r"(vsession_keepalive_start\(struct vsession session,\s*)uint32_t", r"\1uint64_t"),
        "a parameter more": (r"(vsession_cancel_fire\(struct vsession_cancel cancel)\)", r"\1, int32_t how)"),
        "another result": (r"uint64_t (vsession_get_epoch)", r"uint32_t \1"),
        "a member that is gone": (r"\n    int32_t no_relogin;", ""),
        "a member that has grown": (r"uint32_t timeout_ms;", "uint64_t timeout_ms;"),
        "members that changed places": (
            r"(    const char \*method;)((?:(?!\*method;).)*?)(    const char \*this_type;)",
            r"\3\2\1",
        ),
        "a value that is another": (r"VSESSION_E_TIMEOUT = 21", "VSESSION_E_TIMEOUT = 23"),
        "a value that is gone": (r"VSESSION_EXECUTED_YES = 2,", ""),
        "a handle of another size": (r"(typedef struct vsession_queue \{.*?)uint64_t", r"\1uint32_t"),
        "a value of an enumeration that travels as a number": (r"VSESSION_EVENT_COMPLETION = 5", "VSESSION_EVENT_COMPLETION = 6"),
        "a constant that is another": (r"(#define VSESSION_NO_TIMEOUT) UINT32_MAX", r"\1 INT32_MAX"),
    }
    status, words = compare(header)
    if status:
        sys.exit(f"the header itself differs from what is recorded:\n{words}")
    for what, (pattern, replacement) in changes.items():
        changed, count = re.subn(pattern, replacement, header, count=1, flags=re.S)
        if count != 1 or changed == header:
            sys.exit(f"'{what}' cannot be planted: the header no longer matches: {pattern}")
        if compare(changed)[0] & CHANGED == 0:
            sys.exit(f"not found: {what}")
    print(f"{len(changes)} changes of the interface found")


ACTIONS = {f.__name__: f for f in (check, update, prove)}
if len(sys.argv) != 2 or sys.argv[1] not in ACTIONS:
    sys.exit(__doc__)
ACTIONS[sys.argv[1]]()
