"""Run every measurement and print each figure as soon as there is one."""

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import chain

from lab.backend.backend import Backend
from lab.controlplane.cluster import VMI_CRD, ControlPlane
from lab.demo.demo import demo
from lab.installed.system import System
from lab.rundir import RunDir, clean
from tools.bench.backtest import backtest_cost
from tools.bench.cost import agent_cost
from tools.bench.delays import breach_delay, event_delay
from tools.bench.edits import edit_cost
from tools.bench.fairness import report_sizes, storm_delay
from tools.bench.figure import Figure
from tools.bench.fleet import fleet_cost
from tools.bench.history import Run, kept
from tools.bench.holding import holding_cost
from tools.bench.judging import judging_cost
from tools.bench.looking import looking_cost
from tools.bench.many import many_cost
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


def bench(*, only: Sequence[str] = (), from_nothing: bool = False) -> None:
    """Print one JSON line per figure on standard output; progress goes to standard error.

    `only` names groups of GROUPS, all where it is empty. `from_nothing` measures first runs alone, which take three
    quarters of an hour.
    """
    groups: list[Callable[[], Iterable[Figure]]]
    groups = [first_runs] if from_nothing else [GROUPS[name] for name in only or GROUPS]
    for figure in kept(chain.from_iterable(group() for group in groups), run=Run.here()):
        print(figure.line(), flush=True)


def _in_cluster() -> Iterator[Figure]:
    with _system() as system:
        yield event_delay(system)
        yield breach_delay(system)
        yield from agent_cost(system)
        yield from report_sizes(system)
    with _system(BUDGETS) as system:
        yield storm_delay(system)


def _demos() -> Iterator[Figure]:
    yield _demo_time("make demo", kubevirt=False, goal=LIGHT_GOAL_S)
    yield _demo_time("make demo KUBEVIRT=1", kubevirt=True, goal=FULL_GOAL_S)


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


def _operator_scale() -> Iterator[Figure]:
    """Measure the operator with simulated agents; they belong to the tests, which tools know by name alone."""
    with step("Measuring the operator with simulated agents"):
        sys.stdout.flush()
        subprocess.run([sys.executable, "-m", "tests.scale.operator"], cwd=CHECKOUT, check=True)
    yield from ()  # it prints its figures itself


GROUPS: Mapping[str, Callable[[], Iterable[Figure]]] = {
    "judging": judging_cost,
    "backtest": backtest_cost,
    "modes": mode_costs,
    "edits": edit_cost,
    "watching": watching_cost,
    "holding": holding_cost,
    "looking": looking_cost,
    "many": many_cost,
    "startup": watch_start,
    "fleet": fleet_cost,
    "cluster": _in_cluster,
    "demos": _demos,
    "operator": _operator_scale,
    "tests": test_times,
}
