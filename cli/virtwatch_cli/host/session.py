"""Runs the agent's collector of the node, and prints a line for each look."""

import json
import os
import queue
import sys
import time
from collections.abc import Mapping

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.node.collector import NodeCollector
from virtwatch_agent.collect.node.registry import node_sources
from virtwatch_agent.observations import Observation, Sample
from virtwatch_api.targets import node_ref
from virtwatch_cli.host.figures import COLUMNS, SOURCES, Figures, Line

_HEADER_EVERY = 20  # lines
_TIME = "TIME"


def show(*, interval: float, count: int | None, as_json: bool) -> None:
    """Print a line every `interval` seconds, `count` of them or until a signal comes."""
    name = os.uname().nodename
    cost = CostMeter(time)
    came: queue.SimpleQueue[Observation] = queue.SimpleQueue()
    collector = NodeCollector(node_sources(cost), time, cost)

    def deliver(*observations: Observation) -> None:
        for one in observations:
            came.put(one)

    collector.start(deliver)
    collector.plan(node_ref(name), dict.fromkeys(SOURCES, interval))
    figures, shown = Figures(), 0
    try:
        while count is None or shown < count:
            one = came.get()
            line = figures.take(one) if isinstance(one, Sample) else None
            if line is not None:
                _print(line, name, as_json=as_json, header=shown % _HEADER_EVERY == 0)
                shown += 1
    finally:
        collector.stop()


def _print(line: Line, host: str, *, as_json: bool, header: bool) -> None:
    if as_json:
        document: Mapping[str, object] = {"time": _iso(line.at), "host": host, **line.document()}
        print(json.dumps(document), flush=True)
        return
    widths = {name: max(len(name), 9) for name in COLUMNS}
    if header:
        print("  ".join((_TIME.ljust(8), *(name.rjust(width) for name, width in widths.items()))), flush=True)
    cells = (cell.rjust(width) for cell, width in zip(line.cells(), widths.values(), strict=True))
    print("  ".join((time.strftime("%H:%M:%S", time.localtime(line.at)), *cells)), flush=True)
    sys.stdout.flush()


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
