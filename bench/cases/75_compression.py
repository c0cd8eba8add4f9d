import contextlib
import subprocess

from harness.build import COMMANDS
from harness.line import Line

TITLE = "With compression and without"
WHAT = """\
A call, a login with its logout, and the reply with 10,000 machines, with and without a request for compression, against replies as
vCenter 9.0.1 sends them, on three lines: the *loopback* interface; a *LAN* with 1 Gbit/s and a delay of 0.25 ms in each direction; and
a *slow line* with 20 Mbit/s and 20 ms. A relay in front of the server stands for the LAN and the slow line. The server sends the reply
with the machines from memory, so its time is that of the line and the client.

CPU is the client's. The time of calls and logins includes the server's compression. The floor inflates with zlib and shows the least that compression
costs."""

LINES = {"loopback": None, "LAN": (1000, 0.25), "slow line": (20, 20)}
# Repetitions on each line; a few are enough on a slow one.
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
    """Whether the library has the option; an older library that is measured for comparison may not."""
    listed = subprocess.run([*COMMANDS["vsession"], "knows", f"option={OPTION}"], env=bench.environment(None), stderr=subprocess.DEVNULL)
    return listed.returncode == 0
