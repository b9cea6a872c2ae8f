"""How spec.target and spec.collection are read and written, in a policy and in a ThresholdSet."""

from collections.abc import Iterator
from enum import StrEnum

from virtwatch_api.bounds import Scale
from virtwatch_api.catalogue.entries import WATCHED, Instrument, Range, TargetKind
from virtwatch_api.catalogue.instruments import choices
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.duration import format_duration
from virtwatch_api.names import (
    any_glob_problem,
    did_you_mean,
    glob_problem,
    label_key_problem,
    label_value_problem,
    shown,
)
from virtwatch_api.policy import Collection, LabelSelector, Mode, Requirement, Target
from virtwatch_api.quantity import format_number
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.kind import Json

MAX_NAMES = 32
MAX_REQUIREMENTS = 16
MAX_VALUES = 32
OPERATORS = ("In", "NotIn", "Exists", "DoesNotExist")
MOST_SERIES = 10_000  # that a policy lets a target export
MOST_INSTRUMENTS = 32
SHARE_OF_VMS = Scale("share", "1", Range(0.01, 1.0))


def read_target(cursor: Cursor, *, cluster: bool) -> Target:
    """Read spec.target."""
    more = ("namespaceSelector", "nodeSelector") if cluster else ()
    if cursor.value is None or not cursor.mapping("kind", "selector", "names", *more):
        return Target()
    kind = cursor["kind"].choice(TargetKind, TargetKind.VIRTUAL_MACHINE)
    if kind not in WATCHED:
        cursor["kind"].problem(f"must be one of {', '.join(WATCHED)}; a pattern counts by: {kind}")
        kind = TargetKind.VIRTUAL_MACHINE
    if kind is not TargetKind.VIRTUAL_MACHINE and not cluster:
        cursor["kind"].problem(f"a MonitorPolicy watches VirtualMachines; use a ClusterMonitorPolicy for a {kind}")
        kind = TargetKind.VIRTUAL_MACHINE
    if kind is not TargetKind.VIRTUAL_MACHINE and (cursor.has("selector") or cursor.has("namespaceSelector")):
        cursor.problem("selector and namespaceSelector select VirtualMachines; use names and nodeSelector")
    check = any_glob_problem if cluster else glob_problem
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
    requirements: list[Requirement] = []
    for key, item in cursor["matchLabels"].entries(at_most=MAX_REQUIREMENTS, what="label keys to values"):
        if problem := label_key_problem(key):
            item.problem(f"the key {problem}")
        requirements.append(Requirement(key, "In", (_label_value(item),)))
    requirements.extend(_requirement(item) for item in cursor["matchExpressions"].items(at_most=MAX_REQUIREMENTS))
    if len(requirements) > MAX_REQUIREMENTS:
        cursor.problem(f"a selector has at most {MAX_REQUIREMENTS} requirements; this one has {len(requirements)}")
    return LabelSelector(tuple(requirements))


def _requirement(cursor: Cursor) -> Requirement:
    cursor.mapping("key", "operator", "values")
    operator = cursor["operator"].text()
    if operator and operator not in OPERATORS:
        cursor["operator"].problem(
            f'must be one of {", ".join(OPERATORS)}, not "{shown(operator)}"{did_you_mean(operator, OPERATORS)}'
        )
    values = tuple(_label_value(item) for item in cursor["values"].items(at_most=MAX_VALUES))
    if operator in OPERATORS and (operator in ("In", "NotIn")) != bool(values):
        cursor.problem("In and NotIn need values; Exists and DoesNotExist take none")
    return Requirement(cursor["key"].text(at_most=400, check=label_key_problem), operator, values)


def _label_value(cursor: Cursor) -> str:
    return "" if cursor.value == "" else cursor.text(check=label_value_problem)


def encode_target(target: Target) -> Json:
    """Write a target without its namespace selector, which a ThresholdSet holds resolved."""
    encoded: Json = {"kind": target.kind.value}
    if target.selector is not None:
        encoded["selector"] = encode_selector(target.selector)
    if target.names:
        encoded["names"] = list(target.names)
    if target.node_selector is not None:
        encoded["nodeSelector"] = encode_selector(target.node_selector)
    return encoded


def encode_selector(selector: LabelSelector) -> Json:
    """Write a label selector."""
    return {
        "matchExpressions": [
            {"key": item.key, "operator": item.operator, **({"values": list(item.values)} if item.values else {})}
            for item in selector.requirements
        ]
    }


class _Word(StrEnum):
    COUNTER = "Counter"
    GAUGE = "Gauge"
    SUMMARY = "Summary"


def read_collection(cursor: Cursor) -> Collection:
    """Read spec.collection."""
    if cursor.value is None or not cursor.mapping("mode", "interval", "share", "instruments", "series"):
        return Collection()
    mode = cursor["mode"].choice(Mode, Mode.HYBRID)
    share = _share(cursor["share"]) if cursor.has("share") else 1.0
    if cursor.has("share") and mode is not Mode.SAMPLED and cursor["mode"].value in (None, *Mode):
        cursor.problem("share needs mode Sampled: the other modes look at every VM")
    interval = cursor["interval"].duration(15.0, at_least=1.0, at_most=3600.0)
    series = cursor["series"].integer(0, at_least=1, at_most=MOST_SERIES)
    return Collection(mode, interval, share, tuple(_instruments(cursor["instruments"])), series)


def _instruments(cursor: Cursor) -> Iterator[tuple[str, Instrument]]:
    for name, chosen in cursor.entries(at_most=MOST_INSTRUMENTS, what="signals to instruments"):
        instrument = Instrument(chosen.choice(_Word, _Word.GAUGE).lower())
        signal = SIGNAL.get(name)
        possible = choices(signal) if signal is not None else ()
        if signal is None:
            chosen.problem(f"is no signal of the catalogue{did_you_mean(name, SIGNAL)}; see `virtwatch signals`")
        elif instrument in possible:
            yield name, instrument
        elif chosen.value in tuple(_Word):
            words = " or ".join(item.capitalize() for item in possible) or "nothing, for it is not collected"
            chosen.problem(f"{name} cannot be exported as {chosen.value}: choose {words}")


def _share(cursor: Cursor) -> float:
    share = cursor.bound(SHARE_OF_VMS)
    if share is not None and not SHARE_OF_VMS.range.holds(share):
        cursor.problem(f'must be a share from 0.01 to 1, for example "0.25" or "25%", not "{shown(str(cursor.value))}"')
    return share if share is not None else 1.0


def encode_collection(collection: Collection) -> Json:
    """Write a collection."""
    encoded: Json = {"mode": collection.mode.value, "interval": format_duration(collection.interval)}
    if collection.share < 1:
        encoded["share"] = format_number(collection.share)
    if collection.instruments:
        encoded["instruments"] = {name: instrument.capitalize() for name, instrument in collection.instruments}
    if collection.series:
        encoded["series"] = collection.series
    return encoded
