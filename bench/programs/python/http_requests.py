"""A program on requests, as its users write it: one session, which many threads share."""

import os
import time
from urllib.parse import urljoin

import requests

from measure import cpu_ns, crew, memory_kib, number, run, show, text

VI_JSON = "/sdk/vim25/8.0.1.0"


def connect():
    session = requests.Session()
    session.trust_env = False
    # It keeps ten connections by default; with more threads most calls would make a new connection.
    adapter = requests.adapters.HTTPAdapter(pool_maxsize=100)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.verify = os.environ["BENCH_CA"] or True
    return session


def ask(session, method, path, **options):
    answer = session.request(method, urljoin(os.environ["BENCH_URL"], path), timeout=120, **options)
    answer.raise_for_status()
    return answer


def log_in(session):
    answer = ask(session, "POST", "/api/session", auth=(os.environ["BENCH_USER"], os.environ["BENCH_PASSWORD"]))
    session.headers["vmware-api-session-id"] = answer.json()


def log_out(session):
    ask(session, "DELETE", "/api/session")
    del session.headers["vmware-api-session-id"]


def log_in_to_vim(session):
    login = {"_typeName": "Login", "userName": os.environ["BENCH_USER"], "password": os.environ["BENCH_PASSWORD"]}
    answer = ask(session, "POST", f"{VI_JSON}/SessionManager/SessionManager/Login", json=login)
    session.headers["vmware-api-session-id"] = answer.headers["vmware-api-session-id"]


def log_out_of_vim(session):
    ask(session, "POST", f"{VI_JSON}/SessionManager/SessionManager/Logout")


def get():
    session, path, through = connect(), text("path"), text("through")
    if through == "rest":
        log_in(session)
    elif through == "vim":
        log_in_to_vim(session)
    crew(lambda: ask(session, "GET", path).content)
    if through == "rest":
        log_out(session)
    elif through == "vim":
        log_out_of_vim(session)


def get_login():
    path = text("path")

    def step():
        with connect() as session:
            log_in(session)
            ask(session, "GET", path).content
            log_out(session)

    crew(step)


class Zeros:
    """A file of zeros, which requests sends part by part."""

    def __init__(self, size):
        self.left = self.len = size
        self.zeros = bytes(1 << 20)

    def read(self, size=-1):
        size = min(self.left, len(self.zeros), size if size >= 0 else self.left)
        self.left -= size
        return self.zeros[:size]


def upload():
    session, size = connect(), int(number("megabytes", 1)) << 20
    log_in_to_vim(session)
    resident = memory_kib("VmRSS:")
    cpu, wall = cpu_ns(), time.monotonic_ns()
    ask(session, "PUT", text("path"), data=Zeros(size))
    show(
        count=1,
        bytes=size,
        wall_ns=time.monotonic_ns() - wall,
        cpu_ns=cpu_ns() - cpu,
        peak_kib=memory_kib("VmHWM:") - resident,
    )
    log_out_of_vim(session)


run({"get": get, "get-login": get_login, "upload": upload})
