"""Builds the programs that are compared. The Makefile builds the library and the simulator before."""

import os
import subprocess

from .paths import BENCH, BUILT, LIBRARY, PROGRAMS, PYTHON, RELEASE, ROOT, SIMULATOR

BESIDE_RELEASE = f"-Wl,-rpath,{RELEASE}"


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, timeout=600, **options)


def flags(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def c_program(name, *more):
    run(
        "gcc", "-O2", "-g", "-Wall", "-Wextra", "-Wno-missing-field-initializers",
        "-I", ROOT / "include", PROGRAMS / "c" / f"{name}.c", *more, "-pthread",
    )  # fmt: skip


def build():
    for built in (LIBRARY, SIMULATOR):
        if not built.exists():
            raise SystemExit(f"{built.relative_to(ROOT)} is missing; run 'make all simulator-binary' first")
    run(BENCH / "install.sh")
    BUILT.mkdir(parents=True, exist_ok=True)
    xml = flags("xml2-config", "--cflags", "--libs")
    library = ["-L", RELEASE, "-lvsession", BESIDE_RELEASE]
    c_program("vsession", "-o", BUILT / "vsession", *library, *xml)
    c_program("floor", "-o", BUILT / "floor", "-lssl", "-lcrypto", "-lz")
    c_program("curl", "-o", BUILT / "curl", *flags("curl-config", "--libs"), *xml)
    c_program("locks", "-o", BUILT / "locks")
    c_program("start", "-o", BUILT / "start", "-ldl")
    c_program("scale", "-o", BUILT / "scale", *library)
    c_program("waiting", "-o", BUILT / "waiting", *library)
    c_program("allocations", "-o", BUILT / "allocations.so", "-shared", "-fPIC")
    go = PROGRAMS / "go"
    run("go", "build", "-o", BUILT / "govmomi", "./govmomi", cwd=go)
    cgo = {"CGO_CFLAGS": f"-O2 -I{ROOT / 'include'}", "CGO_LDFLAGS": f"-L{RELEASE} {BESIDE_RELEASE}"}
    run("go", "build", "-o", BUILT / "cgo", "./cgo", cwd=go, env={**os.environ, **cgo})
    if not PYTHON.exists():
        run("python3", "-m", "venv", BUILT / "venv")
    run(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", PROGRAMS / "python" / "requirements.txt")


# The commands behind the names that cases use.
COMMANDS = {
    "vsession": [BUILT / "vsession"],
    "floor": [BUILT / "floor"],
    "libcurl": [BUILT / "curl"],
    "locks": [BUILT / "locks"],
    "scale": [BUILT / "scale"],
    "start": [BUILT / "start"],
    "waiting": [BUILT / "waiting"],
    "govmomi": [BUILT / "govmomi"],
    "cgo": [BUILT / "cgo"],
    "pyVmomi": [PYTHON, PROGRAMS / "python" / "pyvmomi.py"],
    "requests": [PYTHON, PROGRAMS / "python" / "http_requests.py"],
    "cffi": [PYTHON, PROGRAMS / "python" / "vsession_cffi.py"],
}
