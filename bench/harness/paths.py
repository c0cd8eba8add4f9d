"""Where things are in the source tree."""

from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent
PROGRAMS = BENCH / "programs"
CASES = BENCH / "cases"
RESULTS = BENCH / "results"
DOCS = ROOT / "docs"
RELEASE = ROOT / "target" / "release"
LIBRARY = RELEASE / "libvsession.so.0"
SIMULATOR = ROOT / "target" / "simulator" / "simulator"
BUILT = ROOT / "target" / "bench"
PYTHON = BUILT / "venv" / "bin" / "python"
