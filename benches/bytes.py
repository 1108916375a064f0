#!/usr/bin/env python3
"""Bytes per event, column by column: the same events as JSON lines, as Footfall's segments, and as a ClickHouse MergeTree.

    python3 benches/bytes.py --footfall target/release/footfall --benches target/release/footfall-benches
    python3 benches/bytes.py --events 5000000 …     a longer run

Imports the generated events without a server, compacts the table, and prints a section for benches/RESULTS.md. Columns that
only Footfall keeps (when an event arrived, whose it is, filters for duplicates, footers) are listed by themselves.
"""

import argparse
import collections
import json
import shutil
import subprocess
import sys
from pathlib import Path

from run import CACHE, HERE, enter_venv, make_data

# What the peer calls a column of ours.
PEER_NAMES = {"mp_country_code": "country", "$os": "os", "$browser": "browser", "price__integer": "price"}


def main() -> int:
    options = arguments()
    enter_venv()
    sys.path.insert(0, str(HERE))
    work = CACHE / "bench" / f"bytes-{options.events}-{options.seed}"
    data = work / "data"
    generate = [options.benches, "generate", "--events", options.events, "--seed", options.seed, "--out", data]
    make_data(generate, data)
    ours, files = footfall(options.footfall, data, work / "footfall")
    peer = clickhouse(data, work / "chdb")
    print(section(options.events, (data / "events.ndjson").stat().st_size, ours, files, peer))
    if not options.keep:
        shutil.rmtree(work / "footfall", ignore_errors=True)
        shutil.rmtree(work / "chdb", ignore_errors=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--footfall", type=Path, required=True, help="the binary under test")
    parser.add_argument("--benches", type=Path, required=True, help="the generator")
    parser.add_argument("--keep", action="store_true", help="keep the databases")
    return parser.parse_args()


def footfall(binary: Path, data: Path, folder: Path) -> tuple[collections.Counter, int]:
    """Bytes by column, and the number of files, of the segments that the table lists."""
    import pyarrow.parquet as pq

    shutil.rmtree(folder, ignore_errors=True)
    where = ["--data-dir", str(folder)]
    run = lambda *arguments: subprocess.run([binary, *arguments, *where], check=True, stdout=subprocess.PIPE)
    run("project", "create", "bytes", "--json")
    run("import", "--project", "bytes", str(data / "events.ndjson"))
    run("compact", "--all")
    table = folder / "store/1/events"
    sizes, files = collections.Counter(), 0
    for path in listed(table):
        footer = pq.read_metadata(path)
        files += 1
        chunks = [footer.row_group(g).column(c) for g in range(footer.num_row_groups) for c in range(footer.num_columns)]
        for chunk in chunks:
            sizes[chunk.path_in_schema] += chunk.total_compressed_size
        sizes["footers and filters"] += path.stat().st_size - sum(chunk.total_compressed_size for chunk in chunks)
    return sizes, files


def listed(table: Path) -> list[Path]:
    """The files of the newest version, from the log itself."""
    from urllib.parse import unquote

    live = {}
    for commit in sorted((table / "_delta_log").glob("*.json")):
        for line in commit.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                live[action["add"]["path"]] = table / unquote(action["add"]["path"])
            elif "remove" in action:
                live.pop(action["remove"]["path"], None)
    return list(live.values())


def clickhouse(data: Path, work: Path) -> collections.Counter:
    from harness.peer import Chdb

    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    peer = Chdb(data, work)
    query = """SELECT column AS c, sum(column_bytes_on_disk) AS b FROM system.parts_columns
               WHERE database = 'bench' AND active GROUP BY c"""
    rows = json.loads(str(peer.session.query(query, "JSON")))["data"]
    sizes = collections.Counter({row["c"]: int(row["b"]) for row in rows})
    sizes["index and marks"] = peer.bytes_on_disk() - sizes.total()
    return sizes


def section(events: int, json_bytes: int, ours: collections.Counter, files: int, peer: collections.Counter) -> str:
    shared = collections.Counter()
    for column, size in ours.items():
        name = PEER_NAMES.get(column, column)
        shared[name if name in peer else column] += size
    both = sum(size for column, size in shared.items() if column in peer)
    lines = [
        f"## Bytes of {events:,} events, {files} segments after compaction",
        "",
        "- `python3 benches/bytes.py " + " ".join(sys.argv[1:]) + "`",
        f"- JSON lines are {json_bytes / ours.total():.1f} × larger than the segments; the segments are "
        f"{ours.total() / peer.total():.2f} × the MergeTree, {both / peer.total():.2f} × in the columns that it has too.",
        "",
        "| column | Footfall, bytes per event | ClickHouse | ratio |",
        "|---|---|---|---|",
    ]
    for column, size in shared.most_common():
        theirs = peer.get(column)
        beside = f"{theirs / events:.3f} | {size / theirs:.2f}" if theirs else "– | –"
        lines.append(f"| {column} | {size / events:.3f} | {beside} |")
    for column in peer.keys() - shared.keys():
        lines.append(f"| {column} | – | {peer[column] / events:.3f} | – |")
    lines.append(f"| all | {ours.total() / events:.2f} | {peer.total() / events:.2f} | {ours.total() / peer.total():.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
