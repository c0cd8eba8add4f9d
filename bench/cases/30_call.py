from harness.bench import Budget, cpu_us, per_second
from harness.server import MEASURED

TITLE = "A call"
WHAT = """\
`CurrentTime` on a session that is logged in, over open connections. The measure is the client's own CPU time,
user and system. The server is another process but shares the cores, so calls per second depend on both.

Rows "as 9.0.1" are measured against replies as vCenter 9.0.1 sends them: chunked, and compressed for clients that ask.
govmomi and pyVmomi always ask. The floor and libcurl ask if the library does so by default; the floor inflates with zlib."""

PROGRAMS = ("vsession", "floor", "libcurl", "govmomi", "pyVmomi")
BUDGET = Budget(times={"floor": 1.5, "libcurl": 0.6, "govmomi": 0.25})


def measure(bench):
    for profile, suffix in MEASURED.items():
        for transport in ("http", "tls"):
            server = bench.server(transport, profile)
            for threads in (1, 8, 64):
                # More and shorter rounds than elsewhere: the CPU time of something so short varies from one moment to the next.
                samples = bench.interleave(
                    {
                        program: lambda program=program: bench.run(program, "call", server, threads=threads, seconds=0.3, **bench.asks(program))
                        for program in PROGRAMS
                    },
                    rounds=2 * bench.rounds,
                )
                where = f"{transport.upper()}, {threads} {'thread' if threads == 1 else 'threads'}{suffix}"
                bench.row(where, "CPU of a call", "µs", samples, cpu_us, budget=BUDGET, chart=True)
                bench.row(where, "calls", "1/s", samples, per_second, lower_is_better=False)
