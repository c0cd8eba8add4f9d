from harness.bench import Budget, cpu_us, load, per_second, wall_us

TITLE = "HTTP requests"
WHAT = """\
Small GETs over open connections: of `/api/vcenter/vm` with a *REST session*, of a property by *VI JSON* with the vim25 session, and of
the list of versions, which is *nobody's*. govmomi is here its package `vapi/rest`. All check the status and read the body, and none parses it.

*A visit*: a program comes with nothing, makes a REST session, makes one GET with it, ends it, and leaves. Each visit has a client of its own (a handle of the
library, an easy handle of libcurl, a client of govmomi, a session of requests), and so a connection of its own. libcurl and requests send three requests. govmomi sends four, since its client begins with
the server's ServiceContent, and over two connections. The library sends five: with the default `rest=auto` it asks the server first which version it is (two questions), because the
vim25 session serves REST too from 8.0.3 on. "vsession, rest=api" is told the way and sends three.

*Upload*: a file of 1 GiB to a datastore (`PUT /folder/…`) with the vim25 session, but requests has one of VI JSON. The peers make the file's zeros while they send
them; the library sends them from memory that takes no room. Memory is what the process grows by."""

PROGRAMS = ("vsession", "libcurl", "govmomi", "requests")
# The library, told where the server has its REST sessions.
TOLD = "vsession, rest=api"
PATHS = {
    "rest": ("REST session", "/api/vcenter/vm"),
    "vim": ("VI JSON", "/sdk/vim25/8.0.1.0/ServiceInstance/ServiceInstance/serverClock"),
    "none": ("nobody's", "/sdk/vimServiceVersions.xml"),
}
UPLOAD = "/folder/bench.bin?dcPath=DC0&dsName=LocalDS_0"
(MEGABYTES,) = load("HTTP_UPLOAD", 1024)


def measure(bench):
    for transport in ("http", "tls"):
        server = bench.server(transport)
        for through, (name, path) in PATHS.items():
            for threads in (1, 8, 64):
                samples = run(bench, server, "get", through=through, path=path, threads=threads, seconds=0.3)
                where = f"{name}, {transport.upper()}, {threads} {'thread' if threads == 1 else 'threads'}"
                bench.row(where, "CPU of a GET", "µs", samples, cpu_us, chart=True)
                bench.row(where, "GETs", "1/s", samples, per_second, lower_is_better=False)
        samples = run(bench, server, "get-login", (*PROGRAMS, TOLD), through="rest", path=PATHS["rest"][1], seconds=0.5)
        where = f"visit, {transport.upper()}"
        bench.row(where, "CPU of login, GET and logout", "µs", samples, cpu_us, chart=True, references=(TOLD,))
        bench.row(where, "time of login, GET and logout", "µs", samples, wall_us, references=(TOLD,))
        samples = run(bench, server, "upload", path=UPLOAD, megabytes=MEGABYTES)
        where = f"upload of {MEGABYTES} MiB, {transport.upper()}"
        bench.row(where, "CPU", "ms", samples, lambda s: s["cpu_ns"] / 1e6, chart=True)
        bench.row(where, "MB a second", "", samples, lambda s: s["bytes"] / s["wall_ns"] * 1000, lower_is_better=False)
        bench.row(where, "memory on top", "MiB", samples, lambda s: s["peak_kib"] / 1024, budget=Budget(at_most=16, unit="MiB"))


def run(bench, server, subcommand, programs=PROGRAMS, **arguments):
    def once(program):
        if program == TOLD:
            return bench.run("vsession", subcommand, server, rest="api", **arguments)
        return bench.run(program, subcommand, server, **arguments)

    return bench.interleave({program: lambda program=program: once(program) for program in programs})
