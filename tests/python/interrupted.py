#!/usr/bin/env python3
"""Ctrl-C soon ends the Python programs of README.md and docs/keepalive.md, even while the server does not answer a login. The
programs are taken from the pages unchanged, except for the library's path. Needs only the standard library.

    simulator -tls=false -- tests/python/interrupted.py target/release/libvsession.so
"""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONTROL = os.environ["VSESSION_TEST_CONTROL"]
# A close waits a second for the login. The rest is for a busy machine; without deadlines it would be two minutes.
SOON = 30


def programs(page):
    """The Python program on a page, changed to load this library."""
    found = re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), flags=re.S | re.M)
    assert len(found) == 1, f"{page} shows {len(found)} programs"
    path = "target/release/libvsession.so.0"
    assert path in found[0], page
    return found[0].replace(path, str(pathlib.Path(sys.argv[1]).resolve()))


def ask(path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    return json.load(urllib.request.urlopen(urllib.request.Request(CONTROL + path, data=data), timeout=30))


def logins():
    return ask("/stats")["calls"].get("Login", 0)


def start(program):
    environment = dict(
        os.environ,
        GOVC_URL=os.environ["VSESSION_TEST_URL"],
        GOVC_USERNAME=os.environ["VSESSION_TEST_USER"],
        GOVC_PASSWORD=os.environ["VSESSION_TEST_PASSWORD"],
    )
    return subprocess.Popen([sys.executable, program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


with tempfile.TemporaryDirectory() as folder:
    for page in "README.md", "docs/keepalive.md":
        program = pathlib.Path(folder, "program.py")
        program.write_text(programs(page))

        running = start(program)
        out, err = running.communicate(timeout=60)
        assert running.returncode == 0 and out, f"{page}: {err}"

        ask("/rules", {"method": "Login", "hang": True})
        before = logins()
        running = start(program)
        end = time.monotonic() + 60
        while logins() == before:
            assert time.monotonic() < end and running.poll() is None, f"{page}: no login arrived"
            time.sleep(0.01)
        began = time.monotonic()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=300)
        took = time.monotonic() - began
        assert took < SOON, f"{page}: it ended {took:.1f} s after Ctrl-C"
        assert running.returncode != 0, f"{page}: the exit status hides the interruption"
        print(f"{page}: ended {took:.1f} s after Ctrl-C")
        urllib.request.urlopen(urllib.request.Request(CONTROL + "/rules", method="DELETE"), timeout=30).read()
