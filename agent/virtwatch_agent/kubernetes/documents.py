"""Reads what the API server holds into observations: pure."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from virtwatch_agent.observations import (
    IdentitiesChanged,
    KubernetesIdentity,
    NodeChanged,
    Rejected,
    ThresholdsChanged,
    Volume,
)
from virtwatch_api.nodemonitor import Acknowledged, Handover
from virtwatch_api.nodemonitor_codec import decode_handover
from virtwatch_api.place import policy_at
from virtwatch_api.policy import PolicyKey, PolicyKind
from virtwatch_api.resolution import ANNOTATION_PREFIX
from virtwatch_api.support import unsupported_in
from virtwatch_api.thresholdset import ThresholdSet, parse_thresholdset

_LOG = logging.getLogger(__name__)

Json = dict[str, Any]
ClaimKey = tuple[str, str]  # namespace and name of a PersistentVolumeClaim
_MAX_REASON = 256  # characters of why a migration failed


@dataclass(frozen=True, slots=True)
class Foreign:
    """Hold why a ThresholdSet is nobody's."""

    message: str


class ThresholdReader:
    """Read ThresholdSets, each version of a document once.

    One is believed where it stands where its policy's should: in that policy's namespace, under its name; that of a
    ClusterMonitorPolicy beside the operator. Whoever may write elsewhere speaks for nobody.
    """

    def __init__(self, *, operator_namespace: str) -> None:
        self._operator_namespace = operator_namespace
        self._read: dict[tuple[str, ...], ThresholdSet | Rejected | Foreign] = {}

    def read(self, documents: Iterable[Json]) -> ThresholdsChanged:
        """Read all documents; an unreadable one is rejected with a sentence and hinders no other."""
        known, self._read = self._read, {}
        for document in documents:
            metadata = document["metadata"]
            key = tuple(str(metadata.get(part, "")) for part in ("namespace", "name", "uid", "resourceVersion"))
            self._read[key] = known.get(key) or self._document(document)
        read = [self._read[key] for key in sorted(self._read)]
        return ThresholdsChanged(
            thresholds=tuple(item for item in read if isinstance(item, ThresholdSet)),
            rejected=tuple(item for item in read if isinstance(item, Rejected)),
            foreign=tuple(item.message for item in read if isinstance(item, Foreign)),
            read_up_to=max((int(version) for *_, version in self._read if version.isdecimal()), default=0),
        )

    def _document(self, document: Json) -> ThresholdSet | Rejected | Foreign:
        metadata = document["metadata"]
        stands = str(metadata.get("namespace", "")), str(metadata["name"])
        key = policy_at(*stands, operator_namespace=self._operator_namespace)
        claimed = _claimed(document)
        if claimed is not None and claimed != key:
            return Foreign(
                f"ThresholdSet {stands[0]}/{stands[1]} is ignored: it claims to be of {claimed.kind} {claimed}, whose "
                f"stands elsewhere; delete it and see who wrote it"[:900]
            )
        return _threshold_set(document, key)


def read_identities(
    vmis: Iterable[Json], *, node: str, classes: Mapping[ClaimKey, str] = MappingProxyType({})
) -> IdentitiesChanged:
    """Read VirtualMachineInstances; pods of a VMI on other nodes (a migration's other end) are left out.

    `classes` are the StorageClasses of claims, as far as they are known.
    """
    return IdentitiesChanged(tuple(_identity(vmi, node, classes) for vmi in vmis))


def claims_of(identities: IdentitiesChanged) -> frozenset[ClaimKey]:
    """Name the claims behind the volumes of VMs."""
    return frozenset((item.namespace, one.claim) for item in identities.identities for one in item.volumes.values())


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
            annotations={
                key: text
                for key, text in _mapping(document["metadata"].get("annotations")).items()
                if key.startswith(ANNOTATION_PREFIX) and isinstance(text, str)
            },
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


