from harness.bench import Budget, cpu_us, wall_us

TITLE = "Login and logout"
WHAT = """\
A login followed by a logout, over and over on one client and one open connection. The floor sends the two requests and
reads nothing but the cookie.

Where ours goes, by callgrind and strace: of 111,473 instructions in the program for a pair, two fifths are roxmltree's reading of the
identity in the reply to the login. A login runs on a thread of the library's, so that no caller's deadline ends it for others: that
takes five system calls and two switches between threads more than a request on the caller's own thread."""

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
