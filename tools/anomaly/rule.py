"""Runs a whole anomaly rule over synthetic VMs: which faults it finds, how soon, and how often it is wrong."""

from collections import Counter
from dataclasses import dataclass, field

from tools.anomaly.load import MINUTE, SIGNALS, Load
from virtwatch_api.alert import Action
from virtwatch_api.policy import AnomalyRule, Collection, Enforcement, PolicyKey, PolicyKind, Rule, Severity, Target
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_rules.recording import RecordedSample, TargetName
from virtwatch_rules.replay import Replay

_LEARNING_DAYS = 7
_LATE_S = 900.0  # after a fault's end an alert is still about it
_AFTER_S = 3600.0  # and until then none is a false alarm


@dataclass(slots=True)
class RuleOutcome:
    """Add up what was found."""

    put_in: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)  # seconds
    false_alarms: int = 0
    weeks: float = 0.0


def run(load: Load, sensitivity: str, outcome: RuleOutcome) -> None:
    """Judge a VM's load and add up what came of it."""
    rule = Rule("unusual", AnomalyRule(Severity.WARNING, SIGNALS, sensitivity))
    key = PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "bench")
    collection = Collection(interval=MINUTE)
    thresholds = ThresholdSet(
        policy=key,
        policy_uid="",
        generation=1,
        created=0.0,
        hash="",
        enforcement=Enforcement.ENFORCE,
        overridable=True,
        target=Target(),
        namespaces=None,
        collection=collection,
        rules=(rule,),
    )
    vm = TargetName("vm")
    samples = (
        RecordedSample(at, vm, signal, "", load.values[signal][index])
        for index, at in enumerate(load.times)
        for signal in SIGNALS
    )
    said = Replay([thresholds]).run(samples)
    fired = [transition.at for transition in said if transition.verdict.change.action is Action.FIRED]
    for fault in load.faults:
        outcome.put_in[fault.kind] += 1
        hit = next((at for at in fired if fault.begin <= at <= fault.end + _LATE_S), None)
        if hit is not None:
            outcome.found[fault.kind] += 1
            outcome.delays.append(hit - fault.begin)
    outcome.false_alarms += sum(
        not any(fault.begin <= at <= fault.end + _AFTER_S for fault in load.faults) for at in fired
    )
    outcome.weeks += (load.times[-1] - load.times[0]) / (7 * 86400) - _LEARNING_DAYS / 7
