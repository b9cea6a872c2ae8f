"""What an agent holds in memory: 200 VMs, all their series exported by OTLP, judged by 30 rules of mixed windows.

The parts are the agent's own, but for what brings samples: VMs that are made up, of which every figure grows.
"""

import importlib
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tools.bench.bytecode import compiled
from tools.bench.cost import resident
from tools.bench.figure import Figure
from tools.bench.judging import MIXED, QUIET, RULES, SIGNALS, VMS, policy
from tools.progress import step
from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.kernel.threads import ProcThreads
from virtwatch_agent.core.core import Core
from virtwatch_agent.journal.store import Journal
from virtwatch_agent.observations import Appeared, Domain, DomainState, Sample, ThresholdsChanged
from virtwatch_agent.seams import Deliver
from virtwatch_agent.telemetry.agent_telemetry import AgentTelemetry
from virtwatch_agent.telemetry.figures import FIGURES
from virtwatch_api.catalogue.readings import READINGS, Source
from virtwatch_api.catalogue.signals import SIGNAL, TargetKind
from virtwatch_api.nodemonitor import NodeStatus
from virtwatch_api.policy import Bound, Level, Rule, ThresholdRule, Timing
from virtwatch_api.targets import TargetRef
from virtwatch_telemetry.providers import set_up

LOOK_S, SETTLE_S, GOAL_MIB = 2.0, 100.0, 90.0
THIS = "tools.bench.holding"
AGENT = "virtwatch_agent.__main__"
_OF_VM = [item for item in READINGS if item.target is TargetKind.VIRTUAL_MACHINE]


def holding_cost() -> Iterator[Figure]:
    """Measure once all windows are whole and everything was exported several times."""
    with (
        step(f"Holding what {VMS} VMs export"),
        tempfile.TemporaryDirectory() as folder,
        _sink() as (url, seen),
    ):
        env = compiled(Path(folder, "bytecode"), AGENT, THIS)
        otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_METRIC_EXPORT_INTERVAL": "15000"}
        command = [sys.executable, "-m", THIS, folder]
        with subprocess.Popen(command, env={**env, **otlp}, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            series = int(process.stdout.readline())
            time.sleep(SETTLE_S)
            memory = resident(process.pid)
            process.terminate()
    yield Figure(
        name=f"an agent's memory, {VMS} VMs x {series} series x {RULES} rules of mixed 1 m windows",
        value=memory,
        unit="MiB",
        goal=GOAL_MIB,
        detail=f"RSS after {SETTLE_S:g} s, a look each {LOOK_S:g} s; {len(seen)} OTLP requests; VMs are made up",
    )


@contextmanager
def _sink() -> Iterator[tuple[str, list[int]]]:
    """Take what is exported, and note how long each request is."""
    seen: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            seen.append(len(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
        server.shutdown()


class _MadeUp:
    """Bring samples of VMs whose figures all grow, as collectors do."""

    def __init__(self) -> None:
        self._domains = [
            Domain(str(uuid.UUID(int=number + 1)), f"vm-{number}", "made-up", "1", DomainState.RUNNING)
            for number in range(VMS)
        ]
        self._sources = _series()
        self._ended = threading.Event()

    def start(self, deliver: Deliver) -> None:
        threading.Thread(target=self._run, args=(deliver,), name="made-up", daemon=True).start()

    def stop(self) -> None:
        self._ended.set()

    def plan(self, target: TargetRef, intervals: Mapping[Source, float]) -> None:
        """Look as often as ever."""

    scatter = plan

    def look_again(self, target: TargetRef, source: Source, at: float) -> None:
        """Look as often as ever."""

    def glance(self, target: TargetRef, bounds: Mapping[str, Sequence[float]]) -> None:
        """Glance at nothing."""

    def launchers(self, pods: frozenset[str]) -> None:
        """Need nothing of them."""

    def _run(self, deliver: Deliver) -> None:
        for domain in self._domains:
            deliver(Appeared(domain, time.time()))
        turn = 0
        while not self._ended.wait(LOOK_S):
            turn += 1
            for number, domain in enumerate(self._domains):
                for source, series in self._sources.items():
                    values = {item: float(number + turn * (index + 1)) for index, item in enumerate(series)}
                    clock = time.monotonic()
                    deliver(Sample(domain.target, source, "1", 0.0, time.time(), clock, values, clock))


def _series() -> Mapping[Source, list[tuple[str, str]]]:
    """Return the readings of a VM by source, with two disks and one of all else."""
    found: dict[Source, list[tuple[str, str]]] = {}
    for item in _OF_VM:
        found.setdefault(item.source, []).extend((item.key, device) for device in _devices(item.device))
    return found


def _devices(kind: str | None) -> Sequence[str]:
    return ("",) if kind is None else ("vda", "vdb") if kind == "system.device" else ("0",)


def _exported() -> int:
    """Return how many series a VM has in telemetry: its readings, and the gauges that are derived of them."""
    gauges = [item for item in SIGNAL.values() if item.target is TargetKind.VIRTUAL_MACHINE and item.name in FIGURES]
    return sum(len(_devices(device)) for device in (item.device for part in (_OF_VM, gauges) for item in part))


class _Policy:
    """Give one policy with all rules."""

    def start(self, deliver: Deliver) -> None:
        level = Level(Bound.ABOVE, QUIET, QUIET)
        bodies = (
            ThresholdRule(SIGNALS[number % len(SIGNALS)], MIXED[number % len(MIXED)], level, None, Timing())
            for number in range(RULES)
        )
        rules = (Rule(f"r{number}", body) for number, body in enumerate(bodies))
        deliver(ThresholdsChanged((policy(*rules, interval=LOOK_S),)))

    def stop(self) -> None:
        """Have nothing to end."""


class _Nowhere:
    def publish(self, status: NodeStatus) -> None:
        """Report to nobody."""


def _agent(folder: str) -> None:
    """Run an agent's parts, all that its process imports with them, until it is ended."""
    importlib.import_module(AGENT)
    providers = set_up("virtwatch-agent", resource_attributes={"service.instance.id": "node"}, env=os.environ)
    cost = CostMeter(time)
    core = Core(
        node="node",
        collector=_MadeUp(),
        thresholds=_Policy(),
        reporter=_Nowhere(),
        telemetry=AgentTelemetry(providers, time),
        journal=Journal(Path(folder, "state")),
        threads=ProcThreads(Path("/proc")),
        clock=time,
        new_epoch=lambda: uuid.uuid4().hex,
        cost=cost.read,
    )
    core.start()
    print(_exported(), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _agent(sys.argv[1])
    else:
        for figure in holding_cost():
            print(figure.line())
