# An alert follows its VM to another node, and nobody is notified that it ended or began by that.
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from virtwatch_api.alert import Action
from virtwatch_api.nodemonitor import MAX_HANDOVERS, Handover, Move, NodeMonitor, Transition
from virtwatch_api.nodemonitor_codec import Json, encode_handover
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, NotFound
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.announce.elsewhere import elsewhere, news
from virtwatch_operator.fleet import Fleet
from virtwatch_operator.nodes.trust import Trust
from virtwatch_rules.alerts import LEARNED

MANAGER = "virtwatch-handover"
# Each write of the node's agent in between makes one attempt fail; an agent writes once per second at most.
_ATTEMPTS = 5
_MOST_HELD = 384 * 1024  # bytes of what waits for one node's agent, beyond which only alerts go there


class Continuity:
    """Hand alerts over from node to node; `gone` tells whether a node's agent is gone for good."""

    def __init__(self, *, client: KubeClient, fleet: Fleet, trust: Trust, gone: Callable[[str], bool]) -> None:
        self._client = client
        self._fleet = fleet
        self._trust = trust
        self._gone = gone

    def to_announce(self, monitor: NodeMonitor, transition: Transition) -> Transition | None:
        """Return what is to be reported of a transition; None when its alert only continues, on another node.

        Raises:
            KubeError: an alert could not be handed over, or not be asked about, and it should be tried again.
        """
        said = transition if transition.move is None else self._hand_over(monitor, transition, transition.move)
        if said is None:
            return None
        # What came since this turn began counts too.
        here = self._fleet.monitor(monitor.node) or monitor
        self._ask_who_hands_over(transition)
        others = self._fleet.knowing(transition.alert)
        sent = self._sent_before(monitor, transition)
        return news(said, elsewhere(said, here, others, sent=sent, silent=self._fleet.presence.silent))

    def settle(self, monitor: NodeMonitor) -> None:
        """Drop the handovers that a node has taken and that the other node will not send again.

        Raises:
            KubeError: they are still there.
        """
        taken = {item.id for item in monitor.settled if self._acknowledged(item)}
        if taken:
            self._change(monitor.node, lambda held: [item for item in held if _id(item) not in taken])

    def _hand_over(self, monitor: NodeMonitor, transition: Transition, move: Move) -> Transition | None:
        assert monitor.status is not None
        handover = Handover(monitor.status.epoch, transition, move)
        if self._takes(move.to) and self._trust.may_hand_over(transition.subject, to=move.to):
            with suppress(NotFound):
                self._change(move.to, lambda held: _with(held, handover))
                return None
        gone = replace(transition, action=Action.RESOLVED, severity=None, move=None)
        return gone if transition.severity is not None else None

    def _ask_who_hands_over(self, transition: Transition) -> None:
        """Find out whether the VM was on the nodes that hand its alert over: a new leader has not seen it there."""
        for other in self._fleet.naming(transition.alert):
            for item in other.unacknowledged:
                if item.move is not None and item.alert == transition.alert:
                    self._trust.doubt_now(other.node, item)

    def _sent_before(self, monitor: NodeMonitor, transition: Transition) -> list[Handover]:
        """Return what a node handed over in this turn: the target's NodeMonitor is seen only later.

        What waits for a silent node does not count, as what fires there.
        """
        silent = self._fleet.presence.silent
        sent = [item for item in monitor.leaving if item.transition.sequence < transition.sequence]
        return [
            item for item in sent if item.move.to not in silent and self._takes(item.move.to) and not self._taken(item)
        ]

    def _taken(self, handover: Handover) -> bool:
        there = self._fleet.monitor(handover.move.to)
        return there is not None and handover.id in there.adopted

    def _takes(self, node: str) -> bool:
        """Return whether there is who continues with an alert, and has room for it.

        An agent that is silent takes it when it is back: migrations load a node, and its agent may be late by that.
        """
        there = self._fleet.monitor(node)
        if there is None or there.status is None or self._gone(node):
            return False
        return len(there.handovers) < MAX_HANDOVERS

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
        """Return whether the node that sent a handover will not send it again."""
        source = self._fleet.monitor(handover.transition.subject.node)
        if source is None:
            return not self._fleet.known(handover.transition.subject.node)  # or it cannot be read now
        if source.status is None or source.status.epoch != handover.epoch:
            return True
        position = source.acknowledged
        return (
            position is not None
            and position.epoch == handover.epoch
            and position.sequence >= handover.transition.sequence
        )


def _with(held: list[Json], handover: Handover) -> list[Json]:
    if any(_id(item) == handover.id for item in held):
        return held
    if LEARNED in handover.move.memory and len(json.dumps(held)) > _MOST_HELD:
        return held  # it is learned again: alerts need the room more
    return [*held, encode_handover(handover)]


def _id(item: Json) -> str:
    return f"{item['epoch']}.{item['sequence']}"
