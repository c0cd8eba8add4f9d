import math

from harness.bench import Budget

TITLE = "Cancelling a call"
WHAT = """\
A call waits for a reply that never comes; another thread cancels it. Measured from there until the call has returned:
`vsession_cancel_fire` beside the cancellation of a Go context. pyVmomi has no cancellation, and libcurl's easy
interface a callback that comes about once a second by its manual; neither is measured. All rounds count together."""

TRIALS = 100
WHEN = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def measure(bench):
    for transport in ("http", "tls"):
        server = bench.server(transport)
        with server.rules({"method": "CurrentTime", "hang": True}):
            samples = bench.interleave(
                {program: lambda program=program: bench.run(program, "cancel", server, trials=TRIALS) for program in ("vsession", "govmomi")}
            )
        # All rounds together: a maximum of which the median is taken would hide the worst.
        together = {program: [sum((s["latencies_ns"] for s in rounds), [])] for program, rounds in samples.items()}
        for name, part in WHEN.items():
            budget = Budget(at_most=5, unit="ms") if name == "max" else None
            where = f"waiting for the reply, {transport.upper()}"
            bench.row(where, name, "ms", together, lambda values: quantile(values, part) / 1e6, budget=budget, chart=True)


def quantile(values, part):
    return sorted(values)[math.ceil(part * len(values)) - 1]
