from harness.bench import Budget, load
from harness.server import FLAGS, Server

TITLE = "Keeping sessions with many servers alive"
WHAT = """\
One process has one session with each of many servers, which are as many addresses of one simulator, over TLS. Every session is
asked for a sign of life each ten seconds; CPU of the client for one such probe. *Warm*: the connections live on from one probe to
the next. *New connections*: they are closed after a second, as those of a usual program are between its probes, ten minutes apart;
then each probe makes its own. Of the handshakes some may resume a TLS session."""

SERVERS = load("SERVERS", 1000)
INTERVAL_MS = 10000
BUDGETS = {"warm": None, "new connections": Budget(at_most=250, unit="µs")}
IDLE_MS = {"warm": 60000, "new connections": 1000}


def measure(bench):
    for servers in SERVERS:
        for how, idle_ms in IDLE_MS.items():
            samples = {"vsession": [kept_alive(bench, servers, idle_ms)]}
            where = f"{servers} servers, {how}"
            bench.row(where, "CPU of a probe", "µs", samples, lambda s: s["window_cpu_ns"] / 1000 / s["probes"], budget=BUDGETS[how], chart=True)
            bench.row(where, "handshakes of a probe", "", samples, lambda s: s["handshakes"] / s["probes"])
            bench.row(where, "handshakes that resumed a session", "%", samples, lambda s: 100 * s["resumed"] / max(s["handshakes"], 1), lower_is_better=False)
            bench.row(where, "memory of a session", "KiB", samples, lambda s: s["bytes_a_session"] / 1024)
            bench.row(where, "threads", "", samples, lambda s: s["most_threads"], budget=Budget(at_most=10))


def kept_alive(bench, servers, idle_ms):
    FLAGS["addresses"] = ["-endpoints", "vim", "-addresses", str(servers + 1)]
    server = Server("addresses")
    try:
        seen = []
        figures = bench.run(
            "scale", "alive", server, sessions=servers, interval_ms=INTERVAL_MS, idle_ms=idle_ms, settle_ms=INTERVAL_MS + 2000,
            window_ms=2 * INTERVAL_MS, close=0, longest=300, on_ready=lambda trial: seen.append(server.control("GET", "/stats")),
        )  # fmt: skip
    finally:
        server.stop()
    before, after = seen
    return {
        **figures,
        "probes": after["calls"]["CurrentTime"] - before["calls"].get("CurrentTime", 0),
        "handshakes": after["tls_handshakes"] - before["tls_handshakes"],
        "resumed": after["tls_resumed"] - before["tls_resumed"],
    }
