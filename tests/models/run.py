#!/usr/bin/env python3
"""The models of the concurrent parts (`models.rs` in src/runtime, src/session and src/ffi), run under the model checker.

    tests/models/run.py [SECONDS] [WORD]     each model, or those with WORD in their name, for so long (1.5)
    tests/models/run.py replay NAME FILE     one schedule again, as a failure printed it
    tests/models/run.py in SECONDS           all of them, in about so long together
    tests/models/run.py prove [WORD]         each planted fault of plants.py is found by the model that is to find it

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

from plants import PLANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
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


def run_all(seconds, word, together=False):
    """`together`: the seconds are for all of them, and not for each."""
    for name, (file, right, *_) in PLANTS.items():
        check_place(name, ROOT, file, right)
    program = build(ROOT)
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
    held, said = run(build(ROOT), name, 0, VSESSION_MODEL_REPLAY=str(pathlib.Path(file).resolve()))
    print(said)
    sys.exit(not held)


def check_place(name, sources, file, right):
    if (sources / "src" / file).read_text().count(right) != 1:
        sys.exit(f"tests/models/plants.py: {name}: src/{file} does not have once what the fault replaces:\n{right}")


def plant(sources):
    """Puts every fault into the sources, each behind its name."""
    for name, (file, right, wrong, _, _) in PLANTS.items():
        path = sources / "src" / file
        check_place(name, sources, file, right)
        text = path.read_text()
        path.write_text(text.replace(right, wrong.replace("PLANTED", f'crate::sync::model::planted("{name}")')))


def prove(word=""):
    faults = [name for name in PLANTS if word in name]
    copy = TARGET / "planted"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(parents=True)
    for part in ["Cargo.toml", "Cargo.lock", "build.rs", "cbindgen.toml"]:
        shutil.copy(ROOT / part, copy)
    for part in ["src", "tests/rust/support"]:  # a unit test reads a certificate there
        shutil.copytree(ROOT / part, copy / part)
    plant(copy)
    program = build(copy)
    there = names(program)

    def find(name):
        _, _, _, model, message = PLANTS[name]
        (full,) = [full for full in there if full.endswith(f"::{model}")]
        began = time.monotonic()
        held, said = run(program, full, 60, VSESSION_MODEL_PLANT=name)
        found = not held and message in said
        return found, full, f"{time.monotonic() - began:.1f} s: {message}" if found else said

    missed = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for name, (found, model, said) in zip(faults, pool.map(find, faults)):
            missed += not found
            print(f"{'found' if found else 'MISSED'}  {name} by {model}: {said}")
        # What is found must be the fault: without one the same program holds.
        for model, (held, said) in zip(there, pool.map(lambda model: run(program, model, 0.5), there)):
            missed += not held
            if not held:
                print(f"without a fault: {model}\n{said}")
    blind = [model for model in there if not any(model.endswith(f"::{fault[3]}") for fault in PLANTS.values())]
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
