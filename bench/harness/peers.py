"""Peers that leave a call stuck, each in a different phase: a server, a proxy and a name server that stop answering."""

import contextlib
import math
import queue
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

PATIENCE = 30  # seconds; what these peers wait for comes at once or never


def until(happened, what):
    begin = time.monotonic()
    while not happened():
        if time.monotonic() - begin > PATIENCE:
            raise RuntimeError(f"waited {PATIENCE} s in vain for {what}")
        time.sleep(0.001)


def turned_away():
    """How many attempts to connect this system has not answered because the backlog was full. (The table of connections would
    show whose they were, but takes long to read if there are many.)"""
    names, numbers = [line.split() for line in Path("/proc/net/netstat").read_text().splitlines() if line.startswith("TcpExt:")]
    return int(dict(zip(names, numbers))["ListenOverflows"])


class Forwarder:
    """Stands in front of a server and forwards every connection to it, until it is told to make new ones fail. As a proxy
    it expects CONNECT first."""

    DEAF_AFTER = 16384  # bytes from the client: more than a TLS handshake

    def __init__(self, server, proxy=False):
        self.server, self.proxy = server, proxy
        self.target = server.info["url"].split("/")[2].rsplit(":", 1)
        self.listener = socket.socket()
        # A small receive buffer, so that a large request gets stuck.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(1024)
        self.address = self.listener.getsockname()
        self.passing, self.most = True, math.inf
        self.joined, self.held, self.deaf = [], [], queue.Queue()
        self.accepting = threading.Thread(target=self.accept, daemon=True)
        self.accepting.start()

    def environment(self):
        """The server's environment, with which the programs come here instead."""
        url = self.server.info["url"].replace(":".join(self.target), "%s:%d" % self.address)
        return self.server.environment() | ({} if self.proxy else {"BENCH_URL": url})

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            if not self.passing:
                client.close()
                return
            if self.proxy:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += client.recv(1)
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            upstream = socket.create_connection(self.target)
            self.joined += [client, upstream]
            for ends in ((client, upstream, self.most), (upstream, client, math.inf)):
                threading.Thread(target=self.pass_on, args=ends, daemon=True).start()

    def pass_on(self, source, target, most):
        with contextlib.suppress(OSError):
            while data := source.recv(int(min(65536, most))):
                target.sendall(data)
                most -= len(data)
                if most == 0:
                    self.deaf.put(source)
                    return
        self.end(source, target)

    def end(self, *ends):
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def fall_deaf(self):
        """From now on reads only the beginning of what comes on a new connection."""
        self.most = self.DEAF_AFTER
        self.end(*self.joined)

    def fall_silent(self):
        """From now on the system accepts connections, and nothing answers on them."""
        self.passing = False
        socket.create_connection(self.address).close()
        self.accepting.join()
        self.end(*self.joined)

    def fill_backlog(self):
        """From now on even connections are not accepted."""
        self.fall_silent()
        self.listener.listen(0)
        with contextlib.suppress(TimeoutError):
            while True:
                self.held.append(socket.create_connection(self.address, timeout=0.1))
        self.turned_away = turned_away()

    def await_connection(self, beginning):
        """Waits until a client has connected and has sent this."""
        self.listener.settimeout(PATIENCE)
        connection, _ = self.listener.accept()
        self.held.append(connection)
        connection.settimeout(PATIENCE)
        came = connection.recv(len(beginning), socket.MSG_WAITALL)
        if came != beginning:
            raise RuntimeError(f"a connection began with {came}")

    def await_connecting(self):
        """Waits until another client has tried to connect and got no answer."""
        until(lambda: turned_away() > self.turned_away, "an attempt to connect")
        self.turned_away = turned_away()

    def await_deaf(self):
        """Waits until a client has sent more than the peer reads."""
        self.held.append(self.deaf.get(timeout=PATIENCE))

    def most_written(self):
        """The most bytes that a client wrote on a connection from which the peer stopped reading. The clients must have ended."""
        most = 0
        for connection in self.held:
            count = self.DEAF_AFTER
            connection.settimeout(PATIENCE)
            with contextlib.suppress(ConnectionError):
                while data := connection.recv(65536):
                    count += len(data)
            most = max(most, count)
        return most

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.passing:
            self.fall_silent()
        for end in (*self.joined, *self.held, self.listener):
            end.close()


class Silent:
    """Accepts connections and never answers on them."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.address = self.listener.getsockname()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


class NameServer:
    """Answers 127.0.0.1 to every question except for names that begin with "hung", until it falls silent. A program uses it in a
    separate mount namespace."""

    ADDRESS = ("127.0.0.77", 53)
    NAME = "vcenter.bench.test"
    SCRIPT = 'mount --bind "$1" /etc/resolv.conf && mount --bind "$2" /etc/nsswitch.conf && shift 2 && exec "$@"'

    def __init__(self, server):
        self.server = server
        self.directory = tempfile.TemporaryDirectory(prefix="vsession-names-")
        files = {
            "resolv.conf": f"nameserver {self.ADDRESS[0]}\noptions timeout:20 attempts:1\n",
            "nsswitch.conf": "hosts: dns\n",
        }
        for name, text in files.items():
            (Path(self.directory.name) / name).write_text(text)
        paths = [str(Path(self.directory.name) / name) for name in files]
        self.prefix = ["unshare", "-m", "sh", "-c", self.SCRIPT, "sh", *paths]
        self.silent, self.asked = False, 0
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(self.ADDRESS)
        self.serving = threading.Thread(target=self.serve, daemon=True)
        self.serving.start()

    @classmethod
    def why_not(cls, server):
        """Why programs cannot use it; None if they can."""
        try:
            with cls(server) as names:
                tried = subprocess.run([*names.prefix, "true"], capture_output=True, text=True)
                return tried.stderr.strip() if tried.returncode else None
        except OSError as error:
            return str(error)

    def environment(self):
        environment = self.server.environment()
        host = self.server.info["url"].split("/")[2].rsplit(":", 1)[0]
        return environment | {"BENCH_URL": environment["BENCH_URL"].replace(host, self.NAME)}

    def serve(self):
        while True:
            query, sender = self.socket.recvfrom(512)
            if not query:
                return
            if self.silent or query[13:17] == b"hung":
                self.asked += 1
            else:
                self.socket.sendto(self.answer(query), sender)

    @staticmethod
    def answer(query):
        end = query.index(0, 12) + 5  # labels, a zero, type and class
        of_version_4 = query[end - 4 : end - 2] == b"\0\1"
        counts = bytes([0, 1, 0, of_version_4, 0, 0, 0, 0])
        address = bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]) if of_version_4 else b""
        return query[:2] + b"\x81\x80" + counts + query[12:end] + address

    def fall_silent(self):
        self.silent = True
        self.server.control("POST", "/connections/close")

    def await_question(self):
        """Waits until a question has come since it fell silent. One lookup serves all that wait for the same name."""
        until(lambda: self.asked, "a question to the name server")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.sendto(b"", self.ADDRESS)
        self.serving.join()
        self.socket.close()
        self.directory.cleanup()
