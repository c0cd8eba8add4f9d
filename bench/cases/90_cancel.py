import math
import time

from harness.bench import Budget
from harness.peers import Forwarder, NameServer, until

TITLE = "Cancelling a call"
WHAT = """\
A call is stuck in one of its phases, and another thread cancels it. The time runs from the cancellation until the call has
returned, for `vsession_cancel_fire` and for the cancellation of a Go context. The session is logged in. The phases:

- *name lookup*: the name server does not answer; *TCP connect*: nothing answers the connect; *proxy handshake*: the proxy
  does not answer CONNECT; *TLS handshake*: the server does not answer the ClientHello;
- *request write*: the server does not read, and only a part of the request is written; *waiting for the reply*: no byte of it
  comes; *reply's body*: all but the last 20 bytes come;
- *pooled connection*: another call has the only connection that the options allow; *another thread's login*: the session is not
  logged in yet, and the login that another thread waits for gets no answer. govmomi does not share logins between threads.

pyVmomi has no cancellation, and libcurl's easy interface has a callback that it calls about once a second, by its manual; neither is
measured. All rounds count together, so with five rounds each row stands for 100 trials."""

TRIALS = 20
MEGABYTES = 6  # more than the buffers of both sides hold
WHEN = {"p50": 0.5, "p99": 0.99, "max": 1.0}


def measure(bench):
    both, ours = ("vsession", "govmomi"), ("vsession",)
    why_not = NameServer.why_not(bench.server("http"))
    if why_not:
        print(f"  name lookup: left out, because programs cannot get their own name server: {why_not}", flush=True)
    else:
        phase(bench, "name lookup", both, name_lookup)
    phase(bench, "TCP connect", both, tcp_connect)
    phase(bench, "proxy handshake", both, proxy_handshake)
    phase(bench, "TLS handshake", both, tls_handshake)
    for kind in ("http", "tls"):
        phase(bench, f"request write, {kind.upper()}", both, request_write, kind)
        phase(bench, f"waiting for the reply, {kind.upper()}", both, reply, kind, {"hang": True})
        phase(bench, f"reply's body, {kind.upper()}", both, reply, kind, {"stop": {"byte": -20, "then": "stall"}})
    phase(bench, "pooled connection", both, pooled_connection)
    phase(bench, "another thread's login", ours, login_of_another)


def phase(bench, name, programs, trials, *more):
    samples = bench.interleave({program: lambda program=program: trials(bench, program, *more) for program in programs})
    # All rounds together: the median of the maxima would hide the worst.
    together = {program: [sum((s["latencies_ns"] for s in rounds), [])] for program, rounds in samples.items()}
    for metric, part in WHEN.items():
        budget = Budget(at_most=5, unit="ms") if metric == "max" else None
        bench.row(name, metric, "ms", together, lambda values: quantile(values, part) / 1e6, budget=budget, chart=metric != "p99")


def run(bench, program, server, begin, stuck, **how):
    """One round: `begin` is called when the program has logged in, `stuck` waits until the call of a trial is stuck."""

    def on_ready(trial):
        if trial:
            stuck(trial)
        else:
            begin()
            time.sleep(0.1)  # until Go has noticed that connections are closed; it would use them otherwise

    return bench.run(program, "cancel", server, on_ready=on_ready, trials=TRIALS, **how)


def name_lookup(bench, program):
    with NameServer(bench.server("http")) as names:
        return run(bench, program, names, names.fall_silent, lambda _: names.await_question(), prefix=names.prefix)


def tcp_connect(bench, program):
    with Forwarder(bench.server("http")) as peer:
        return run(bench, program, peer, peer.fill_backlog, lambda _: peer.await_connecting())


def proxy_handshake(bench, program):
    with Forwarder(bench.server("tls"), proxy=True) as peer:
        proxy = "http://%s:%d" % peer.address
        return run(bench, program, peer, peer.fall_silent, lambda _: peer.await_connection(b"CONNECT "), proxy=proxy)


def tls_handshake(bench, program):
    with Forwarder(bench.server("tls")) as peer:
        return run(bench, program, peer, peer.fall_silent, lambda _: peer.await_connection(b"\x16\x03"))


def request_write(bench, program, kind):
    with Forwarder(bench.server(kind)) as peer:
        figures = run(bench, program, peer, peer.fall_deaf, lambda _: peer.await_deaf(), megabytes=MEGABYTES, wait_ms=20)
        if peer.most_written() >= MEGABYTES << 20:
            raise RuntimeError(f"{program} had written a whole request")
        return figures


def reply(bench, program, kind, rule):
    server = bench.server(kind)
    with server.rules({"method": "CurrentTime", **rule}):
        return run(bench, program, server, forget_calls(server), lambda trial: calls(server, "CurrentTime", trial))


def pooled_connection(bench, program):
    server = bench.server("http")
    forget_calls(server)()
    with server.rules({"method": "CurrentTime", "hang": True}):
        one = lambda _=None: calls(server, "CurrentTime", 1)
        return run(bench, program, server, one, one, max_connections=1, occupy="call")


def login_of_another(bench, program):
    server = bench.server("http")
    forget_calls(server)()
    with server.rules({"method": "Login", "hang": True}):
        one = lambda _=None: calls(server, "Login", 1)
        return run(bench, program, server, one, one, occupy="login")


def forget_calls(server):
    return lambda: server.control("POST", "/stats/reset")


def calls(server, method, count):
    """Waits until this many calls of the method have come; one of them is under way."""

    def come():
        stats = server.control("GET", "/stats")
        came = stats["calls"].get(method, 0)
        if came > count:
            raise RuntimeError(f"{came} calls of {method} came instead of {count}")
        return came == count

    until(come, f"call {count} of {method}")


def quantile(values, part):
    return sorted(values)[math.ceil(part * len(values)) - 1]
