from harness.bench import Budget
from harness.server import MEASURED

TITLE = "Reading 10,000 machines"
WHAT = """\
One `RetrievePropertiesEx` for name, power state, UUID and memory of 10,000 virtual machines, read into the program's own
structures. The library hands out the reply's text, and its program reads that as a stream (SAX of libxml2, as
[performance.md](performance.md) advises). The program on libcurl makes a tree of the reply with libxml2, as is customary, so
a part of the difference between these two is that between a stream and a tree. "A tree of it" is the library with a tree too, for a
comparison of like with like. In "text alone" the program does not parse: the reply has arrived, is checked, and its text can be used. govmomi
and pyVmomi parse as they always do. Memory is the peak in addition to what the program held before.

Most of the time is the server's, which computes the reply and sends it. The floor is a bare socket that reads all bytes of the reply and
examines none. No client can be faster, so the budget for the time cannot hold if the floor alone exceeds it. A fairer measure of a
client is "the reply ready": there the simulator sends the same bytes from memory, recorded
before, and computes nothing. As 9.0.1 it compresses them once.

For "as 9.0.1" see [A call](#a-call)."""

PROGRAMS = ("vsession", "libcurl", "govmomi", "pyVmomi")


def measure(bench):
    for profile, suffix in MEASURED.items():
        measure_as(bench, profile, "HTTP" + suffix)


def measure_as(bench, profile, where):
    server = bench.server("inventory", profile)
    ways = {program: {} for program in PROGRAMS} | {"tree": {"parse": "tree"}, "alone": {"parse": "none"}}
    ways["libcurl"] = bench.asks("libcurl")
    runs = {name: lambda name=name, how=how: read(bench, name if name in PROGRAMS else "vsession", server, **how) for name, how in ways.items()}
    runs["floor"] = lambda: bench.run("floor", "inventory", server, **bench.asks("floor"))
    samples = bench.interleave(runs)
    with server.rules(bench.recorded_inventory(server)):
        sent_at_once = bench.interleave(runs)
    bench.stop_server("inventory", profile)
    floor, tree, alone = samples.pop("floor"), {"vsession": samples.pop("tree"), "libcurl": samples["libcurl"]}, {"vsession": samples.pop("alone")}
    if min(s["bytes"] for s in floor) < alone["vsession"][0]["bytes"]:
        raise RuntimeError("the floor did not read the whole reply")
    budget = Budget(times={"govmomi": 0.25})
    bench.row(where, "CPU", "ms", samples, cpu, budget=budget, chart=True)
    bench.row(where, "peak memory", "MiB", samples, peak, budget=budget, chart=True)
    bench.row(where, "time", "ms", {**samples, "floor": floor}, wall, budget=budget, chart=True)
    bench.row(f"{where}, the reply ready", "time", "ms", {name: sent_at_once[name] for name in (*PROGRAMS, "floor")}, wall, budget=budget, chart=True)
    bench.row(f"{where}, a tree of it", "CPU", "ms", tree, cpu)
    bench.row(f"{where}, a tree of it", "peak memory", "MiB", tree, peak)
    bench.row(f"{where}, text alone", "CPU", "ms", {**alone, "floor": floor}, cpu)
    bench.row(f"{where}, text alone", "peak memory", "MiB", alone, peak)
    bench.row(f"{where}, text alone", "size of the reply", "MiB", alone, lambda s: s["bytes"] / 2**20)


def read(bench, program, server, **how):
    figures = bench.run(program, "inventory", server, **how)
    if figures["count"] != (0 if how.get("parse") == "none" else 10000):
        raise RuntimeError(f"{program} read {figures['count']} machines")
    return figures


def cpu(sample):
    return sample["cpu_ns"] / 1e6


def wall(sample):
    return sample["wall_ns"] / 1e6


def peak(sample):
    return sample["peak_kib"] / 1024
