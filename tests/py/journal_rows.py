"""Rows of a Delta table as text, by two engines that are not Footfall.

usage: journal_rows.py TABLE ORDER COLUMN...  ->  {"pyarrow": [[value, ...], ...], "duckdb": [...]}, by column ORDER
"""

import json
import sys

import duckdb
from deltalake import DeltaTable

table, order, columns = DeltaTable(sys.argv[1]), sys.argv[2], sys.argv[3:]
rows = table.to_pyarrow_dataset().to_table(columns=[order, *columns]).sort_by(order).to_pylist()
by_pyarrow = [[row[column] for column in columns] for row in rows]
question = f"SELECT {', '.join(columns)} FROM read_parquet($files) ORDER BY {order}"
by_duckdb = duckdb.connect().execute(question, {"files": table.file_uris()}).fetchall()
print(json.dumps({"pyarrow": by_pyarrow, "duckdb": [list(row) for row in by_duckdb]}))
