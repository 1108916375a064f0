"""The export half of S0 of mixpanel-http-api.md §14.2: every (event, distinct_id) with its count.

usage: read_back.py BASE USERNAME SECRET PROJECT_ID  ->  lines "COUNT EVENT DISTINCT_ID", sorted
"""

import base64
import collections
import datetime
import json
import sys
import urllib.request

base, username, secret, project_id = sys.argv[1:]
headers = {"Authorization": "Basic " + base64.b64encode(f"{username}:{secret}".encode()).decode()}
today = datetime.datetime.now(datetime.timezone.utc).date()
path = f"/api/2.0/export?project_id={project_id}&from_date=2023-01-01&to_date={today}"
body = urllib.request.urlopen(urllib.request.Request(base + path, headers=headers)).read().decode()
rows = [json.loads(line) for line in body.split("\n") if line]
counts = collections.Counter((row["event"], row["properties"]["distinct_id"]) for row in rows)
for key, count in sorted(counts.items()):
    print(count, *key)