def _threshold_set(document: Json, key: PolicyKey) -> ThresholdSet | Rejected:
    try:
        parsed = parse_thresholdset(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return _rejected(document, key, f"this agent does not know its shape ({type(error).__name__}: {error})")
    problems = parsed if isinstance(parsed, tuple) else tuple(unsupported_in(parsed))
    if isinstance(parsed, ThresholdSet) and not problems:
        return parsed
    return _rejected(document, key, "; ".join(map(str, problems)))


def _rejected(document: Json, key: PolicyKey, why: str) -> Rejected:
    metadata, spec = document["metadata"], _mapping(document.get("spec"))
    hash_ = spec.get("hash")
    where = f"{metadata['namespace']}/{metadata['name']}" if metadata.get("namespace") else metadata["name"]
    return Rejected(
        policy=key,
        hash=hash_ if isinstance(hash_, str) else "",
        message=f"ThresholdSet {where}: {why}"[:900] + "; upgrade the agent or the operator so that both agree",
    )


def _claimed(document: Json) -> PolicyKey | None:
    """Return whose a ThresholdSet says that it is; None where it says nothing that can be read."""
    policy = _mapping(_mapping(document.get("spec")).get("policy"))
    kind, name, namespace = (policy.get(part) for part in ("kind", "name", "namespace"))
    if not isinstance(name, str):
        return None
    return PolicyKey(
        PolicyKind.CLUSTER_MONITOR_POLICY if kind == PolicyKind.CLUSTER_MONITOR_POLICY else PolicyKind.MONITOR_POLICY,
        name,
        namespace if isinstance(namespace, str) and namespace else None,
    )


def _identity(vmi: Json, node: str, classes: Mapping[ClaimKey, str]) -> KubernetesIdentity:
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
        migrating=_migrating(vmi, node),
        migration_failed=_migration_failed(vmi, node),
        leaving=_leaving(vmi, node),
        attachments=tuple(_attachments(vmi)),
        volumes={name: Volume(claim, classes.get((metadata["namespace"], claim), "")) for name, claim in _claims(vmi)},
    )


def _leaving(vmi: Json, node: str) -> str:
    """Say why a VM is about to end here: that is there before its domain stops."""
    if vmi["metadata"].get("deletionTimestamp"):
        return "deleted"
    status = _mapping(vmi.get("status"))
    return "evicted" if status.get("evacuationNodeName") == node or _loses_its_pod(status, node) else ""


def _loses_its_pod(status: Mapping[str, Any], node: str) -> bool:
    """Return whether a VM's pod is taken away under it: KubeVirt evicts a VM that it cannot move by that alone."""
    conditions = status.get("conditions")
    ready = [item for item in conditions if item.get("type") == "Ready"] if isinstance(conditions, list) else []
    terminating = any(item.get("reason") == "PodTerminating" for item in ready)
    return terminating and status.get("phase") == "Running" and status.get("nodeName") == node


def _attachments(vmi: Json) -> Iterator[tuple[str, str]]:
    """Yield the NetworkAttachmentDefinitions of a VMI: "NAME" of its own namespace, or "NAMESPACE/NAME"."""
    networks = _mapping(vmi.get("spec")).get("networks")
    for network in networks if isinstance(networks, list) else ():
        named = _mapping(_mapping(network).get("multus")).get("networkName")
        if isinstance(named, str) and named:
            namespace, _, name = named.rpartition("/")
            yield namespace or vmi["metadata"]["namespace"], name


def _claims(vmi: Json) -> Iterator[tuple[str, str]]:
    """Yield the volumes of a VMI that lie on a claim: a DataVolume names its own, and hotplug adds to them."""
    volumes = _mapping(vmi.get("spec")).get("volumes")
    for volume in volumes if isinstance(volumes, list) else ():
        source = _mapping(volume)
        ephemeral = _mapping(_mapping(source.get("ephemeral")).get("persistentVolumeClaim"))
        claim = (
            _mapping(source.get("persistentVolumeClaim")).get("claimName")
            or _mapping(source.get("dataVolume")).get("name")
            or ephemeral.get("claimName")
        )
        if isinstance(claim, str) and isinstance(source.get("name"), str):
            yield source["name"], claim


def _migration_target(vmi: Json, node: str) -> str:
    migration = _mapping(_mapping(vmi.get("status")).get("migrationState"))
    target = migration.get("targetNode")
    return target if isinstance(target, str) and target != node and not migration.get("failed") else ""


def _migrating(vmi: Json, node: str) -> str:
    """Return the uid of the migration that takes a VMI away from a node now."""
    migration = _mapping(_mapping(vmi.get("status")).get("migrationState"))
    over = migration.get("completed") or migration.get("failed") or migration.get("endTimestamp")
    leaves = migration.get("sourceNode") == node and migration.get("startTimestamp") and not over
    return str(migration.get("migrationUid") or "unknown") if leaves else ""


def _migration_failed(vmi: Json, node: str) -> str:
    migration = _mapping(_mapping(vmi.get("status")).get("migrationState"))
    if not migration.get("failed") or migration.get("sourceNode") != node:
        return ""
    aborted = migration.get("abortStatus") == "Succeeded"
    return str(migration.get("failureReason") or ("aborted" if aborted else "unknown"))[:_MAX_REASON]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
