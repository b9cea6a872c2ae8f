"""What the journal holds, as JSON text: alerts, domains and transitions. The reader says what it cannot read."""

import json
from dataclasses import asdict
from typing import Any

from virtwatch_agent.inventory.records import DomainRecord
from virtwatch_agent.judge.records import AlertRecord, old_memory
from virtwatch_agent.observations import Domain, DomainState, KubernetesIdentity, LibvirtObject
from virtwatch_api.alert import AlertKey, AlertState
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.nodemonitor import Evidence, Transition
from virtwatch_api.nodemonitor_codec import decode_transition, encode_transition
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity
from virtwatch_api.targets import Subject, TargetRef, vm_ref


def encode_alert(record: AlertRecord) -> str:
    """Write an alert."""
    subject = record.subject
    document = {
        **asdict(record),
        "key": {**asdict(record.key), **_encode_target(record.key.target)},
        "subject": {
            **_encode_target(subject.target, id_="uuid", label=subject.label),
            "node": subject.node,
            "namespace": subject.namespace,
            "name": subject.name,
            "vmi_uid": subject.uid,
        },
    }
    # What version 0.1 reads of an alert's memory.
    document |= {"last_event": record.memory.get("last_at"), "absent_since": record.memory.get("absent_since")}
    del document["key"]["target"]
    return json.dumps(document, separators=(",", ":"))


def decode_alert(text: str) -> AlertRecord:
    """Read an alert.

    Raises:
        ValueError, KeyError, TypeError: the text is not an alert of this version.
    """
    document = json.loads(text)
    key = document["key"]
    policy = key["policy"]
    state = document["state"]
    severity = state.pop("severity")
    return AlertRecord(
        key=AlertKey(
            policy=PolicyKey(PolicyKind(policy["kind"]), policy["name"], policy["namespace"]),
            rule=key["rule"],
            target=_decode_target(key, "domain"),
            device=key["device"],
        ),
        state=AlertState(severity=Severity(severity) if severity else None, **state),
        subject=_decode_subject(document["subject"]),
        evidence=_evidence(document["evidence"]),
        traceparent=document["traceparent"],
        memory=document["memory"]
        if "memory" in document
        else old_memory(document["evidence"]["subject"], document["last_event"], document["absent_since"]),
    )


def _evidence(document: dict[str, Any]) -> Evidence:
    band = document.pop("band", None)
    return Evidence(**document, band=tuple(band) if band else None)


def _encode_target(target: TargetRef, *, id_: str = "domain", label: str | None = None) -> dict[str, str]:
    # A VM is written as before there were other kinds of target, so that an older agent reads it.
    named = {} if label is None else {"domain": label}
    if target.kind is TargetKind.VIRTUAL_MACHINE:
        return {**named, id_: target.id}
    return {**named, "kind": target.kind.value, "id": target.id}


def _decode_target(document: dict[str, str], id_: str) -> TargetRef:
    if "kind" in document:
        return TargetRef(TargetKind(document["kind"]), document["id"])
    return vm_ref(document[id_])


def _decode_subject(document: dict[str, str]) -> Subject:
    return Subject(
        label=document["domain"],
        target=_decode_target(document, "uuid"),
        node=document["node"],
        namespace=document["namespace"],
        name=document["name"],
        uid=document["vmi_uid"],
    )


def encode_domain(record: DomainRecord) -> str:
    """Write a domain."""
    document = asdict(record)
    # They are reported again when the domain is seen, and an older agent does not know them.
    del document["domain"]["disks"]
    for name in ("migrating", "migration_failed", "leaving", "volumes", "attachments"):
        (document["identity"] or {}).pop(name, None)
    return json.dumps(document, separators=(",", ":"))


def decode_domain(text: str) -> DomainRecord:
    """Read a domain.

    Raises:
        ValueError, KeyError, TypeError: the text is not a domain of this version.
    """
    document = json.loads(text)
    domain = document["domain"]
    state = DomainState(domain.pop("state"))
    identity = document["identity"]
    if identity is not None:
        identity["pod_uids"] = tuple(identity["pod_uids"])
    return DomainRecord(
        Domain(state=state, **domain),
        KubernetesIdentity(**identity) if identity else None,
        document.get("paused_by", ""),
        document.get("migration", ""),
    )


def encode_object(known: LibvirtObject) -> str:
    """Write a virtual network or a storage pool."""
    document = {**_encode_target(known.target), "name": known.name, "connection": known.connection}
    return json.dumps({**document, "active": known.active}, separators=(",", ":"))


def decode_object(text: str) -> LibvirtObject:
    """Read a virtual network or a storage pool.

    Raises:
        ValueError, KeyError, TypeError: the text is none of this version.
    """
    document = json.loads(text)
    target = _decode_target(document, "id")
    return LibvirtObject(target, document["name"], document["connection"], bool(document["active"]))


def encode_entry(transition: Transition) -> str:
    """Write a journal entry, in the shape that NodeMonitor status has."""
    return json.dumps(encode_transition(transition), separators=(",", ":"))


def decode_entry(text: str) -> Transition:
    """Read a journal entry.

    Raises:
        ValueError, KeyError, TypeError: the text is not a transition of this version.
    """
    return decode_transition(json.loads(text))
