"""What is measured of Footfall: durable ingest in three phases, then the questions through SQL and through the Mixpanel API."""

import json
import os
import subprocess
import time
from pathlib import Path

from harness.peer import time_runs
from harness.questions import QUESTIONS, answer_of_rows, answer_of_segmentation, segmentation, sql


def load(server, benches: Path, data: Path, meta: dict, connections: int) -> list[dict]:
    """Sends every event once: a tenth in batches of 50, a tenth the same way at half that rate, the rest in 2,000s."""
    events = meta["events"]
    tenth = events // 10
    small = _send(server, benches, data, meta, "as fast as it goes", 50, connections, 0, tenth)
    half = small["events_per_s"] / 2
    paced = _send(server, benches, data, meta, "at half that rate", 50, connections, tenth, tenth, half)
    large = _send(server, benches, data, meta, "as fast as it goes", 2_000, 16, 2 * tenth, events - 2 * tenth)
    return [small, paced, large]


def _send(server, benches, data, meta, title, batch, connections, skip, limit, rate=None) -> dict:
    account = server.project["service_account"]
    command = [
        benches, "load", "--file", data / meta["ndjson"], "--url", server.url(),
        "--project-id", server.project["project_id"], "--user", account["username"],
        "--batch", batch, "--connections", connections, "--skip", skip, "--limit", limit,
    ]
    if rate:
        command += ["--rate", rate]
    environment = os.environ | {"FOOTFALL_BENCH_SECRET": account["secret"]}
    done = subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    time.sleep(1.0)
    return {"title": title} | json.loads(done.stdout)


def answers(server, meta: dict) -> dict[str, dict]:
    """Answers by way of asking; each way answers the questions that it can."""
    by_sql = {q.name: answer_of_rows(q, json.loads(server.sql(sql(q, "footfall")))["rows"]) for q in QUESTIONS}
    by_api = {
        q.name: answer_of_segmentation(json.loads(server.segmentation(parameters)))
        for q in QUESTIONS
        if (parameters := segmentation(q, meta))
    }
    return {"footfall SQL": by_sql, "footfall API": by_api}


def times(server, meta: dict, runs: int) -> dict[str, dict]:
    by_sql = {q.name: time_runs(lambda q=q: server.sql(sql(q, "footfall")), runs) for q in QUESTIONS}
    by_api = {
        q.name: time_runs(lambda p=parameters: server.segmentation(p), runs)
        for q in QUESTIONS
        if (parameters := segmentation(q, meta))
    }
    return {"footfall SQL": by_sql, "footfall API": by_api}
