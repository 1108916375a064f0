"""One peer in a process of its own: `python -m harness.peer ENGINE DATA_DIR WORK_DIR`.

Loads, then obeys lines on standard input: `answers` prints every answer, `time N` the times of N warm runs, each after one
run that is not counted. Every reply is one line of JSON. A process each, because their allocators and thread pools would
otherwise share one.
"""

import json
import shutil
import sys
import time
from pathlib import Path

from harness.questions import answer_of_rows, questions, sql

LOW = "LowCardinality(String) CODEC(ZSTD(1))"
CHDB_ITEMS = """,
        items Array(Tuple(sku String, category LowCardinality(String), price Float64, quantity UInt8,
                          tags Array(LowCardinality(String)))) CODEC(ZSTD(1))"""
CHDB_TABLE = f"""
    CREATE TABLE events (
        uid UInt32 CODEC(Delta, ZSTD(1)), distinct_id String CODEC(ZSTD(1)), event {LOW},
        time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)), insert_id String CODEC(ZSTD(1)),
        country {LOW}, os {LOW}, browser {LOW}, plan {LOW}, app_version {LOW},
        path LowCardinality(Nullable(String)) CODEC(ZSTD(1)), price Nullable(Float64) CODEC(ZSTD(1)),
        in_stock Nullable(Bool) CODEC(ZSTD(1)){{items}}
    ) ENGINE = MergeTree ORDER BY (event, uid, time)"""


class Chdb:
    """ClickHouse in the process: MergeTree ordered by event, user, time; merged to one part before it is asked."""

    def __init__(self, data: Path, work: Path):
        from chdb import session

        self.session = session.Session(str(work / "chdb"))
        self.session.query("CREATE DATABASE bench ENGINE = Atomic")
        self.session.query("USE bench")
        self.session.query(CHDB_TABLE.format(items=CHDB_ITEMS if meta(data).get("orders") else ""))
        self.session.query(f"INSERT INTO events SELECT * FROM file('{data}/events.parquet', 'Parquet')")
        self.session.query("OPTIMIZE TABLE events FINAL")

    def version(self) -> str:
        return "ClickHouse " + json.loads(str(self.session.query("SELECT version() AS v", "JSON")))["data"][0]["v"]

    def run(self, query: str):
        return self.session.query(query, "JSONCompact")

    def rows(self, result):
        # 64-bit counts come quoted
        return [[*row[:-1], int(row[-1])] for row in json.loads(str(result))["data"]]

    def bytes_on_disk(self) -> int:
        query = "SELECT sum(bytes_on_disk) AS b FROM system.parts WHERE database = 'bench' AND active"
        return int(json.loads(str(self.session.query(query, "JSON")))["data"][0]["b"])


class Duckdb:
    """A DuckDB file, rows as they came (in time order)."""

    def __init__(self, data: Path, work: Path):
        import duckdb

        self.path = work / "duck.db"
        self.connection = duckdb.connect(str(self.path))
        self.connection.execute(f"CREATE TABLE events AS SELECT * FROM '{data}/events.parquet'")
        self.connection.execute("CHECKPOINT")

    def version(self) -> str:
        import duckdb

        return f"DuckDB {duckdb.__version__}"

    def run(self, query: str):
        return self.connection.execute(query).fetchall()

    def rows(self, result):
        return result

    def bytes_on_disk(self) -> int:
        return self.path.stat().st_size


class Datafusion:
    """Stock DataFusion over the Parquet file as generated."""

    def __init__(self, data: Path, work: Path):
        import datafusion

        self.path = data / "events.parquet"
        self.context = datafusion.SessionContext()
        self.context.register_parquet("events", str(self.path))

    def version(self) -> str:
        import datafusion

        return f"DataFusion {datafusion.__version__}"

    def run(self, query: str):
        return self.context.sql(query).collect()

    def rows(self, result):
        columns = [column for batch in result for column in zip(*(c.to_pylist() for c in batch.columns))]
        return columns

    def bytes_on_disk(self) -> int:
        return self.path.stat().st_size


def meta(data: Path) -> dict:
    return json.loads((data / "meta.json").read_text())


ENGINES = {"chdb": Chdb, "duckdb": Duckdb, "datafusion": Datafusion}


def time_runs(run, count: int) -> list[float]:
    """Milliseconds of `count` runs, ascending, after one that warms up."""
    times = []
    for attempt in range(count + 1):
        started = time.perf_counter()
        run()
        if attempt:
            times.append((time.perf_counter() - started) * 1e3)
    return sorted(times)


def reply(value) -> None:
    print(json.dumps(value), flush=True)


def main() -> None:
    engine, data, work = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    started = time.perf_counter()
    peer = ENGINES[engine](data, work)
    reply({"version": peer.version(), "load_s": time.perf_counter() - started, "bytes": peer.bytes_on_disk()})
    asked = {q.name: (q, text) for q in questions(meta(data)) if (text := sql(q, engine))}
    for line in sys.stdin:
        command, *arguments = line.split()
        if command == "answers":
            reply({name: answer_of_rows(q, peer.rows(peer.run(text))) for name, (q, text) in asked.items()})
        elif command == "time":
            count = int(arguments[0])
            reply({name: time_runs(lambda text=text: peer.run(text), count) for name, (_, text) in asked.items()})


if __name__ == "__main__":
    main()
