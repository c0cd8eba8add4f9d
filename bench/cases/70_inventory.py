from harness.bench import Budget
from harness.server import MEASURED

TITLE = "Reading 10,000 machines"
WHAT = """\
One `RetrievePropertiesEx` for name, power state, UUID and memory of 10,000 virtual machines, read into the program's own
structures. The program of the library reads the reply with the cursor ([replies.md](replies.md)). "libxml2 SAX" is the library too, with a program that reads
the reply's text as a stream with libxml2. The program on libcurl makes a tree of the reply with libxml2, as is customary, so
a part of the difference between these is that between a stream and a tree. "A tree of it" is the library with a tree too, for a
comparison of like with like. In "text alone" the program does not parse: the reply has arrived, is checked, and its text can be used. govmomi
and pyVmomi parse as they always do. "The reply in memory" counts from the moment when the library has handed it out. Memory is the peak in addition to what the program held before; "the reply" is the size of the reply.

Most of the time is the server's, which computes the reply and sends it. The floor is a bare socket that reads all bytes of the reply and
examines none. No client can be faster, so the budget for the time cannot hold if the floor alone exceeds it. A fairer measure of a
client is "the reply ready": there the simulator sends the same bytes from memory, recorded
before, and computes nothing. As 9.0.1 it compresses them once.

For "as 9.0.1" see [A call](#a-call)."""

PROGRAMS = ("vsession", "libcurl", "govmomi", "pyVmomi")
# The library, and a stream of libxml2 in place of the cursor.
SAX = "libxml2 SAX"


def measure(bench):
    for profile, suffix in MEASURED.items():
        measure_as(bench, profile, "HTTP" + suffix)


def measure_as(bench, profile, where):
    server = bench.server("inventory", profile)
    ways = {program: {} for program in PROGRAMS} | {SAX: {"parse": "stream"}, "tree": {"parse": "tree"}, "alone": {"parse": "none"}}
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
    size = [{"peak_kib": s["bytes"] / 1024} for s in alone["vsession"]]
    bench.row(where, "CPU", "ms", samples, cpu, budget=Budget(times={"govmomi": 0.15}), chart=True)
    readers = {"vsession": samples["vsession"], SAX: samples[SAX], "libxml2 tree": tree["vsession"]}
    bench.row(f"{where}, the reply in memory", "CPU", "ms", readers, read_cpu, budget=Budget(times={SAX: 0.6}), chart=True)
    bench.row(where, "peak memory", "MiB", {**samples, "the reply": size}, peak, budget=Budget(times={"the reply": 1.5, "govmomi": 0.25}), chart=True, references=("the reply",))
    bench.row(where, "time", "ms", {**samples, "floor": floor}, wall, budget=budget, chart=True)
    bench.row(f"{where}, the reply ready", "time", "ms", {name: sent_at_once[name] for name in (*PROGRAMS, SAX, "floor")}, wall, budget=budget, chart=True)
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


def read_cpu(sample):
    return sample["read_cpu_ns"] / 1e6


def wall(sample):
    return sample["wall_ns"] / 1e6


def peak(sample):
    return sample["peak_kib"] / 1024
