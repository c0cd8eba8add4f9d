"""What the Python programs of the benchmarks share: arguments of the form key=value, threads that begin together, and
figures as one line of JSON."""

import json
import resource
import statistics
import sys
import threading
import time

WARM_UP = 20
SLICES = 200


def text(name):
    for argument in sys.argv[2:]:
        key, _, value = argument.partition("=")
        if key == name:
            return value
    return ""


def number(name, otherwise):
    return float(text(name) or otherwise)


def cpu_ns():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def memory_kib(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(field))


def show(**figures):
    print(json.dumps(figures), flush=True)


def wait_for_driver():
    print("ready", flush=True)
    if not sys.stdin.readline():
        sys.exit(1)


def run_threads(threads, work):
    members = [threading.Thread(target=work) for _ in range(threads)]
    for member in members:
        member.start()
    for member in members:
        member.join()


def crew(step):
    """Repeats a step on many threads, for a time or a number of steps."""
    threads = int(number("threads", 1))
    seconds = number("seconds", 0)
    each = int(number("count", 1000)) // threads
    begin = threading.Barrier(threads + 1)
    stop = threading.Event()
    done = []

    def member():
        for _ in range(WARM_UP):
            step()
        begin.wait()
        begin.wait()
        mine = 0
        while (not stop.is_set()) if seconds else (mine < each):
            step()
            mine += 1
        done.append(mine)

    members = [threading.Thread(target=member) for _ in range(threads)]
    for thread in members:
        thread.start()
    begin.wait()
    cpu, wall = cpu_ns(), time.monotonic_ns()
    begin.wait()
    if seconds:
        time.sleep(seconds)
        stop.set()
    for thread in members:
        thread.join()
    show(count=sum(done), wall_ns=time.monotonic_ns() - wall, cpu_ns=cpu_ns() - cpu)


def tight(loop):
    """Runs a loop on many threads and prints the nanoseconds that one of its rounds took. It times the rounds in slices and
    takes the median slice."""
    threads = int(number("threads", 1))
    rounds = int(number("count", 1000000)) // SLICES
    begin = threading.Barrier(threads)
    medians = []

    def member():
        loop(10 * rounds)
        begin.wait()
        times = []
        for _ in range(SLICES):
            start = time.monotonic_ns()
            loop(rounds)
            times.append(time.monotonic_ns() - start)
        medians.append(statistics.median(times))

    run_threads(threads, member)
    show(count=SLICES * rounds, ns=sum(medians) / threads / rounds)


def expired(call):
    """Makes one call on each thread after the driver has ended the session on the server, and repeats that."""
    threads = int(number("threads", 64))
    trials = int(number("trials", 5))
    begin, end = threading.Barrier(threads + 1), threading.Barrier(threads + 1)
    ends = []

    def member():
        for _ in range(trials):
            begin.wait()
            call()
            ends.append(time.monotonic_ns())
            end.wait()

    members = [threading.Thread(target=member) for _ in range(threads)]
    for thread in members:
        thread.start()
    walls = []
    cpu = 0
    for _ in range(trials):
        wait_for_driver()
        ends.clear()
        cpu_before, start = cpu_ns(), time.monotonic_ns()
        begin.wait()
        end.wait()
        walls.append(max(ends) - start)
        cpu += cpu_ns() - cpu_before
    for thread in members:
        thread.join()
    show(count=len(walls), cpu_ns=cpu, walls_ns=walls)


def run(commands):
    if len(sys.argv) < 2 or sys.argv[1] not in commands:
        sys.exit(f"usage: {sys.argv[0]} SUBCOMMAND [key=value ...]")
    commands[sys.argv[1]]()
