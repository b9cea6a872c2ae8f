"""Run every measurement and print each figure as soon as there is one."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from itertools import chain

from lab.backend.backend import Backend
from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.demo.demo import demo
from lab.installed.system import System
from lab.rundir import RunDir, clean
from tools.bench.cost import agent_cost
from tools.bench.delays import breach_delay, event_delay
from tools.bench.edits import edit_cost
from tools.bench.fairness import report_sizes, storm_delay
from tools.bench.figure import Figure
from tools.bench.fleet import fleet_cost
from tools.bench.judging import judging_cost
from tools.bench.modes import mode_costs
from tools.bench.nothing import first_runs
from tools.bench.startup import watch_start
from tools.bench.tests import test_times
from tools.bench.watching import watching_cost
from tools.checkout import CHECKOUT
from tools.progress import step

LIGHT_GOAL_S, FULL_GOAL_S = 45.0, 240.0

# The limits of an installation, which the lab lifts elsewhere.
BUDGETS = {"VIRTWATCH_EVENT_BURST": "25", "VIRTWATCH_TRANSITION_BURST": "10"}


def bench(*, from_nothing: bool = False) -> None:
    """Print one JSON line per figure on standard output; progress goes to standard error.

    `from_nothing` measures first runs alone, which take three quarters of an hour.
    """
    if from_nothing:
        for figure in first_runs():
            _print(figure)
        return
    for figure in chain(judging_cost(), mode_costs(), edit_cost(), watching_cost()):
        _print(figure)
    _print(watch_start())
    for figure in fleet_cost():
        _print(figure)
    with _system() as system:
        _print(event_delay(system))
        _print(breach_delay(system))
        for figure in agent_cost(system):
            _print(figure)
        for figure in report_sizes(system):
            _print(figure)
    with _system(BUDGETS) as system:
        _print(storm_delay(system))
    _print(_demo_time("make demo", kubevirt=False, goal=LIGHT_GOAL_S))
    _print(_demo_time("make demo KUBEVIRT=1", kubevirt=True, goal=FULL_GOAL_S))
    _operator_scale()
    for figure in test_times():
        _print(figure)


@contextmanager
def _system(env: Mapping[str, str] | None = None) -> Iterator[System]:
    run = RunDir.create("bench")
    try:
        control_plane, backend = ControlPlane(run), Backend(run)
        with step("Starting Kubernetes, Jaeger and virtwatch"):
            backend.start()
            control_plane.start()
            control_plane.apply_crds(VMI_CRD)
            system = System(run, control_plane, namespace="bench", otlp=backend.otlp_http, env=env)
            system.start()
        yield system
    finally:
        clean(run)


def _demo_time(name: str, *, kubevirt: bool, goal: float) -> Figure:
    with redirect_stdout(sys.stderr):
        resolved_after = demo(keep=False, kubevirt=kubevirt)
    return Figure(
        name=f"{name}, from start to the resolved alert",
        value=resolved_after,
        unit="s",
        goal=goal,
        detail="all binaries cached; what else the machine does counts too",
    )


def _operator_scale() -> None:
    """Measure the operator with simulated agents; they belong to the tests, which tools know by name alone."""
    with step("Measuring the operator with simulated agents"):
        sys.stdout.flush()
        subprocess.run([sys.executable, "-m", "tests.scale.operator"], cwd=CHECKOUT, check=True)


def _print(figure: Figure) -> None:
    print(figure.line(), flush=True)
