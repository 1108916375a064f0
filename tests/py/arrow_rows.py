"""The rows of an Arrow IPC stream as JSON lists. usage: arrow_rows.py FILE"""

import json
import sys

import pyarrow.ipc

with open(sys.argv[1], "rb") as stream:
    table = pyarrow.ipc.open_stream(stream).read_all()
print(json.dumps([list(row.values()) for row in table.to_pylist()]))
