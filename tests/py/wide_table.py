"""What other engines see of an events table with thousands of properties.

usage: wide_table.py TABLE NAME...  ->  {"fields", "rows", "duckdb_rows", "columns_max", "chunks", "values"}

`fields`: of the table's schema; `columns_max`: property columns of its widest file; `chunks`: compressed bytes of each
column over all files; `values`: in how many rows each named property occurs, as a column or in `rest`.
"""

import collections
import json
import sys

import duckdb
import pyarrow.parquet as pq
from deltalake import DeltaTable

BUILTIN = {"uid", "time", "event", "distinct_id", "user_id", "insert_id", "received_at", "rest", "day", "shard"}

table, names = DeltaTable(sys.argv[1]), sys.argv[2:]
columns_of = collections.defaultdict(list)
for field in table.schema().fields:
    columns_of[field.metadata.get("footfall.property")].append(field.name)

chunks, values = collections.Counter(), collections.Counter()
columns_max = 0
for path in table.file_uris():
    file = pq.ParquetFile(path.removeprefix("file://"), read_dictionary=[])
    metadata, schema = file.metadata, file.schema_arrow
    columns_max = max(columns_max, len(set(schema.names) - BUILTIN))
    for group in range(metadata.num_row_groups):
        for at in range(metadata.num_columns):
            column = metadata.row_group(group).column(at)
            chunks[column.path_in_schema] += column.total_compressed_size
    for name in names:
        for column in set(columns_of[name]) & set(schema.names):
            array = file.read(columns=[column])[column]
            values[name] += len(array) - array.null_count
    if "rest" in schema.names:
        for text in file.read(columns=["rest"])["rest"].to_pylist():
            values.update(set(json.loads(text or "{}")) & set(names))

dataset_rows = table.to_pyarrow_dataset().count_rows()
question = "SELECT count(*) FROM read_parquet($files, union_by_name = true, hive_partitioning = true)"
duckdb_rows = duckdb.connect().execute(question, {"files": table.file_uris()}).fetchone()[0]
print(json.dumps({
    "fields": len(table.schema().fields),
    "rows": dataset_rows,
    "duckdb_rows": duckdb_rows,
    "columns_max": columns_max,
    "chunks": chunks,
    "values": values,
}))
