#!/usr/bin/env python3
"""Compares what the threads of a stress run saw with the simulator's log.

    check_history.py FOLDER      the files thread-* of a run, while its simulator runs (VSESSION_TEST_CONTROL)
    check_history.py prove       shows that histories with one error each are found wrong

Lines of a history, times in nanoseconds by the monotonic clock:

    epoch START END SESSION EPOCH               a thread read an epoch
    identity START END SESSION EPOCH KEY COOKIE an identity, and the cookie of the same epoch, or -
    call START END ID STATUS EXECUTED EPOCH     a call ended; EXECUTED and EPOCH as the library reports them
    repeatable ...                              the same for an idempotent call
    completed 0 END ...                         the same for an asynchronous call
    unclosed STATUS                             a close that reported a failed logout
"""

import collections
import json
import os
import pathlib
import sys
import urllib.request

OK = 0
NO, MAYBE, YES = 0, 1, 2  # vsession_executed
# The method may have run; the client has no reply that says so.
UNKNOWN = {"reset", "close", "request cut off"}


def check(lines, log, left):
    """Yields the findings."""
    reads, calls, unclosed = [], {}, 0
    identities = collections.defaultdict(dict)
    made = {entry["new_session_key"] for entry in log if entry.get("new_session_key") and entry["result"] == "ok"}
    key_of_cookie = {}
    for entry in log:
        if entry.get("session_key") and entry.get("cookie"):
            if key_of_cookie.setdefault(entry["cookie"], entry["session_key"]) != entry["session_key"]:
                yield f"the server itself has two sessions for the cookie {entry['cookie']}"

    for line in lines:
        kind, *rest = line.split()
        if kind == "epoch":
            start, end, session, epoch = rest
            reads.append((int(start), int(end), session, int(epoch)))
        elif kind == "identity":
            start, end, session, epoch, key, cookie = rest
            reads.append((int(start), int(end), session, int(epoch)))
            if identities[session].setdefault(int(epoch), key) != key:
                yield f"session {session}: epoch {epoch} has the keys {identities[session][int(epoch)]} and {key}"
            if key not in made:
                yield f"session {session}: the key {key} never came from the server"
            value = cookie.partition("=")[2] or cookie
            if cookie != "-" and key_of_cookie.get(value, key) != key:
                yield f"session {session}: the key {key} was read with the cookie of {key_of_cookie[value]}"
        elif kind in ("call", "repeatable", "completed"):
            _, _, operation, status, executed, _ = rest
            if operation in calls:
                yield f"{operation} ended twice"
            calls[operation] = (kind, int(status), int(executed))
        elif kind == "unclosed":
            unclosed += 1
        else:
            yield f"unknown line '{line.strip()}'"

    for session, keys in identities.items():
        twice = [key for key, n in collections.Counter(keys.values()).items() if n > 1]
        if twice:
            yield f"session {session}: the key {twice[0]} has two epochs"

    yield from epochs_that_go_back(reads)

    requests = collections.defaultdict(list)
    for entry in log:
        if entry["method"] == "CurrentTime" and entry.get("operation_id"):
            requests[entry["operation_id"]].append(entry["result"])
    for operation, (kind, status, executed) in calls.items():
        results = requests.get(operation, [])
        ran = sum(result == "ok" for result in results)
        may_have_run = sum(result in UNKNOWN for result in results)
        most = 2 if kind == "repeatable" else 1
        if ran + may_have_run > most:
            yield f"{operation} ({kind}) may have run {ran + may_have_run} times: {results}"
        if status == OK and ran == 0:
            yield f"{operation} succeeded and never ran: {results}"
        if status != OK and executed == NO and ran > 0:
            yield f"{operation} failed with {status}, was reported as not executed, and ran: {results}"
        if status != OK and executed == YES and ran + may_have_run == 0 and not results:
            yield f"{operation} failed with {status}, was reported as executed, and was never sent"

    if len(left) > unclosed:
        yield f"{len(left)} sessions are left on the server, and {unclosed} closes reported that they left one"


