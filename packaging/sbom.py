#!/usr/bin/env python3
"""Writes the software bill of materials of target/release/libvsession.so beside it, as libvsession.cdx.json (CycloneDX 1.5).

    packaging/sbom.py          writes it and checks it
    packaging/sbom.py prove    shows that the check finds a crate that is missing, one too many, and another checksum

cargo-cyclonedx describes the crates. It also lists crates that only tests and build scripts use, so this script keeps those that
cargo links into the library. It adds the library itself and Rust's standard library.
"""

import copy
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "target/release/libvsession.so"
BILL = LIBRARY.with_suffix(".cdx.json")


def output(*command, **more):
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True, **more).stdout


def compiler():
    """What rustc says about itself, by name."""
    return dict(line.split(": ", 1) for line in output("rustc", "-vV").splitlines() if ": " in line)


def linked():
    """Name and version of each crate whose code is in the library, except the library's own crate."""
    lines = output(
        "cargo", "tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}",
        "--target", compiler()["host"],
    ).splitlines()  # fmt: skip
    crates = {tuple(line.split()[:2]) for line in lines if line}
    return {(name, version.removeprefix("v")) for name, version in crates} - {("vsession", own_version())}


def own_version():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]


def described():
    """The bill as cargo-cyclonedx writes it."""
    written = ROOT / "libvsession.cdx.json"
    moment = output("git", "log", "-1", "--format=%ct").strip() if (ROOT / ".git").exists() else "0"
    try:
        output(
            "cargo", "cyclonedx", "--quiet", "--format", "json", "--spec-version", "1.5", "--no-build-deps",
            "--target", compiler()["host"], "--override-filename", "libvsession.cdx",
            env={"SOURCE_DATE_EPOCH": moment, **os.environ},
        )  # fmt: skip
        text = written.read_text()
    finally:
        written.unlink(missing_ok=True)
    # Identifiers that would otherwise contain paths of this machine.
    return json.loads(text.replace(f"path+file://{ROOT}#", "").replace("?download_url=file://.", ""))


def made():
    bill = described()
    crates = linked()
    bill["components"] = [c for c in bill["components"] if (c["name"], c["version"]) in crates]
    refs = {c["bom-ref"] for c in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    bill["dependencies"] = [
        {**d, "dependsOn": [on for on in d.get("dependsOn", []) if on in refs]}
        for d in bill["dependencies"]
        if d["ref"] in refs
    ]
    rust = compiler()
    bill["components"].append(
        {
            "type": "library",
            "bom-ref": "rust-std",
            "name": "std",
            "version": rust["release"],
            "description": "Rust's standard library, as it comes with the compiler",
            "scope": "required",
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
            "purl": f"pkg:generic/rust@{rust['release']}?vcs_url=git+https://github.com/rust-lang/rust@{rust['commit-hash']}",
        }
    )
    library = bill["metadata"]["component"]
    library.pop("components", None)
    library["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(LIBRARY.read_bytes()).hexdigest()}]
    return bill


def wrong(bill):
    """The faults of the bill, one line each."""
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    sums = {(p["name"], p["version"]): p.get("checksum") for p in locked}
    listed = {(c["name"], c["version"]): c for c in bill["components"] if c["bom-ref"] != "rust-std"}
    crates = linked()
    for crate in sorted(crates ^ set(listed)):
        yield f"{crate[0]} {crate[1]}: {'linked, not listed' if crate in crates else 'listed, not linked'}"
    for crate, component in sorted(listed.items()):
        if sums.get(crate) not in [h["content"] for h in component.get("hashes", [])]:
            yield f"{crate[0]} {crate[1]}: another checksum than in Cargo.lock"
        if not component.get("licenses"):
            yield f"{crate[0]} {crate[1]}: no licence"
    if str(ROOT) in json.dumps(bill):
        yield "a path of this machine"


def prove():
    right = made()
    doctored = {
        "not listed": lambda b: b["components"].pop(0),
        "not linked": lambda b: b["components"].append({**b["components"][0], "name": "planted"}),
        "checksum": lambda b: b["components"][0]["hashes"][0].update(content="0" * 64),
        "no licence": lambda b: b["components"][0].pop("licenses"),
        "a path": lambda b: b["components"][0].update(description=f"{ROOT}/src"),
    }
    if list(wrong(right)):
        sys.exit("\n".join(wrong(right)))
    for word, doctor in doctored.items():
        bill = copy.deepcopy(right)
        doctor(bill)
        if not any(word in line for line in wrong(bill)):
            sys.exit(f"planted and not found: {word}")
    print(f"all {len(doctored)} planted faults in a bill of materials were found")


def write():
    bill = made()
    findings = list(wrong(bill))
    if findings:
        sys.exit("\n".join(findings))
    BILL.write_text(json.dumps(bill, indent=2) + "\n")
    print(f"{BILL.relative_to(ROOT)}: {len(bill['components'])} components")


if sys.argv[1:] not in ([], ["prove"]):
    sys.exit(__doc__)
prove() if sys.argv[1:] else write()
