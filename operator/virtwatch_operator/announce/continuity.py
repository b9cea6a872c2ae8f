# An alert follows its VM to another node: it is told when the first node begins with it and when the last one ends.
from collections.abc import Callable
from dataclasses import replace

from virtwatch_api.alert import Action, Reason
from virtwatch_api.nodemonitor import Handover, Move, NodeMonitor, Transition
from virtwatch_api.nodemonitor_codec import Json, encode_handover
from virtwatch_api.policy import Severity
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, NotFound
from virtwatch_kube.paths import virtwatch

MANAGER = "virtwatch-handover"
# Two writers of one list: this node's agent and those who hand over to it write at once seldom, and never for long.
_ATTEMPTS = 5


class Continuity:
    """Hand alerts over from node to node.

    `held_elsewhere` tells with which severity an alert, by its id, is held by another node than the one named.
    """

    def __init__(
        self,
        *,
        client: KubeClient,
        held_elsewhere: Callable[[str, str], Severity | None],
        monitor_of: Callable[[str], NodeMonitor | None],
    ) -> None:
        self._client = client
        self._held_elsewhere = held_elsewhere
        self._monitor_of = monitor_of

    def to_tell(self, monitor: NodeMonitor, transition: Transition) -> Transition | None:
        """Return what there is to tell of a transition; None when its alert only goes on, on another node.

        Raises:
            KubeError: an alert could not be handed over and it should be tried again.
        """
        if transition.move is not None:
            return self._hand_over(monitor, transition, transition.move)
        held = (self._held_elsewhere(transition.alert.id, monitor.node), monitor.brought(transition))
        known = max((severity.rank for severity in held if severity is not None), default=None)
        if known is None:
            return transition
        begins_again = transition.action is Action.FIRED and _rank(transition.severity) <= known
        leaves = transition.action is Action.RESOLVED and transition.reason is Reason.DOMAIN_STOPPED
        return None if begins_again or leaves else transition

    def settle(self, monitor: NodeMonitor) -> None:
        """Drop the handovers that a node has taken and that the other node will not send again.

        Raises:
            KubeError: they are still there.
        """
        taken = {item.id for item in monitor.handovers if item.id in monitor.adopted and self._acknowledged(item)}
        if taken:
            self._change(monitor.node, lambda held: [item for item in held if _id(item) not in taken])

    def _hand_over(self, monitor: NodeMonitor, transition: Transition, move: Move) -> Transition | None:
        assert monitor.status is not None
        handover = Handover(monitor.status.epoch, transition, move)
        try:
            self._change(move.to, lambda held: _with(held, handover))
        except NotFound:
            # Nobody goes on with it.
            gone = replace(transition, action=Action.RESOLVED, severity=None, move=None)
            return gone if transition.severity is not None else None
        return None

    def _change(self, node: str, change: Callable[[list[Json]], list[Json]]) -> None:
        path = virtwatch("nodemonitors", name=node)
        for attempt in range(_ATTEMPTS):
            document = self._client.get(path)
            metadata = document["metadata"]
            held = (document.get("spec") or {}).get("handovers") or []
            changed = change(held)
            if changed == held:
                return
            body = {
                "apiVersion": API_VERSION,
                "kind": "NodeMonitor",
                # What was read is what is changed.
                "metadata": {"name": node, "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]},
                "spec": {"handovers": changed},
            }
            try:
                self._client.apply(path, body, manager=MANAGER)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    def _acknowledged(self, handover: Handover) -> bool:
        source = self._monitor_of(handover.transition.subject.node)
        if source is None or source.status is None or source.status.epoch != handover.epoch:
            return True
        told = source.acknowledged
        return told is not None and told.epoch == handover.epoch and told.sequence >= handover.transition.sequence


def _with(held: list[Json], handover: Handover) -> list[Json]:
    if any(_id(item) == handover.id for item in held):
        return held
    return [*held, encode_handover(handover)]


def _id(item: Json) -> str:
    return f"{item['epoch']}.{item['sequence']}"


def _rank(severity: Severity | None) -> int:
    return 0 if severity is None else severity.rank
