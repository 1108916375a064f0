"""One column of a Delta table in the order of another, read without Footfall.

usage: delta_column.py TABLE COLUMN ORDER  ->  a JSON list
"""

import json
import sys

import pyarrow as pa
from deltalake import DeltaTable

path, column, order = sys.argv[1:]
rows = pa.table(DeltaTable(path).to_pyarrow_dataset().to_table(columns=sorted({column, order})))
print(json.dumps(rows.sort_by(order)[column].cast(pa.string()).to_pylist()))
