"""What was measured, run by run, so that a person sees what became dearer: docs/bench/history.jsonl and its page."""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tools.bench.figure import Figure
from tools.checkout import CHECKOUT

FOLDER = CHECKOUT / "docs" / "bench"
SHOWN = 4  # values of a figure: the newest and those before it
_HEAD = """\
# What was measured

`make bench` adds what it measures to `history.jsonl` and writes this page. A figure that misses its goal is
marked with *. Compare figures of one machine only.

| figure | unit | goal | newest | measured | before it, the newest first |
|---|---|---:|---:|---|---|
{rows}

## The runs

{runs}

## What the newest figures say besides

{details}
"""


@dataclass(frozen=True, slots=True)
class Run:
    """Say when, of which commit and on which machine something was measured."""

    at: str
    commit: str
    machine: str

    @classmethod
    def here(cls) -> "Run":
        """Return a run that begins now, on this machine."""
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=CHECKOUT, capture_output=True, text=True, check=False
        )
        return cls(f"{datetime.now(UTC):%Y-%m-%d %H:%M}", commit.stdout.strip(), _machine())


def kept(figures: Iterable[Figure], *, run: Run, folder: Path = FOLDER) -> Iterator[Figure]:
    """Yield figures, each once it is written to the history; at the end, however it comes, write the page."""
    folder.mkdir(parents=True, exist_ok=True)
    history = folder / "history.jsonl"
    try:
        for figure in figures:
            entry = {"at": run.at, "commit": run.commit, "machine": run.machine, **json.loads(figure.line())}
            with history.open("a") as file:
                file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            yield figure
    finally:
        if history.exists():
            entries = [json.loads(line) for line in history.read_text().splitlines()]
            (folder / "README.md").write_text(page(entries))


def page(entries: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of these entries, oldest first: a row for each figure, with its newest values."""
    by_figure: dict[str, list[Mapping[str, Any]]] = {}
    for item in reversed(entries):
        by_figure.setdefault(item["name"], []).append(item)
    shown = {name: items[:SHOWN] for name, items in sorted(by_figure.items())}
    used = {_run(item) for items in shown.values() for item in items}
    runs = [run for run in dict.fromkeys(map(_run, reversed(entries))) if run in used]
    return _HEAD.format(
        rows="\n".join(_row(name, items) for name, items in shown.items()),
        runs="\n".join(f"* {at}: `{commit}` on {machine}" for at, commit, machine in runs),
        details="\n".join(f"* {name}: {items[0]['detail']}" for name, items in shown.items() if items[0].get("detail")),
    )


def _run(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return item["at"], item["commit"], item["machine"]


def _row(name: str, items: Sequence[Mapping[str, Any]]) -> str:
    newest, *older = items
    goal = "" if newest["goal"] is None else f"{newest['goal']:.4g}"
    before = ", ".join(_value(item) for item in older)
    return f"| {name} | {newest['unit']} | {goal} | {_value(newest)} | {newest['at']} | {before} |"


def _value(item: Mapping[str, Any]) -> str:
    return f"{item['value']:.4g}{' *' if item['met'] is False else ''}"


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), os.uname().machine
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return f"{os.cpu_count()} CPUs ({model}), {memory:.0f} GiB, Linux {os.uname().release}"
