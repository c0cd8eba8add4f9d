import contextlib

from harness.bench import Budget
from harness.server import FLAGS, Server

TITLE = "Many idle sessions, and keeping them alive"
WHAT = """\
One process opens this number of sessions with one server. At rest means seven seconds later, when idle connections and threads
are gone; memory is the growth of the process since its first login, for each session. In the rows with keep-alive, a probe asks
for every session each ten seconds, or each twenty for 10,000 sessions. They show the client's CPU for one
probe, the most probes that reached the server within a tenth of a second, and the most that it had to answer at the same time, which
with vsession is the number of workers for probes: three. The program on govmomi has a client, a connection and a goroutine for each
session."""

# Only vim25, and a log long enough for the window.
FLAGS["many"] = ["-tls=false", "-endpoints", "vim", "-log", "200000"]
FLAGS["many-tls"] = ["-endpoints", "vim", "-log", "200000"]
TENTH = 100_000_000
# For probes, in src/runtime/workers.rs.
WORKERS = 3


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
        for sessions, interval_ms in ((1000, 10000), (10000, 20000)):
            programs = {"vsession": "scale", "govmomi": "govmomi"}
            samples = {who: [kept_alive(bench, program, kind, sessions, interval_ms)] for who, program in programs.items()}
            report(bench, f"{sessions} sessions, {name}, keep-alive", samples)


def report(bench, where, samples):
    bench.row(where, "CPU of a probe", "µs", samples, lambda s: s["window_cpu_ns"] / 1000 / s["probes"], budget=Budget(times={"govmomi": 0.25}))
    bench.row(where, "memory of a session", "KiB", samples, lambda s: s["bytes_a_session"] / 1024, budget=Budget(at_most=4, unit="KiB"))
    bench.row(where, "probes in 100 ms, mean", "", samples, lambda s: s["mean"])
    bench.row(where, "probes in 100 ms, most", "", samples, lambda s: s["burst"])
    bench.row(where, "probes at a time, most", "", samples, lambda s: s["at_once"], budget=Budget(at_most=WORKERS))
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


def kept_alive(bench, program, kind, sessions, interval_ms):
    with fresh(kind) as server:
        # So that a session that is not kept alive has expired by the end.
        server.control("POST", "/session-timeout", {"timeout": f"{interval_ms * 3 // 2}ms"})
        times = []
        figures = bench.run(
            program, "alive", server, sessions=sessions, interval_ms=interval_ms, settle_ms=interval_ms + 2000, window_ms=20000, close=0,
            longest=300, on_ready=lambda trial: times.append(server.control("GET", "/stats")["now_ns"]),
        )  # fmt: skip
        begin, end = times
        log = server.control("GET", "/log")
        ended = server.control("GET", "/stats")["expired"]
    if ended > 1:  # the very first session has another interval, or none
        raise RuntimeError(f"{ended} sessions were not kept alive by {program}")
    probes = [e for e in log if e.get("method") == "CurrentTime" and begin <= e["start_ns"] <= end]
    starts = sorted(e["start_ns"] for e in probes)
    return {
        **figures,
        "probes": len(probes),
        "mean": len(probes) * TENTH / (end - begin),
        "burst": most_within(starts, TENTH),
        "at_once": most_at_once(probes),
    }


def most_within(times, span):
    most = first = 0
    for last, time in enumerate(times):
        while time - times[first] >= span:
            first += 1
        most = max(most, last - first + 1)
    return most


def most_at_once(requests):
    changes = sorted([(r["start_ns"], 1) for r in requests] + [(r["end_ns"], -1) for r in requests])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most
