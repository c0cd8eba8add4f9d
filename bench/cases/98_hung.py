from harness.bench import Budget, load
from harness.peers import NameServer, Silent
from harness.server import FLAGS, Server

TITLE = "Servers that hang, beside one that is well"
WHAT = """\
So many sessions log in at a server that never answers, and meanwhile a session logs in at one that is well, three times. The
longest of these logins. *Threads*: `vsession_login` on a thread for each; *async*: `vsession_call_async` for all, the last one's too.

- *no reply*: the server takes connections and says nothing to the first request; *TLS handshake*: nothing to the ClientHello;
- *name lookup*: the name server says nothing; each session has another name, the server that is well has one that is known
  (*a name*) or needs none (*an address*).

*Probes*: keep-alive each second of so many sessions, whose server has fallen silent, and of one whose server has not. How much
longer than the interval the latter was left without a probe at most."""

HUNG = load("HUNG", 0, 64, 256, 1024)
PROBES = load("HUNG_PROBES", 0, 64, 256)
(WINDOW,) = load("HUNG_WINDOW", 10)  # seconds
(TRIALS,) = load("HUNG_TRIALS", 3)
BUDGET = Budget(at_most=50, unit="ms")

# Nothing but vim25, and a log, for the times of the probes.
FLAGS["probed"] = ["-tls=false", "-endpoints", "vim", "-log", "200000"]


def measure(bench):
    server = bench.server("tls")
    for how in ("threads", "async"):
        for hung in HUNG:
            with Silent() as silent:
                at = "%s:%d" % silent.address
                logins(bench, f"no reply, {how}", hung, server, how=how, hung_url=f"http://{at}/sdk")
                logins(bench, f"TLS handshake, {how}", hung, server, how=how, hung_url=f"https://{at}/sdk")
    why_not = NameServer.why_not(server)
    for hung in HUNG if not why_not else ():
        with NameServer(server) as names:
            url = f"https://hung#.{names.NAME}/sdk"
            logins(bench, "name lookup, an address", hung, server, prefix=names.prefix, hung_url=url)
            # Its certificate does not have the name, so this one is asked without TLS.
            logins(bench, "name lookup, a name", hung, bench.server("http"), prefix=names.prefix, hung_url=url, known_name=names.NAME)
    for hung in PROBES:
        samples = {"vsession": [probes(bench, hung) for _ in range(bench.rounds)]}
        bench.row(f"probes, {hung} hung", "late at most", "ms", samples, lambda s: s["late_ns"] / 1e6, budget=BUDGET)
        bench.row(f"probes, {hung} hung", "threads", "", samples, lambda s: s["threads"])


def logins(bench, name, hung, server, how="threads", prefix=(), hung_url="", known_name=None):
    environment = {"BENCH_HUNG_URL": hung_url}
    if known_name:
        host = server.info["host"].rsplit(":", 1)[0]
        environment["BENCH_URL"] = server.info["url"].replace(host, known_name)
    samples = {
        "vsession": [
            bench.run("waiting", "logins", server, prefix=prefix, environment=environment, hung=hung, how=how, trials=TRIALS, max_connections=1024)
            for _ in range(bench.rounds)
        ]
    }
    for message, count in samples["vsession"][0]["messages"].items():
        print(f"    {count} × {message}", flush=True)
    bench.row(f"{name}, {hung} hung", "login", "ms", samples, lambda s: max(s["latencies_ns"]) / 1e6, budget=BUDGET, chart=True, combine=max)
    bench.row(f"{name}, {hung} hung", "threads of the library", "", samples, lambda s: s["threads"])


def probes(bench, hung):
    """Until now all is well; from the first "ready" on, one of the two servers is silent."""
    server, sick = Server("probed"), Server("probed")
    try:
        marks = []

        def on_ready(trial):
            marks.append(server.control("GET", "/stats")["now_ns"])
            if trial == 0:
                sick.control("POST", "/rules", {"method": "CurrentTime", "hang": True})

        options = {"keepalive.interval_ms": 1000}
        figures = bench.run(
            "waiting", "probes", server, environment={"BENCH_HUNG_URL": sick.info["url"]}, hung=hung, window_ms=1000 * WINDOW,
            on_ready=on_ready, **options,
        )  # fmt: skip
        log = server.control("GET", "/log")
    finally:
        server.stop()
        sick.stop()
    begin, end = marks
    times = [begin, *(e["start_ns"] for e in log if e.get("method") == "CurrentTime" and begin < e["start_ns"] < end), end]
    longest = max(later - earlier for earlier, later in zip(times, times[1:]))
    return {**figures, "late_ns": max(longest - 1_000_000_000, 0)}
