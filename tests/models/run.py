#!/usr/bin/env python3
"""Runs the models of the concurrent parts (`models.rs` in src/runtime, src/http, src/session and src/ffi) under the model checker.

    tests/models/run.py [SECONDS] [WORD]     each model, or those with WORD in their name, for this long (1.5)
    tests/models/run.py replay NAME FILE     repeats a schedule that a failure printed
    tests/models/run.py in SECONDS           all models, for about this long in total
    tests/models/run.py prove [WORD]         shows that each planted fault of tests/plants.toml is found by its model

VSESSION_MODEL_SEED=N starts with other orders.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = ROOT / "target/model"
PLANTS = tomllib.loads((ROOT / "tests/plants.toml").read_text())["models"]


def build():
    """Builds the unit tests with the model checker instead of the primitives; returns the path of the program."""
    flags = {**os.environ, "RUSTFLAGS": "--cfg vsession_model"}
    command = ["cargo", "test", "--lib", "--no-run", "--quiet", "--profile", "model", "--message-format=json"]
    command += ["--manifest-path", str(ROOT / "Cargo.toml"), "--target-dir", str(TARGET)]
    built = subprocess.run(command, env=flags, stdout=subprocess.PIPE, text=True)
    programs = re.findall(r'"name":"vsession".*"executable":"([^"]+)"', built.stdout)
    if built.returncode != 0 or len(programs) != 1:
        subprocess.run([word for word in command if word != "--message-format=json"], env=flags)
        sys.exit("the models could not be built")
    return programs[0]


def names(program):
    listed = subprocess.run([program, "--list", "models::"], capture_output=True, text=True, check=True).stdout
    return [line.removesuffix(": test") for line in listed.splitlines() if line.endswith(": test")]


def run(program, name, seconds, **environment):
    """Runs one model; returns whether it passed, and its output."""
    environment = {**os.environ, "VSESSION_MODEL_SECONDS": str(seconds), "RUST_BACKTRACE": "0", **environment}
    command = [program, "--exact", name, "--nocapture", "--test-threads=1"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=4 * seconds + 300)
    except subprocess.TimeoutExpired:
        return False, "the model did not end: something waits outside the model checker"
    said = done.stdout + done.stderr
    return done.returncode == 0 and "1 passed" in said, said


def run_all(seconds, word, together=False):
    """Runs the models. With `together` they share the seconds."""
    program = build()
    chosen = [name for name in names(program) if word in name]
    if together:
        seconds = seconds * os.cpu_count() / len(chosen)
    if not chosen:
        sys.exit(f"no model has '{word}' in its name")
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, (held, said) in zip(chosen, pool.map(lambda name: run(program, name, seconds), chosen)):
            orders = re.search(r"\d+ random orders.*", said)
            if held and orders:
                print(f"ok    {name}: {orders.group()}")
                continue
            failed += 1
            print(f"FAIL  {name}\n{said}")
            if schedule := re.search(r'failing schedule:\n"\n(.*?)\n"', said, re.S):
                file = TARGET / f"{name.rsplit('::', 1)[-1]}.schedule"
                file.write_text(schedule.group(1))
                print(f"again: tests/models/run.py replay {name} {file.relative_to(ROOT)}")
    print(f"{len(chosen) - failed} of {len(chosen)} models hold")
    sys.exit(failed > 0)


def replay(name, file):
    held, said = run(build(), name, 0, VSESSION_MODEL_REPLAY=str(pathlib.Path(file).resolve()))
    print(said)
    sys.exit(not held)


def prove(word=""):
    faults = [name for name in PLANTS if word in name]
    program = build()
    there = names(program)

    def find(name):
        model, message = PLANTS[name]["model"], PLANTS[name]["says"]
        (full,) = [full for full in there if full.endswith(f"::{model}")]
        began = time.monotonic()
        held, said = run(program, full, 60, VSESSION_PLANT=name)
        found = not held and message in said
        return found, full, f"{time.monotonic() - began:.1f} s: {message}" if found else said

    missed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, (found, model, said) in zip(faults, pool.map(find, faults)):
            missed += not found
            print(f"{'found' if found else 'MISSED'}  {name} by {model}: {said}")
        # The model must find the planted fault and nothing else: without it the same program passes.
        for model, (held, said) in zip(there, pool.map(lambda model: run(program, model, 0.5, VSESSION_PLANT=""), there)):
            missed += not held
            if not held:
                print(f"without a fault: {model}\n{said}")
    blind = [model for model in there if not any(model.endswith(f"::{fault['model']}") for fault in PLANTS.values())]
    for model in blind:
        print(f"no fault is planted for {model}")
    print(f"{len(faults)} faults, {missed} missed, {len(blind)} models without one")
    sys.exit(missed > 0 or bool(blind))


match sys.argv[1:]:
    case ["prove"] | ["prove", _]:
        prove(*sys.argv[2:])
    case ["in", seconds]:
        run_all(float(seconds), "", together=True)
    case ["replay", name, file]:
        replay(name, file)
    case [] | [_] | [_, _]:
        arguments = sys.argv[1:]
        seconds = float(arguments.pop(0)) if arguments and re.fullmatch(r"[\d.]+", arguments[0]) else 1.5
        run_all(seconds, arguments[0] if arguments else "")
    case _:
        sys.exit(__doc__)
