from harness.bench import Budget, load

TITLE = "More callers than connections"
WHAT = """\
Threads share four connections to a server that takes 50 ms for a call, which makes 80 calls a second. Each calls again as soon as
its call has ended, with a deadline of 300 ms. *Answered*: the calls that brought a reply, as a part of those that the connections
can carry. A call whose deadline passes after it was sent costs its connection, so each such call shows as a TLS handshake. *Told
early*: of the calls that failed, those that did so before nine tenths of their deadline had passed, and were not sent.

*Fairness*: eight threads with a deadline of ten seconds; the calls of the thread that got the fewest, as a part of the mean."""

CONNECTIONS, SERVICE_MS, DEADLINE_MS = 4, 50, 300
THREADS = load("GOODPUT_THREADS", 16, 32, 64, 200)
(SECONDS,) = load("GOODPUT_SECONDS", 4)
CAPACITY = CONNECTIONS * 1000 / SERVICE_MS


def measure(bench):
    server = bench.server("tls")
    with server.rules({"method": "CurrentTime", "delay_ms": SERVICE_MS}):
        for threads in THREADS:
            samples = {"vsession": [run(bench, server, threads, DEADLINE_MS) for _ in range(bench.rounds)]}
            where = f"{threads} threads"
            full = lambda s: 100 * s["answered"] / SECONDS / CAPACITY
            bench.row(where, "answered", "%", samples, full, lower_is_better=False, budget=Budget(at_least=70, unit="%"), chart=True)
            bench.row(where, "TLS handshakes", "", samples, lambda s: s["handshakes"], budget=Budget(at_most=CONNECTIONS))
            bench.row(where, "sent for an answered call", "", samples, lambda s: s["sent"] / max(s["count"], 1))
            bench.row(where, "told early", "%", samples, told_early, lower_is_better=False)
            bench.row(where, "p99 of the answered", "ms", samples, lambda s: quantile(s, 0.99) / 1e6)
        samples = {"vsession": [run(bench, server, 8, 10_000) for _ in range(bench.rounds)]}
        bench.row("8 threads, no haste", "fairness", "%", samples, fairness, lower_is_better=False, budget=Budget(at_least=80, unit="%"))
        bench.row("8 threads, no haste", "longest call", "ms", samples, lambda s: quantile(s, 1) / 1e6)


def run(bench, server, threads, deadline_ms):
    seen = []
    figures = bench.run(
        "waiting", "load", server, threads=threads, seconds=SECONDS, timeout_ms=deadline_ms, max_connections=CONNECTIONS,
        on_ready=lambda trial: seen.append(server.control("GET", "/stats")),
    )  # fmt: skip
    before, after = seen
    end = figures["begin_ns"] + SECONDS * 1_000_000_000
    return {
        **figures,
        "answered": sum(at <= end for calls in figures["answers"] for at, _ in calls),
        "handshakes": after["tls_handshakes"] - before["tls_handshakes"],
        "sent": after["calls"]["CurrentTime"] - before["calls"].get("CurrentTime", 0),
    }


def told_early(sample):
    failed = sample["asked"] - sample["count"]
    return 100 * min(sample["failed_early"], sample["failed_not_run"]) / failed if failed else 100


def quantile(sample, part):
    took = sorted(took for calls in sample["answers"] for _, took in calls)
    return took[min(int(part * len(took)), len(took) - 1)] if took else float("inf")


def fairness(sample):
    counts = [len(calls) for calls in sample["answers"]]
    return 100 * min(counts) / (sum(counts) / len(counts))
