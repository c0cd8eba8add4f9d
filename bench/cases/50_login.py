from harness.bench import Budget, cpu_us, wall_us

TITLE = "Login and logout"
WHAT = """\
A login followed by a logout, over and over on one client and one open connection. The floor sends the two requests and
reads nothing but the cookie."""

PROGRAMS = ("vsession", "floor", "libcurl", "govmomi", "pyVmomi")


def measure(bench):
    for transport in ("http", "tls"):
        server = bench.server(transport)
        samples = bench.interleave(
            {program: lambda program=program: bench.run(program, "login", server, seconds=0.5) for program in PROGRAMS}
        )
        where = transport.upper()
        bench.row(where, "CPU of a pair", "µs", samples, cpu_us, budget=Budget(times={"govmomi": 0.25}), chart=True)
        bench.row(where, "time of a pair", "µs", samples, wall_us, chart=True)
