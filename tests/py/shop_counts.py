"""DuckDB's answers about a file of make-mp-data, for comparison with Footfall's after an import of that file.

usage: shop_counts.py EVENTS.json IMPORTED_AT_MS  ->  one JSON object of tables

A time in the future becomes the time of arrival, and equal (event, user, time, $insert_id) are one event: both are rules
of the import, not of DuckDB.
"""

import json
import sys

import duckdb

path, imported_at_ms = sys.argv[1:]
db = duckdb.connect()
db.execute("SET TimeZone = 'UTC'")
db.execute(
    """CREATE TABLE events AS
       SELECT DISTINCT ON (event, "$user_id", time, "$insert_id")
              *, least(time, to_timestamp($at / 1000.0))::DATE::VARCHAR AS day
       FROM read_json($path, format = 'newline_delimited', convert_strings_to_integers = false,
                      maximum_object_size = 1048576)""",
    {"path": path, "at": int(imported_at_ms)},
)
questions = {
    "by event and day": "SELECT event, day, count(*) FROM events GROUP BY 1, 2",
    "users by day": 'SELECT day, count(DISTINCT "$user_id") FROM events GROUP BY 1',
    "by text": "SELECT currentTheme, count(*) FROM events GROUP BY 1",
    "by number": "SELECT itemId, count(*) FROM events GROUP BY 1",
    "by boolean": "SELECT isFeaturedItem, count(*) FROM events GROUP BY 1",
    "sum": "SELECT sum(amount)::BIGINT, count(amount) FROM events WHERE event = 'checkout'",
}
answers = {name: [list(row) for row in db.execute(question).fetchall()] for name, question in questions.items()}
print(json.dumps(answers))
