#!/usr/bin/env python3
"""What the caches spare: the same questions cold, from the local disk after a restart, and from memory.

    python3 benches/cache.py --footfall target/release/footfall --benches target/release/footfall-benches
    python3 benches/cache.py --store gs://bucket/prefix      # a store that is far away: there the disk tells

Loads the data of `run.py` once, stops (which flushes), and starts three times: with an empty cache on disk, with a full one,
and without stopping in between. Printed are the times of all questions together, their ratios, hit rates and bytes asked of
the store. In front of a local folder, cold is the page cache of the machine: the ratio shows what checking and decoding cost.
Needs Python 3.11 and nothing else.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.server import Footfall  # noqa: E402
from run import CACHE, build, make_data  # noqa: E402

QUESTIONS = [
    "SELECT count(*), count(DISTINCT user_id) FROM events",
    "SELECT event, count(*) FROM events GROUP BY event ORDER BY 2 DESC LIMIT 5",
    "SELECT mp_country_code, count(DISTINCT user_id) FROM events GROUP BY mp_country_code ORDER BY 2 DESC LIMIT 5",
    "SELECT date_trunc('day', time) AS day, count(DISTINCT user_id) FROM events GROUP BY 1 ORDER BY 1 LIMIT 5",
]


def main() -> int:
    options = arguments()
    work = CACHE / "bench" / f"cache-{options.events}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    benches = options.benches or build("footfall-benches")
    data = CACHE / "bench" / f"{options.events}-1" / "data"
    meta = make_data([benches, "generate", "--events", str(options.events), "--seed", "1", "--out", data], data)
    arguments_of_server = ["--cache-bytes", str(8 << 30), "--cache-dir", str(work / "cache")]
    if options.store:
        arguments_of_server += ["--store", options.store]
    server = Footfall(options.footfall or build("footfall"), work / "data", work / "log", arguments_of_server)
    try:
        server.start()
        load = [server.binary, "import", "--project", "bench", "--data-dir", server.data_dir, data / meta["ndjson"]]
        subprocess.run(load, check=True, stdout=subprocess.DEVNULL)
        server.stop()
        shutil.rmtree(work / "cache", ignore_errors=True)
        rows = []
        server.start()
        rows.append(("cold", *ask(server)))
        rows.append(("memory", *ask(server)))
        server.stop()
        server.start()
        rows.append(("disk", *ask(server)))
        server.stop()
    finally:
        server.kill()
    cold = rows[0][1]
    print(f"{'':8} {'seconds':>8} {'ratio':>6} {'hits':>7} {'misses':>7} {'hit rate':>9} {'MB from the store':>18}")
    for name, seconds, hits, misses, fetched in rows:
        rate = hits / max(hits + misses, 1)
        print(f"{name:8} {seconds:8.3f} {cold / seconds:6.2f} {hits:7} {misses:7} {rate:9.1%} {fetched / 1e6:18.1f}")
    return 0


def ask(server: Footfall) -> tuple[float, int, int, int]:
    """Seconds, hits, misses and bytes asked of the store."""
    before = figures(server)
    started = time.perf_counter()
    for question in QUESTIONS:
        server.sql(question)
    seconds = time.perf_counter() - started
    after = figures(server)
    return (seconds, *(after[n] - before[n] for n in range(3)))


def figures(server: Footfall) -> tuple[int, int, int]:
    values = {}
    for line in server.get("/metrics")[1].decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith("footfall_cache_"):
            values[name] = int(float(value))
    hits = values['footfall_cache_hits_total{tier="memory"}'] + values['footfall_cache_hits_total{tier="disk"}']
    return hits, values["footfall_cache_misses_total"], values["footfall_cache_fetched_bytes_total"]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--store", help="where the tables are; a folder of its own unless given")
    parser.add_argument("--footfall", type=Path)
    parser.add_argument("--benches", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
