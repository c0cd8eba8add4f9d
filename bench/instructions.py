#!/usr/bin/env python3
"""Counts the instructions of the library's hot paths with callgrind, and compares them with bench/instructions.json.

    bench/instructions.py           fails if a path exceeds the recorded count by more than its tolerance, several times in a row
    bench/instructions.py record    measures several times and records the fewest
    bench/instructions.py prove     shows that the comparison fails for a path that has become more expensive

Instructions depend neither on the machine's speed nor on its load, so the comparison finds a regression on a busy machine too. They do
depend on the compiler and the C library; the output names those that differ from the recorded ones.
"""

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.paths import BENCH, BUILT, LIBRARY, PROGRAMS, RELEASE, ROOT, SIMULATOR
from harness.server import Server

RECORD = BENCH / "instructions.json"
PROGRAM = BUILT / "instructions"
RUNS = 3
# Repeated runs of one build differ by less than a tenth of a percent, but for logins: where the server takes more than a millisecond to
# answer, other threads go on with a login, which costs some thousand instructions more. So the fewest of some runs count.
TOLERANCE = 0.03


def build():
    for built in (LIBRARY, SIMULATOR):
        if not built.exists():
            raise SystemExit(f"{built.relative_to(ROOT)} is missing; run 'make all simulator-binary' first")
    BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-I", ROOT / "include",
         PROGRAMS / "c" / "instructions.c", "-o", PROGRAM, "-L", RELEASE, "-lvsession", f"-Wl,-rpath,{RELEASE}", "-pthread"],
        check=True, timeout=60,
    )  # fmt: skip


# The profiles of the server, and the suffixes of the paths' names.
PROFILES = {"plain": "", "chunked": ", chunked", "9.0.1": ", chunked and gzipped"}


def measure():
    """Instructions of one step of each path, by its name."""
    return {path + suffix: count for profile, suffix in PROFILES.items() for path, count in measure_as(profile).items()}


def measure_as(profile):
    server = Server("some machines", profile)
    try:
        with tempfile.TemporaryDirectory(prefix="vsession-callgrind-") as directory:
            out = Path(directory) / "out"
            command = ["valgrind", "--tool=callgrind", "--read-inline-info=no", f"--callgrind-out-file={out}", PROGRAM, "paths"]
            if profile != "plain":
                command += ["replies=only", f"compression={'on' if profile == '9.0.1' else 'off'}"]
            environment = {**os.environ, **server.environment()}
            ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
            if ran.returncode != 0:
                raise SystemExit(f"the program under callgrind ended with {ran.returncode}:\n{ran.stderr}")
            times = json.loads(ran.stdout)
            counted = dict(read_dump(file) for file in Path(directory).glob("out.*"))
    finally:
        server.stop()
    return {path: counted[path] / times[path] for path in times}


def read_dump(file):
    """The name that the program gave to this dump, and its instructions."""
    text = file.read_text(errors="replace")
    name = re.search(r"^desc: Trigger: Client Request: (.*)$", text, re.M)
    total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
    return name and name[1], int(total[1]) if total else 0


def tools():
    rustc = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True).stdout.split()[1]
    return {"rustc": rustc, "libc": " ".join(platform.libc_ver()), "processor": platform.machine()}


def judge(recorded, measured):
    """A line about each path, and whether it is too expensive."""
    for path, entry in recorded["paths"].items():
        now, then = measured.get(path), entry["instructions"]
        if now is None:
            yield f"{path}: was not measured", True
            continue
        change = now / then - 1
        exceeded = change > entry["tolerance"]
        note = "TOO MANY" if exceeded else "fewer: record them" if -change > entry["tolerance"] else "ok"
        yield f"{path}: {now:.0f} instructions, {then} recorded ({change:+.1%}, tolerance {entry['tolerance']:.0%}): {note}", exceeded


def compare():
    recorded = json.loads(RECORD.read_text())
    measured = measure()
    verdicts = list(judge(recorded, measured))
    for _ in range(RUNS - 1):
        if any(exceeded for _, exceeded in verdicts):
            again = measure()
            measured = {path: min(count, again[path]) for path, count in measured.items()}
            verdicts = list(judge(recorded, measured))
    for line, _ in verdicts:
        print(line)
    if any(exceeded for _, exceeded in verdicts):
        others = [f"{name} {tool} (recorded with {recorded['tools'][name]})" for name, tool in tools().items() if tool != recorded["tools"][name]]
        sys.exit(
            "a hot path has become more expensive; make it cheaper, or give the reason in the commit and run 'bench/instructions.py record'"
            + (f"\nother tools than recorded: {', '.join(others)}" if others else "")
        )


def record():
    runs = [measure() for _ in range(RUNS)]
    old = json.loads(RECORD.read_text())["paths"] if RECORD.exists() else {}
    paths = {}
    for path in runs[0]:
        counts = [run[path] for run in runs]
        print(f"{path}: {min(counts):.0f}, up to {max(counts) / min(counts) - 1:+.2%}")
        paths[path] = {"instructions": round(min(counts)), "tolerance": old.get(path, {}).get("tolerance", TOLERANCE)}
    RECORD.write_text(json.dumps({"tools": tools(), "paths": paths}, indent=1) + "\n")


def prove():
    recorded = json.loads(RECORD.read_text())
    same = {path: entry["instructions"] for path, entry in recorded["paths"].items()}
    if any(exceeded for _, exceeded in judge(recorded, same)):
        sys.exit("the recorded counts do not pass")
    for path, entry in recorded["paths"].items():
        for planted in ({**same, path: same[path] * (1.01 + entry["tolerance"])}, {p: n for p, n in same.items() if p != path}):
            if [path for (_, exceeded), path in zip(judge(recorded, planted), same) if exceeded] != [path]:
                sys.exit(f"{path}: a planted regression was not found")


if __name__ == "__main__":
    commands = {(): compare, ("record",): record, ("prove",): prove}
    command = commands.get(tuple(sys.argv[1:]))
    if not command:
        sys.exit(__doc__)
    if command is not prove:
        build()
    command()
