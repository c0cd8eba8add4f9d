from harness.server import MEASURED

TITLE = "What a call asks of the system"
WHAT = """\
System calls (counted by `strace`) and allocations (counted by a preloaded `malloc`, for Go by its runtime, for Python with
its own allocator off) of one `CurrentTime` on one thread. The counts do not depend on the speed of the machine."""

PROGRAMS = ("vsession", "floor", "libcurl", "govmomi", "pyVmomi")


def measure(bench):
    for profile, suffix in MEASURED.items():
        for transport in ("http", "tls"):
            server = bench.server(transport, profile)
            where = f"{transport.upper()}, 1 thread{suffix}"
            calls = {program: [bench.system_calls(program, server, **bench.asks(program))] for program in PROGRAMS}
            bench.row(where, "system calls", "", calls, lambda n: n, chart=True)
            counts = {program: [bench.allocations(program, server, **bench.asks(program))] for program in PROGRAMS}
            bench.row(where, "allocations", "", counts, lambda n: n[0], chart=True)
            bench.row(where, "allocated", "bytes", counts, lambda n: n[1])
