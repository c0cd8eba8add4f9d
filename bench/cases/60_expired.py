import statistics

from harness.bench import Budget

TITLE = "A session that ended under 64 threads"
WHAT = """\
The server ends the session, then 64 threads make a call each. How many logins does it take, and how long until the last of
the calls has succeeded? The peers: programs on govmomi that share a client, with a mutex around the recovery (ask whether
the session lives, log in if not); and oslo.vmware's way (ask, take a lock, ask again, log in), on pyVmomi.

It is measured against the simulator as it is, which answers at once, and with delays: 200 ms for a login, 10 ms for anything
else. The delays are chosen, not measured on a real server; they make the recovery a matter of waiting, where the bare simulator
makes it one of computing on few cores. "Login and call" is one login and one call of ours under the same conditions. Of the
logins the worst trial counts, of the times the median."""

TRIALS = 3
DELAYS = [{"method": "Login", "delay_ms": 200}, {"method": "*", "delay_ms": 10}]
NAMES = {"govmomi": "govmomi with a mutex", "pyVmomi": "oslo.vmware's way", "reference": "login and call"}


def recover(bench, program, server):
    logins = []

    def end_session(trial):
        if trial:
            logins.append(server.logins())
        server.control("POST", "/sessions/kill")
        server.control("POST", "/stats/reset")

    figures = bench.run(program, "expired", server, on_ready=end_session, threads=64, trials=TRIALS)
    logins.append(server.logins())
    return {"logins": max(logins), "ms": statistics.median(figures["walls_ns"]) / 1e6, "cpu_ms": figures["cpu_ns"] / TRIALS / 1e6}


def reference(bench, server):
    figures = bench.run("vsession", "login-and-call", server, count=5)
    return {"ms": figures["wall_ns"] / figures["count"] / 1e6}


def measure(bench):
    server = bench.server("tls")
    for variant, rules in (("at once", []), ("with delays", DELAYS)):
        with server.rules(*rules):
            runs = {program: lambda program=program: recover(bench, program, server) for program in ("vsession", "govmomi", "pyVmomi")}
            samples = bench.interleave({**runs, "reference": lambda: reference(bench, server)})
        single = samples.pop("reference")
        bench.row(variant, "logins", "", samples, lambda s: s["logins"], budget=Budget(at_most=1), names=NAMES, combine=max)
        bench.row(variant, "CPU of the recovery", "ms", samples, lambda s: s["cpu_ms"], names=NAMES, chart=True)
        samples["reference"] = single
        bench.row(variant, "until the last call", "ms", samples, lambda s: s["ms"], budget=Budget(times={"login and call": 2}), names=NAMES, references=("login and call",), chart=True)
