import time

from harness.bench import Budget, load
from harness.server import FLAGS, Server

TITLE = "Long polls"
WHAT = """\
Asynchronous calls of `WaitForUpdatesEx` over TLS, which the server answers to never, spread over sessions that each have connections
of their own. *Under way*: those that came to the server. Memory is what the process has grown by since the logins, for each of them,
and *threads* are those of the library then. *Cancel*: the longest of the times from `vsession_cancel_fire` to the completion, of
20 polls all over the list. *Shutdown*: `vsession_shutdown` with the rest under way; all have to complete, and no thread and no session may
be left."""

# Sessions and polls, by turns.
LOADS = load("POLLS", 1, 10000, 200, 10000)
FLAGS["polled"] = ["-endpoints", "vim"]


def measure(bench):
    for sessions, polls in zip(LOADS[::2], LOADS[1::2]):
        samples = {"vsession": [run(bench, sessions, polls)]}
        where = f"{polls} polls, {sessions} session{'s' * (sessions > 1)}"
        bench.row(where, "under way", "", samples, lambda s: s["under_way"], lower_is_better=False, budget=Budget(at_least=polls))
        bench.row(where, "threads", "", samples, lambda s: s["threads"], budget=Budget(at_most=12))
        bench.row(where, "memory of a poll under way", "KiB", samples, lambda s: s["bytes"] / 1024 / max(s["under_way"], 1), budget=Budget(at_most=24, unit="KiB"))
        bench.row(where, "CPU to start one under way", "µs", samples, lambda s: s["cpu_ns"] / 1000 / max(s["under_way"], 1))
        bench.row(where, "cancel", "ms", samples, lambda s: max(s["latencies_ns"]) / 1e6, budget=Budget(at_most=5, unit="ms"), chart=True)
        bench.row(where, "shutdown", "ms", samples, lambda s: s["close_ns"] / 1e6)
        bench.row(where, "left: completions, threads, sessions", "", samples, lambda s: s["missing"] + s["threads_after"] + s["sessions_after"], budget=Budget(at_most=0))


def run(bench, sessions, polls):
    server = Server("polled")
    seen = {}

    def on_ready(trial):
        if trial == 0:
            server.control("POST", "/rules", {"method": "WaitForUpdatesEx", "hang": True})
        elif trial == 1:
            seen["under_way"] = steady(server, polls)
        else:
            seen["sessions_after"] = server.control("GET", "/stats")["sessions"]

    try:
        figures = bench.run("waiting", "polls", server, sessions=sessions, polls=polls, on_ready=on_ready, longest=300)
    finally:
        server.stop()
    return {**figures, **seen}


def steady(server, wanted):
    """How many polls are at the server when no more have come for two seconds."""
    last = since = None
    while True:
        now = server.control("GET", "/stats")["calls"].get("WaitForUpdatesEx", 0)
        if now != last:
            last, since = now, time.monotonic()
        if now >= wanted or time.monotonic() - since > 2:
            return now
        time.sleep(0.05)
