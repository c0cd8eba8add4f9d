"""What a case is given: servers, programs to run, rounds that alternate, and rows to report."""

import functools
import json
import os
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass, field

from .build import COMMANDS
from .paths import BUILT, LIBRARY
from .server import Server

LONGEST = 120  # seconds that a program may run unless the case says otherwise


@dataclass
class Budget:
    """What a figure of ours must meet: an absolute limit, a limit relative to each of some peers, or being the best."""

    at_most: float | None = None
    at_least: float | None = None
    unit: str = ""
    times: dict = field(default_factory=dict)
    first: bool = False

    def text(self):
        parts = []
        if self.at_most is not None:
            parts.append(f"≤ {self.at_most:g} {self.unit}".strip())
        if self.at_least is not None:
            parts.append(f"≥ {self.at_least:g} {self.unit}".strip())
        parts += [f"≤ {factor:g} × {peer}" for peer, factor in self.times.items()]
        if self.first:
            parts.append("better than all")
        return "; ".join(parts)

    def holds(self, ours, peers, lower_is_better):
        if self.at_most is not None and ours > self.at_most:
            return False
        if self.at_least is not None and ours < self.at_least:
            return False
        if any(ours > factor * peers[peer] for peer, factor in self.times.items()):
            return False
        if self.first:
            return all(ours < peer if lower_is_better else ours > peer for peer in peers.values())
        return True


