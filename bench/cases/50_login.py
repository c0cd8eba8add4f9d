from harness.bench import Budget, cpu_us, wall_us
from harness.server import MEASURED

TITLE = "Login and logout"
WHAT = """\
A login followed by a logout, repeated on one client and one open connection. The floor sends the two requests and
reads only the cookie. For "as 9.0.1" see [A call](#a-call).

A login of the library begins on the thread that asks for it. If the server takes more than a millisecond, the library's own
threads go on with it, so that no caller's deadline ends it for others."""

PROGRAMS = ("vsession", "floor", "libcurl", "govmomi", "pyVmomi")


def measure(bench):
    for profile, suffix in MEASURED.items():
        for transport in ("http", "tls"):
            server = bench.server(transport, profile)
            samples = bench.interleave(
                {program: lambda program=program: bench.run(program, "login", server, seconds=0.5, **bench.asks(program)) for program in PROGRAMS}
            )
            where = transport.upper() + suffix
            bench.row(where, "CPU of a pair", "µs", samples, cpu_us, budget=Budget(times={"govmomi": 0.25}), chart=True)
            bench.row(where, "time of a pair", "µs", samples, wall_us, chart=True)
