"""Counts per event of a Delta table, by two engines that are not Footfall.

usage: delta_counts.py TABLE  ->  {"pyarrow": [[event, rows, users], ...], "duckdb": [...]}

deltalake reads the log; pyarrow and DuckDB read the files that it names. (DuckDB's own Delta extension is a
download that is not reachable everywhere.) An empty user_id is no user, as in Footfall's reports, but SQL counts it.
"""

import json
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable


def by_pyarrow(table):
    rows = pa.table(table.to_pyarrow_dataset().to_table(columns=["event", "user_id"]))
    text = lambda name: pc.cast(rows[name], pa.string())
    rows = pa.table({"event": text("event"), "user_id": text("user_id")})
    grouped = rows.group_by("event").aggregate([([], "count_all"), ("user_id", "count_distinct")])
    return sorted([row["event"], row["count_all"], row["user_id_count_distinct"]] for row in grouped.to_pylist())


def by_duckdb(table):
    question = """SELECT event::VARCHAR, count(*), count(DISTINCT user_id)
                  FROM read_parquet($files, union_by_name = true, hive_partitioning = true) GROUP BY 1"""
    rows = duckdb.connect().execute(question, {"files": table.file_uris()}).fetchall()
    return sorted(list(row) for row in rows)


table = DeltaTable(sys.argv[1])
print(json.dumps({"pyarrow": by_pyarrow(table), "duckdb": by_duckdb(table)}))
