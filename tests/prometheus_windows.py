"""Random series, with jitter and gaps, and what Prometheus makes of a window of each."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from lab.prometheus.server import PrometheusServer
from lab.rundir import RunDir, clean
from virtwatch_api.policy import Function

# Prometheus' name for each function. Its rate() extrapolates to the window's edges: what ours does not, on purpose.
PROMQL = {
    Function.LAST: "last_over_time({})",
    Function.AVG: "avg_over_time({})",
    Function.MAX: "max_over_time({})",
    Function.MIN: "min_over_time({})",
    Function.P95: "quantile_over_time(0.95, {})",
    Function.SUM: "sum_over_time({})",
    Function.COUNT: "count_over_time({})",
}
BEGIN_S = 1_767_225_600  # 2026: series of one run share a block
# An eighth of a second, which both Prometheus' milliseconds and our seconds hold exactly: edges are where they seem.
GRAIN_MS = 125


@dataclass(frozen=True, slots=True)
class Case:
    """Samples (milliseconds, value), and the window (now - window, now] that is asked for."""

    samples: tuple[tuple[int, float], ...]
    function: Function
    window_ms: int
    now_ms: int


def random_cases(seed: int, number: int) -> list[Case]:
    """Make cases; the same seed makes the same."""
    return [_case(random.Random(f"{seed} {index}")) for index in range(number)]


def ask_prometheus(cases: Sequence[Case]) -> list[float | None]:
    """Return what a real Prometheus has for each case; None where it has nothing."""
    run = RunDir.create("tests-windows")
    server = PrometheusServer(run)
    try:
        server.start(history=_open_metrics(cases))
        return [_answer(server, index, case) for index, case in enumerate(cases)]
    finally:
        server.stop()
        clean(run)


def _case(chance: random.Random) -> Case:
    interval = chance.choice((1000, 5000, 15000))
    samples: list[tuple[int, float]] = []
    at = _grains(chance, 1000)
    value = partial(chance.choice, (lambda: chance.gauss(0, 1e3), lambda: float(chance.randrange(5)), chance.random))
    for _ in range(chance.randrange(1, 60)):
        samples.append((at, value()()))
        # Mostly in time, now and then late, and once in a while after a gap.
        late = chance.choice((GRAIN_MS, _grains(chance, interval), _grains(chance, 10 * interval)))
        at += interval + late * (chance.random() < 0.3)
    window = chance.choice((1, 3, 5, 10, 20)) * chance.choice((interval, 1000))
    # As often as not exactly where a sample enters or leaves.
    edge = chance.choice(samples)[0] + chance.choice((0, window))
    now = edge if chance.random() < 0.5 else _grains(chance, at + window)
    known = tuple(sample for sample in samples if sample[0] <= now)
    return Case(known or (samples[0],), chance.choice(tuple(PROMQL)), window, max(now, samples[0][0]))


def _grains(chance: random.Random, below: int) -> int:
    return chance.randrange(0, below, GRAIN_MS)


def _open_metrics(cases: Sequence[Case]) -> str:
    lines = ["# TYPE x gauge"]
    for index, case in enumerate(cases):
        lines += [f'x{{case="{index}"}} {value!r} {BEGIN_S + ms / 1000:.3f}' for ms, value in case.samples]
    return "\n".join([*lines, "# EOF", ""])


def _answer(server: PrometheusServer, index: int, case: Case) -> float | None:
    promql = PROMQL[case.function].format(f'x{{case="{index}"}}[{case.window_ms}ms]')
    found = server.query(promql, at=BEGIN_S + case.now_ms / 1000)
    return float(found[0]["value"][1]) if found else None
