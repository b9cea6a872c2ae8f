"""One recorded load, replayed through the three collection modes: what each costs, when it notices, how true it is."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.bench.figure import Figure, percentile
from tools.bench.replay import BOUND, INTERVAL, MEAN_OVER_S, Outcome, Recording, replay, stand_ins
from tools.progress import step
from virtwatch_agent.collect.kernel.reader import KernelReader, NetworkCounters
from virtwatch_agent.inventory.processes import QemuProcess
from virtwatch_api.policy import Mode

TARGETS = 16
WINDOW = "30s"
_READS = 5000
_RUNS = 5  # whose median in CPU time is told
DELAY_GOAL, COST_GOAL = 1.5, 0.25  # of Hybrid, as shares of Continuous'


def mode_costs() -> Iterator[Figure]:
    """Replay the load through each mode, once with a rule on a mean, once with one on the newest value."""
    recording = Recording()
    _replay(Mode.CONTINUOUS, recording, "", targets=1)  # so that none pays for what is loaded first
    runs: dict[tuple[Mode, str], list[Outcome]] = {}
    for number in range(_RUNS):  # one after the other, so that a machine that grows busy is so in each mode
        # What the replay's stand-ins for the kernel's files cost is replaced by what the real files cost.
        pairs = zip(_reading_costs(), stand_ins(recording), strict=True)
        read, glance = (real - _cost(stand_in) for real, stand_in in pairs)
        for mode in Mode:
            with step(f"Replaying {recording.length:.0f} s of load in mode {mode}, {number + 1} of {_RUNS}"):
                for window in (WINDOW, ""):
                    outcome = _replay(mode, recording, window)
                    outcome.cpu += outcome.looks * read + outcome.glances * glance
                    runs.setdefault((mode, window), []).append(outcome)
    outcomes = {key: sorted(found, key=lambda one: one.cpu)[_RUNS // 2] for key, found in runs.items()}
    for (mode, window), outcome in outcomes.items():
        yield from _figures(mode, window, outcome)
    for window in (WINDOW, ""):
        hybrid, continuous = outcomes[Mode.HYBRID, window], outcomes[Mode.CONTINUOUS, window]
        yield Figure(
            name=f"detection delay of mode Hybrid as a share of Continuous', p50{_on(window)}",
            value=percentile(hybrid.delays, 0.5) / percentile(continuous.delays, 0.5),
            unit="1",
            goal=DELAY_GOAL,
            detail=f"{len(hybrid.delays)} and {len(continuous.delays)} incidents, {hybrid.missed} missed",
        )
        yield Figure(
            name=f"CPU cost of mode Hybrid as a share of Continuous'{_on(window)}",
            value=hybrid.cpu / continuous.cpu,
            unit="1",
            goal=COST_GOAL,
            detail=f"{hybrid.looks} looks and {hybrid.glances} glances to {continuous.looks} looks",
        )


def _replay(mode: Mode, recording: Recording, window: str, *, targets: int = TARGETS) -> Outcome:
    with TemporaryDirectory() as folder:
        return replay(mode, recording, window, targets=targets, folder=Path(folder))


def _figures(mode: Mode, window: str, outcome: Outcome) -> Iterator[Figure]:
    hours = outcome.seconds / 3600
    yield Figure(
        name=f"CPU cost of mode {mode}{_on(window)}, a VM and hour",
        value=outcome.cpu / hours,
        unit="s",
        goal=None,
        detail=f"16 VMs, one rule, no export; interval {INTERVAL}, {outcome.looks / hours:.0f} looks an hour",
    )
    yield Figure(
        name=f"detection delay of mode {mode}{_on(window)}, p50",
        value=percentile(outcome.delays, 0.5),
        unit="s",
        goal=None,
        detail=f"p95 {percentile(outcome.delays, 0.95):.1f} s; CPU above {BOUND:.0%}, {outcome.missed} missed",
    )
    yield Figure(
        name=f"error of the mean of mode {mode}{_on(window)}",
        value=sum(outcome.mean_errors) / len(outcome.mean_errors),
        unit="1",
        goal=None,
        detail=f"over {MEAN_OVER_S} s; of the peak {sum(outcome.peak_errors) / len(outcome.peak_errors):.3f}",
    )


def _on(window: str) -> str:
    return f" on a mean of {window}" if window else " without a window"


def _reading_costs() -> tuple[float, float]:
    """Return the CPU seconds of a look, and of a glance, at a process with one vCPU: this one, in /proc.

    What NICs count is left out: the VMs of a network namespace share it, and a look at it costs what that holds.
    """
    wait = threading.Event()
    thread = threading.Thread(target=wait.wait)
    thread.start()
    folder = Path("/proc/self").resolve()
    vcpus = {0: folder / "task" / str(thread.native_id)}
    reader = KernelReader(QemuProcess(folder, "1", 0.0, vcpus), (), NetworkCounters())
    try:
        return _cost(reader.read), _cost(lambda _: reader.threads())
    finally:
        reader.close()
        wait.set()
        thread.join()


def _cost(read: Callable[[float], object]) -> float:
    began = time.process_time()
    for number in range(_READS):
        read(float(number))
    return (time.process_time() - began) / _READS
