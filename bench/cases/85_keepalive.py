import contextlib

from harness.bench import Budget
from harness.server import FLAGS, Server

TITLE = "Many sessions at rest, and keeping them alive"
WHAT = """\
One process logs in so many sessions with one server. At rest: seven seconds later, when connections and threads that have
nothing to do are gone; memory is what the process has grown by since its first login, for each session. Keep-alive: every
session is asked for a sign of life each ten seconds; CPU of the client for one such probe, and the most probes that came to the
server within a tenth of a second; govmomi does it with a client, a connection and a goroutine for each session."""

# Nothing but vim25, and a log long enough for the window.
FLAGS["many"] = ["-tls=false", "-endpoints", "vim", "-log", "200000"]
FLAGS["many-tls"] = ["-endpoints", "vim", "-log", "200000"]
TENTH = 100_000_000


def measure(bench):
    for kind, name in (("many", "HTTP"), ("many-tls", "TLS")):
        for sessions in (100, 1000, 10000):
            samples = {"vsession": [at_rest(bench, kind, sessions)]}
            where = f"{sessions} sessions, {name}"
            enough = sessions >= 1000
            budget = Budget(at_most=4, unit="KiB") if enough else None
            bench.row(where, "memory of a session", "KiB", samples, lambda s: s["bytes_a_session"] / 1024, budget=budget, chart=enough)
            bench.row(where, "threads", "", samples, lambda s: max(s["threads"], s["threads_busy"]), budget=Budget(at_most=10))
            bench.row(where, "descriptors", "", samples, lambda s: s["fds"])
        programs = {"vsession": "scale", "govmomi": "govmomi"}
        samples = {who: [kept_alive(bench, program, kind, 1000)] for who, program in programs.items()}
        where = f"1000 sessions, {name}, keep-alive"
        bench.row(where, "CPU of a probe", "µs", samples, lambda s: s["window_cpu_ns"] / 1000 / s["probes"], budget=Budget(times={"govmomi": 0.25}))
        bench.row(where, "memory of a session", "KiB", samples, lambda s: s["bytes_a_session"] / 1024)
        bench.row(where, "probes in 100 ms, mean", "", samples, lambda s: s["mean"])
        bench.row(where, "probes in 100 ms, most", "", samples, lambda s: s["burst"])
        bench.row(where, "threads", "", samples, lambda s: s["most_threads"], budget=Budget(at_most=10))


@contextlib.contextmanager
def fresh(kind):
    """A server without the sessions of an earlier run."""
    server = Server(kind)
    try:
        yield server
    finally:
        server.stop()


def at_rest(bench, kind, sessions):
    with fresh(kind) as server:
        return bench.run("scale", "rest", server, sessions=sessions, close=0)


def kept_alive(bench, program, kind, sessions):
    with fresh(kind) as server:
        times = []
        figures = bench.run(
            program, "alive", server, sessions=sessions, interval_ms=10000, settle_ms=12000, window_ms=20000,
            on_ready=lambda trial: times.append(server.control("GET", "/stats")["now_ns"]),
        )  # fmt: skip
        begin, end = times
        log = server.control("GET", "/log")
    probes = sorted(e["start_ns"] for e in log if e.get("method") == "CurrentTime" and begin <= e["start_ns"] <= end)
    return {**figures, "probes": len(probes), "mean": len(probes) * TENTH / (end - begin), "burst": most_within(probes, TENTH)}


def most_within(times, span):
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] >= span:
            first += 1
        most = max(most, last - first + 1)
    return most
