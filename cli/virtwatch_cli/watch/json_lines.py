"""One JSON object per line, for machines."""

import json
from collections.abc import Sequence
from typing import Any, TextIO

from virtwatch_agent.observations import Domain, Standing
from virtwatch_api.nodemonitor import FiringAlert, Transition, Unavailable
from virtwatch_api.nodemonitor_codec import encode_firing, encode_transition, format_time
from virtwatch_api.policy import PolicyKey
from virtwatch_cli.policy_files import Finding
from virtwatch_cli.watch.rules import describe
from virtwatch_cli.watch.terminal import Screen
from virtwatch_cli.watch.values import as_json
from virtwatch_cli.watch.watched import Watched, WatchedMachine


class JsonScreen(Screen):
    """Write one JSON object per line; `type` is watching, firing, vm, values, unavailable, transition or problem."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def overview(self, watched: Watched) -> None:
        """Write all that is watched."""
        policies = [
            {
                "kind": item.policy.kind.value,
                "namespace": item.policy.namespace,
                "name": item.policy.name,
                "enforcement": item.enforcement.value,
                "rules": [rule.name for rule in item.rules],
                "judges": {rule.name: describe(rule) for rule in item.rules},
            }
            for item in watched.thresholds
        ]
        self._write(
            "watching",
            node=watched.node,
            connections=list(watched.connections),
            policies=policies,
            virtualMachines=[_machine(item) for item in watched.machines()],
        )

    def appeared(self, watched: Watched, domain: Domain, *, at: float) -> None:
        """Write a VM that is new, or whose state is."""
        self._write("vm", at=format_time(at), **_machine(watched.machine(domain)))

    def vanished(self, watched: Watched, domain: Domain, *, at: float, reason: str) -> None:
        """Write that a VM is gone."""
        self._write("vm", at=format_time(at), **_machine(watched.machine(domain)) | {"state": "gone", "reason": reason})

    def firing(self, alerts: Sequence[FiringAlert], *, total: int) -> None:
        """Write each alert that fires already, in the shape that NodeMonitor's status holds."""
        for alert in alerts:
            self._write("firing", **encode_firing(alert), total=total)

    def values(self, standings: Sequence[Standing], *, at: float) -> None:
        """Write all current values beside their bounds."""
        self._write("values", at=format_time(at), values=[as_json(item) for item in standings])

    def unavailable(self, policy: PolicyKey, item: Unavailable, *, over: bool) -> None:
        """Write that a rule cannot be judged for some VMs, or can again."""
        reported = {"rule": item.rule, "signal": item.signal, "why": item.why, "example": item.example}
        self._write("unavailable", policy=str(policy), virtualMachines=item.targets, over=over, **reported)

    def transition(self, transition: Transition) -> None:
        """Write a transition, in the shape that NodeMonitor's status holds."""
        self._write("transition", **encode_transition(transition))

    def problem(self, problem: Finding | str) -> None:
        """Write what is wrong."""
        if isinstance(problem, Finding):
            where = {"file": str(problem.file), "line": problem.line, "field": problem.field, "reason": problem.reason}
            self._write("problem", message=str(problem), **where)
        else:
            self._write("problem", message=problem)

    def _write(self, type_: str, **fields: Any) -> None:
        self._out.write(json.dumps({"type": type_, **fields}) + "\n")
        self._out.flush()


def _machine(machine: WatchedMachine) -> dict[str, Any]:
    domain = machine.domain
    return {
        "name": machine.name,
        "domain": domain.name,
        "uuid": domain.uuid,
        "state": domain.state.value,
        "connection": domain.connection,
        "rules": [item.rule.name for item in machine.rules],
    }
