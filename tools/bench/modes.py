"""One load, replayed through the three collection modes: what each costs, when it notices, how true its figures are.

The load is made up, from a fixed seed; judging, schedule and extra samples are the agent's own, on a clock that runs as
fast as the machine does.
"""

import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tools.bench.figure import Figure, percentile
from tools.progress import step
from virtwatch_agent.collect.plan import demand, scattered
from virtwatch_agent.collect.schedule import Schedule
from virtwatch_agent.core.extras import Extras
from virtwatch_agent.judge.node import Node
from virtwatch_agent.judge.rulebook import Rulebook
from virtwatch_agent.observations import Sample
from virtwatch_api.alert import Action
from virtwatch_api.compile import compile_policy
from virtwatch_api.policy import Mode, Policy
from virtwatch_api.policy_codec import parse_policy
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.budget import WindowBudget

TARGETS = 10
LENGTH_S = 3600
INCIDENT_EVERY_S = 600
INCIDENT_S = 240
RAMP_S = 90  # of every second incident; the others come at once
PERIODIC_S = 15  # a peak of a second or two that comes in step with the interval
INTERVAL = "15s"
WINDOW = "30s"
BOUND = 0.85
MEAN_OVER_S = 300
DELAY_GOAL, COST_GOAL = 1.5, 0.25  # of Hybrid, as shares of Continuous'


@dataclass(slots=True)
class Outcome:
    """Hold what one mode brought."""

    cpu: float = 0.0
    looks: int = 0
    delays: list[float] = field(default_factory=list)
    missed: int = 0
    mean_errors: list[float] = field(default_factory=list)
    peak_errors: list[float] = field(default_factory=list)


def mode_costs() -> Iterator[Figure]:
    """Replay the load through each mode."""
    loads = [_load(seed) for seed in range(TARGETS)]
    outcomes: dict[Mode, Outcome] = {}
    _replay(Mode.CONTINUOUS, loads[:1], WINDOW)  # so that none pays for what is loaded first
    for mode in Mode:
        with step(f"Replaying {TARGETS} hours of load in mode {mode}"):
            outcomes[mode], at_once = _replay(mode, loads, WINDOW), _replay(mode, loads, "")
        yield from _figures(mode, outcomes[mode], at_once)
    hybrid, continuous = outcomes[Mode.HYBRID], outcomes[Mode.CONTINUOUS]
    yield Figure(
        name="detection delay of mode Hybrid as a share of Continuous', p50",
        value=percentile(hybrid.delays, 0.5) / percentile(continuous.delays, 0.5),
        unit="1",
        goal=DELAY_GOAL,
        detail=f"of a mean over {WINDOW}; {len(hybrid.delays)} incidents",
    )
    yield Figure(
        name="CPU cost of mode Hybrid as a share of Continuous'",
        value=hybrid.cpu / continuous.cpu,
        unit="1",
        goal=COST_GOAL,
        detail=f"{hybrid.looks} looks to {continuous.looks}",
    )


def _figures(mode: Mode, outcome: Outcome, at_once: Outcome) -> Iterator[Figure]:
    hours = TARGETS * LENGTH_S / 3600
    yield Figure(
        name=f"CPU cost of mode {mode}, a target and hour",
        value=outcome.cpu / hours,
        unit="s",
        goal=None,
        detail=f"schedule, derive and judge one rule; {outcome.looks / hours:.0f} looks an hour, reading not included",
    )
    yield Figure(
        name=f"detection delay of mode {mode}, p50",
        value=percentile(outcome.delays, 0.5),
        unit="s",
        goal=None,
        detail=f"p95 {percentile(outcome.delays, 0.95):.1f} s; mean of {WINDOW} > {BOUND:.0%}, {outcome.missed} missed",
    )
    yield Figure(
        name=f"detection delay of mode {mode} without a window, p50",
        value=percentile(at_once.delays, 0.5),
        unit="s",
        goal=None,
        detail=f"p95 {percentile(at_once.delays, 0.95):.1f} s; the newest value above {BOUND:.0%}",
    )
    yield Figure(
        name=f"error of the mean of mode {mode}",
        value=sum(outcome.mean_errors) / len(outcome.mean_errors),
        unit="1",
        goal=None,
        detail=f"over {MEAN_OVER_S} s; of the peak {sum(outcome.peak_errors) / len(outcome.peak_errors):.3f}",
    )


