#!/usr/bin/env python3
"""The models of the concurrent parts (`models.rs` in src/runtime, src/session and src/ffi), run under the model checker.

    tests/models.py [SECONDS] [WORD]     each model, or those with WORD in their name, for so long (1.5)
    tests/models.py replay NAME FILE     one schedule again, as a failure printed it
    tests/models.py prove                each planted fault is found by the model that is to find it

VSESSION_MODEL_SEED=N begins with other orders.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TARGET = ROOT / "target/model"


def build(sources):
    """The unit tests with the model checker in the place of the primitives; the path of the program."""
    flags = {**os.environ, "RUSTFLAGS": "--cfg vsession_model"}
    command = ["cargo", "test", "--lib", "--no-run", "--quiet", "--profile", "model", "--message-format=json"]
    command += ["--manifest-path", str(sources / "Cargo.toml"), "--target-dir", str(TARGET)]
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
    """Runs one model; whether it held, and what it said."""
    environment = {**os.environ, "VSESSION_MODEL_SECONDS": str(seconds), "RUST_BACKTRACE": "0", **environment}
    command = [program, "--exact", name, "--nocapture", "--test-threads=1"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=4 * seconds + 300)
    except subprocess.TimeoutExpired:
        return False, "the model did not end: something waits outside of the model checker"
    said = done.stdout + done.stderr
    return done.returncode == 0 and "1 passed" in said, said


def run_all(seconds, word):
    program = build(ROOT)
    chosen = [name for name in names(program) if word in name]
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
                print(f"again: tests/models.py replay {name} {file.relative_to(ROOT)}")
    print(f"{len(chosen) - failed} of {len(chosen)} models hold")
    sys.exit(failed > 0)


def replay(name, file):
    held, said = run(build(ROOT), name, 0, VSESSION_MODEL_REPLAY=str(pathlib.Path(file).resolve()))
    print(said)
    sys.exit(not held)


match sys.argv[1:]:
    case ["replay", name, file]:
        replay(name, file)
    case [] | [_] | [_, _]:
        arguments = sys.argv[1:]
        seconds = float(arguments.pop(0)) if arguments and re.fullmatch(r"[\d.]+", arguments[0]) else 1.5
        run_all(seconds, arguments[0] if arguments else "")
    case _:
        sys.exit(__doc__)
