"""The exported functions. The header is their table: every other place where a function must appear is generated from it or
checked against it. Used by check.py and layouts.py."""

import pathlib
import re
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = ROOT / "include/vsession.h"
GENERATED = ROOT / "tests/c/functions.h"


@dataclass(frozen=True)
class Parameter:
    type: str
    name: str

    @property
    def is_pointer(self):
        return "*" in self.type or self.type.endswith("_fn")

    @property
    def is_handle(self):
        return re.fullmatch(r"struct vsession(_config|_cancel|_queue)?", self.type) is not None


@dataclass(frozen=True)
class Function:
    result: str
    name: str
    parameters: tuple
    comment: str

    @property
    def has_status(self):
        return self.result == "vsession_status" and any(p.is_handle or p.name in ("out", "err") for p in self.parameters)

    @property
    def has_error(self):
        return any(p.name == "err" for p in self.parameters)

    @property
    def handles(self):
        return [p for p in self.parameters if p.is_handle]


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def split(arguments):
    """Splits the arguments of a call at the commas outside brackets."""
    parts, depth = [""], 0
    for character in arguments:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def parameter(text):
    if function := re.fullmatch(r"(.*\(\*)(\w+)(\).*)", text):
        return Parameter(function[1] + function[3], function[2])
    kind, name = re.fullmatch(r"(.*?)(\w+)", text).groups()
    return Parameter(kind.strip(), name)


def functions(header=None):
    """The functions of the header, in its order."""
    text = HEADER.read_text() if header is None else header
    pattern = r"/\*\*\n((?:(?!\*/).)*)\*/\s*([\w\s*]+?)\b(vsession_\w+)\s*\(((?:[^(){};]|\([^()]*\))*)\)\s*;"
    found = []
    for comment, result, name, given in re.findall(pattern, text, flags=re.S):
        result, given = " ".join(result.split()), " ".join(given.split())
        if result.startswith("typedef"):
            continue
        parameters = () if given == "void" else tuple(map(parameter, split(given)))
        found.append(Function(result, name, parameters, re.sub(r"\s*\n \* ?", " ", comment).strip(" *")))
    assert len(found) > 80, "the header's functions are not found; did its layout change?"
    return found


# What a test passes for a parameter, by its name or its type, in a correct call.
SAMPLES = {
    "struct vsession": "good.session",
    "struct vsession_config": "good.config",
    "struct vsession_cancel": "good.cancel",
    "struct vsession_queue": "good.queue",
    "const struct vsession_call_options *": "NULL",
    "const struct vsession_soap_call *": "&some_call",
    "const struct vsession_http_request *": "&some_request",
    "const struct vsession_retrieval *": "&some_retrieval",
    "const struct vsession_task_wait *": "NULL",
    "struct vsession *": "&result.session",
    "struct vsession_config *": "&result.config",
    "struct vsession_cancel *": "&result.cancel",
    "struct vsession_queue *": "&result.queue",
    "struct vsession_info **": "&result.info",
    "struct vsession_reply **": "&result.reply",
    "struct vsession_event **": "&result.event",
    "struct vsession_certificates **": "&result.certificates",
    "char **": "&result.cookie",
    "bool *": "&result.active",
    "type": '"ServiceInstance"',
    "id": '"ServiceInstance"',
    "paths": "some_paths",
    "count": "1",
    "task_id": '"task-7"',
    "url": '"https://user:pass@host/sdk"',
    "name": '"locale"',
    "value": '"en_US"',
    "password": '"pass"',
    "interval_ms": "1000",
    "timeout_ms": "0",
    "tag": "1",
    "function": "NULL",
    "data": "NULL",
    "free_data": "NULL",
}

# Pointers that may be NULL, by their type, or by function and name.
MAY_BE_NULL = {
    "const struct vsession_call_options *",
    "const struct vsession_task_wait *",
    "vsession_credentials_fn",
    "vsession_keepalive_fn",
    "void *",
    "void (*)(void *data)",
    ("vsession_refresh", "out"),
    ("vsession_get_properties", "id"),
    ("vsession_probe_certificate", "url"),
}

# Functions with a status that tests/c/boundary.c calls itself.
BY_HAND = {
    "vsession_probe_certificate": "makes a connection, and its null handle means the defaults",
}


def sample(function, given):
    for key in (given.name, given.type):
        if key in SAMPLES:
            return SAMPLES[key]
    raise SystemExit(f"{function.name}: no sample for '{given.type} {given.name}'; add one to SAMPLES in tests/abi/functions.py")


def call(function, replaced, by, error):
    """A call that is correct except for one argument."""
    arguments = [
        by if given is replaced else error if given.name == "err" else sample(function, given) for given in function.parameters
    ]
    return f"{function.name}({', '.join(arguments)})"


def with_wrong_handles():
    """Each handle of each function with a status: (name, type, argument, whether it has a place for an error, call)."""
    for function in functions():
        if not function.has_status or function.name in BY_HAND:
            continue
        for position, given in enumerate(function.handles):
            name = function.name if position == 0 else f"{function.name}_{given.name}"
            type_name = given.type.removeprefix("struct ")
            yield name, type_name, given.name, function.has_error, call(function, given, "h", "e")


def with_wrong_pointers():
    """Each pointer of each function with an error: (argument, call), once NULL and once not UTF-8."""
    for function in functions():
        if not function.has_status or not function.has_error or function.name in BY_HAND:
            continue
        for given in function.parameters:
            if not given.is_pointer or given.name == "err":
                continue
            if given.type not in MAY_BE_NULL and (function.name, given.name) not in MAY_BE_NULL:
                yield given.name, call(function, given, "NULL", "&error")
            if given.type == "const char *":
                yield given.name, call(function, given, "BAD_TEXT", "&error")


def table(name, rows):
    return f"#define {name}(X) \\\n" + " \\\n".join(f"    X({', '.join(row)})" for row in rows) + "\n"


def generated():
    """tests/c/functions.h"""
    handles = [(n, t, f'"{a}"', "true" if e else "false", c) for n, t, a, e, c in with_wrong_handles()]
    pointers = [(f'"{argument}"', made) for argument, made in with_wrong_pointers()]
    return (
        "/* Generated from include/vsession.h by 'tests/abi/check.py update'; do not edit. */\n\n"
        "/* Each handle that a function with a status takes: a name, the handle's type, the argument, whether there is a place for\n"
        " * the error (`e`), and a call that is correct except for the handle `h`. */\n" + table("STATUS_FUNCTIONS", handles) + "\n"
        "/* Each pointer that these functions take: the argument, and a call with NULL or with a string that is not UTF-8 instead. */\n"
        + table("WRONG_POINTERS", pointers)
    )
