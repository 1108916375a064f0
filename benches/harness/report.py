"""One run as a section of RESULTS.md."""

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path

from harness.questions import TARGETS, questions

TITLE = """# Results

Written by `benches/run.py`, a section per run, newest last. Every engine gets the same generated events on the same machine in
the same run; a question is timed only after all answers were found equal. Times are warm, best / median of the runs, in
milliseconds; ours include HTTP and JSON, the peers are called in their own process. The ratio is the peer's best over ours: above 1
means Footfall is faster. Absolute times depend on the machine; compare ratios.
"""


def section(run: dict) -> str:
    meta = run["meta"]
    lines = [
        f"## {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC · {run['commit']} · {meta['events']:,} events",
        "",
        f"- Machine: {machine()}",
        f"- Data: {meta['events']:,} events, {meta['users']:,} users, {meta['days']} days, {'all orders' if meta.get('orders') else '20 names'}, seed {meta['seed']}; "
        f"{meta['json_bytes'] / meta['events']:.0f} bytes of JSON per event",
        f"- Engines: {', '.join(run['versions'].values())}",
        f"- Other work on the machine while timing: {run['disturbed']}",
        *(f"- `{command}`" for command in run["commands"]),
        "",
    ]
    if run["notes"]:
        lines += [*(f"- {note}" for note in run["notes"]), ""]
    lines += times(run)
    lines += disk(run)
    if run.get("ingest"):
        lines += ingest(run)
    return "\n".join(lines) + "\n"


def times(run: dict) -> list[str]:
    engines = list(run["times"])
    peers = [engine for engine in engines if not engine.startswith("footfall")]
    lines = [f"| question | {' | '.join(engines)} | ratio to {', '.join(peers)} | target |"]
    lines.append("|---" * (len(engines) + 3) + "|")
    for question in questions(run["meta"]):
        cells = [_time(run["times"][engine].get(question.name)) for engine in engines]
        ours = [run["times"][e][question.name][0] for e in engines if e not in peers and question.name in run["times"][e]]
        theirs = [run["times"][p].get(question.name) for p in peers]
        ratios = [f"{runs[0] / min(ours):.2f}" if ours and runs else "–" for runs in theirs]
        target = f"≥ {TARGETS[question.name]:g} × ClickHouse"
        lines.append(f"| {question.title} | {' | '.join(cells)} | {', '.join(ratios)} | {target} |")
    return [*lines, ""]


def _time(runs: list[float] | None) -> str:
    return f"{runs[0]:.1f} / {runs[len(runs) // 2]:.1f}" if runs else "–"


def disk(run: dict) -> list[str]:
    events = run["meta"]["events"]
    lines = ["| on disk | bytes per event | JSON is larger by | load s |", "|---|---|---|---|"]
    for engine, size in run["bytes"].items():
        load = run["load_s"].get(engine)
        ratio = run["meta"]["json_bytes"] / size
        lines.append(f"| {engine} | {size / events:.1f} | {ratio:.1f} × | {f'{load:.1f}' if load else '–'} |")
    return [*lines, ""]


def phases(loaded: list[dict]) -> list[str]:
    lines = [
        "Durable, acknowledged ingest over HTTP `/import`, JSON arrays, load generator on the same machine:",
        "",
        "| phase | batch | connections | events | events/s | p50 ms | p99 ms | max ms | server CPU µs/event | 429s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for phase in loaded:
        lines.append(
            f"| {phase['title']} | {phase['batch']} | {phase['connections']} | {phase['events']:,} | "
            f"{phase['events_per_s']:,.0f} | {phase['p50_ms']:.1f} | {phase['p99_ms']:.1f} | {phase['max_ms']:.1f} | "
            f"{phase['cpu_us_per_event']:.1f} | {phase['retries']} |"
        )
    for phase in loaded:
        if phase["top"]:
            lines += ["", f"Most samples in batches of {phase['batch']}, {phase['title']}:", ""]
            lines += [f"- {line}" for line in phase["top"]]
    return lines


def ingest(run: dict) -> list[str]:
    server = run["server"]
    lines = [
        *phases(run["ingest"]),
        "",
        f"Stop with flush {server['stop_s']:.1f} s, start {server['start_s']:.1f} s; resident at most "
        f"{server['peak_load'] / 2**20:.0f} MiB while loading, {server['peak_query'] / 2**20:.0f} MiB while answering; "
        f"{server['files']} Parquet files.",
    ]
    return [*lines, ""]


def machine() -> str:
    cpu = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} × {cpu}, {memory:.0f} GiB, Linux {platform.release()}"


def commit(repo: Path) -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", repo, *arguments], stdout=subprocess.PIPE, text=True).stdout.strip()

    changed = " with uncommitted changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return f"commit {git('rev-parse', '--short=12', 'HEAD') or 'unknown'}{changed}"


def append(path: Path, text: str) -> None:
    before = path.read_text() if path.exists() else TITLE
    path.write_text(before.rstrip("\n") + "\n\n" + text)