class Bench:
    def __init__(self, rounds):
        self.rounds = rounds
        self.rows = []
        self.case = None
        self.servers = {}

    def server(self, kind, profile="plain"):
        """The simulator of this kind (http, tls, inventory) with this profile, started at its first use."""
        if (kind, profile) not in self.servers:
            self.servers[kind, profile] = Server(kind, profile)
        return self.servers[kind, profile]

    def stop_server(self, kind, profile="plain"):
        if (kind, profile) in self.servers:
            self.servers.pop((kind, profile)).stop()

    def stop(self):
        for key in list(self.servers):
            self.stop_server(*key)

    @functools.cached_property
    def compression(self):
        """Arguments that make a program ask for compression if the library does so by default; the server's log shows whether it does."""
        server = Server("logging", "9.0.1")
        try:
            self.run("vsession", "call", server, count=1)
            calls = [entry for entry in server.control("GET", "/log") if entry["method"] == "CurrentTime"]
        finally:
            server.stop()
        return {"gzip": int("gzip" in calls[0].get("accept_encoding", ""))}

    def environment(self, server):
        """The environment of a program."""
        return {**os.environ, "BENCH_LIBRARY": str(LIBRARY), **(server.environment() if server else {})}

    def recorded_inventory(self, server):
        """A rule that makes the server send the reply with all machines from memory."""
        recorded = BUILT / "inventory.xml"
        self.run("vsession", "inventory", server, save=recorded)
        return {"method": "RetrievePropertiesEx", "status": 200, "content_type": "text/xml; charset=utf-8", "body": recorded.read_text()}

    def run(self, program, subcommand, server=None, on_ready=None, prefix=(), environment=None, longest=LONGEST, **arguments):
        """Runs a program and returns the figures that it prints, with `started_ns`. Calls `on_ready` with the number
        of the trial whenever the program says that it is ready."""
        command = [*prefix, *COMMANDS[program], subcommand, *(f"{k}={v}" for k, v in arguments.items())]
        full = {**self.environment(server), **(environment or {})}
        command = [str(part) for part in command]
        started = time.monotonic_ns()
        process = subprocess.Popen(command, env=full, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        watchdog = threading.Timer(longest, process.kill)
        watchdog.start()
        figures, trial = None, 0
        try:
            for line in process.stdout:
                if line.startswith("{"):
                    figures = json.loads(line)
                elif line.strip() == "ready":
                    on_ready(trial)
                    trial += 1
                    process.stdin.write("go\n")
                    process.stdin.flush()
            process.stdin.close()
            status = process.wait()
        finally:
            process.kill()
            watchdog.cancel()
        if status != 0 or figures is None:
            raise RuntimeError(f"{program} {subcommand} ended with {status}")
        return {**figures, "started_ns": started}

    def asks(self, program):
        """Further arguments of the programs that leave compression to their user."""
        return self.compression if program in ("floor", "libcurl") else {}

    def interleave(self, runs, rounds=None):
        """Runs each of `runs` (name: function that returns figures) once a round, in turn. Returns the
        figures of each by name."""
        samples = {name: [] for name in runs}
        for number in range(rounds or self.rounds):
            names = list(runs)
            # The first one changes, so that no program always follows the same one.
            for name in names[number % len(names) :] + names[: number % len(names)]:
                samples[name].append(runs[name]())
        return samples

    def row(self, variant, metric, unit, samples, value, ours="vsession", lower_is_better=True, budget=None, chart=False, names=None, references=("floor",), combine=statistics.median):
        """Reports one row. `value` turns a sample into a number. `combine` turns the numbers of each name into one: by default the
        median; `max` where one bad round matters. `names` renames the peers. `references` are for comparison and do not count as peers that
        do better. `chart` puts the row into the case's chart."""
        numbers = {name: [value(sample) for sample in list_] for name, list_ in samples.items()}
        combined = {name: combine(list_) for name, list_ in numbers.items()}
        mine = combined.pop(ours)
        names = names or {}
        peers = {names.get(name, name): number for name, number in combined.items()}
        spread = {names.get(name, name) if name != ours else "ours": [min(list_), max(list_)] for name, list_ in numbers.items()}
        self.rows.append(
            {
                "case": self.case,
                "variant": variant,
                "metric": metric,
                "unit": unit,
                "lower_is_better": lower_is_better,
                "ours": mine,
                "peers": peers,
                "ratios": {name: mine / number if number else None for name, number in peers.items()},
                "budget": budget.text() if budget else None,
                "holds": budget.holds(mine, peers, lower_is_better) if budget else None,
                "spread": spread,
                "rounds": len(numbers[ours]),
                "chart": chart,
                "references": references,
            }
        )
        show = ", ".join(f"{name} {number:.4g}" for name, number in peers.items())
        verdict = {True: "holds", False: "DOES NOT HOLD", None: ""}[self.rows[-1]["holds"]]
        print(f"  {variant}: {metric}: ours {mine:.4g} {unit}; {show} {verdict}", flush=True)

    # Counters that do not depend on how fast the machine is. Each runs a program twice, with few and with many calls, so
    # that what happens once cancels out.

    FEW, MANY = 200, 1200

    def system_calls(self, program, server, **how):
        """System calls of one warm call."""
        counts = []
        for count in (self.FEW, self.MANY):
            file = BUILT / "strace.txt"
            self.run(program, "call", server, prefix=["strace", "-f", "-c", "-o", file], count=count, **how)
            total = file.read_text().strip().splitlines()[-1].split()
            counts.append(int(total[3]))
        return (counts[1] - counts[0]) / (self.MANY - self.FEW)

    def allocations(self, program, server, **how):
        """Allocations and allocated bytes of one warm call."""
        if program == "govmomi":  # Go has its own allocator, which counts
            figures = self.run(program, "call", server, count=self.MANY, **how)
            return figures["allocations"] / self.MANY, figures["allocated_bytes"] / self.MANY
        counts = []
        for count in (self.FEW, self.MANY):
            file = BUILT / "allocations.txt"
            preload = {"LD_PRELOAD": BUILT / "allocations.so", "BENCH_ALLOCATIONS": file, "PYTHONMALLOC": "malloc"}
            self.run(program, "call", server, environment={k: str(v) for k, v in preload.items()}, count=count, **how)
            counts.append([int(number) for number in file.read_text().split()])
        return tuple((many - few) / (self.MANY - self.FEW) for few, many in zip(*counts))


def load(name, *usual):
    """The loads that a case is run with: those of the environment's BENCH_<NAME>, separated by commas, or the usual ones."""
    given = os.environ.get(f"BENCH_{name}")
    return tuple(int(number) for number in given.split(",")) if given else usual


def cpu_us(sample):
    return sample["cpu_ns"] / sample["count"] / 1000


def wall_us(sample):
    return sample["wall_ns"] / sample["count"] / 1000


def per_second(sample):
    return sample["count"] / sample["wall_ns"] * 1e9
