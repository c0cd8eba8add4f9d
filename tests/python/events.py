#!/usr/bin/env python3
"""The event queue in a Python event loop: asyncio waits for the queue's descriptor, and calls run concurrently without a thread
of the program. Needs only the standard library.

    simulator -- tests/python/events.py target/release/libvsession.so
"""

import asyncio
import ctypes
import os
import sys
import urllib.request

CALLS = 50
STATE_CHANGED, COMPLETION = 1, 5
ACTIVE, CLOSED = 3, 7


class Handle(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint64)]


class Call(ctypes.Structure):
    _fields_ = [
        ("struct_size", ctypes.c_size_t),
        ("method", ctypes.c_char_p),
        ("this_type", ctypes.c_char_p),
        ("this_id", ctypes.c_char_p),
        ("arguments", ctypes.c_char_p),
        ("arguments_length", ctypes.c_size_t),
    ]


library = ctypes.CDLL(sys.argv[1])
Pointer, Text, Error = ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(ctypes.c_void_p)
for name, result, arguments in [
    ("config_new", ctypes.c_int32, [Text, ctypes.POINTER(Handle), Error]),
    ("config_set", ctypes.c_int32, [Handle, Text, Text, Error]),
    ("config_set_queue", ctypes.c_int32, [Handle, Handle, Error]),
    ("config_free", ctypes.c_int32, [Handle]),
    ("queue_new", ctypes.c_int32, [ctypes.POINTER(Handle), Error]),
    ("queue_fd", ctypes.c_int32, [Handle]),
    ("queue_next", ctypes.c_int32, [Handle, ctypes.c_uint32, ctypes.POINTER(Pointer), Error]),
    ("queue_free", ctypes.c_int32, [Handle]),
    ("open", ctypes.c_int32, [Handle, ctypes.POINTER(Handle), Error]),
    ("call_async", ctypes.c_int32, [Handle, ctypes.POINTER(Call), Pointer, Handle, ctypes.c_uint64, Error]),
    ("close", ctypes.c_int32, [Handle, Pointer, Error]),
    ("event_get_kind", ctypes.c_int32, [Pointer]),
    ("event_new_state", ctypes.c_int32, [Pointer]),
    ("event_tag", ctypes.c_uint64, [Pointer]),
    ("event_reply", Pointer, [Pointer]),
    ("event_error", Pointer, [Pointer]),
    ("event_free", None, [Pointer]),
    ("reply_text", Text, [Pointer]),
    ("error_message", Text, [Pointer]),
    ("error_free", None, [Pointer]),
]:
    function = getattr(library, "vsession_" + name)
    function.restype, function.argtypes = result, arguments


def do(name, *arguments):
    """Calls a function that can fail, and raises its error as an exception."""
    error = Pointer()
    if getattr(library, "vsession_" + name)(*arguments, ctypes.byref(error)) != 0:
        message = library.vsession_error_message(error).decode()
        library.vsession_error_free(error)
        raise RuntimeError(f"vsession_{name}: {message}")


class Session:
    """A session whose calls are awaited."""

    def __init__(self, url, ca):
        self.queue, self.session, config = Handle(), Handle(), Handle()
        self.waiting, self.states, self.tags = {}, [], 0
        self.closed = asyncio.Event()
        do("queue_new", ctypes.byref(self.queue))
        do("config_new", url.encode(), ctypes.byref(config))
        do("config_set", config, b"tls.ca_file", ca.encode())
        do("config_set_queue", config, self.queue)
        do("open", config, ctypes.byref(self.session))
        library.vsession_config_free(config)
        self.fd = library.vsession_queue_fd(self.queue)
        asyncio.get_running_loop().add_reader(self.fd, self.take_events)

    def take_events(self):
        event = Pointer()
        while True:
            do("queue_next", self.queue, 0, ctypes.byref(event))
            if not event:
                return
            if library.vsession_event_get_kind(event) == STATE_CHANGED:
                self.states.append(library.vsession_event_new_state(event))
                if self.states[-1] == CLOSED:
                    self.closed.set()
            elif library.vsession_event_get_kind(event) == COMPLETION:
                future = self.waiting.pop(library.vsession_event_tag(event))
                if reply := library.vsession_event_reply(event):
                    future.set_result(library.vsession_reply_text(reply).decode())
                else:
                    message = library.vsession_error_message(library.vsession_event_error(event))
                    future.set_exception(RuntimeError(message.decode()))
            library.vsession_event_free(event)

    async def current_time(self):
        call = Call(ctypes.sizeof(Call), b"CurrentTime", b"ServiceInstance", None, None, 0)
        self.tags += 1
        future = self.waiting[self.tags] = asyncio.get_running_loop().create_future()
        do("call_async", self.session, ctypes.byref(call), None, self.queue, self.tags)
        return await future

    async def close(self):
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, do, "close", self.session, None)
        await self.closed.wait()
        loop.remove_reader(self.fd)
        library.vsession_queue_free(self.queue)


def post(path):
    urllib.request.urlopen(urllib.request.Request(os.environ["VSESSION_TEST_CONTROL"] + path, data=b""), timeout=10).read()


async def main():
    session = Session(os.environ["VSESSION_TEST_URL"], os.environ["VSESSION_TEST_CA"])
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    times = await asyncio.gather(*(session.current_time() for _ in range(CALLS)))
    assert len(times) == CALLS and all(time.startswith("20") for time in times), times
    assert session.states[-1] == ACTIVE and session.states.count(ACTIVE) == 1, session.states
    assert ticks > 0, "the loop did not run meanwhile"
    post("/sessions/kill")
    await asyncio.gather(*(session.current_time() for _ in range(CALLS)))
    assert session.states.count(ACTIVE) == 2, session.states
    ticking.cancel()
    await session.close()
    assert not session.waiting
    print(f"{2 * CALLS} calls, {ticks} ticks of the loop meanwhile, states {session.states}")


asyncio.run(asyncio.wait_for(main(), 60))
