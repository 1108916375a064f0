#!/usr/bin/env python3
"""How fast `/import` acknowledges: the three phases of `run.py` alone, without peers and questions.

    python3 benches/ingest.py --events 5000000 --footfall target/release/footfall --benches target/release/footfall-benches

Prints the table that `run.py` would write, and the memory that loading took. Needs Python 3.11 and nothing else; builds the
binaries unless they are given.
"""

import argparse
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import ours, report  # noqa: E402
from harness.server import Footfall  # noqa: E402
from run import CACHE, build, make_data  # noqa: E402


def main() -> int:
    options = arguments()
    binary = options.footfall or build("footfall")
    benches = options.benches or build("footfall-benches")
    data = CACHE / "bench" / f"{options.events}-7" / "data"
    meta = make_data([benches, "generate", "--events", options.events, "--seed", 7, "--out", data], data)
    work = CACHE / "bench" / "ingest"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    server = Footfall(binary, work / "data", work / "serve.log", options.serve_args.split())
    try:
        server.start()
        profile = work.parent / "profile" if options.profile else None
        phases = ours.load(server, benches, data, meta, options.connections, profile)
        peak = server.peak_memory()
        stopped = server.stop()
        print("\n".join(report.phases(phases)))
        print(f"\nStop with flush {stopped:.1f} s; resident at most {peak / 2**20:.0f} MiB.")
    finally:
        server.kill()
        shutil.rmtree(work, ignore_errors=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--footfall", type=Path, help="the binary under test; built when absent")
    parser.add_argument("--benches", type=Path, help="the load generator; built when absent")
    parser.add_argument("--serve-args", default="", help="further arguments for `footfall serve`")
    parser.add_argument("--connections", type=int, default=32, help="of the load generator, for batches of 50")
    parser.add_argument("--profile", action="store_true", help="sample the server with `perf` meanwhile")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
