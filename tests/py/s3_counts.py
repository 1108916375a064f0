"""Rows per event of a Delta table in S3, as deltalake and pyarrow read them.

usage: s3_counts.py s3://BUCKET/PATH NAME=VALUE...  ->  [[event, rows], ...]; what is named leads to the store
"""

import json
import sys

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

path, *options = sys.argv[1:]
options = dict(option.split("=", 1) for option in options) | {"AWS_ALLOW_HTTP": "true"}
table = DeltaTable(path, storage_options=options)
rows = pa.table(table.to_pyarrow_dataset().to_table(columns=["event"]))
rows = pa.table({"event": pc.cast(rows["event"], pa.string())})
grouped = rows.group_by("event").aggregate([([], "count_all")])
print(json.dumps(sorted([row["event"], row["count_all"]] for row in grouped.to_pylist())))
