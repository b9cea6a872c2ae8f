"""What a node costs the operator: memory that stays, and CPU for each report."""

import gc
import json
import time
import tracemalloc

from tools.bench.figure import Figure
from tools.progress import step
from virtwatch_api.nodemonitor import AgentHealth, Applied, Condition, ConditionType, Counts, NodeStatus
from virtwatch_api.nodemonitor_codec import Json, encode_status
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_operator.fleet import Fleet
from virtwatch_operator.nodes.trust import Trust

NODES, POLICIES, SELECTING, LABELS = 500, 256, 20, 40
ROUNDS = 5


def fleet_cost() -> tuple[Figure, Figure]:
    """Feed the operator's fleet with reports of nodes on which some of many policies select something."""
    texts = [json.dumps(_report(f"node-{number:04}")) for number in range(NODES)]
    with step(f"Feeding the operator with the reports of {NODES} nodes"):
        fleet = _fleet()
        gc.collect()
        tracemalloc.start()
        for text in texts:
            fleet.on_change(None, json.loads(text))
        gc.collect()
        memory = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        cpu = min(_updates(fleet, texts) for _ in range(ROUNDS))
    detail = f"{SELECTING} of {POLICIES} policies select VMs on each of {NODES} nodes; a report is {len(texts[0])} B"
    return (
        Figure(name="operator, memory per node", value=memory / NODES / 1000, unit="kB", goal=60.0, detail=detail),
        Figure(
            name="operator, CPU per report",
            value=cpu * 1000,
            unit="ms",
            goal=0.3,
            detail=f"JSON included, the best of {ROUNDS} rounds; {detail}",
        ),
    )


def _updates(fleet: Fleet, texts: list[str]) -> float:
    begun = time.process_time()
    for text in texts:
        document = json.loads(text)
        fleet.on_change(document, document)
    return (time.process_time() - begun) / len(texts)


class _Everywhere:
    """Stands for the watch of VMIs: every VM is where its node says."""

    def is_on(self, *_: object, **__: object) -> bool:
        return True

    confirm = any_on = knows = is_on


def _fleet() -> Fleet:
    trust = Trust(_Everywhere(), exists=lambda _: True, judges=lambda *_: False)  # type: ignore[arg-type]  # a double of what it needs
    return Fleet(
        trust=trust,
        down=lambda _: False,
        waiting=lambda _: None,
        reported=lambda _: None,
        presence_changed=lambda: None,
    )


def _report(node: str) -> Json:
    policies = (PolicyKey(PolicyKind.MONITOR_POLICY, f"policy-{n:03}", f"tenant-{n % 16:02}") for n in range(SELECTING))
    now = 1_795_000_000.0
    status = NodeStatus(
        epoch="0123456789ab",
        sequence=1000,
        transitions=(),
        waiting=0,
        firing=(),
        counts=Counts(),
        applied=tuple(Applied(policy, "0123456789abcdef", 3, Counts(0, 1, 0)) for policy in policies),
        virtual_machines=30,
        agent=AgentHealth("0.1.0", now, 0.01, 50e6, 10, 0),
        conditions=tuple(
            Condition(kind, status=True, reason="Well", message="there is nothing to say", since=now)
            for kind in ConditionType
        ),
        read_up_to=1_234_567,
    )
    labels = {f"label-{number}.example.com/key": f"value-{number}" for number in range(LABELS)}
    metadata = {"name": node, "uid": f"uid-{node}", "resourceVersion": "1", "labels": labels}
    return {"metadata": metadata, "spec": {}, "status": encode_status(status)}
