"""Sums per event of a Delta table, by four engines that are not Footfall.

usage: table_sums.py TABLE  ->  {"pyarrow": [[event, rows, users, sum of n, sum of weight], ...], "polars": [...], ...}

deltalake reads the log for all of them; pyarrow and Polars read the table through it, DuckDB and ClickHouse the files
that it names. Weights are quarters, so that sums of them are exact in any order.
"""

import json
import sys

import duckdb
import polars as pl
import pyarrow as pa
from chdb import session
from deltalake import DeltaTable

QUESTION = """SELECT CAST(event AS {text}) AS e, count(*), count(DISTINCT user_id), sum(n), sum(weight)
              FROM {source} GROUP BY e ORDER BY e"""


def plain(rows):
    return [[row[0], int(row[1]), int(row[2]), int(row[3] or 0), float(row[4] or 0)] for row in sorted(rows)]


def by_pyarrow(table):
    columns = ["event", "user_id", "n", "weight"]
    rows = pa.table(table.to_pyarrow_dataset().to_table(columns=columns))
    rows = rows.set_column(0, "event", rows["event"].cast(pa.string())).set_column(1, "user_id", rows["user_id"].cast(pa.string()))
    grouped = rows.group_by("event").aggregate(
        [([], "count_all"), ("user_id", "count_distinct"), ("n", "sum"), ("weight", "sum")]
    )
    names = ["event", "count_all", "user_id_count_distinct", "n_sum", "weight_sum"]
    return plain([tuple(row[name] for name in names) for row in grouped.to_pylist()])


def by_polars(path):
    rows = pl.scan_delta(path).select("event", "user_id", "n", "weight").collect()
    grouped = rows.group_by(pl.col("event").cast(pl.String)).agg(
        pl.len().alias("rows"), pl.col("user_id").drop_nulls().n_unique().alias("users"), pl.col("n").sum(), pl.col("weight").sum()
    )
    return plain(grouped.rows())


def by_duckdb(files):
    source = "read_parquet($files, union_by_name = true, hive_partitioning = true)"
    return plain(duckdb.connect().execute(QUESTION.format(text="VARCHAR", source=source), {"files": files}).fetchall())


def by_clickhouse(files, root):
    inside = ",".join(file.removeprefix("file://").removeprefix(root) for file in files)
    structure = "event String, user_id Nullable(String), n Nullable(Int64), weight Nullable(Float64)"
    source = f"file('{root}{{{inside}}}', 'Parquet', '{structure}')"
    reply = session.Session().query(QUESTION.format(text="String", source=source), "JSONCompact")
    return plain(json.loads(str(reply))["data"])


path = sys.argv[1]
table = DeltaTable(path)
files = table.file_uris()
print(json.dumps({
    "pyarrow": by_pyarrow(table),
    "polars": by_polars(path),
    "duckdb": by_duckdb(files),
    "clickhouse": by_clickhouse(files, path.rstrip("/") + "/"),
}))
