import re
from datetime import datetime
from typing import Any

from virtwatch_api.catalogue.signals import TargetKind
from virtwatch_api.policy import (
    Collection,
    Enforcement,
    LabelSelector,
    Mode,
    Notify,
    Policy,
    PolicyKey,
    PolicyKind,
    PolicySpec,
    Requirement,
    Severity,
    Target,
)
from virtwatch_api.policy_rules import NAME, read_rules
from virtwatch_api.problem import Problem
from virtwatch_api.reading import Cursor

GROUP = "virtwatch.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
MAX_NAMES = 32
MAX_NOTIFY = 16
MAX_REQUIREMENTS = 16
# A VirtualMachineInstance has a Kubernetes name; domains, networks and pools of a plain libvirt host have any name.
GLOB = re.compile(r"^[-a-z0-9.*?!\[\]]+$")
ANY_GLOB = re.compile(r"^[^/\x00-\x1f\x7f]+$")
_OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")


def parse_policy(document: Any) -> Policy | tuple[Problem, ...]:
    """Read a MonitorPolicy or ClusterMonitorPolicy; everything that is wrong comes back as problems, all at once."""
    problems: list[Problem] = []
    root = Cursor(document, "", problems)
    if not root.mapping("apiVersion", "kind", "metadata", "spec", "status"):
        return (Problem("(document)", "must be a mapping with apiVersion, kind, metadata and spec"),)
    if root["apiVersion"].value != API_VERSION:
        root["apiVersion"].problem(f"must be {API_VERSION}")
    kind = root["kind"].choice(PolicyKind)
    if root["kind"].value not in tuple(PolicyKind):
        return tuple(problems)  # which fields there are depends on it
    metadata = root["metadata"]
    name = metadata["name"].text(check=_name_problem)
    namespace = None
    if kind is PolicyKind.MONITOR_POLICY:
        namespace = metadata["namespace"].text("default", at_most=63, check=_namespace_problem)
    generation = read_generation(metadata["generation"])
    created = read_time(metadata["creationTimestamp"])
    spec = _spec(root["spec"], kind)
    if problems or spec is None:
        return tuple(problems)
    return Policy(
        key=PolicyKey(kind, name, namespace),
        uid=str(metadata["uid"].value or ""),
        generation=generation,
        created=created,
        spec=spec,
    )


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
        cursor.problem(f'must be a time such as "2026-11-23T10:00:00Z", not "{cursor.value}"')
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
    collection = read_collection(cursor["collection"])
    return PolicySpec(
        rules=read_rules(cursor["rules"], target=target.kind, interval=collection.interval),
        enforcement=cursor["enforcement"].choice(Enforcement, Enforcement.ENFORCE),
        target=target,
        collection=collection,
        notify=tuple(_notify(item) for item in cursor["notify"].items(at_most=MAX_NOTIFY)),
        overridable=cursor["overridable"].boolean(default=True),
    )


def read_target(cursor: Cursor, *, cluster: bool) -> Target:
    """Read spec.target."""
    more = ("namespaceSelector", "nodeSelector") if cluster else ()
    if cursor.value is None or not cursor.mapping("kind", "selector", "names", *more):
        return Target()
    kind = cursor["kind"].choice(TargetKind, TargetKind.VIRTUAL_MACHINE)
    if kind is not TargetKind.VIRTUAL_MACHINE and not cluster:
        cursor["kind"].problem(f"a MonitorPolicy watches VirtualMachines; use a ClusterMonitorPolicy for a {kind}")
        kind = TargetKind.VIRTUAL_MACHINE
    if kind is not TargetKind.VIRTUAL_MACHINE and (cursor.has("selector") or cursor.has("namespaceSelector")):
        cursor.problem("selector and namespaceSelector select VirtualMachines; use names and nodeSelector")
    check = _any_glob_problem if cluster else _glob_problem
    names = tuple(item.text(check=check) for item in cursor["names"].items(at_most=MAX_NAMES))
    return Target(
        kind=kind,
        selector=read_selector(cursor["selector"]),
        names=names,
        namespace_selector=read_selector(cursor["namespaceSelector"]),
        node_selector=read_selector(cursor["nodeSelector"]),
    )


