import statistics

from harness.bench import Budget

TITLE = "Cancelling a call"
WHAT = """\
A call waits for a reply that never comes; another thread cancels it. Measured from there until the call has returned:
`vsession_cancel_fire` beside the cancellation of a Go context. libcurl's easy interface looks for a cancellation about once a
second, and pyVmomi has none; neither is measured."""

TRIALS = 100
WHEN = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def measure(bench):
    for transport in ("http", "tls"):
        server = bench.server(transport)
        with server.rules({"method": "CurrentTime", "hang": True}):
            samples = bench.interleave(
                {program: lambda program=program: bench.run(program, "cancel", server, trials=TRIALS) for program in ("vsession", "govmomi")}
            )
        for name, part in WHEN.items():
            budget = Budget(at_most=5, unit="ms") if name == "max" else None
            bench.row(f"waiting for the reply, {transport.upper()}", name, "ms", samples, lambda s: quantile(s["latencies_ns"], part) / 1e6, budget=budget, chart=True)


def quantile(values, part):
    if part == 0.5:
        return statistics.median(values)
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]
