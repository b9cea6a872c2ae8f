# What a node may say, and of that what is repeated: an agent's token speaks for its own node, and for nothing else.
import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from virtwatch_api.alert import Action, AlertKey
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor import Applied, Counts, FiringAlert, NodeMonitor, Pool, Transition
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.targets import Subject
from virtwatch_operator.nodes.evidence import RULE, own_reasons, own_replaced, own_words
from virtwatch_operator.nodes.machines import VirtualMachines
from virtwatch_operator.patterns.pools import is_of_kubernetes

logger = logging.getLogger(__name__)

_LOG_EVERY_S = 600.0
_DEVICE = re.compile(r"[A-Za-z0-9_.:@/+-]{0,128}")
_TRACE = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
T = TypeVar("T", Transition, FiringAlert)
_PRINTED = 128  # characters of a domain's name


class Trust:
    """Return what is believed of what a node says."""

    def __init__(
        self,
        machines: VirtualMachines,
        *,
        exists: Callable[[PolicyKey], bool],
        judges: Callable[[PolicyKey, str], bool],
    ) -> None:
        """Hold whom to ask; `judges` tells whether the operator itself judges a policy's rule, over nodes."""
        self._machines = machines
        self._exists = exists
        self._judges = judges

    def doubt(self, node: str, alert: AlertKey, subject: Subject) -> str:
        """Say why an alert is not a node's to speak of; empty where it is."""
        return (
            _shape(node, alert, subject)
            or self._over_nodes(alert)
            or self._whereabouts(node, subject, self._machines.is_on)
        )

    def doubt_now(self, node: str, transition: Transition) -> str:
        """Say the same of a transition, asking the API server where the watch of VMIs may be behind.

        Raises:
            KubeError: the API server did not answer.
        """
        alert, subject = transition.alert, transition.subject
        if doubt := _shape(node, alert, subject):
            return doubt
        if transition.action is Action.COUNTED:
            if subject.target.kind is not TargetKind.VIRTUAL_MACHINE:
                return "only what happens to VMs is counted over nodes"
        elif doubt := self._over_nodes(alert):
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
        """Return whether a VM is, or is about to be, on the node to which an alert is handed over.

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
            item,
            virtual_machines=0,
            targets=0,
            counts=Counts(),
            would_have_fired=0,
            unavailable=(),
            replaced=(),
            warming_up=0,
            found=0,
            judged_days=0,
            cut_series=0,
            cut_targets=0,
        )

    def _over_nodes(self, alert: AlertKey) -> str:
        kind = alert.target.kind
        if kind is TargetKind.NAMESPACE:
            return "the operator alone judges namespaces"
        if kind is TargetKind.STORAGE_POOL and is_of_kubernetes(alert.target.id):
            return "the operator alone judges StorageClasses"
        # A VM's alert is never one of the operator's, and as a rule is edited to span nodes those that it had must end.
        if kind is TargetKind.VIRTUAL_MACHINE or not self._judges(alert.policy, alert.rule):
            return ""
        return "the operator itself judges this rule, over nodes"

    @staticmethod
    def _whereabouts(node: str, subject: Subject, on: Callable[..., bool]) -> str:
        if not (subject.namespace and subject.name):
            return ""  # a domain that only the node's libvirt knows; what is reported of it is reported about the node
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


def cleaned(monitor: NodeMonitor, *, before: NodeMonitor | None = None) -> NodeMonitor:
    """Return a report without words, names and traces that an agent would not write.

    `before` is the node's last one, cleaned: what says the same is taken from there, most of each report.
    """
    status = monitor.status
    if status is None:
        return monitor
    last = before.firing if before is not None else ()
    return replace(
        monitor,
        status=replace(
            status,
            transitions=tuple(_with_own_pool(_cleaned(item)) for item in status.transitions),
            firing=last if status.firing == last else tuple(_cleaned(item) for item in status.firing),
            applied=tuple(_without_strange_words(item) for item in status.applied),
        ),
    )


def _without_strange_words(item: Applied) -> Applied:
    if not item.unavailable and not item.replaced:
        return item  # as most are: there are as many as policies, on each node
    return replace(
        item,
        unavailable=own_reasons(item.policy, item.unavailable),
        replaced=own_replaced(item.policy, item.replaced),
    )


def _cleaned(item: T) -> T:
    subject = item.subject
    return replace(
        item,
        subject=replace(subject, label=_printable(subject.label)),
        evidence=own_words(item.evidence, device=item.alert.device, namespace=item.alert.policy.namespace),
        traceparent=item.traceparent if _TRACE.fullmatch(item.traceparent) else "",
    )


def _with_own_pool(item: Transition) -> Transition:
    pool = item.pool
    return item if pool is None else replace(item, pool=Pool(_printable(pool.id), _printable(pool.name)))


def _shape(node: str, alert: AlertKey, subject: Subject) -> str:
    if subject.node != node:
        return f"it is about node {_printable(subject.node)}"
    if subject.target.kind is TargetKind.NODE and subject.target.id != node:
        return f"it is about node {_printable(subject.target.id)}"
    if subject.target.kind is TargetKind.VIRTUAL_MACHINE and bool(subject.namespace) != bool(subject.name):
        return "it names a VM by half: a namespace and a name go together"
    policy = alert.policy
    if policy.kind is PolicyKind.MONITOR_POLICY and subject.namespace != policy.namespace:
        return f"MonitorPolicy {policy} watches no VM outside its namespace"
    if not RULE.fullmatch(alert.rule) or not _DEVICE.fullmatch(alert.device):
        return "its rule or device has a name that none can have"
    return ""


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)[:_PRINTED]
