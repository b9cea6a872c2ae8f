"""What the operator knows of patterns that span nodes: a ConfigMap, written before an event counts as taken."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from virtwatch_api.alert import AlertState
from virtwatch_api.nodemonitor import Evidence, Transition
from virtwatch_api.nodemonitor_codec import Json, decode_transition, encode_transition
from virtwatch_api.place import place
from virtwatch_api.policy import PolicyKey, PolicyKind, Severity
from virtwatch_api.thresholdset import ThresholdSet, parse_thresholdset
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import resource, virtwatch
from virtwatch_operator.patterns.pools import is_pool
from virtwatch_rules.alerts import Document, Saved
from virtwatch_rules.pattern.groups import group_of
from virtwatch_rules.verdict import AlertName, Record

logger = logging.getLogger(__name__)

MANAGER = "virtwatch-patterns"
NAME = "virtwatch-patterns"
_DATA = "patterns"
_VERSION = 1
_MOST_BYTES = 900_000  # of the 1 MiB that an object may have


@dataclass(frozen=True, slots=True)
class Kept:
    """Hold what is kept: events that rules need, alerts with groups, what sinks have still to take, pools' names."""

    epoch: str
    sequence: int = 0
    learned: Sequence[tuple[PolicyKey, str, Document]] = ()
    alerts: Sequence[Record] = ()
    outgoing: Sequence[Transition] = field(default=())
    pools: Mapping[str, str] = field(default_factory=dict)
    observed: Sequence[tuple[PolicyKey, str, Document]] = ()  # what would have fired


class PatternStore:
    """Read and write it."""

    def __init__(self, *, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._path = resource("v1", "configmaps", namespace=namespace, name=NAME)
        self._written = ""

    def load(self) -> Kept | None:
        """Return what the leader before this one left; None where that is nothing, or cannot be read.

        Raises:
            KubeError: the API server did not answer.
        """
        try:
            document = self._client.get(self._path)
        except NotFound:
            return None
        self._written = (document.get("data") or {}).get(_DATA, "")
        try:
            return _decode(json.loads(self._written))
        except (ValueError, KeyError, TypeError) as error:
            logger.error("ConfigMap %s cannot be read, so patterns over nodes start again: %r", NAME, error)
            return None

    def thresholds_of(self, policy: PolicyKey) -> ThresholdSet | None:
        """Return what agents judge by of a policy; None where the policy is gone.

        Raises:
            KubeError: the API server did not answer.
        """
        namespace, name = place(policy, operator_namespace=self._namespace)
        try:
            found = parse_thresholdset(self._client.get(virtwatch("thresholdsets", namespace=namespace, name=name)))
        except NotFound:
            return None
        return found if isinstance(found, ThresholdSet) and found.policy == policy else None

    def save(self, kept: Kept) -> None:
        """Write it, if it differs from what stands.

        Raises:
            KubeError: it is not written.
        """
        text = json.dumps(_encode(kept, kept.learned), separators=(",", ":"))
        if len(text) > _MOST_BYTES:
            logger.error("patterns over nodes wait for more events than there is room for: those are counted again")
            text = json.dumps(_encode(kept, ()), separators=(",", ":"))
        if text == self._written:
            return
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": NAME,
                "namespace": self._namespace,
                "labels": {"app.kubernetes.io/part-of": "virtwatch"},
            },
            "data": {_DATA: text},
        }
        self._client.apply(self._path, body, manager=MANAGER)
        self._written = text


def _encode(kept: Kept, learned: Iterable[tuple[PolicyKey, str, Document]]) -> Json:
    of_pools = [_encode_alert(item) for item in kept.alerts if _of_pool(item)]
    return {
        "version": _VERSION,
        "epoch": kept.epoch,
        "sequence": kept.sequence,
        "learned": _documents(learned),
        "alerts": [_encode_alert(item) for item in kept.alerts if not _of_pool(item)],
        # In a key of their own: an older operator would end them as alerts of a namespace of that name.
        **({"poolAlerts": of_pools} if of_pools else {}),
        "outgoing": [encode_transition(item) for item in kept.outgoing],
        **({"pools": dict(kept.pools)} if kept.pools else {}),
        **({"observed": _documents(kept.observed)} if kept.observed else {}),
    }


def _encode_alert(item: Record) -> Json:
    return {
        **_policy(item.name.policy),
        "rule": item.name.rule,
        "severity": item.saved.state.severity,
        "since": item.saved.state.since,
        "subject": item.saved.evidence.subject,
        "text": item.saved.evidence.text,
        "count": item.saved.evidence.count,
        "memory": item.saved.memory,
    }


def _of_pool(item: Record) -> bool:
    return is_pool(group_of(item.saved))


def _documents(items: Iterable[tuple[PolicyKey, str, Document]]) -> list[Json]:
    return [{**_policy(policy), "rule": rule, "document": document} for policy, rule, document in items]


def _read_documents(items: Iterable[Json]) -> list[tuple[PolicyKey, str, Document]]:
    return [(_read_policy(item), item["rule"], item["document"]) for item in items]


def _decode(document: Mapping[str, Any]) -> Kept | None:
    if document["version"] != _VERSION:
        return None
    return Kept(
        document["epoch"],
        int(document["sequence"]),
        _read_documents(document["learned"]),
        [_alert(item) for item in (*document["alerts"], *document.get("poolAlerts", ()))],
        [decode_transition(item) for item in document["outgoing"]],
        document.get("pools", {}),
        _read_documents(document.get("observed", ())),
    )


def _alert(item: Mapping[str, Any]) -> Record:
    severity, since = Severity(item["severity"]), float(item["since"])
    critical = since if severity is Severity.CRITICAL else None
    state = AlertState(severity, since, warning_since=since, critical_since=critical)
    evidence = Evidence(item["subject"], text=item["text"], count=item["count"])
    return Record(AlertName(_read_policy(item), item["rule"]), Saved("", state, evidence, item["memory"]))


def _policy(key: PolicyKey) -> Json:
    return {"kind": key.kind.value, "namespace": key.namespace, "policy": key.name}


def _read_policy(item: Mapping[str, Any]) -> PolicyKey:
    return PolicyKey(PolicyKind(item["kind"]), item["policy"], item["namespace"])
