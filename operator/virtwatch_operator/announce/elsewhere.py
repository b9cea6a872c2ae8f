# One alert may be in several places: on the node that its VM left unseen, on the one that found it, on its way. Pure.
from collections.abc import Container, Iterable
from dataclasses import replace

from virtwatch_api.alert import Action
from virtwatch_api.nodemonitor import FiringAlert, Handover, NodeMonitor, Transition
from virtwatch_api.policy import Severity


def elsewhere(
    transition: Transition,
    here: NodeMonitor,
    others: Iterable[NodeMonitor],
    *,
    sent: Iterable[Handover],
    silent: Container[str],
) -> Severity | None:
    """Return with which severity the alert of a transition of the node `here` fires apart from it.

    `sent` is what `here` has handed over before and nobody took yet. What a silent node said last does not count, nor
    what waits for it: should it never be back, nothing that another node finds may be kept from people by that.
    """
    taken = here.adopted
    came_later = [item for item in here.handovers if transition.sequence <= taken.get(item.id, transition.sequence)]
    places: list[FiringAlert | None] = [item.firing for item in (*came_later, *sent)]
    for other in others:
        if other.node == here.node:
            continue
        places += [item.firing for item in other.leaving if item.id not in taken]
        if other.node not in silent:
            places += [item.firing for item in other.arriving]
            # A UUID alone does not tell whose VM it is.
            places += [item for item in other.firing if item.subject.uid is not None]
    found = [item.severity for item in places if item is not None and _is_it(item, transition)]
    return max(found, key=_rank, default=None)


def news(transition: Transition, severity: Severity | None) -> Transition | None:
    """Return what a transition changes about an alert that fires elsewhere with a severity; None when nothing."""
    if severity is None:
        return transition
    if severity.rank >= max(_rank(transition.severity), _rank(transition.previous)):
        return None
    if transition.action is Action.RESOLVED:
        return replace(transition, action=Action.EASED, severity=severity)
    return transition


def _is_it(item: FiringAlert, transition: Transition) -> bool:
    same = (item.alert, item.subject.uid) == (transition.alert, transition.subject.uid)
    # Of two that begin, each on its node, the older one is reported.
    begins = transition.action in (Action.FIRED, Action.ESCALATED)
    return same and (not begins or item.since < transition.since)


def _rank(severity: Severity | None) -> int:
    return 0 if severity is None else severity.rank
