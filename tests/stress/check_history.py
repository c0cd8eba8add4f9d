#!/usr/bin/env python3
"""Compares what the threads of a stress run saw with the simulator's log.

    check_history.py FOLDER      the files thread-* of a run, while its simulator runs (VSESSION_TEST_CONTROL)
    check_history.py prove       shows that histories with one error each are found wrong

Lines of a history, times in nanoseconds by the monotonic clock:

    epoch START END SESSION EPOCH SERVICE       a thread read an epoch, of vim25 or rest
    states START END SESSION STATE REST_STATE   a thread read both states
    identity START END SESSION EPOCH KEY COOKIE an identity, and the cookie of the same epoch, or -
    call START END ID STATUS EXECUTED EPOCH SESSION SERVICE
                                                a call ended; EXECUTED and EPOCH as the library reports them
    repeatable ...                              the same for an idempotent call
    completed 0 END ...                         the same for an asynchronous call
    asked START SESSION                         an asynchronous request through REST began
    closing START SESSION                       a close began; of every session if it is 0
    closed END SESSION                          a close ended
    unclosed END STATUS SESSIONS                a close that reported a failed logout, and how many sessions it may have left
    killed START                                the server was told to end all sessions
"""

import collections
import json
import os
import pathlib
import sys
import urllib.request

OK = 0
NO, MAYBE, YES = 0, 1, 2  # vsession_executed
INVALID, LOGGED_OUT, CLOSED = 0, 1, 7  # vsession_state
# The method may have run; the client has no reply that says so.
UNKNOWN = {"reset", "close", "request cut off"}


def check(lines, log, left):
    """Yields the findings."""
    reads, states, calls, unclosed, killed = [], [], {}, [], 0
    asked, closing, closed = {}, {}, {}  # when something first happened to a session
    identities = collections.defaultdict(dict)
    made = {entry["new_session_key"] for entry in log if entry.get("new_session_key") and entry["result"] == "ok"}
    key_of_cookie = {}
    for entry in log:
        if entry.get("session_key") and entry.get("cookie_header"):
            if key_of_cookie.setdefault(entry["cookie_header"], entry["session_key"]) != entry["session_key"]:
                yield f"the server itself has two sessions for the cookie {entry['cookie_header']}"

    for line in lines:
        kind, *rest = line.split()
        if kind == "epoch":
            start, end, session, epoch, service = rest
            reads.append((int(start), int(end), f"{session} ({service})", int(epoch)))
        elif kind == "states":
            states.append([*map(int, rest[:2]), rest[2], *map(int, rest[3:])])
        elif kind == "identity":
            start, end, session, epoch, key, cookie = rest
            session += " (vim25)"
            reads.append((int(start), int(end), session, int(epoch)))
            if identities[session].setdefault(int(epoch), key) != key:
                yield f"session {session}: epoch {epoch} has the keys {identities[session][int(epoch)]} and {key}"
            if key not in made:
                yield f"session {session}: the key {key} never came from the server"
            if cookie != "-" and key_of_cookie.get(cookie, key) != key:
                yield f"session {session}: the key {key} was read with the cookie of {key_of_cookie[cookie]}"
        elif kind in ("call", "repeatable", "completed"):
            start, end, operation, status, executed, epoch, session, service = rest
            if operation in calls:
                yield f"{operation} ended twice"
            calls[operation] = (kind, int(start), int(status), int(executed), int(epoch), session, service)
            if int(epoch) > 0:
                reads.append((int(start), int(end), f"{session} ({service})", int(epoch)))
            if service == "rest" and kind != "completed":
                asked[session] = min(asked.get(session, int(start)), int(start))
        elif kind in ("asked", "closing", "closed"):
            first = {"asked": asked, "closing": closing, "closed": closed}[kind]
            first[rest[1]] = min(first.get(rest[1], int(rest[0])), int(rest[0]))
        elif kind == "unclosed":
            unclosed.append((int(rest[0]), int(rest[2])))
        elif kind == "killed":
            killed = max(killed, int(rest[0]))
        else:
            yield f"unknown line '{line.strip()}'"

    yield from states_that_cannot_be(states, asked, closing, closed)

    requests = collections.defaultdict(list)
    for entry in log:
        if (entry["method"] in ("CurrentTime", "PbmQueryProfile") or entry["path"].startswith("/api/vcenter/")) and entry.get("operation_id"):
            requests[entry["operation_id"]].append(entry)

    # A reply is of the session that the server saw.
    for operation, (_, _, status, _, epoch, session, service) in calls.items():
        ran = [entry for entry in requests[operation] if entry["result"] == "ok"]
        if status != OK or service == "nobody" or len(ran) != 1:
            continue
        key, session = ran[0].get("cookie", "none"), f"{session} ({service})"
        if key not in made:
            yield f"{operation} ran through the key {key}, which never came from the server"
        known = identities[session].setdefault(epoch, key)
        if known != key:
            yield f"session {session}: {operation} of epoch {epoch} ran through the key {key}, and that epoch's is {known}"

    for session, keys in identities.items():
        # A REST session may take over one vim25 session twice.
        if session.endswith("(rest)"):
            continue
        twice = [key for key, n in collections.Counter(keys.values()).items() if n > 1]
        if twice:
            yield f"session {session}: the key {twice[0]} has two epochs"

    yield from epochs_that_go_back(reads)

    for operation, (kind, start, status, executed, _, session, _) in calls.items():
        results = [entry["result"] for entry in requests[operation]]
        ran = sum(result == "ok" for result in results)
        may_have_run = sum(result in UNKNOWN for result in results)
        most = 2 if kind == "repeatable" else 1
        if ran + may_have_run > most:
            yield f"{operation} ({kind}) may have run {ran + may_have_run} times: {results}"
        # With `raw`, an answer that refuses is a reply too.
        if status == OK and ran == 0 and not (results and results[-1].startswith("http ")):
            yield f"{operation} succeeded and never ran: {results}"
        if status == OK and start > closed.get(session, start):
            yield f"{operation} succeeded after its session {session} was closed"
        if status != OK and executed == NO and ran > 0:
            yield f"{operation} failed with {status}, was reported as not executed, and ran: {results}"
        if status != OK and executed == YES and ran + may_have_run == 0 and not results:
            yield f"{operation} failed with {status}, was reported as executed, and was never sent"

    reported = sum(number for end, number in unclosed if end > killed)
    if len(left) > reported:
        yield f"{len(left)} sessions are left on the server, and closes reported {reported} since all were ended"