def read_selector(cursor: Cursor) -> LabelSelector | None:
    """Read a label selector; absent is None."""
    if cursor.value is None or not cursor.mapping("matchLabels", "matchExpressions"):
        return None
    labels = cursor["matchLabels"]
    requirements: list[Requirement] = []
    if labels.value is not None and not isinstance(labels.value, dict):
        labels.problem("must be a mapping of label keys to values")
    elif labels.value:
        keys = sorted(str(key) for key in labels.value)
        requirements.extend(Requirement(key, "In", (_label_value(labels[key]),)) for key in keys)
    requirements.extend(_requirement(item) for item in cursor["matchExpressions"].items(at_most=MAX_REQUIREMENTS))
    if len(requirements) > MAX_REQUIREMENTS:
        cursor.problem(f"a selector has at most {MAX_REQUIREMENTS} requirements; this one has {len(requirements)}")
    return LabelSelector(tuple(requirements))


def _requirement(cursor: Cursor) -> Requirement:
    cursor.mapping("key", "operator", "values")
    operator = cursor["operator"].text()
    if operator not in _OPERATORS:
        cursor["operator"].problem(f'must be one of {", ".join(_OPERATORS)}, not "{operator}"')
    values = tuple(_label_value(item) for item in cursor["values"].items(at_most=32))
    if operator in _OPERATORS and (operator in ("In", "NotIn")) != bool(values):
        cursor.problem("In and NotIn need values; Exists and DoesNotExist take none")
    return Requirement(cursor["key"].text(at_most=317), operator, values)


def _label_value(cursor: Cursor) -> str:
    return "" if cursor.value == "" else cursor.text(at_most=63)


def read_collection(cursor: Cursor) -> Collection:
    """Read spec.collection."""
    if cursor.value is None or not cursor.mapping("mode", "interval", "share"):
        return Collection()
    mode = cursor["mode"].choice(Mode, Mode.HYBRID)
    share = cursor["share"].quantity(1.0, at_least=0.01, at_most=1.0) if cursor.has("share") else 1.0
    if cursor.has("share") and mode is not Mode.SAMPLED and cursor["mode"].value in (None, *Mode):
        cursor.problem("share needs mode Sampled: the other modes look at every VM")
    return Collection(mode=mode, interval=cursor["interval"].duration(15.0, at_least=1.0, at_most=3600.0), share=share)


def read_notify(document: Any) -> tuple[Notify, ...]:
    """Read spec.notify alone, also of a policy that is not valid elsewhere; nothing where it is not valid itself."""
    problems: list[Problem] = []
    items = Cursor(document, "", problems)["spec"]["notify"].items(at_most=MAX_NOTIFY)
    found = tuple(_notify(item) for item in items)
    return () if problems else found


def _notify(cursor: Cursor) -> Notify:
    cursor.mapping("channel", "severities", "repeatEvery")
    severities = tuple(item.choice(Severity) for item in cursor["severities"].items(at_most=2))
    return Notify(
        channel=cursor["channel"].text(),
        severities=severities or tuple(Severity),
        repeat_every=cursor["repeatEvery"].duration(14_400.0, at_least=60.0, at_most=604_800.0),
    )


def _name_problem(name: str) -> str | None:
    if all(NAME.fullmatch(part) for part in name.split(".")):
        return None
    return (
        "must be lower case letters, digits, dashes and dots, with a letter or digit at both ends of each part, "
        f'as in "web-tier", not "{name}"'
    )


def _namespace_problem(name: str) -> str | None:
    if NAME.fullmatch(name):
        return None
    return (
        "must be lower case letters, digits and dashes, with a letter or digit at both ends, "
        f'as in "shop", not "{name}"'
    )


def _glob_problem(glob: str) -> str | None:
    if GLOB.fullmatch(glob):
        return None
    return f'must be a glob on a VM\'s name: lower case letters, digits, dashes, dots and *, ?, [ ]; not "{glob}"'


def _any_glob_problem(glob: str) -> str | None:
    return None if ANY_GLOB.fullmatch(glob) else f'must be a glob on a name, without slashes; not "{glob}"'
