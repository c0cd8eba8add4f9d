from harness.bench import Budget

TITLE = "Reading while another thread logs in"
WHAT = """\
One thread logs in and out continuously while others read state and identity. "rwlock" is a copy of both behind a pthread
rwlock, which the writer takes to replace the copy. "rwlock during login" holds that lock during the login, as a mutex around a client
does. A wait is a read during which the system put the reader to sleep (a voluntary context switch); a read during which the
scheduler gave the core to another thread is not one. The rwlock lets readers pass a waiting writer, so many readers keep the writer
from its work; that is a wait of the writer. The number of waits is that of the worst round."""

SECONDS = 0.7
LOCKS = {"vsession": "none", "swap": "swap", "login": "login"}
NAMES = {"swap": "rwlock", "login": "rwlock during login"}


def measure(bench):
    server = bench.server("http")
    for readers in (2, 16):
        samples = bench.interleave(
            {
                name: lambda lock=lock: bench.run("vsession", "contention", server, threads=readers, seconds=SECONDS, lock=lock)
                for name, lock in LOCKS.items()
            }
        )
        where = f"{readers} readers"
        bench.row(where, "time of a read", "ns", samples, lambda s: s["ns"], names=NAMES, chart=True)
        bench.row(where, "waits of readers", "", samples, lambda s: s["waits"], budget=Budget(at_most=0), names=NAMES, combine=max)
        bench.row(where, "longest wait", "ms", samples, lambda s: s["longest_wait_ns"] / 1e6, budget=Budget(at_most=0, unit="ms"), names=NAMES, combine=max)
        bench.row(where, "logins that the writer made", "1/s", samples, lambda s: s["logins"] / SECONDS, lower_is_better=False, names=NAMES, chart=True)
