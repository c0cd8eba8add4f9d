"""Describes the machine and the versions of what was compared."""

import os
import platform
import re
import subprocess
from datetime import date

from .paths import PROGRAMS, PYTHON, ROOT


def output(*command):
    try:
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=30).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return "?"


def find(pattern, text):
    found = re.search(pattern, text)
    return found.group(1).strip() if found else "?"


def describe():
    cpu = open("/proc/cpuinfo").read()
    memory = int(find(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read())) / 1048576
    packages = output(PYTHON, "-m", "pip", "list", "--format=freeze", "--disable-pip-version-check")
    changed = output("git", "-C", ROOT, "status", "--porcelain", "--untracked-files=no", "src", "Cargo.lock")
    return {
        "date": date.today().isoformat(),
        "vsession": find(r'version = "(.*?)"', (ROOT / "Cargo.toml").read_text())
        + f" at {output('git', '-C', ROOT, 'rev-parse', '--short', 'HEAD')}{' with changes' if changed else ''}",
        "processor": find(r"model name\s*: (.*)", cpu) + f", {os.cpu_count()} cores",
        "virtual machine": "yes" if "hypervisor" in cpu else "no",
        "memory": f"{memory:.0f} GiB",
        "system": find('PRETTY_NAME="(.*?)"', open("/etc/os-release").read()) + f", Linux {platform.release()}",
        "load before the start": f"{os.getloadavg()[0]:.1f}",
        "compilers": f"{find('(rustc [0-9.]+)', output('rustc', '--version'))}, {find(r'version (go[0-9.]+)', output('go', 'version'))}, "
        f"gcc {output('gcc', '-dumpfullversion')}, Python {platform.python_version()}",
        "govmomi": find(r"govmomi (v\S+)", (PROGRAMS / "go" / "go.mod").read_text()),
        "pyVmomi": find(r"(?i)pyvmomi==(\S+)", packages),
        "cffi": find(r"cffi==(\S+)", packages),
        "C libraries": f"{output('curl-config', '--version')}, libxml2 {output('xml2-config', '--version')}, {find('(OpenSSL [0-9.]+)', output('openssl', 'version'))}",
    }
