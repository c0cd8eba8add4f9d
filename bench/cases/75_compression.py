import contextlib
import subprocess

from harness.build import COMMANDS
from harness.line import Line

TITLE = "With compression and without"
WHAT = """\
A call, a login with its logout, and the reply with 10,000 machines, from a server that answers as vCenter 9.0.1 does: with the
request for compression and without it, on three lines. *Loopback* is the machine's own. The *LAN* passes on 1 Gbit/s after 0.25 ms in
each direction, the *slow line* 20 Mbit/s after 20 ms; both are a relay in front of the server. The reply with the machines is sent
out of the server's memory, so its time is that of the line and of the client.

CPU is the client's. What a server computes to compress, which happens here for calls and logins, is in the time on the loopback. The floor inflates
with zlib, and so shows what compression costs at least."""

LINES = {"loopback": None, "LAN": (1000, 0.25), "slow line": (20, 20)}
# How often, on each line: a slow one tells with few what it is like.
CALLS = {"loopback": 2000, "LAN": 500, "slow line": 20}
LOGINS = {"loopback": 500, "LAN": 200, "slow line": 10}
OPTION = "http.compression"


def measure(bench):
    ways = {"floor": ("floor", {"gzip": 0}), "floor, gzip": ("floor", {"gzip": 1})}
    if has_option(bench):
        ways |= {name: ("vsession", {OPTION: name}) for name in ("auto", "on", "off")}
    else:
        print(f"  the library has no {OPTION}: its default alone is measured", flush=True)
        ways["auto"] = ("vsession", {})
    for line, limits in LINES.items():
        for subcommand, metric, counts in (("call", "a call", CALLS), ("login", "a login and its logout", LOGINS)):
            server = bench.server("http", "9.0.1")
            with on_line(server, limits) as reached:
                compare(bench, ways, line, metric, "µs", 1e3, reached, subcommand, count=counts[line])
        server = bench.server("inventory", "9.0.1")
        with server.rules(bench.recorded_inventory(server)), on_line(server, limits) as reached:
            compare(bench, ways, line, "10,000 machines", "ms", 1e6, reached, "inventory", parse="none")
    bench.stop_server("inventory", "9.0.1")


def compare(bench, ways, line, what, unit, nanoseconds, server, subcommand, **how):
    samples = bench.interleave(
        {name: lambda program=program, options=options: bench.run(program, subcommand, server, **options, **how) for name, (program, options) in ways.items()}
    )

    def each(figure):
        return lambda sample: sample[figure] / (how.get("count") or 1) / nanoseconds

    peers = tuple(name for name in ways if name != "auto")
    bench.row(f"{what}, {line}", "CPU", unit, samples, each("cpu_ns"), ours="auto", references=peers, chart=line == "loopback")
    bench.row(f"{what}, {line}", "time", unit, samples, each("wall_ns"), ours="auto", references=peers, chart=line != "loopback")


def on_line(server, limits):
    return Line(server, *limits) if limits else contextlib.nullcontext(server)


def has_option(bench):
    """Whether the library knows the option: an older one, to compare with, need not."""
    listed = subprocess.run([*COMMANDS["vsession"], "knows", f"option={OPTION}"], env=bench.environment(None), stderr=subprocess.DEVNULL)
    return listed.returncode == 0
