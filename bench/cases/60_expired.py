import statistics

from harness.bench import Budget

TITLE = "A session that ended under 64 threads"
WHAT = """\
The server ends the session, then 64 threads make a call each. How many logins does it take, and how long until the last of
the calls has succeeded? The peers are programs on govmomi that share a client, with a mutex around the recovery (ask whether
the session lives, log in if not), and oslo.vmware's way (ask, take a lock, ask again, log in) on pyVmomi.

The case runs against the simulator as it is, which answers at once, and with delays: 200 ms for a login, 10 ms for anything
else. The delays are chosen, not measured on a real server. With them the recovery consists of waiting; without them it consists of
computing on few cores. The number of logins is that of the worst trial. Times are medians over open connections, as the threads'
earlier calls left them. "The first time" is the first trial, in which all threads but one make a connection.

"Login and call" is one login and one call of ours under the same conditions, and the budget is twice that. "64 calls" is the same 64
threads with a call each on a live session, until the last of them has returned. A recovery needs such a round of calls, the
repeated ones, and before it a round of refused ones. At once, one round alone takes several times as long as a login and
a call, on cores that the simulator shares, so there the budget cannot hold. "Of which 64 calls" says how much of our time the
repeated calls take. "CPU of the simulator" is what the server computed for the whole recovery; with ours it fills most of
the capacity of two cores in that time. With delays the calls wait at the same time, and the budget can hold."""

TRIALS = 3
DELAYS = [{"method": "Login", "delay_ms": 200}, {"method": "*", "delay_ms": 10}]
NAMES = {"govmomi": "govmomi with a mutex", "pyVmomi": "oslo.vmware's way", "reference": "login and call", "live": "64 calls"}


def recover(bench, program, server, end=True):
    """One round. Without `end` the session lives on."""
    logins, before, simulators = [], [], []

    def on_ready(trial):
        if trial:
            simulators.append(server.cpu_ns() - before[-1])
            logins.append(server.logins())
        if end:
            server.control("POST", "/sessions/kill")
        server.control("POST", "/stats/reset")
        before.append(server.cpu_ns())

    figures = bench.run(program, "expired", server, on_ready=on_ready, threads=64, trials=TRIALS)
    logins.append(server.logins())
    if logins != [0] * TRIALS and not end:
        raise RuntimeError(f"{program} logged in again although its session lived")
    walls = figures["walls_ns"]
    return {
        "logins": max(logins),
        "ms": statistics.median(walls) / 1e6,
        "first_ms": walls[0] / 1e6,
        "cpu_ms": figures["cpu_ns"] / TRIALS / 1e6,
        "simulators_ms": statistics.median(simulators) / 1e6,
    }


def reference(bench, server):
    figures = bench.run("vsession", "login-and-call", server, count=5)
    return {"ms": figures["wall_ns"] / figures["count"] / 1e6}


def measure(bench):
    server = bench.server("tls")
    for variant, rules in (("at once", []), ("with delays", DELAYS)):
        with server.rules(*rules):
            runs = {program: lambda program=program: recover(bench, program, server) for program in ("vsession", "govmomi", "pyVmomi")}
            runs |= {"live": lambda: recover(bench, "vsession", server, end=False), "reference": lambda: reference(bench, server)}
            samples = bench.interleave(runs)
        live, single = samples.pop("live"), samples.pop("reference")
        bench.row(variant, "logins", "", samples, lambda s: s["logins"], budget=Budget(at_most=1), names=NAMES, combine=max)
        bench.row(variant, "CPU of the recovery", "ms", samples, lambda s: s["cpu_ms"], names=NAMES, chart=True)
        bench.row(variant, "CPU of the simulator", "ms", {**samples, "live": live}, lambda s: s["simulators_ms"], names=NAMES, references=("64 calls",))
        bench.row(
            variant, "until the last call", "ms", {**samples, "live": live, "reference": single}, lambda s: s["ms"],
            budget=Budget(times={"login and call": 2}), names=NAMES, references=("login and call", "64 calls"), chart=True,
        )  # fmt: skip
        calls = statistics.median(s["ms"] for s in live)
        bench.row(variant, "of which 64 calls", "%", {"vsession": samples["vsession"]}, lambda s: 100 * calls / s["ms"])
        bench.row(
            variant, "until the last call, the first time", "ms", {**samples, "live": live}, lambda s: s["first_ms"],
            names=NAMES, references=("64 calls",),
        )  # fmt: skip
