#!/usr/bin/env python3
"""Footfall and its peers on the same data, the same machine, in one run.

    python3 benches/run.py                       5 M events, appends a section to benches/RESULTS.md
    python3 benches/run.py --events 20000000     a longer run
    python3 benches/run.py --orders              events with lists of objects, and questions about what is in them
    python3 benches/run.py --peers-only --dry    the peers alone, prints the section

Needs Rust (builds the binary and the load generator unless they are given) and Python 3.11; installs the peers from PyPI into
${FOOTFALL_CACHE:-~/.cache/footfall}/venv-bench. Exit code 1 when any two engines answer differently: then nothing is timed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
CACHE = Path(os.environ.get("FOOTFALL_CACHE") or Path.home() / ".cache/footfall")
PEERS = ["chdb", "duckdb", "datafusion"]


def main() -> int:
    options = arguments()
    enter_venv()
    from harness import report

    work = options.work / f"{options.events}-{options.seed}{'-orders' if options.orders else ''}"
    data = work / "data"
    benches = options.benches or build("footfall-benches")
    generate = [benches, "generate", "--events", options.events, "--seed", options.seed, "--out", data]
    generate += ["--orders"] if options.orders else []
    meta = make_data(generate, data)
    run = {"meta": meta, "commit": report.commit(REPO), "notes": list(options.note), "disturbed": "", "load_s": {},
           "bytes": {}, "times": {}, "versions": {}, "commands": [command_line()]}
    watch = Watch()
    peers = {}
    try:
        expected = ask_peers(peers, data, work, run)
        if not options.peers_only:
            binary = options.footfall or build("footfall")
            measure_footfall(options, binary, benches, data, work, expected, run, watch)
        for engine, peer in peers.items():
            with watch:
                run["times"][engine] = peer.ask(f"time {options.runs}")
    finally:
        for peer in peers.values():
            peer.close()
    run["disturbed"] = watch.said()
    text = report.section(run)
    print(text)
    if not options.dry:
        report.append(HERE / "RESULTS.md", text)
    if not options.keep:
        for folder in ("chdb", "duckdb", "datafusion", "footfall"):
            shutil.rmtree(work / folder, ignore_errors=True)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--orders", action="store_true", help="orders with lists of objects, and questions about those")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each question")
    parser.add_argument("--footfall", type=Path, help="the binary under test; built when absent")
    parser.add_argument("--benches", type=Path, help="the load generator; built when absent")
    parser.add_argument("--serve-args", default="", help="further arguments for `footfall serve`")
    parser.add_argument("--connections", type=int, default=32, help="of the load generator, for batches of 50")
    parser.add_argument("--work", type=Path, default=CACHE / "bench", help="for data and databases")
    parser.add_argument("--profile", action="store_true", help="sample the server with `perf` while it ingests")
    parser.add_argument("--peers-only", action="store_true")
    parser.add_argument("--dry", action="store_true", help="print the section, leave RESULTS.md alone")
    parser.add_argument("--keep", action="store_true", help="keep the databases (the data is always kept)")
    parser.add_argument("--note", action="append", default=[], help="a remark for the section")
    return parser.parse_args()


def enter_venv() -> None:
    """Goes on inside the virtual environment with the peers, made when missing or out of date."""
    venv, wanted = CACHE / "venv-bench", (HERE / "requirements.txt").read_text()
    python, stamp = venv / "bin/python", venv / "requirements.installed"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"installing {' '.join(wanted.split())} into {venv}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
        stamp.write_text(wanted)
    if Path(sys.prefix).resolve() != venv.resolve():
        os.execv(python, [str(python), str(Path(sys.argv[0]).resolve()), *sys.argv[1:]])


def build(binary: str) -> Path:
    """Builds in release, with the features of the whole workspace so that nothing is built twice, and says where it is."""
    subprocess.run(["cargo", "build", "--release", "--workspace", "--bin", binary], cwd=REPO, check=True)
    found = subprocess.run(["cargo", "metadata", "--no-deps", "--format-version", "1"], cwd=REPO, check=True,
                           stdout=subprocess.PIPE)
    return Path(json.loads(found.stdout)["target_directory"]) / "release" / binary


def make_data(command: list, data: Path) -> dict:
    """The generator is deterministic: data of an earlier run with the same numbers is used again."""
    if not (data / "meta.json").exists():
        subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    return json.loads((data / "meta.json").read_text())


def command_line() -> str:
    return "python3 benches/run.py " + " ".join(sys.argv[1:]) if sys.argv[1:] else "python3 benches/run.py"


class Peer:
    """A `harness.peer` process, loaded when the constructor returns."""

    def __init__(self, engine: str, data: Path, work: Path):
        command = [sys.executable, "-m", "harness.peer", engine, str(data), str(work / engine)]
        self.process = subprocess.Popen(command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.loaded = self._reply()

    def ask(self, command: str) -> dict:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self._reply()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def _reply(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a peer ended with {self.process.wait()}")
        return json.loads(line)


def ask_peers(peers: dict, data: Path, work: Path, run: dict) -> dict:
    """Loads every peer; the answers, which must be the same from all."""
    expected = None
    for engine in PEERS:
        print(f"loading {engine}", file=sys.stderr)
        peers[engine] = peer = Peer(engine, data, work)
        run["versions"][engine] = peer.loaded["version"]
        run["bytes"][engine] = peer.loaded["bytes"]
        run["load_s"][engine] = peer.loaded["load_s"]
        answers = peer.ask("answers")
        expected = expected or answers
        require_equal(engine, expected, answers)
    return expected


def require_equal(engine: str, expected: dict, answers: dict) -> None:
    from harness.questions import difference

    for name, answer in answers.items():
        differs = difference(f"{PEERS[0]} / {engine}: {name}", expected[name], answer)
        if differs:
            sys.exit(f"nothing was timed: {differs}")


def measure_footfall(options, binary: Path, benches: Path, data: Path, work: Path, expected: dict, run: dict,
                     watch: "Watch") -> None:
    from harness import ours
    from harness.server import Footfall

    folder = work / "footfall"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    server = Footfall(binary, folder / "data", folder / "serve.log", options.serve_args.split())
    try:
        server.start()
        run["commands"].append(" ".join(Path(part).name if i == 0 else part for i, part in enumerate(server.command())))
        run["versions"]["footfall"] = f"Footfall ({run['commit']})"
        with watch:
            profile = work / "profile" if options.profile else None
            run["ingest"] = ours.load(server, benches, data, run["meta"], options.connections, profile)
        run["server"] = {"peak_load": server.peak_memory(), "stop_s": server.stop(), "start_s": server.start()}
        sizes = server.bytes_on_disk()
        run["bytes"] |= {"footfall (Parquet)": sizes["parquet"], "footfall (whole folder)": sizes["all"]}
        for way, answers in ours.answers(server, run["meta"]).items():
            require_equal(way, expected, answers)
        with watch:
            run["times"] |= ours.times(server, run["meta"], options.runs)
        run["server"] |= {"peak_query": server.peak_memory(), "files": sizes["files"]}
        server.stop()
    finally:
        server.kill()


class Watch:
    """Looks, while something is timed, for compilers at work beside it: times on a busy machine are worth little."""

    def __init__(self):
        self.looks, self.seen = 0, 0
        self.over = threading.Event()

    def __enter__(self) -> None:
        self.over.clear()
        self.thread = threading.Thread(target=self._look_often)
        self.thread.start()

    def __exit__(self, *_) -> None:
        self.over.set()
        self.thread.join()

    def said(self) -> str:
        return f"a compiler in {self.seen} of {self.looks} looks" if self.seen else f"none seen in {self.looks} looks"

    def _look_often(self) -> None:
        while not self.over.wait(0.5):
            self.looks += 1
            self.seen += any(_command(folder) in ("rustc", "ld", "cc1plus", "cc1") for folder in Path("/proc").glob("[0-9]*"))


def _command(process: Path) -> str:
    try:
        return (process / "comm").read_text().strip()
    except OSError:  # it has ended meanwhile
        return ""


if __name__ == "__main__":
    sys.exit(main())
