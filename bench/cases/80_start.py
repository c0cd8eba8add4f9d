import shutil
import subprocess

from harness.bench import Budget
from harness.build import COMMANDS
from harness.paths import BUILT, LIBRARY, PROGRAMS, PYTHON

TITLE = "From the start of a process to its first answer"
WHAT = """\
A process starts, logs in and makes one call; the time runs from before the start to the answer. Ours is a C program that loads
the library with `dlopen`. The size is what a program must ship: for vsession the stripped library; for libcurl the program with the
shared libraries that it loads, except those of the C library; for govmomi the stripped program; for pyVmomi its package alone."""

PROGRAMS_STARTED = {"start": "vsession", "libcurl": "libcurl", "govmomi": "govmomi", "pyVmomi": "pyVmomi"}
OF_THE_C_LIBRARY = ("libc.so", "libm.so", "libdl.so", "libpthread.so", "librt.so", "libgcc_s.so", "ld-linux", "linux-vdso", "libresolv.so")


def measure(bench):
    for transport in ("http", "tls"):
        server = bench.server(transport)
        samples = bench.interleave(
            {program: lambda program=program: bench.run(program, "start", server) for program in PROGRAMS_STARTED},
            rounds=2 * bench.rounds,
        )
        where = transport.upper()
        bench.row(where, "start to first answer", "ms", samples, since_start, ours="start", budget=Budget(first=True), chart=True)
        ours = {"start": samples["start"]}
        bench.row(where, "dlopen to first answer", "ms", ours, lambda s: s["from_dlopen_ns"] / 1e6, ours="start")
        bench.row(where, "dlopen alone", "ms", ours, lambda s: s["dlopen_ns"] / 1e6, ours="start")
    sizes = {"vsession": library_size(), "libcurl": libcurl_size(), "govmomi": govmomi_size(), "pyVmomi": pyvmomi_size()}
    mib = {name: [size / 1048576] for name, size in sizes.items()}
    bench.row("stripped", "size", "MiB", mib, lambda size: size, budget=Budget(at_most=4, unit="MiB"), chart=True)


def since_start(sample):
    return (sample["done_ns"] - sample["started_ns"]) / 1e6


def stripped(file):
    copy = BUILT / "stripped"
    shutil.copyfile(file, copy)
    subprocess.run(["strip", "--strip-unneeded", copy], check=True)
    return copy.stat().st_size


def library_size():
    return stripped(LIBRARY)


def libcurl_size():
    program = COMMANDS["libcurl"][0]
    lines = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout.splitlines()
    libraries = [line.split()[2] for line in lines if "=>" in line and not line.strip().startswith(OF_THE_C_LIBRARY)]
    return stripped(program) + sum(stripped(library) for library in libraries)


def govmomi_size():
    subprocess.run(["go", "build", "-ldflags=-s -w", "-o", BUILT / "stripped", "./govmomi"], cwd=PROGRAMS / "go", check=True)
    return (BUILT / "stripped").stat().st_size


def pyvmomi_size():
    script = "import pyVmomi, pyVim, os; print(os.path.dirname(pyVmomi.__file__)); print(os.path.dirname(pyVim.__file__))"
    folders = subprocess.run([PYTHON, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    du = subprocess.run(["du", "-sb", "--exclude=__pycache__", *folders], check=True, capture_output=True, text=True).stdout
    return sum(int(line.split()[0]) for line in du.splitlines())
