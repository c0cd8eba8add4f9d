import os

from harness.bench import Budget

TITLE = "Reading the identity"
WHAT = """\
How long it takes to get and to free a snapshot of the identity: `vsession_get_info`, one accessor and
`vsession_info_free`, beside a copy of five strings under a pthread mutex (C), a copy of the structure under an RWMutex
(Go), and a copy of a dictionary under a lock (Python)."""

COUNTS = {"vsession": 2_000_000, "locks": 1_000_000, "govmomi": 5_000_000, "pyVmomi": 300_000}
NAMES = {"locks": "pthread mutex", "govmomi": "Go RWMutex", "pyVmomi": "Python lock"}


def measure(bench):
    server = bench.server("http")
    for threads in (1, os.cpu_count()):
        samples = bench.interleave(
            {
                program: lambda program=program: bench.run(program, "info", server, threads=threads, count=COUNTS[program])
                for program in COUNTS
            }
        )
        where = "1 thread" if threads == 1 else f"all {threads} cores"
        bench.row(where, "time of a snapshot", "ns", samples, lambda s: s["ns"], budget=Budget(at_most=100, unit="ns"), chart=True, names=NAMES)
