#!/usr/bin/env python3
"""How long a small project waits beside a flood: seed rows 13, 14 and 18.

    python3 benches/fairness.py --footfall target/release/footfall --benches target/release/footfall-benches
    python3 benches/fairness.py --seconds 20            a quick look

One project sends 30 events a second to /track and asks for ten of them a second by SQL; measured are the time until each is
acknowledged and the time until a query has shown it, both from the moment it was due, so that a stall cannot hide what waits
behind it. Three phases on one server: alone, beside a project at full speed (`footfall-benches load`, batches of 2,000, 16
connections), beside garbage (unknown tokens, broken JSON, deep nesting, gzip bombs, from 4 processes). Printed are p50 and p99,
and their ratios to being alone; the target is 2 for the p99, and 5 s for what is queryable.

Needs Python 3.11 and nothing else; builds the binaries unless they are given, and uses the data of `run.py`. The floods run on
the same machine, at `--nice 10`: what they compute is not the server's doing, but what they send is.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.server import Footfall  # noqa: E402
from run import CACHE, build, make_data  # noqa: E402

RATE = 30.0
CANARIES = 10.0


def main() -> int:
    options = arguments()
    binary = options.footfall or build("footfall")
    benches = options.benches or build("footfall-benches")
    data = CACHE / "bench" / f"{options.events}-7" / "data"
    meta = make_data([benches, "generate", "--events", options.events, "--seed", 7, "--out", data], data)
    work = CACHE / "bench" / "fairness"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    server = Footfall(binary, work / "data", work / "server.log", options.serve_args.split())
    server.start()
    phases = {}
    try:
        small(server, 3.0)  # warm
        phases["alone"] = small(server, options.seconds)
        with Flood(server, benches, data / meta["ndjson"], options):
            phases["beside a flood"] = small(server, options.seconds)
        settle(server)
        with Garbage(server, options) as garbage:
            phases["beside garbage"] = small(server, options.seconds)
        print_table(phases, garbage.sent())
    finally:
        server.kill()
        if not options.keep:
            shutil.rmtree(work, ignore_errors=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase")
    parser.add_argument("--events", type=int, default=5_000_000, help="of the flood's data, sent again and again")
    parser.add_argument("--footfall", type=Path, help="the binary under test; built when absent")
    parser.add_argument("--benches", type=Path, help="the load generator; built when absent")
    parser.add_argument("--serve-args", default="", help="further arguments for `footfall serve`")
    parser.add_argument("--connections", type=int, default=16, help="of the flood")
    parser.add_argument("--batch", type=int, default=2_000, help="events a request of the flood")
    parser.add_argument("--nice", type=int, default=10, help="of the processes that make the floods")
    parser.add_argument("--keep", action="store_true", help="keep the server's data and log")
    return parser.parse_args()


class Client:
    """One connection that is kept open, for requests made ahead."""

    def __init__(self, port: int):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reader = self.socket.makefile("rb")

    def send(self, request: bytes) -> tuple[int, bytes]:
        self.socket.sendall(request)
        status = int(self.reader.readline().split()[1])
        length = 0
        chunked = False
        while (line := self.reader.readline().strip()):
            name, _, value = line.decode().partition(":")
            length = int(value) if name.lower() == "content-length" else length
            chunked = chunked or name.lower() == "transfer-encoding"
        return status, self._chunks() if chunked else self.reader.read(length)

    def _chunks(self) -> bytes:
        body = b""
        while (size := int(self.reader.readline(), 16)):
            body += self.reader.read(size)
            self.reader.readline()
        self.reader.readline()
        return body


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = {"Host": "footfall", "Content-Type": "application/json", "Content-Length": str(len(body))} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def small(server: Footfall, seconds: float) -> dict[str, list[float]]:
    """Milliseconds until acknowledged and until queryable, of the small project's events."""
    times = {"acknowledged": [], "queryable": []}
    failures = []
    threads = [
        threading.Thread(target=guarded, args=(failures, acknowledged, server, seconds, times["acknowledged"])),
        threading.Thread(target=guarded, args=(failures, queryable, server, seconds, times["queryable"])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return times


def guarded(failures: list, work, *args) -> None:
    try:
        work(*args)
    except Exception as failure:  # noqa: BLE001: told where it is waited for
        failures.append(failure)


def paced(rate: float, seconds: float):
    """The moments at which something is due."""
    started = time.perf_counter()
    for nth in range(int(rate * seconds)):
        due = started + nth / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        yield due, f"{time.time_ns():x}-{nth}"


def track(server: Footfall, name: str, insert_id: str) -> bytes:
    properties = {"token": server.project["token"], "time": int(time.time()) - 1, "distinct_id": "small", "$insert_id": insert_id}
    return request("/track", json.dumps([{"event": name, "properties": properties}]).encode(), {})


def acknowledged(server: Footfall, seconds: float, times: list[float]) -> None:
    client = Client(server.port)
    for due, insert_id in paced(RATE - CANARIES, seconds):
        status, reply = client.send(track(server, "small", insert_id))
        if (status, reply) != (200, b"1"):
            raise RuntimeError(f"the small project was answered {status}: {reply[:300]!r}")
        times.append((time.perf_counter() - due) * 1000)


def queryable(server: Footfall, seconds: float, times: list[float]) -> None:
    client = Client(server.port)
    path = "/v1/sql?" + urllib.parse.urlencode({"project_id": server.project["project_id"]})
    headers = {"Authorization": server.headers["Authorization"]}
    for due, insert_id in paced(CANARIES, seconds):
        status, reply = client.send(track(server, "canary", insert_id))
        if (status, reply) != (200, b"1"):
            raise RuntimeError(f"the small project was answered {status}: {reply[:300]!r}")
        query = f"SELECT count(*) AS n FROM events WHERE event = 'canary' AND insert_id = '{insert_id}'"
        while True:
            status, reply = client.send(request(path, json.dumps({"query": query}).encode(), headers))
            if status != 200:
                raise RuntimeError(f"the query was answered {status}: {reply[:300]!r}")
            if json.loads(reply)["rows"][0][0] == 1:
                break
        times.append((time.perf_counter() - due) * 1000)


class Flood:
    """Projects at full speed, one after the other: each is sent the data once, since the same again would be duplicates."""

    def __init__(self, server: Footfall, benches: Path, ndjson: Path, options: argparse.Namespace):
        self.server, self.benches, self.ndjson, self.options = server, benches, ndjson, options
        self.stopping = threading.Event()
        self.process = None
        self.thread = threading.Thread(target=self.run)

    def __enter__(self) -> "Flood":
        self.thread.start()
        time.sleep(3.0)
        return self

    def __exit__(self, *_) -> None:
        self.stopping.set()
        if self.process is not None:
            self.process.kill()
        self.thread.join()

    def run(self) -> None:
        nth = 0
        while not self.stopping.is_set():
            nth += 1
            project = made(self.server, f"flood-{nth}")
            account = project["service_account"]
            command = [
                self.benches, "load", "--file", self.ndjson, "--url", self.server.url(),
                "--project-id", project["project_id"], "--user", account["username"],
                "--batch", self.options.batch, "--connections", self.options.connections,
            ]
            self.process = subprocess.Popen(
                [str(part) for part in command], stdout=subprocess.PIPE, text=True,
                env=os.environ | {"FOOTFALL_BENCH_SECRET": account["secret"]},
                preexec_fn=lambda: os.nice(self.options.nice),
            )
            said, _ = self.process.communicate()
            if self.process.returncode == 0:
                print(f"flood: {json.loads(said)['events_per_s']:,.0f} events/s", file=sys.stderr)
            elif not self.stopping.is_set():
                print("the flood ended early, see above", file=sys.stderr)
                return


def made(server: Footfall, name: str) -> dict:
    command = [server.binary, "project", "create", name, "--json", "--data-dir", server.data_dir]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


class Garbage:
    """Requests that are good for nothing, from processes that do not wait longer than for the answer."""

    def __init__(self, server: Footfall, options: argparse.Namespace):
        self.counts = multiprocessing.Array("Q", 4)
        self.processes = [
            multiprocessing.Process(target=litter, args=(server.port, options.nice, self.counts, nth), daemon=True)
            for nth in range(4)
        ]

    def __enter__(self) -> "Garbage":
        for process in self.processes:
            process.start()
        time.sleep(3.0)
        self.began, self.before = time.perf_counter(), sum(self.counts)
        return self

    def __exit__(self, *_) -> None:
        self.rate = (sum(self.counts) - self.before) / (time.perf_counter() - self.began)
        for process in self.processes:
            process.kill()
            process.join()

    def sent(self) -> float:
        return self.rate


def litter(port: int, nice: int, counts, nth: int) -> None:
    os.nice(nice)
    unknown = [{"event": "x", "properties": {"token": "f" * 32, "distinct_id": str(n)}} for n in range(50)]
    broken = (json.dumps(unknown * 20)[:-1] + ",").encode()
    deep = b'[{"event":"x","properties":{"p":' + b"[" * 100_000 + b"]" * 100_000 + b"}}]"
    bomb = gzip.compress(bytes(10 << 20)) * 100
    requests = [
        request("/track", json.dumps(unknown).encode(), {}),
        request("/track", broken, {}),
        request("/track", deep, {}),
        request("/track", b"\xff" * 300_000, {}),
        request("/import", broken, {"Authorization": "Basic bm9ib2R5Om5vdGhpbmc="}),
        request("/track", bomb, {"Content-Encoding": "gzip"}),
    ]
    client = None
    while True:
        for each in requests[nth:] + requests[:nth]:
            try:
                client = client or Client(port)
                client.send(each)
                counts[nth] += 1
            except (OSError, ValueError, IndexError):
                client = None  # hung up on, as it may be


def settle(server: Footfall) -> None:
    """What the flood left to do is done when nothing has been flushed for a while."""
    before = -1
    while before != (before := server.bytes_on_disk()["files"]):
        time.sleep(5.0)


def print_table(phases: dict[str, dict[str, list[float]]], garbage: float) -> None:
    print(f"\ngarbage: {garbage:,.0f} requests/s\n")
    print_phases(phases)


def print_phases(phases: dict[str, dict[str, list[float]]]) -> None:
    """The phases with their ratios to the one that is called alone."""
    print("| phase | events | ack p50 ms | ack p99 ms | ratio | queryable p50 ms | queryable p99 ms | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    alone = {kind: at(times, 0.99) for kind, times in phases["alone"].items()}
    for name, times in phases.items():
        cells = [name, str(sum(map(len, times.values())))]
        for kind in ("acknowledged", "queryable"):
            p99 = at(times[kind], 0.99)
            cells += [f"{at(times[kind], 0.5):.1f}", f"{p99:.1f}", f"{p99 / alone[kind]:.2f}"]
        print("| " + " | ".join(cells) + " |")


def at(times: list[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


if __name__ == "__main__":
    sys.exit(main())
