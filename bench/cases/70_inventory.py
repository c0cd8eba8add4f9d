from harness.bench import Budget

TITLE = "Reading 10,000 machines"
WHAT = """\
One `RetrievePropertiesEx` for name, power state, UUID and memory of 10,000 virtual machines, read into the program's own
structures: by libxml2 where the program is in C (the library hands out the reply as text), by govmomi and pyVmomi where
they do it. Memory is the peak on top of what the program held before. "Text alone" is the library without libxml2 after it:
the reply has arrived, was checked, and its text can be read."""

PROGRAMS = ("vsession", "libcurl", "govmomi", "pyVmomi")


def measure(bench):
    server = bench.server("inventory")
    samples = bench.interleave({program: lambda program=program: read(bench, program, server) for program in PROGRAMS})
    alone = bench.interleave({"vsession": lambda: bench.run("vsession", "inventory", server, parse=0)})
    bench.stop_server("inventory")
    budget = Budget(times={"govmomi": 0.25})
    bench.row("HTTP", "CPU", "ms", samples, lambda s: s["cpu_ns"] / 1e6, budget=budget, chart=True)
    bench.row("HTTP", "peak memory", "MiB", samples, lambda s: s["peak_kib"] / 1024, budget=budget, chart=True)
    bench.row("HTTP", "time", "ms", samples, lambda s: s["wall_ns"] / 1e6, budget=budget, chart=True)
    bench.row("HTTP, text alone", "CPU", "ms", alone, lambda s: s["cpu_ns"] / 1e6)
    bench.row("HTTP, text alone", "peak memory", "MiB", alone, lambda s: s["peak_kib"] / 1024)
    bench.row("HTTP, text alone", "size of the reply", "MiB", alone, lambda s: s["bytes"] / 2**20)


def read(bench, program, server):
    figures = bench.run(program, "inventory", server)
    if figures["count"] != 10000:
        raise RuntimeError(f"{program} read {figures['count']} machines")
    return figures
