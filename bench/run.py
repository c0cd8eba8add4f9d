#!/usr/bin/env python3
"""Runs the benchmarks: builds what is compared, runs the cases in bench/cases, writes the results.

    bench/run.py                    everything; writes bench/results/latest.json and docs/benchmarks.md
    bench/run.py call login         some cases; writes target/bench/partial.{json,md}
    bench/run.py --rounds 1 call    fewer rounds
"""

import argparse
import importlib.util
import re
import sys
import time
import traceback

from harness import machine, report
from harness.bench import Bench
from harness.build import build
from harness.paths import BUILT, CASES, DOCS, RESULTS


def load_cases():
    """The modules in bench/cases, in the order of their file names; NAME is the file's without the number."""
    cases = []
    for file in sorted(CASES.glob("*.py")):
        spec = importlib.util.spec_from_file_location(file.stem, file)
        case = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(case)
        case.NAME = re.sub(r"^\d+_", "", file.stem)
        cases.append(case)
    return cases


def main():
    parser = argparse.ArgumentParser(description="Runs the benchmarks.")
    parser.add_argument("cases", nargs="*", help="names of cases; all if none is given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-build", action="store_true", help="use the programs as they are")
    options = parser.parse_args()
    cases = load_cases()
    unknown = set(options.cases) - {case.NAME for case in cases}
    if unknown:
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(case.NAME for case in cases)}")
    if not options.no_build:
        build()
    about = machine.describe()
    bench = Bench(options.rounds)
    failed = []
    begin = time.monotonic()
    try:
        for case in cases:
            if options.cases and case.NAME not in options.cases:
                continue
            print(f"{case.NAME} ({time.monotonic() - begin:.0f} s)", flush=True)
            bench.case = case.NAME
            try:
                case.measure(bench)
            except Exception:
                traceback.print_exc()
                failed.append(case.NAME)
    finally:
        bench.stop()
    about["duration"] = f"{time.monotonic() - begin:.0f} s without building, {options.rounds} rounds"
    if options.cases:
        report.write(BUILT / "partial.json", BUILT / "partial.md", BUILT / "benchmarks", cases, bench.rows, about)
    elif not failed:
        report.write(RESULTS / "latest.json", DOCS / "benchmarks.md", DOCS / "benchmarks", cases, bench.rows, about)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}" + ("" if options.cases else "; nothing was written"))


if __name__ == "__main__":
    main()
