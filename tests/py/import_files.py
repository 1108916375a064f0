"""Writes one set of records in every form that `footfall import` reads, with writers that are not ours.

usage: import_files.py RECORDS.ndjson FOLDER  ->  one path a line

RECORDS are of Mixpanel's form; times are in milliseconds. Tables have a column each for event, user, time (timestamps of
microseconds in Parquet, ISO 8601 in CSV), insert id and every property. Each form is written plain, as gzip and as zstd;
the names of the last two do not tell so for Parquet and CSV, where the content has to.
"""

import csv
import datetime
import gzip
import io
import json
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
records = [json.loads(line) for line in source.read_text().splitlines()]
names = sorted({name for record in records for name in record["properties"]} - {"time", "distinct_id", "$insert_id"})
UTC = datetime.timezone.utc


def moment(ms):
    return datetime.datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)


def lines(of):
    return "".join(json.dumps(of(record), ensure_ascii=False) + "\n" for record in records).encode()


def exported(record):
    """As the raw export gives records: beside the sender's properties some of the service's own."""
    added = {"mp_processing_time_ms": 1, "$import": True}
    return {"event": record["event"], "properties": {**record["properties"], **added}}


def cell(value):
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    return json.dumps(value) if isinstance(value, (list, float)) else value


def as_csv():
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["what", "who", "at", "id", *names])
    for record in records:
        properties = record["properties"]
        at = moment(properties["time"]).isoformat(timespec="milliseconds")
        head = [record["event"], properties.get("distinct_id", ""), at, properties["$insert_id"]]
        rows.writerow(head + [cell(properties.get(name)) for name in names])
    return text.getvalue().encode()


def as_parquet():
    column = lambda of, kind=None: pyarrow.array([of(record) for record in records], kind)
    columns = {
        "what": column(lambda r: r["event"]).dictionary_encode(),
        "who": column(lambda r: r["properties"].get("distinct_id")),
        "at": column(lambda r: moment(r["properties"]["time"]), pyarrow.timestamp("us", "UTC")),
        "id": column(lambda r: r["properties"]["$insert_id"]),
    }
    columns |= {name: column(lambda r: r["properties"].get(name)) for name in names}
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink, row_group_size=700)
    return sink.getvalue()


def zstd(content):
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


folder.mkdir(parents=True, exist_ok=True)
forms = {"ndjson": lines(dict), "mixpanel-export": lines(exported), "csv": as_csv(), "parquet": as_parquet()}
for form, content in forms.items():
    hidden = form in ("csv", "parquet")
    for compression, pack in {"plain": bytes, "gz": gzip.compress, "zst": zstd}.items():
        suffix = "" if hidden or compression == "plain" else f".{compression}"
        path = folder / f"{compression}-{form}.{form if form != 'mixpanel-export' else 'json'}{suffix}"
        path.write_bytes(pack(content))
        print(path)
