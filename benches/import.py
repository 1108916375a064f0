#!/usr/bin/env python3
"""How fast `footfall import` is: N generated events of 90 days, NDJSON, into an empty data directory.

    python3 benches/import.py                          2 M events, plain and gzip, without a server and beside one
    python3 benches/import.py --events 20000000 --ways plain
    python3 benches/import.py --shuffle                lines in a random order instead of by time

The events come day by day, as history does; `--shuffle` is the worst case for sorting them. Each way is one line of JSON:
wall seconds from the start of the command to its end (with no server that includes the final flush), events a second,
and processor seconds per million events: of the command, and of the server where there is one. The count of events is
checked afterwards. Needs Rust and Python 3.11; builds the binaries unless they are given.
"""

import argparse
import gzip
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

from harness.server import Footfall
from run import CACHE, build, make_data

WAYS = ["plain", "gzip"]


def main() -> None:
    options = arguments()
    benches = options.benches or build("footfall-benches")
    binary = options.footfall or build("footfall")
    work = options.work / f"import-{options.events}-{options.seed}"
    data = work / "data"
    generate = [benches, "generate", "--events", options.events, "--seed", options.seed, "--out", data]
    meta = make_data(generate, data)
    files = sources(data, meta, options.shuffle)
    for way in options.ways:
        for beside in options.beside:
            print(json.dumps(measure(binary, files[way], beside, work / "run", options)), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--beside", nargs="+", choices=["nothing", "server"], default=["nothing", "server"])
    parser.add_argument("--shuffle", action="store_true", help="lines in a random order")
    parser.add_argument("--footfall", type=Path, help="the binary under test; built when absent")
    parser.add_argument("--benches", type=Path, help="the generator; built when absent")
    parser.add_argument("--work", type=Path, default=CACHE / "bench", help="for data and stores")
    parser.add_argument("--keep", action="store_true", help="keep the last data directory")
    return parser.parse_args()


def sources(data: Path, meta: dict, shuffle: bool) -> dict[str, Path]:
    """The generated file, and a gzip of it."""
    plain = data / meta["ndjson"]
    if shuffle:
        shuffled = data / "shuffled.ndjson"
        if not shuffled.exists():
            lines = plain.read_bytes().splitlines(keepends=True)
            random.Random(meta["seed"]).shuffle(lines)
            shuffled.write_bytes(b"".join(lines))
        plain = shuffled
    packed = plain.with_name(plain.name + ".gz")
    if not packed.exists():
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    return {"plain": plain, "gzip": packed}


def measure(binary: Path, source: Path, beside: str, folder: Path, options: argparse.Namespace) -> dict:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    server = Footfall(binary, folder / "data", folder / "serve.log", [])
    if beside == "server":
        server.start()
    command = [binary, "import", "--project", "bench", "--json", "--data-dir", folder / "data", source]
    before = processor_seconds(server)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    of_command = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    of_server = processor_seconds(server) - before
    if beside == "server":
        server.stop()
    summary = json.loads(done.stdout)
    if summary["stored"] != options.events or summary["rejected"]:
        sys.exit(f"not all events were stored: {summary}")
    check_count(binary, folder / "data", options.events)
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    million = options.events / 1e6
    return {
        "source": source.name, "bytes": source.stat().st_size, "beside": beside, "events": options.events,
        "wall_s": round(wall, 2), "events_per_s": round(options.events / wall),
        "command_cpu_s_per_million": round(of_command / million, 2),
        "server_cpu_s_per_million": round(of_server / million, 2),
        "peak_mib": round(after.ru_maxrss / 1024),
    }


def processor_seconds(server: Footfall) -> float:
    """Of the server's process so far; 0 without one."""
    if server.process is None:
        return 0.0
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def check_count(binary: Path, data: Path, expected: int) -> None:
    query = [binary, "sql", "--project", "bench", "--data-dir", data, "--format", "csv", "SELECT count(*) FROM events"]
    counted = subprocess.run(query, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]
    if int(counted) != expected:
        sys.exit(f"{counted} events are there, {expected} were imported")


if __name__ == "__main__":
    main()