def _replay(mode: Mode, loads: list[list[float]], window: str) -> Outcome:
    outcome = Outcome()
    for number, load in enumerate(loads):
        _replay_one(_policy(mode, window), f"n{number}", load, outcome)
    return outcome


def _replay_one(thresholds: ThresholdSet, name: str, load: list[float], outcome: Outcome) -> None:
    target, extras, schedule = Node(name, WindowBudget()), Extras(), Schedule()
    rulebook = Rulebook()
    rulebook.change((thresholds,))
    target.appear(at=0.0)
    list(target.apply(rulebook.resolve(target.ref, target.selector_identity), [thresholds.policy], now=0.0))
    wanted = demand(target.evaluator.intervals, frozenset(), exported={})
    schedule.scatter(target.ref, scattered(target.evaluator.asked(), wanted))
    schedule.plan(target.ref, name, wanted, now=0.0)
    extras.plan(target, wanted)
    seen: list[tuple[float, float]] = []
    fired: list[float] = []
    began = time.process_time()
    while (now := schedule.next_due()) is not None and now < LENGTH_S - 1:
        for ref, source in schedule.due(now):
            value = load[int(now)]
            seen.append((now, value))
            values = {("node.load", ""): value, ("node.cpu.count", ""): 1.0}
            sample = Sample(ref, source, "node", 0.0, now, now, values, schedule.was_due(ref, source))
            due = now if sample.due is None else sample.due
            look = target.measure(sample, due=due)
            assert look is not None
            fired += [now for item in target.judge(look, sample) if item.change.action is Action.FIRED]
            again = extras.after(ref, sample, look.points, now=now)
            if again is not None:
                schedule.once_more(ref, source, again)
    outcome.cpu += time.process_time() - began
    outcome.looks += len(seen)
    _compare(load, seen, fired, outcome)


def _compare(load: list[float], seen: list[tuple[float, float]], fired: list[float], outcome: Outcome) -> None:
    for start in _incidents():
        crossed = next(at for at in range(start, start + INCIDENT_S) if load[at] > BOUND)
        found = next((at for at in fired if crossed <= at < start + INCIDENT_EVERY_S), None)
        if found is None:
            outcome.missed += 1
        else:
            outcome.delays.append(found - crossed)
    for begin in range(0, LENGTH_S, MEAN_OVER_S):
        true = load[begin : begin + MEAN_OVER_S]
        told = [value for at, value in seen if begin <= at < begin + MEAN_OVER_S]
        if told:
            outcome.mean_errors.append(abs(sum(told) / len(told) - sum(true) / len(true)))
            outcome.peak_errors.append(max(true) - max(told))


def _incidents() -> range:
    return range(INCIDENT_EVERY_S // 2, LENGTH_S - INCIDENT_EVERY_S // 2, INCIDENT_EVERY_S)


def _load(seed: int) -> list[float]:
    """Return each second's load: noise, a peak in step with the interval, incidents that rise or come at once."""
    noise = random.Random(seed)
    load = [0.3 + noise.uniform(-0.05, 0.05) + (0.3 if at % PERIODIC_S == seed else 0.0) for at in range(LENGTH_S)]
    for number, planned in enumerate(_incidents()):
        start = planned + noise.randrange(PERIODIC_S)
        ramp = RAMP_S if number % 2 else 1
        for at in range(INCIDENT_S):
            load[start + at] += 0.65 * min(1.0, (at + 1) / ramp)
    return load


def _policy(mode: Mode, window: str) -> ThresholdSet:
    aggregate = {"aggregate": {"function": "Avg", "window": window}} if window else {}
    threshold = {"signal": "node.load.ratio", **aggregate, "warning": {"above": str(BOUND)}}
    document: Mapping[str, Any] = {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "ClusterMonitorPolicy",
        "metadata": {"name": "bench", "uid": "bench", "generation": 1},
        "spec": {
            "target": {"kind": "Node"},
            "collection": {"mode": mode.value, "interval": INTERVAL},
            "rules": [{"name": "busy", "threshold": threshold}],
        },
    }
    policy = parse_policy(document)
    assert isinstance(policy, Policy), policy
    thresholds = compile_policy(policy)
    assert isinstance(thresholds, ThresholdSet), thresholds
    return thresholds
