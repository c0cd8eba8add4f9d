"""A network line between programs and a server: a relay with a given rate and delay."""

import contextlib
import queue
import socket
import threading
import time

PIECE = 16384  # bytes read at a time


class Line:
    """A relay in front of a server. In each direction of a connection, pieces are sent one after the other at `megabits` per
    second, and each arrives `delay_ms` after it was sent."""

    def __init__(self, server, megabits, delay_ms):
        self.server, self.rate, self.delay = server, megabits * 1e6 / 8, delay_ms / 1000
        self.target = server.info["url"].split("/")[2].rsplit(":", 1)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.ends = []
        threading.Thread(target=self.accept, daemon=True).start()

    def environment(self):
        """The server's environment, with the relay's address."""
        url = self.server.info["url"].replace(":".join(self.target), "%s:%d" % self.address)
        return self.server.environment() | {"BENCH_URL": url}

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
                for end in (client, server):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.ends.append(end)
                for source, target in ((client, server), (server, client)):
                    under_way = queue.Queue(maxsize=64)
                    threading.Thread(target=self.take, args=(source, under_way), daemon=True).start()
                    threading.Thread(target=self.deliver, args=(under_way, target), daemon=True).start()

    def take(self, source, under_way):
        """Reads pieces and determines when each arrives."""
        left_at = 0
        data = True
        while data:
            try:
                data = source.recv(PIECE)
            except OSError:
                data = b""
            left_at = max(left_at, time.monotonic()) + len(data) / self.rate
            under_way.put((left_at + self.delay, data))

    def deliver(self, under_way, target):
        with contextlib.suppress(OSError):
            while True:
                arrives_at, data = under_way.get()
                wait = arrives_at - time.monotonic()
                if wait > 0:
                    time.sleep(wait)
                if not data:
                    target.shutdown(socket.SHUT_RDWR)
                    return
                target.sendall(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()
        for end in self.ends:
            end.close()
