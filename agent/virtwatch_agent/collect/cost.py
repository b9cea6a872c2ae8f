"""What collecting costs, and how late it is: counted by whoever collects, read by whoever reports it."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from virtwatch_agent.collect.budget import NO_SLOWDOWN, Budget, Slowdown
from virtwatch_agent.seams import Clock

WINDOW_S = 60.0  # in which the worst look and the latest sample count
CPU_WINDOW_S = 300.0
_CPU_STEP_S = 5.0  # between marks of the CPU window


@dataclass(frozen=True, slots=True)
class Cost:
    """Hold what the agent costs now.

    `cpu` is CPU seconds per second of the last minutes and `cpu_total` of its life, `memory` bytes, `scan` and
    `lateness` the worst of the last minute in seconds, `calls` those to libvirt since it started, `open` those in
    flight, `stuck` the VMs whose monitor does not answer. `budget` is the CPU that it may use, 0 for any;
    `slowdown` keeps it.
    """

    cpu: float
    cpu_total: float
    memory: float
    scan: float = 0.0
    lateness: float = 0.0
    calls: int = 0
    open: int = 0
    stuck: int = 0
    budget: float = 0.0
    slowdown: Slowdown = NO_SLOWDOWN


class CostMeter:
    """Count; from any thread."""

    def __init__(
        self, clock: Clock, measure: Callable[[], tuple[float, float]] | None = None, *, budget: float = 0.0
    ) -> None:
        """`measure` returns the process's CPU seconds and resident bytes; `budget` is CPUs that it may use, 0 any."""
        self.budget = Budget(budget)
        self._clock = clock
        self._measure = measure or measure_process
        self._lock = threading.Lock()
        self._began = clock.monotonic()
        self._last_look = (self._began, self._measure()[0])
        self._marks: deque[tuple[float, float]] = deque([(self._began, self._measure()[0])])
        self._scan, self._late = _Worst(), _Worst()
        self._calls: Callable[[], int] = int
        self._open: Callable[[], int] = int
        self._stuck: Callable[[], int] = int

    def watch(self, *, calls: Callable[[], int], open_calls: Callable[[], int], stuck: Callable[[], int]) -> None:
        """Say who counts calls to libvirt, those in flight, and VMs that do not answer."""
        self._calls, self._open, self._stuck = calls, open_calls, stuck

    def looked(self, seconds: float) -> None:
        """Take how long one look at what was due took."""
        with self._lock:
            self._scan.add(seconds, self._clock.monotonic())

    def sampled(self, late: float) -> None:
        """Take by how many seconds a sample came after it was due."""
        with self._lock:
            self._late.add(max(0.0, late), self._clock.monotonic())

    def read(self) -> Cost:
        """Return what the agent costs now."""
        total, memory = self._measure()
        now = self._clock.monotonic()
        with self._lock:
            cpu = self._recent_cpu(total, now)
            scan, late = self._scan.of(now), self._late.of(now)
        return Cost(
            cpu,
            total,
            memory,
            scan,
            late,
            self._calls(),
            self._open(),
            self._stuck(),
            self.budget.cpu,
            self.budget.slowdown,
        )

    def keep_budget(self) -> Slowdown:
        """Return by how much to slow down, by what was used since the last time."""
        total, now = self._measure()[0], self._clock.monotonic()
        at, before = self._last_look
        self._last_look = (now, total)
        return self.budget.look((total - before) / max(now - at, 1e-3))

    def _recent_cpu(self, total: float, now: float) -> float:
        if now - self._marks[-1][0] >= _CPU_STEP_S:
            self._marks.append((now, total))
        while len(self._marks) > 1 and self._marks[1][0] <= now - CPU_WINDOW_S:
            self._marks.popleft()
        at, before = self._marks[0]
        return (total - before) / max(now - at, 1.0)


class _Worst:
    """Keep the worst of the last minute: each value that no later one exceeds."""

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque()

    def add(self, value: float, now: float) -> None:
        while self._values and self._values[-1][1] <= value:
            self._values.pop()
        self._values.append((now, value))

    def of(self, now: float) -> float:
        while self._values and self._values[0][0] < now - WINDOW_S:
            self._values.popleft()
        return self._values[0][1] if self._values else 0.0


def measure_process() -> tuple[float, float]:
    """Return this process's CPU seconds and resident bytes."""
    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        return times.user + times.system, float(process.memory_info().rss)
