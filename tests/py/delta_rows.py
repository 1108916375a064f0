"""The rows of a Delta table as JSON lists, as deltalake reads them.

usage: delta_rows.py TABLE COLUMN...  ->  [[...], ...] in the order of received_at
"""

import json
import sys

from deltalake import DeltaTable

path, *columns = sys.argv[1:]
table = DeltaTable(path).to_pyarrow_dataset().to_table().sort_by("received_at")
print(json.dumps([[row[column] for column in columns] for row in table.to_pylist()]))
