import os

from harness.bench import Budget

TITLE = "Reading the state"
WHAT = """\
How long it takes to ask a session for its state: `vsession_get_state` beside the ways in which programs keep a state
today: a structure behind a pthread mutex (C), behind an RWMutex (Go), and behind one lock around each read (Python, as in
oslo.vmware). When all cores read, a lock is contended. The time of the library's read should not grow, which means that it
is at most 1.25 times the time on one thread."""

COUNTS = {"vsession": 20_000_000, "locks": 5_000_000, "govmomi": 5_000_000, "pyVmomi": 300_000}
NAMES = {"locks": "pthread mutex", "govmomi": "Go RWMutex", "pyVmomi": "Python lock"}


def measure(bench):
    server = bench.server("http")
    alone = None
    for threads in (1, os.cpu_count()):
        samples = bench.interleave(
            {
                program: lambda program=program: bench.run(program, "state", server, threads=threads, count=COUNTS[program])
                for program in COUNTS
            }
        )
        where = "1 thread" if threads == 1 else f"all {threads} cores"
        bench.row(where, "time of a read", "ns", samples, lambda s: s["ns"], budget=Budget(at_most=5, unit="ns"), chart=True, names=NAMES)
        alone = alone or samples["vsession"]
    flat = {"all cores": samples["vsession"], "1 thread": alone}
    bench.row("growth", "a read on all cores beside one on 1 thread", "ns", flat, lambda s: s["ns"], ours="all cores", budget=Budget(times={"1 thread": 1.25}), references=("1 thread",))
