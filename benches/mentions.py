#!/usr/bin/env python3
"""What it costs to name a property ten times instead of once, in one expression (issue 4: less than 1.2 times as much).

    python3 benches/mentions.py --footfall target/release/footfall --benches target/release/footfall-benches
    python3 benches/mentions.py --events 5000000 …     a longer run

Loads orders (events with a list of objects), stops (which flushes), starts, and asks each pair by turns, as SQL's `expr()` and as
the `where` of a segmentation. Printed are the medians, their ratio, and which columns the scan of the longer one reads. Needs
Python 3.11 and nothing else.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.questions import BOOTS, ORDER  # noqa: E402
from harness.server import Footfall  # noqa: E402
from run import CACHE, build, make_data  # noqa: E402

PRICE = 'properties["price"]'
COUNTRY = 'properties["mp_country_code"]'
FIRST = 'properties["items"][0]'
ITEM = 'any(i["category"] == "{}" and i["price"] > 480 for i in properties["items"])'
# What is named, in an expression that names it once and in one that names it ten times and keeps (about) as many events.
PAIRS = {
    "a number, compared": (f"{PRICE} != 0.5", " and ".join(f"{PRICE} != {n}.5" for n in range(10))),
    "a number, added up": (f"{PRICE} > 100", " + ".join([PRICE] * 10) + " > 1000"),
    "a text, compared": (f'{COUNTRY} == "DE"', " or ".join(f'{COUNTRY} == "{c}"' for c in "DE DA DB DC DD DF DG DH DI DJ".split())),
    "a member of an object": (f'{FIRST}["price"] != 0.5', " and ".join(f'{FIRST}["price"] != {n}.5' for n in range(10))),
    "a list, searched": (ITEM.format("sneakers"), " or ".join(ITEM.format(name) for name in BOOTS)),
}


def main() -> int:
    options = arguments()
    work = CACHE / "bench" / f"mentions-{options.events}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    benches = options.benches or build("footfall-benches")
    data = CACHE / "bench" / f"{options.events}-7-orders" / "data"
    meta = make_data([benches, "generate", "--events", str(options.events), "--seed", "7", "--out", data, "--orders"], data)
    server = Footfall(options.footfall or build("footfall"), work / "data", work / "log", [])
    try:
        load = [server.binary, "import", "--project", "bench", "--data-dir", server.data_dir, data / meta["ndjson"]]
        subprocess.run(load, check=True, stdout=subprocess.DEVNULL)
        server.start()
        print(f"{'named':24} {'asked by':14} {'once ms':>9} {'ten ms':>9} {'ratio':>6}  columns of the scan")
        for name, (one, ten) in PAIRS.items():
            for way, ask in WAYS.items():
                once, often = measured(lambda text: ask(server, meta, text), one, ten, options.runs)
                print(f"{name:24} {way:14} {once:9.1f} {often:9.1f} {often / once:6.2f}  {columns(server, ten)}", flush=True)
        server.stop()
    finally:
        server.kill()
    shutil.rmtree(work, ignore_errors=True)
    return 0


def by_sql(server: Footfall, _: dict, text: str) -> None:
    server.sql(counted(text))


def by_segmentation(server: Footfall, meta: dict, text: str) -> None:
    server.segmentation({"event": ORDER, "from_date": meta["from_date"], "to_date": meta["from_date"][:4] + "-12-31", "unit": "month", "where": text})


WAYS = {"SQL": by_sql, "segmentation": by_segmentation}


def counted(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"SELECT count(*) FROM events WHERE expr('{quoted}')"


def measured(ask, one: str, ten: str, runs: int) -> tuple[float, float]:
    """Medians in milliseconds. By turns, so that what disturbs one disturbs the other."""
    times = {one: [], ten: []}
    for run in range(runs + 1):
        for text, taken in times.items():
            started = time.perf_counter()
            ask(text)
            # The first warms up.
            if run:
                taken.append((time.perf_counter() - started) * 1e3)
    return statistics.median(times[one]), statistics.median(times[ten])


def columns(server: Footfall, text: str) -> str:
    plan = "\n".join(str(cell) for row in json.loads(server.sql("EXPLAIN " + counted(text)))["rows"] for cell in row)
    return plan.partition("columns=[")[2].partition("]")[0]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7, help="timed runs of each expression")
    parser.add_argument("--footfall", type=Path)
    parser.add_argument("--benches", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
