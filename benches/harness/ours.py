"""What is measured of Footfall: durable ingest in three phases, then the questions through SQL and through the Mixpanel API."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from harness.peer import time_runs
from harness.questions import answer_of_rows, answer_of_segmentation, questions, segmentation, sql


def load(server, benches: Path, data: Path, meta: dict, connections: int, profile: Path | None = None) -> list[dict]:
    """Sends every event once: a tenth in batches of 50, a tenth the same way at half that rate, the rest in 2,000s.

    With `profile`, the server is sampled by `perf` meanwhile, a phase at a time, into that folder."""
    events = meta["events"]
    tenth = events // 10

    def send(title: str, batch: int, connections: int, skip: int, limit: int, rate: float | None = None) -> dict:
        with Sampled(server.process.pid, profile, f"{batch}-{title}") as sampled:
            sent = _send(server, benches, data, meta, title, batch, connections, skip, limit, rate)
        return sent | {"top": sampled.top}

    small = send("as fast as it goes", 50, connections, 0, tenth)
    paced = send("at half that rate", 50, connections, tenth, tenth, small["events_per_s"] / 2)
    large = send("as fast as it goes", 2_000, 16, 2 * tenth, events - 2 * tenth)
    return [small, paced, large]


class Sampled:
    """Where a process spends its time while the block runs: the five functions that most samples fell into."""

    def __init__(self, pid: int, folder: Path | None, name: str):
        self.pid, self.top = pid, []
        self.file = folder / f"{name.replace(' ', '-')}.perf" if folder else None

    def __enter__(self) -> "Sampled":
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            record = ["perf", "record", "-F", "299", "-p", str(self.pid), "-o", str(self.file)]
            self.perf = subprocess.Popen(record, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_) -> None:
        if self.file:
            self.perf.send_signal(signal.SIGINT)
            self.perf.wait(timeout=60)
            report = ["perf", "report", "-i", str(self.file), "--stdio", "--percent-limit", "0.5", "--sort", "symbol"]
            lines = subprocess.run(report, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.splitlines()
            self.top = [" ".join(line.split()) for line in lines if line.strip() and not line.startswith("#")][:5]


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
    before = server.cpu_seconds()
    done = subprocess.run(
        [str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    # What was begun in the background belongs to these events.
    time.sleep(1.0)
    sent = json.loads(done.stdout)
    return sent | {"title": title, "cpu_us_per_event": (server.cpu_seconds() - before) * 1e6 / sent["events"]}


def answers(server, meta: dict) -> dict[str, dict]:
    """Answers by way of asking; each way answers the questions that it can."""
    by_sql = {
        q.name: answer_of_rows(q, json.loads(server.sql(text))["rows"])
        for q in questions(meta)
        if (text := sql(q, "footfall"))
    }
    by_api = {
        q.name: answer_of_segmentation(q, json.loads(server.segmentation(parameters)))
        for q in questions(meta)
        if (parameters := segmentation(q, meta))
    }
    return {"footfall SQL": by_sql, "footfall API": by_api}


def times(server, meta: dict, runs: int) -> dict[str, dict]:
    by_sql = {
        q.name: time_runs(lambda text=text: server.sql(text), runs)
        for q in questions(meta)
        if (text := sql(q, "footfall"))
    }
    by_api = {
        q.name: time_runs(lambda p=parameters: server.segmentation(p), runs)
        for q in questions(meta)
        if (parameters := segmentation(q, meta))
    }
    return {"footfall SQL": by_sql, "footfall API": by_api}
