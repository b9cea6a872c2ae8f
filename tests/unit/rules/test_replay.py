import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from virtwatch_cli.backtest.driver import read_thresholds
from virtwatch_rules.answer import lines
from virtwatch_rules.recording import Recorded, RecordedEvent, RecordedSample, TargetName
from virtwatch_rules.replay import Replay, Transition

T0 = 1_796_000_000.0
POLICIES = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: often}
spec:
  collection: {interval: 1s}
  rules:
  - name: newest
    threshold: {signal: vm.cpu.utilization, warning: {above: 50%}, critical: {above: 80%}, for: 20s, keepFiringFor: 1m}
  - name: silent
    threshold: {signal: vm.cpu.utilization, warning: {above: 50%}, for: 3m, missingData: Alert}
  - name: few
    threshold:
      signal: vm.cpu.utilization
      aggregate: {function: Count, window: 30s}
      warning: {below: 5}
      critical: {below: 1}
      for: 2m
  - name: slow
    threshold:
      signal: vm.disk.write.latency
      aggregate: {function: P95, window: 1m}
      warning: {above: 10ms}
      missingData: Resolve
      keepFiringFor: 2m
  - name: both
    severity: Critical
    condition:
      allOf:
      - {signal: vm.cpu.utilization, aggregate: {function: Avg, window: 2m}, above: 40%}
      - {signal: vm.disk.write.latency, above: 10ms}
      for: 30s
      missingData: Alert
---
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: seldom}
spec:
  collection: {interval: 1m}
  rules:
  - name: mean
    threshold: {signal: vm.disk.write.rate, aggregate: {function: Avg, window: 4m}, warning: {above: 10}, for: 2m}
  - name: io-pause
    severity: Critical
    event: {type: vm.paused, where: {reason: ioerror}, resolveOn: [vm.resumed]}
  - name: rebooted
    severity: Warning
    event: {type: vm.rebooted, keepFiringFor: 7m}
  - name: crashes
    severity: Warning
    pattern: {count: {type: vm.crashed, atLeast: 2}, within: 3m}
  - name: crashes-anywhere
    severity: Warning
    pattern: {count: {type: vm.crashed, atLeast: 3, by: Node}, within: 3m}
  - name: stays-paused
    severity: Critical
    pattern: {sequence: [{type: vm.paused}, {absent: [vm.resumed]}], within: 4m}
  - name: unusual
    severity: Warning
    anomaly: {signals: [vm.cpu.utilization]}
"""
MACHINES = (TargetName("web-1"), TargetName("shop/db-1"))


class Walked(Replay):
    """Let every second pass for every target, as an agent that does not know what is due."""

    def _plan(self, replayed: object) -> None:
        replayed.due = self._due = float("-inf")  # type: ignore[attr-defined]


@pytest.fixture
def policies(tmp_path: Path) -> Path:
    path = tmp_path / "policies.yaml"
    path.write_text(POLICIES)
    return path


def recording(chance: random.Random) -> list[Recorded]:
    """A few VMs of which values and events come, with gaps that outlast all timers, and short ones."""
    at, found = T0 + chance.choice((0.0, 0.3)), []
    for _ in range(chance.randint(3, 5)):
        busy, events = chance.choice((0.2, 0.6, 0.9)), chance.random() < 0.5
        seen = [vm for vm in MACHINES if chance.random() < 0.7]
        for _ in range(chance.choice((1, 10, 40))):
            at += chance.choice((1, 1, 1, 2, 15))
            for vm in seen:
                found += values(chance, at, vm, busy)
                if events and chance.random() < 0.05:
                    found.append(happened(chance, at, vm))
        at += chance.choice((3, 8.7, 100, 1300))
    return found


def values(chance: random.Random, at: float, vm: TargetName, busy: float) -> list[Recorded]:
    found: list[Recorded] = [RecordedSample(at, vm, "vm.cpu.utilization", "", busy)]
    if chance.random() < 0.8:
        found.append(RecordedSample(at, vm, "vm.disk.write.latency", "vda", chance.choice((None, busy / 10))))
    if chance.random() < 0.1:
        found.append(RecordedSample(at, vm, "vm.disk.write.rate", "vda", busy * 20))
    return found


def happened(chance: random.Random, at: float, vm: TargetName) -> RecordedEvent:
    kind = chance.choice(("vm.paused", "vm.resumed", "vm.rebooted", "vm.crashed"))
    return RecordedEvent(at, vm, kind, {"reason": "ioerror"} if kind == "vm.paused" else {})


def outcome(replay: Replay, recorded: Sequence[Recorded]) -> list[object]:
    said = [_plain(item) for item in replay.run(recorded)]
    said += [_plain(item) for item in replay.until(recorded[-1].at + 1300)]
    explained = [line for target in replay.targets for line in lines(replay.explain(target))]
    return [*said, *explained, *sorted((str(target), str(name)) for target, name, _ in replay.alerts())]


def _plain(item: Transition) -> object:
    return item.at, item.target, item.verdict.name, item.verdict.change, item.verdict.evidence


@pytest.mark.parametrize("seed", range(4))
def test_what_jumps_over_time_says_what_walks_through_it(seed: int, policies: Path) -> None:
    thresholds = read_thresholds([policies])
    recorded = recording(random.Random(seed))
    jumped, walked = outcome(Replay(thresholds), recorded), outcome(Walked(thresholds), recorded)
    assert jumped == walked
    assert len(walked) > 30


def test_a_gap_of_a_year_is_jumped_over(tmp_path: Path) -> None:
    path = tmp_path / "busy.yaml"
    path.write_text(POLICIES.partition("---")[0])
    recorded = [RecordedSample(T0 + at, MACHINES[0], "vm.cpu.utilization", "", 0.9) for at in (0, 1, 31_536_000)]
    begun = time.process_time()
    said = [item.verdict.name.rule for item in Replay(read_thresholds([path])).run(recorded)]
    assert time.process_time() - begun < 5.0
    assert said == ["few", "few", "silent", "few"]


def test_what_time_ends_is_ended_to_the_second_at_any_interval(policies: Path) -> None:
    vm = MACHINES[0]
    recorded = [
        RecordedEvent(T0, vm, "vm.paused", {"reason": "ioerror"}),
        RecordedEvent(T0 + 10, vm, "vm.resumed", {}),
        RecordedEvent(T0 + 200, vm, "vm.resumed", {}),
    ]
    said = Replay(read_thresholds([policies])).run(recorded)
    ends = [item.at - T0 for item in said if item.verdict.name.rule == "io-pause"]
    assert ends == [0, 13]
