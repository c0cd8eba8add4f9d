import threading
import time

from harness.bench import Budget, load

TITLE = "An outage"
WHAT = """\
Threads call without end, each with a deadline of two seconds, a tenth of a second between its calls and permission to repeat them,
over 16 connections. For some seconds the server fails, then it is well again. *Sent*: the requests that came to it meanwhile, for
each call that was begun meanwhile; where it fails before there is a request, the connections that came. *First answer* and *last
thread's*: from the server's recovery until some thread and until each thread got an answer.

- *gone*: nobody listens, and what is tried shows nowhere; *restarts*: the same, and the session is lost;
- *closes connections*: it accepts and resets each connection; *resets*: it reads each request and resets the connection;
- *503*: it answers so; *silent*: it never answers;
- *logins fail*: the session has ended, and a login and what precedes it are answered 503. What callers were told is printed."""

THREADS = load("OUTAGE_THREADS", 64)
(SECONDS,) = load("OUTAGE_SECONDS", 4)
BEFORE, AFTER = 1, 8  # seconds


def rule(**what):
    return lambda server: server.control("POST", "/rules", {"method": "*", **what})


def gone(server):
    server.control("POST", "/listener/stop")
    server.control("POST", "/connections/close?reset")


def restarts(server):
    gone(server)
    server.control("POST", "/sessions/kill")


def closes(server):
    server.control("POST", "/wire", {"byte": 0, "then": "reset", "at_accept": True})
    server.control("POST", "/connections/close?reset")


def logins_fail(server):
    for method in ("Login", "RetrieveServiceContent"):
        rule(method=method, status=503)(server)
    server.control("POST", "/sessions/kill")


OUTAGES = {
    "gone": (gone, None),
    "restarts": (restarts, None),
    "closes connections": (closes, "connections_accepted"),
    "resets": (rule(reset="before"), "requests"),
    "503": (rule(status=503), "requests"),
    "silent": (rule(hang=True), "requests"),
    "logins fail": (logins_fail, "requests"),
}


def measure(bench):
    for threads in THREADS:
        for name, (fail, counter) in OUTAGES.items():
            samples = {"vsession": [run(bench, threads, fail) for _ in range(bench.rounds)]}
            where = f"{name}, {threads} threads"
            if counter:
                bench.row(where, "sent for a call", "", samples, lambda s: s[counter] / s["asked_meanwhile"], budget=Budget(at_most=1.1))
            bench.row(where, "first answer", "ms", samples, lambda s: s["first_ns"] / 1e6, budget=Budget(at_most=1000, unit="ms"))
            bench.row(where, "last thread's", "ms", samples, lambda s: s["last_ns"] / 1e6, budget=Budget(at_most=1000, unit="ms"), chart=True)
            bench.row(where, "CPU of a failed call", "µs", samples, lambda s: s["cpu_ns"] / 1000 / max(s["asked"] - s["count"], 1))
            for message, count in samples["vsession"][0]["messages"].items():
                print(f"    {count} × {message}", flush=True)


def run(bench, threads, fail):
    server = bench.server("tls")
    seen = []

    def outage():
        time.sleep(BEFORE)
        seen.append((time.monotonic_ns(), server.control("GET", "/stats")))
        fail(server)
        time.sleep(SECONDS)
        seen.append((time.monotonic_ns(), server.control("GET", "/stats")))
        recover(server)

    timer = threading.Thread(target=outage)
    try:
        figures = bench.run(
            "waiting", "load", server, threads=threads, seconds=BEFORE + SECONDS + AFTER, timeout_ms=2000, pause_ms=100, idempotent=1,
            max_connections=16, on_ready=lambda trial: timer.start() if trial == 0 else None,
        )  # fmt: skip
    finally:
        if timer.ident:
            timer.join()
        recover(server)
    (down, before), (up, after) = seen
    tenths = [(at - figures["begin_ns"]) // 100_000_000 for at in (down, up)]
    first = [min((at - up for at, _ in calls if at > up), default=AFTER * 1_000_000_000) for calls in figures["answers"]]
    counters = {name: after[name] - before[name] for name in ("requests", "connections_accepted")}
    return {**figures, **counters, "asked_meanwhile": sum(figures["asked_each_tenth"][slice(*tenths)]), "first_ns": min(first), "last_ns": max(first)}


def recover(server):
    server.control("DELETE", "/rules")
    server.control("POST", "/wire", {})
    server.control("POST", "/listener/start")
