"""How a VM and an alert are named in every signal."""

from collections.abc import Mapping
from typing import TypeVar

from virtwatch_agent.telemetry.hashed_names import Names
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.nodemonitor import Transition
from virtwatch_api.targets import Subject

Attributes = dict[str, str | float]

T = TypeVar("T")

SCOPE = "virtwatch.agent"  # names what measured, in every signal

# Of the agent's own resource, these report its process, pod or host: they are not the VM's.
_OF_THE_AGENT = (
    "container.",
    "host.",
    "k8s.container.",
    "k8s.daemonset.",
    "k8s.namespace.",
    "k8s.pod.",
    "os.",
    "process.",
    "service.instance.",
    "service.version",
    "telemetry.",
)


_OBJECT = {TargetKind.STORAGE_POOL: "libvirt.storage_pool", TargetKind.NETWORK: "libvirt.network"}


def target_attributes(subject: Subject) -> dict[str, str]:
    """Name a target by its node and, a VM, by its domain and by the VMI that Kubernetes knows."""
    kind = subject.target.kind
    if kind is not TargetKind.VIRTUAL_MACHINE:
        object_ = _OBJECT.get(kind)
        known = {f"{object_}.uuid": subject.target.id, f"{object_}.name": subject.label} if object_ else {}
        return {**known, "k8s.node.name": subject.node, "virtwatch.target.kind": kind.value}
    return _present(
        {
            "libvirt.domain.uuid": subject.target.id,
            "libvirt.domain.name": subject.label,
            "k8s.namespace.name": subject.namespace,
            "kubevirt.vm.name": subject.name,
            "kubevirt.vmi.uid": subject.uid,
            "k8s.node.name": subject.node,
        }
    )


def target_resource(subject: Subject, pod_uid: str | None, agent: Mapping[str, object]) -> dict[str, str]:
    """Describe a target as a Resource of its own, with the deployment-wide attributes of `agent`, the agent's."""
    target = subject.target
    shared = {key: str(value) for key, value in agent.items() if not key.startswith(_OF_THE_AGENT)}
    return {
        **shared,
        **target_attributes(subject),
        **_present({"k8s.pod.uid": pod_uid}),
        # Prometheus makes `instance` of it: without it all targets of a node would be one series. The node's name alone
        # is the agent's.
        "service.instance.id": target.id if target.kind is TargetKind.VIRTUAL_MACHINE else str(target),
    }


def alert_attributes(transition: Transition, names: Names) -> Attributes:
    """Describe a transition: whose rule, what happened and why, and what was judged."""
    alert, evidence = transition.alert, transition.evidence
    judged = "virtwatch.signal" if evidence.subject in SIGNAL else "virtwatch.event.type"
    return {
        **target_attributes(names.subject(transition.subject)),
        **_present(
            {
                "virtwatch.alert.id": names.of(alert.id),  # made of names, without the key
                "virtwatch.alert.action": transition.action.value,
                "virtwatch.alert.reason": transition.reason.value,
                "virtwatch.alert.severity": transition.severity.value if transition.severity else None,
                "virtwatch.alert.previous": transition.previous.value if transition.previous else None,
                "virtwatch.alert.device": names.judged_device(evidence.subject, alert.device),
                "virtwatch.policy.kind": alert.policy.kind.value,
                "virtwatch.policy.namespace": names.of(alert.policy.namespace or ""),
                "virtwatch.policy.name": alert.policy.name,
                "virtwatch.rule": alert.rule,
                judged: evidence.subject,
                "virtwatch.value": evidence.value,
                "virtwatch.bound": evidence.bound,
                "virtwatch.culprit": "" if names.hashed else evidence.culprit,  # it names VMs
            }
        ),
    }


def _present(attributes: Mapping[str, T | None]) -> dict[str, T]:
    return {key: value for key, value in attributes.items() if value is not None and value != ""}
