# What a node may say, and of that what is repeated: an agent's token speaks for its own node, and for nothing else.
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from virtwatch_api.alert import Action, AlertKey
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor import Applied, Counts, FiringAlert, NodeMonitor, Transition
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.targets import Subject
from virtwatch_operator.nodes.evidence import RULE, own_reasons, own_replaced, own_words
from virtwatch_operator.nodes.machines import VirtualMachines

logger = logging.getLogger(__name__)

_LOG_EVERY_S = 600.0
_DEVICE = re.compile(r"[A-Za-z0-9_.:@/+-]{0,128}")
_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
T = TypeVar("T", Transition, FiringAlert)
_PRINTED = 128  # characters of a domain's name


class Trust:
    """Tell what is believed of what a node says."""

    def __init__(self, machines: VirtualMachines, *, exists: Callable[[PolicyKey], bool]) -> None:
        self._machines = machines
        self._exists = exists

    def doubt(self, node: str, alert: AlertKey, subject: Subject) -> str:
        """Say why an alert is not a node's to speak of; empty where it is."""
        return _shape(node, alert, subject) or self._whereabouts(node, subject, self._machines.is_on)

    def doubt_now(self, node: str, transition: Transition) -> str:
        """Say the same of a transition, asking the API server where the watch of VMIs may be behind.

        Raises:
            KubeError: the API server did not answer.
        """
        alert, subject = transition.alert, transition.subject
        if doubt := _shape(node, alert, subject):
            return doubt
        if doubt := self._whereabouts(node, subject, self._machines.confirm):
            return doubt
        # Of a policy that was deleted there are only ends to tell, of VMs that are known.
        if transition.action is Action.RESOLVED and self._machines.knows(subject.namespace or "", subject.name or ""):
            return ""
        return "" if self._exists(alert.policy) else "there is no such policy"

    def believed(self, monitor: NodeMonitor) -> NodeMonitor:
        """Return a report without the alerts of which its node may not speak."""
        status = monitor.status
        if status is None:
            return monitor
        node = monitor.node
        firing = tuple(item for item in status.firing if not self.doubt(node, item.alert, item.subject))
        transitions = tuple(item for item in status.transitions if not self.doubt(node, item.alert, item.subject))
        if len(firing) == len(status.firing) and len(transitions) == len(status.transitions):
            return monitor
        return replace(monitor, status=replace(status, firing=firing, transitions=transitions))

    def may_hand_over(self, subject: Subject, *, to: str) -> bool:
        """Tell whether a VM is, or is about to be, on the node to which an alert is handed over.

        Raises:
            KubeError: the API server did not answer.
        """
        return not self._whereabouts(to, subject, self._machines.confirm)

    def applied(self, node: str, item: Applied) -> Applied:
        """Return what counts of a node's word about a policy: without a VM there that it could select, no figures."""
        policy = item.policy
        if policy.kind is not PolicyKind.MONITOR_POLICY or self._machines.any_on(node, policy.namespace or ""):
            return item
        return replace(
            item, virtual_machines=0, targets=0, counts=Counts(), would_have_fired=0, unavailable=(), replaced=()
        )

    @staticmethod
    def _whereabouts(node: str, subject: Subject, on: Callable[..., bool]) -> str:
        if not (subject.namespace and subject.name):
            return ""  # a domain that only the node's libvirt knows; what is told of it is told about the node
        uid = subject.uid or ""
        if on(node, namespace=subject.namespace, name=subject.name, uid=uid):
            return ""
        return f"VirtualMachineInstance {subject} is not on that node"


class Doubts:
    """Log what is not believed: the first of a node at once, the others counted. For one thread at a time per node."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._nodes: dict[str, tuple[float, int]] = {}

    def note(self, node: str, alert: AlertKey, doubt: str) -> None:
        """Note one more transition that is dropped."""
        logged_at, count = self._nodes.get(node, (float("-inf"), 0))
        now = self._clock()
        if now - logged_at < _LOG_EVERY_S:
            self._nodes[node] = logged_at, count + 1
            return
        self._nodes[node] = now, 0
        more = f" (and {count} more since the last such line)" if count else ""
        logger.error(
            "node %s reports an alert that it may not speak of, which is dropped: rule %s of %s %s: %s%s; "
            "see who holds the token of its agent",
            node,
            _printable(alert.rule),
            alert.policy.kind,
            _printable(str(alert.policy)),
            doubt,
            more,
        )


def cleaned(monitor: NodeMonitor) -> NodeMonitor:
    """Return a report without words, names and traces that an agent would not write."""
    status = monitor.status
    if status is None:
        return monitor
    return replace(
        monitor,
        status=replace(
            status,
            transitions=tuple(_cleaned(item) for item in status.transitions),
            firing=tuple(_cleaned(item) for item in status.firing),
            applied=tuple(
                replace(
                    item,
                    unavailable=own_reasons(item.policy, item.unavailable),
                    replaced=own_replaced(item.policy, item.replaced),
                )
                for item in status.applied
            ),
        ),
    )


def _cleaned(item: T) -> T:
    subject = item.subject
    return replace(
        item,
        subject=replace(subject, label=_printable(subject.label)),
        evidence=own_words(item.evidence, device=item.alert.device, namespace=item.alert.policy.namespace),
        traceparent=item.traceparent if _TRACE.fullmatch(item.traceparent) else "",
    )


def _shape(node: str, alert: AlertKey, subject: Subject) -> str:
    if subject.node != node:
        return f"it is about node {_printable(subject.node)}"
    if subject.target.kind is TargetKind.NODE and subject.target.id != node:
        return f"it is about node {_printable(subject.target.id)}"
    policy = alert.policy
    if policy.kind is PolicyKind.MONITOR_POLICY and subject.namespace != policy.namespace:
        return f"MonitorPolicy {policy} watches no VM outside its namespace"
    if not RULE.fullmatch(alert.rule) or not _DEVICE.fullmatch(alert.device):
        return "its rule or device has a name that none can have"
    return ""


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:_PRINTED]
