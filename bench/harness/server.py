"""Starts the test simulator (tests/simulator) in a process of its own and talks to its control port."""

import contextlib
import json
import subprocess
import tempfile
import urllib.request
from pathlib import Path

from .paths import SIMULATOR

FLAGS = {
    "http": ["-tls=false"],
    "tls": [],
    "inventory": ["-tls=false", "-vms", "10000"],
    "some machines": ["-tls=false", "-vms", "500"],
    "logging": ["-tls=false", "-log", "1000"],
}
# How servers format replies: the simulator's plain replies with a Content-Length; and those of vCenter 9.0.1, chunked and
# compressed for clients that ask. "chunked" is what a client gets that does not ask.
PROFILES = {
    "plain": ["-like", "plain"],
    "chunked": ["-like", "9.0.1", "-gzip=false"],
    "9.0.1": ["-like", "9.0.1"],
}
# The profiles with which calls, logins and inventory are measured, and the suffixes of their rows' names.
MEASURED = {"plain": "", "9.0.1": ", as 9.0.1"}


class Server:
    def __init__(self, kind, profile="plain"):
        self.directory = tempfile.TemporaryDirectory(prefix="vsession-bench-")
        self.process = subprocess.Popen(
            [SIMULATOR, "-exit-on-stdin-eof", "-log", "0", "-dir", self.directory.name, *PROFILES[profile], *FLAGS[kind]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.info = json.loads(self.process.stdout.readline())

    def environment(self):
        return {
            "BENCH_URL": self.info["url"],
            "BENCH_USER": self.info["user"],
            "BENCH_PASSWORD": self.info["password"],
            "BENCH_CA": self.info.get("ca_file") or "",
            "BENCH_URLS": " ".join(self.info["url"].replace(self.info["host"], host) for host in self.info.get("others", ())),
        }

    def control(self, method, path, body=None):
        """Makes a request to the control port."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.info["control"] + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return json.loads(text) if text.strip() else None

    def cpu_ns(self):
        """The CPU time of the simulator so far, on all of its live threads."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks)

    def logins(self):
        return self.control("GET", "/stats")["logins"]

    @contextlib.contextmanager
    def rules(self, *rules):
        """Applies rules of the simulator for a while."""
        for rule in rules:
            self.control("POST", "/rules", rule)
        try:
            yield
        finally:
            self.control("DELETE", "/rules")

    def stop(self):
        self.process.stdin.close()
        # It first removes the files of its machines, which takes minutes for many of them on a busy machine.
        self.process.wait(timeout=600)
        self.directory.cleanup()
