"""How a MonitorPolicy or ClusterMonitorPolicy is read: everything that is wrong comes back as problems, all at once."""

from datetime import datetime
from typing import Any

from virtwatch_api.names import namespace_problem, object_name_problem
from virtwatch_api.policy import Enforcement, Notify, Policy, PolicyKey, PolicyKind, PolicySpec, Rule, Severity
from virtwatch_api.problem import Problem
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.kind import Scope
from virtwatch_api.rule_kinds.registry import read_rules
from virtwatch_api.target_codec import read_collection, read_target
from virtwatch_api.version import API_VERSION, GROUP, VERSION, readable

__all__ = [
    "API_VERSION",
    "GROUP",
    "MAX_NOTIFY",
    "VERSION",
    "parse_policy",
    "read_generation",
    "read_notify",
    "read_rules_of",
    "read_time",
    "timestamp",
]

MAX_NOTIFY = 16
_MAX_NAMESPACE = 63


def parse_policy(document: Any) -> Policy | tuple[Problem, ...]:
    """Read a MonitorPolicy or ClusterMonitorPolicy."""
    problems: list[Problem] = []
    root = Cursor(document, "", problems)
    if not root.mapping("apiVersion", "kind", "metadata", "spec", "status"):
        return (Problem("(document)", "must be a mapping with apiVersion, kind, metadata and spec"),)
    if not readable(root["apiVersion"].value):
        root["apiVersion"].problem(f"must be {API_VERSION}")
    kind = root["kind"].choice(PolicyKind)
    if root["kind"].value not in tuple(PolicyKind):
        return tuple(problems)  # which fields there are depends on it
    metadata = root["metadata"]
    name = metadata["name"].text(check=object_name_problem)
    namespace = None
    if kind is PolicyKind.MONITOR_POLICY:
        namespace = metadata["namespace"].text("default", at_most=_MAX_NAMESPACE, check=namespace_problem)
    generation = read_generation(metadata["generation"])
    created = read_time(metadata["creationTimestamp"])
    uid = metadata["uid"].text() if metadata.has("uid") else ""
    spec = _spec(root["spec"], kind)
    if problems or spec is None:
        return tuple(problems)
    return Policy(key=PolicyKey(kind, name, namespace), uid=uid, generation=generation, created=created, spec=spec)


def timestamp(value: Any) -> float:
    """Read an RFC 3339 time in seconds since 1970; 0 when absent.

    Raises:
        ValueError, OverflowError: the text is no such time.
    """
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else 0.0


def read_time(cursor: Cursor) -> float:
    """Read an RFC 3339 time in seconds since 1970; 0 when absent."""
    try:
        return timestamp(cursor.value)
    except (ValueError, OverflowError):
        cursor.problem('must be a time such as "2026-11-23T10:00:00Z"')
        return 0.0


def read_generation(cursor: Cursor) -> int:
    """Read a generation as Kubernetes counts it; 0 when absent."""
    return cursor.integer(0, at_least=0, at_most=2**63 - 1)


def _spec(cursor: Cursor, kind: PolicyKind) -> PolicySpec | None:
    cluster = kind is PolicyKind.CLUSTER_MONITOR_POLICY
    fields = ("enforcement", "target", "collection", "rules", "notify", *(("overridable",) if cluster else ()))
    if not cursor.mapping(*fields):
        return None
    target = read_target(cursor["target"], cluster=cluster)
    return PolicySpec(
        rules=read_rules(cursor["rules"], Scope(target.kind)),
        enforcement=cursor["enforcement"].choice(Enforcement, Enforcement.ENFORCE),
        target=target,
        collection=read_collection(cursor["collection"]),
        notify=tuple(_notify(item) for item in cursor["notify"].items(at_most=MAX_NOTIFY)),
        overridable=cursor["overridable"].boolean(default=True),
    )


def read_notify(document: Any) -> tuple[Notify, ...]:
    """Read spec.notify alone, also of a policy that is not valid elsewhere; nothing where it is not valid itself."""
    problems: list[Problem] = []
    items = Cursor(document, "", problems)["spec"]["notify"].items(at_most=MAX_NOTIFY)
    found = tuple(_notify(item) for item in items)
    return () if problems else found


def read_rules_of(document: Any) -> tuple[Rule, ...]:
    """Read the rules of a valid policy; nothing where it is not valid."""
    parsed = parse_policy(document)
    return parsed.spec.rules if isinstance(parsed, Policy) else ()


def _notify(cursor: Cursor) -> Notify:
    cursor.mapping("channel", "severities", "repeatEvery")
    severities = tuple(item.choice(Severity) for item in cursor["severities"].items(at_most=2))
    return Notify(
        channel=cursor["channel"].text(),
        severities=severities or tuple(Severity),
        repeat_every=cursor["repeatEvery"].duration(14_400.0, at_least=60.0, at_most=604_800.0),
    )
