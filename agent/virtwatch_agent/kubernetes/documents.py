"""Reads what the API server holds into observations: pure."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from virtwatch_agent.observations import IdentitiesChanged, KubernetesIdentity, NodeChanged, Rejected, ThresholdsChanged
from virtwatch_api.nodemonitor import Acknowledged, Handover
from virtwatch_api.nodemonitor_codec import decode_handover
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.support import unsupported_in
from virtwatch_api.thresholdset import ThresholdSet, parse_thresholdset

_LOG = logging.getLogger(__name__)

Json = dict[str, Any]


class ThresholdReader:
    """Read ThresholdSets, each version of a document once."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, ...], ThresholdSet | Rejected] = {}

    def read(self, documents: Iterable[Json]) -> ThresholdsChanged:
        """Read all documents; an unreadable one is rejected with a sentence and hinders no other."""
        known, self._read = self._read, {}
        for document in documents:
            metadata = document["metadata"]
            key = tuple(str(metadata.get(part, "")) for part in ("namespace", "name", "uid", "resourceVersion"))
            self._read[key] = known.get(key) or _threshold_set(document)
        read = [self._read[key] for key in sorted(self._read)]
        return ThresholdsChanged(
            thresholds=tuple(item for item in read if isinstance(item, ThresholdSet)),
            rejected=tuple(item for item in read if isinstance(item, Rejected)),
        )


def read_identities(vmis: Iterable[Json], *, node: str) -> IdentitiesChanged:
    """Read VirtualMachineInstances; pods of a VMI on other nodes (a migration's other end) are left out."""
    return IdentitiesChanged(tuple(_identity(vmi, node) for vmi in vmis))


class NodeReader:
    """Read what the operator wrote on this node's NodeMonitor; what cannot be read is said once."""

    def __init__(self) -> None:
        self._said: set[str] = set()  # of the handovers that are held

    def read(self, document: Json) -> NodeChanged:
        """Read the NodeMonitor; an unreadable handover hinders no other."""
        spec = _mapping(document.get("spec"))
        acknowledged = _mapping(spec.get("acknowledged"))
        epoch, sequence = acknowledged.get("epoch"), acknowledged.get("sequence")
        return NodeChanged(
            labels=dict(_mapping(document["metadata"].get("labels"))),
            acknowledged=Acknowledged(epoch, sequence)
            if isinstance(epoch, str) and isinstance(sequence, int)
            else None,
            handovers=tuple(self._handovers(spec.get("handovers"))),
        )

    def _handovers(self, documents: Any) -> Iterator[Handover]:
        said, self._said = self._said, set()
        for document in documents if isinstance(documents, list) else ():
            try:
                yield decode_handover(document)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                # It stays where it is: an agent that is upgraded takes it.
                name = _handover_name(document)
                if name not in said:
                    _LOG.error("%s cannot be read; upgrade the agent or the operator: %r", name, error)
                self._said.add(name)


def _handover_name(document: Any) -> str:
    item = _mapping(document)
    subject = _mapping(item.get("subject"))
    machine = "/".join(str(subject[part]) for part in ("namespace", "name") if part in subject) or subject.get("domain")
    id_ = f"{item.get('epoch')}.{item.get('sequence')}"
    return f"the alert of rule {item.get('rule')} of VM {machine}, handed over to this node as {id_},"


def _threshold_set(document: Json) -> ThresholdSet | Rejected:
    try:
        parsed = parse_thresholdset(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return _rejected(document, f"it has a shape that this agent does not know ({type(error).__name__}: {error})")
    problems = parsed if isinstance(parsed, tuple) else tuple(unsupported_in(parsed))
    if isinstance(parsed, ThresholdSet) and not problems:
        return parsed
    return _rejected(document, "; ".join(map(str, problems)))


def _rejected(document: Json, why: str) -> Rejected:
    metadata, spec = document["metadata"], _mapping(document.get("spec"))
    policy = _mapping(spec.get("policy"))
    name, namespace, hash_ = policy.get("name"), policy.get("namespace"), spec.get("hash")
    where = f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]
    return Rejected(
        policy=PolicyKey(
            PolicyKind.CLUSTER_MONITOR_POLICY
            if policy.get("kind") == PolicyKind.CLUSTER_MONITOR_POLICY
            else PolicyKind.MONITOR_POLICY,
            name if isinstance(name, str) and name else metadata["name"],
            namespace if isinstance(namespace, str) and namespace else None,
        ),
        hash=hash_ if isinstance(hash_, str) else "",
        message=f"ThresholdSet {where}: {why}"[:900] + "; upgrade the agent or the operator so that both agree",
    )


def _identity(vmi: Json, node: str) -> KubernetesIdentity:
    metadata = vmi["metadata"]
    pods = _mapping(_mapping(vmi.get("status")).get("activePods"))
    return KubernetesIdentity(
        namespace=metadata["namespace"],
        name=metadata["name"],
        vmi_uid=metadata["uid"],
        pod_uids=tuple(sorted(uid for uid, where in pods.items() if where == node)),
        labels=dict(_mapping(metadata.get("labels"))),
        annotations=dict(_mapping(metadata.get("annotations"))),
        migration_target=_migration_target(vmi, node),
    )


def _migration_target(vmi: Json, node: str) -> str:
    migration = _mapping(_mapping(vmi.get("status")).get("migrationState"))
    target = migration.get("targetNode")
    return target if isinstance(target, str) and target != node and not migration.get("failed") else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
