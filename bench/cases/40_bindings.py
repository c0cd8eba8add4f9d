from harness.bench import Budget, cpu_us, per_second
from harness.server import MEASURED

TITLE = "A call from Go and from Python"
WHAT = """\
The same call as above, made through the library from Go (cgo, without a binding written for it) and from Python (cffi in its
ABI mode), beside the libraries that are written in these languages. "vsession" is the library called from that language."""

PAIRS = {"cgo": "govmomi", "cffi": "pyVmomi"}


def measure(bench):
    for profile, suffix in MEASURED.items():
        for transport in ("http", "tls"):
            server = bench.server(transport, profile)
            for threads in (1, 8):
                samples = bench.interleave(
                    {
                        program: lambda program=program: bench.run(program, "call", server, threads=threads, seconds=0.5)
                        for pair in PAIRS.items()
                        for program in pair
                    }
                )
                for ours, peer in PAIRS.items():
                    where = f"{ours}, {transport.upper()}, {threads} {'thread' if threads == 1 else 'threads'}{suffix}"
                    both = {name: samples[name] for name in (ours, peer)}
                    bench.row(where, "CPU of a call", "µs", both, cpu_us, ours=ours, budget=Budget(first=True), chart=True)
                    bench.row(where, "calls", "1/s", both, per_second, ours=ours, budget=Budget(first=True), lower_is_better=False)