def states_that_cannot_be(states, asked, closing, closed):
    """Yields states that contradict what the program had done by then."""
    for start, end, session, *both in states:
        shown = f"session {session}: the states {both}"
        if INVALID in both:
            yield f"{shown} of a handle that was open once"
        if start > closed.get(session, start) and both != [CLOSED, CLOSED]:
            yield f"{shown} were read after a close"
        if CLOSED in both and end < min(closing.get(session, end + 1), closing.get("0", end + 1)):
            yield f"{shown} were read before any close"
        if both[1] not in (LOGGED_OUT, CLOSED) and end < asked.get(session, end + 1):
            yield f"{shown} were read before any request through REST"


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
        "epoch 10 20 s 1 vim25", "identity 30 40 s 1 K1 C1", "epoch 35 60 s 2 vim25", "identity 70 80 s 2 K2 C2",
        "call 5 9 a 0 2 1 s vim25", "call 5 9 b 81 0 0 s vim25", "repeatable 71 80 c 0 2 2 s vim25", "completed 0 9 d 44 1 0 s vim25",
        "call 15 25 r 0 2 4 s rest", "epoch 26 27 s 4 rest", "states 11 12 s 3 1", "states 28 29 s 3 3", "call 15 16 n 0 2 0 s nobody",
        "asked 50 t", "states 51 52 t 3 3", "closing 60 t", "states 61 62 t 7 3", "closed 70 t", "states 71 72 t 7 7", "unclosed 25 21 8", "killed 30", "unclosed 90 21 2",
    ]  # fmt: skip
    hello = {"method": "POST", "path": "/api/vcenter/system"}
    log = [
        {"method": "Login", "path": "/sdk", "result": "ok", "new_session_key": "K1"},
        {"method": "Login", "path": "/sdk", "result": "ok", "new_session_key": "K2"},
        {"method": "POST", "path": "/api/session", "result": "ok", "new_session_key": "K4"},
        {"method": "CurrentTime", "path": "/sdk", "result": "ok", "operation_id": "a", "session_key": "K1", "cookie": "K1", "cookie_header": "C1"},
        {"method": "CurrentTime", "path": "/sdk", "result": "NotAuthenticated", "operation_id": "b"},
        {"method": "CurrentTime", "path": "/sdk", "result": "reset", "operation_id": "c", "session_key": "K2", "cookie": "K2", "cookie_header": "C2"},
        {"method": "CurrentTime", "path": "/sdk", "result": "ok", "operation_id": "c", "cookie": "K2"},
        {"method": "CurrentTime", "path": "/sdk", "result": "reset", "operation_id": "d"},
        {**hello, "result": "ok", "operation_id": "r", "cookie": "K4"},
        {**hello, "result": "ok", "operation_id": "n"},
    ]  # fmt: skip
    left_over = [{"key": "K2"}, {"key": "K4"}]  # as the close said
    found = list(check(good, log, left_over))
    assert not found, found
    ran = {"method": "CurrentTime", "path": "/sdk", "result": "ok"}
    wrong = {
        "an epoch that goes back": (["epoch 90 95 s 1 vim25"], [], []),
        "a REST epoch that goes back": (["epoch 90 95 s 3 rest"], [], []),
        "a reply of an older epoch": (["call 90 95 e 0 2 3 s rest"], [{**hello, "result": "ok", "operation_id": "e", "cookie": "K1"}], []),
        "another login's cookie": (["identity 90 95 s 2 K2 C1"], [], []),
        "two keys in one epoch": (["identity 90 95 s 2 K1 -"], [], []),
        "one key in two epochs": (["identity 90 95 s 3 K2 -"], [], []),
        "a key from nowhere": (["identity 90 95 s 3 K9 -"], [], []),
        "a call that ran twice": ([], [{**ran, "operation_id": "a"}], []),
        "a call that may have run twice": ([], [{**ran, "operation_id": "d"}], []),
        "a repeatable one that ran three times": ([], [{**ran, "operation_id": "c"}], []),
        "a call that ran and was reported as not executed": ([], [{**ran, "operation_id": "b"}], []),
        "a success that never ran": (["call 5 9 e 0 2 1 s vim25"], [], []),
        "a call that ended twice": (["completed 0 9 d 44 1 0 s vim25"], [], []),
        "a request through REST that ran twice": ([], [{**hello, "result": "ok", "operation_id": "r", "cookie": "K4"}], []),
        "a reply of another session": (["call 90 95 e 0 2 4 s rest"], [{**hello, "result": "ok", "operation_id": "e", "cookie": "K1"}], []),
        "a reply of a session from nowhere": (["call 90 95 e 0 2 5 s rest"], [{**hello, "result": "ok", "operation_id": "e", "cookie": "K9"}], []),
        "a request after the close": (["call 71 95 e 0 2 1 t rest"], [{**hello, "result": "ok", "operation_id": "e", "cookie": "K4"}], []),
        "a REST session that outlives the handle": (["states 71 72 t 7 3"], [], []),
        "a session that is closed by itself": (["states 11 12 s 7 7"], [], []),
        "a REST session that nobody asked for": (["states 11 12 s 3 3"], [], []),
        "a handle that was never one": (["states 11 12 s 0 0"], [], []),
        "a session left": ([], [], [{"key": "K5"}]),
    }  # fmt: skip
    for what, (lines, entries, left) in wrong.items():
        found = list(check(good + lines, log + entries, left_over + left))
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
    before, log, left, after = ask("/stats"), ask("/log"), ask("/sessions"), ask("/stats")
    # The simulator logs a request whose body was cut off, and does not count it. It counts a request that is still under way, such as a
    # long poll whose client has gone, and logs it at its end.
    whole = sum(entry["result"] != "request cut off" for entry in log)
    least, most = before["requests"] - before["requests_in_flight"], after["requests"]
    if least <= whole <= most:
        wrong = list(check(lines, log, left))
    else:
        wrong = [f"the simulator's log has {whole} whole requests and its counter {most}; if it has lost its beginning, start it with a larger -log"]
    for finding in wrong[:20]:
        print(finding)
    print(f"history: {len(lines)} lines, {len(log)} requests, {len(wrong)} findings")
    return len(wrong) > 0 or len(lines) < 100


if __name__ == "__main__":
    sys.exit(main())
