"""A program on pyVmomi, as its users write it."""

import os
import ssl
import threading
import time
from urllib.parse import urlsplit

from measure import cpu_ns, crew, expired, memory_kib, run, show, tight


def connect():
    from pyVim.connect import SmartConnect

    url = urlsplit(os.environ["BENCH_URL"])
    context = ssl.create_default_context(cafile=os.environ["BENCH_CA"]) if url.scheme == "https" else None
    server = SmartConnect(
        protocol=url.scheme,
        host=url.hostname,
        port=url.port,
        user=os.environ["BENCH_USER"],
        pwd=os.environ["BENCH_PASSWORD"],
        sslContext=context,
        connectionPoolTimeout=-1,
    )
    # It keeps five connections by default; with more threads most calls would make a new connection.
    server._stub.poolSize = 100
    return server


def call():
    server = connect()
    crew(server.CurrentTime)
    server.content.sessionManager.Logout()


def login():
    manager = connect().content.sessionManager
    manager.Logout()

    def step():
        manager.Login(os.environ["BENCH_USER"], os.environ["BENCH_PASSWORD"])
        manager.Logout()

    crew(step)


def start():
    server = connect()
    server.CurrentTime()
    show(done_ns=time.monotonic_ns())
    server.content.sessionManager.Logout()


def expired_as_oslo():
    """Recovers like oslo.vmware, whose users share one session: a thread that finds it ended asks whether it is active, takes a
    lock, asks again, and logs in if no other thread has."""
    from pyVmomi import vim

    server = connect()
    manager = server.content.sessionManager
    user, password = os.environ["BENCH_USER"], os.environ["BENCH_PASSWORD"]
    lock = threading.Lock()
    current = {"session": manager.currentSession}

    def is_active():
        try:
            session = current["session"]
            return manager.SessionIsActive(session.key, session.userName)
        except vim.fault.NotAuthenticated:
            return False

    def step():
        while True:
            try:
                server.CurrentTime()
                return
            except vim.fault.NotAuthenticated:
                if is_active():
                    continue
                with lock:
                    if not is_active():
                        current["session"] = manager.Login(user, password)

    expired(step)
    manager.Logout()


def inventory():
    from pyVmomi import vim, vmodl

    server = connect()
    content = server.RetrieveContent()
    view = content.viewManager.CreateContainerView(content.rootFolder, [vim.VirtualMachine], True)
    spec = vmodl.query.PropertyCollector.FilterSpec(
        objectSet=[
            vmodl.query.PropertyCollector.ObjectSpec(
                obj=view,
                skip=True,
                selectSet=[
                    vmodl.query.PropertyCollector.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)
                ],
            )
        ],
        propSet=[
            vmodl.query.PropertyCollector.PropertySpec(
                type=vim.VirtualMachine,
                pathSet=["name", "runtime.powerState", "config.uuid", "config.hardware.memoryMB"],
            )
        ],
    )
    options = vmodl.query.PropertyCollector.RetrieveOptions()
    resident = memory_kib("VmRSS:")
    cpu, wall = cpu_ns(), time.monotonic_ns()
    result = content.propertyCollector.RetrievePropertiesEx([spec], options)
    machines = [{p.name: p.val for p in found.propSet} for found in result.objects]
    show(
        count=len(machines),
        wall_ns=time.monotonic_ns() - wall,
        cpu_ns=cpu_ns() - cpu,
        peak_kib=memory_kib("VmHWM:") - resident,
    )
    content.sessionManager.Logout()


class Kept:
    """Reads the state that a program keeps of its session, with one lock around each read, as in oslo.vmware."""

    def __init__(self):
        self.lock = threading.Lock()
        self.state = "active"
        self.session = {"key": "52a1c5a4-8f0e-1f9b-7c3d-0123456789ab", "userName": "administrator@vsphere.local"}


def state():
    kept = Kept()

    def loop(count):
        for _ in range(count):
            with kept.lock:
                kept.state

    tight(loop)


def info():
    kept = Kept()

    def loop(count):
        for _ in range(count):
            with kept.lock:
                dict(kept.session)

    tight(loop)


run(
    {
        "call": call,
        "login": login,
        "start": start,
        "expired": expired_as_oslo,
        "inventory": inventory,
        "state": state,
        "info": info,
    }
)
