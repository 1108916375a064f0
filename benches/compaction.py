#!/usr/bin/env python3
"""What ingest and queries notice of compaction: the p99 while it runs over the p99 while it does not. The target is 1.5.

    python3 benches/compaction.py --footfall target/release/footfall --benches target/release/footfall-benches
    python3 benches/compaction.py --seconds 10 --events 500000            a quick look

A project is loaded by a server that flushes every few thousand rows and never compacts, so that its days are in many small
files. Then the same trickle is measured twice, as `fairness.py` measures it (20 events a second to /track, two queries a
second): with compaction off, and on over a copy of the same files, for as long as there is something to merge. Printed are
p50 and p99, their ratios, how many files there were and are, and what was read and written.

Needs Python 3.11 and nothing else; builds the binaries unless they are given, and uses the data of `run.py`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fairness import print_phases, small  # noqa: E402
from harness.server import Footfall  # noqa: E402
from run import CACHE, build, make_data  # noqa: E402

OFF = ["--compaction-enabled=false"]


def main() -> int:
    options = arguments()
    binary = options.footfall or build("footfall")
    benches = options.benches or build("footfall-benches")
    data = CACHE / "bench" / f"{options.events}-7" / "data"
    meta = make_data([benches, "generate", "--events", options.events, "--seed", 7, "--out", data], data)
    work = CACHE / "bench" / "compaction"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    server = Footfall(binary, work / "data", work / "server.log", [*OFF, "--flush-rows", str(options.flush_rows)])
    try:
        server.start()
        load(server, benches, data / meta["ndjson"])
        server.stop()
        phases = {}
        for name, args in (("alone", OFF), ("beside compaction", ["--compaction-quiet", "0", *options.serve_args.split()])):
            server.serve_args = args
            server.start()
            before = figures(server)
            small(server, 2.0)  # warm
            phases[name] = small(server, options.seconds)
            merged = {key: value - before.get(key, 0) for key, value in figures(server).items()}
            server.stop()
        print_phases(phases)
        print("\nsince the start: " + ", ".join(f"{key} {value:,.0f}" for key, value in sorted(merged.items())))
        if not merged.get("footfall_compaction_merges_total"):
            print("nothing was merged meanwhile: more --events, or fewer --flush-rows", file=sys.stderr)
            return 1
    finally:
        server.kill()
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each phase")
    parser.add_argument("--events", type=int, default=5_000_000, help="that are in the small files")
    parser.add_argument("--flush-rows", type=int, default=100_000, help="rows that a flush writes: fewer make more files")
    parser.add_argument("--footfall", type=Path, help="the binary under test; built when absent")
    parser.add_argument("--benches", type=Path, help="the load generator; built when absent")
    parser.add_argument("--serve-args", default="", help="further arguments for `footfall serve` while it compacts")
    parser.add_argument("--keep", action="store_true", help="keep the server's data and log")
    return parser.parse_args()


def load(server: Footfall, benches: Path, ndjson: Path) -> None:
    account = server.project["service_account"]
    command = [
        benches, "load", "--file", ndjson, "--url", server.url(), "--project-id", server.project["project_id"],
        "--user", account["username"], "--batch", 2000, "--connections", 8,
    ]
    said = subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"FOOTFALL_BENCH_SECRET": account["secret"]},
    ).stdout
    print(f"loaded at {json.loads(said)['events_per_s']:,.0f} events/s", file=sys.stderr)


def figures(server: Footfall) -> dict[str, float]:
    """The counters of compaction, over their labels."""
    sums: dict[str, float] = {}
    text = urllib.request.urlopen(server.url() + "/metrics").read().decode()
    for line in text.splitlines():
        if line.startswith("footfall_compaction_") and "_seconds" not in line:
            name, _, value = line.rpartition(" ")
            name = name.split("{")[0]
            sums[name] = sums.get(name, 0) + float(value)
    return sums


if __name__ == "__main__":
    sys.exit(main())