def epochs_that_go_back(reads):
    """Yields epochs that are smaller than one read earlier."""
    ends = sorted(reads, key=lambda read: read[1])
    newest = collections.defaultdict(int)
    at = 0
    for start, _, session, epoch in sorted(reads):
        while at < len(ends) and ends[at][1] < start:
            newest[ends[at][2]] = max(newest[ends[at][2]], ends[at][3])
            at += 1
        if epoch < newest[session]:
            yield f"session {session}: epoch {epoch} was read after {newest[session]}"


def prove():
    good = [
        "epoch 10 20 s 1", "identity 30 40 s 1 K1 C1", "epoch 35 60 s 2", "identity 70 80 s 2 K2 C2",
        "call 5 9 a 0 2 1", "call 5 9 b 81 0 0", "repeatable 5 9 c 0 2 1", "completed 0 9 d 44 1 0",
    ]  # fmt: skip
    log = [
        {"method": "Login", "result": "ok", "new_session_key": "K1"},
        {"method": "Login", "result": "ok", "new_session_key": "K2"},
        {"method": "CurrentTime", "result": "ok", "operation_id": "a", "session_key": "K1", "cookie": "C1"},
        {"method": "CurrentTime", "result": "NotAuthenticated", "operation_id": "b"},
        {"method": "CurrentTime", "result": "reset", "operation_id": "c", "session_key": "K2", "cookie": "C2"},
        {"method": "CurrentTime", "result": "ok", "operation_id": "c"},
        {"method": "CurrentTime", "result": "reset", "operation_id": "d"},
    ]
    found = list(check(good, log, []))
    assert not found, found
    ran = {"method": "CurrentTime", "result": "ok"}
    wrong = {
        "an epoch that goes back": (["epoch 90 95 s 1"], [], []),
        "another login's cookie": (["identity 90 95 s 2 K2 C1"], [], []),
        "two keys in one epoch": (["identity 90 95 s 2 K1 -"], [], []),
        "one key in two epochs": (["identity 90 95 s 3 K2 -"], [], []),
        "a key from nowhere": (["identity 90 95 s 3 K9 -"], [], []),
        "a call that ran twice": ([], [{**ran, "operation_id": "a"}], []),
        "a call that may have run twice": ([], [{**ran, "operation_id": "d"}], []),
        "a repeatable one that ran three times": ([], [{**ran, "operation_id": "c"}], []),
        "a call that ran and was reported as not executed": ([], [{**ran, "operation_id": "b"}], []),
        "a success that never ran": (["call 5 9 e 0 2 1"], [], []),
        "a call that ended twice": (["completed 0 9 d 44 1 0"], [], []),
        "a session left": ([], [], [{"key": "K2"}]),
    }
    for what, (lines, entries, left) in wrong.items():
        found = list(check(good + lines, log + entries, left))
        assert found, f"not found: {what}"
    print(f"{len(wrong)} wrong histories are found")


def ask(path):
    with urllib.request.urlopen(os.environ["VSESSION_TEST_CONTROL"] + path) as answer:
        return json.load(answer)


def main():
    if sys.argv[1:] == ["prove"]:
        return prove()
    folder = pathlib.Path(sys.argv[1])
    lines = [line for path in sorted(folder.glob("thread-*")) for line in path.read_text().splitlines()]
    log, left = ask("/log"), ask("/sessions")
    if len(log) == ask("/stats")["requests"]:
        wrong = list(check(lines, log, left))
    else:
        wrong = ["the simulator's log has lost its beginning; start it with a larger -log"]
    for finding in wrong[:20]:
        print(finding)
    print(f"history: {len(lines)} lines, {len(log)} requests, {len(wrong)} findings")
    return len(wrong) > 0 or len(lines) < 100


if __name__ == "__main__":
    sys.exit(main())
