"""A test file: what it holds, read and checked field by field."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from virtwatch_api.bounds import scale
from virtwatch_api.catalogue.events import EVENT
from virtwatch_api.catalogue.signals import SIGNAL, Signal
from virtwatch_api.duration import parse_duration
from virtwatch_api.names import did_you_mean, shown
from virtwatch_api.policy import Severity
from virtwatch_api.problem import Problem
from virtwatch_api.reading import Cursor
from virtwatch_api.rule_kinds.event_fields import read_attributes
from virtwatch_cli.documents import UnreadableError, read_documents
from virtwatch_cli.policy_tests.series import expand
from virtwatch_rules.recording import Recorded, RecordedEvent, RecordedLabels, RecordedPools, RecordedSample, TargetName

_NOISE = 1e-9  # of a sum such as 0.3-0.1x3, which is not quite 0

START = 1_767_225_600.0  # 2026-01-01 00:00 UTC, a Thursday: when each test begins


class PolicyTestError(Exception):
    """Say which field of a test file is wrong."""


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """Hold one alert that must fire; an empty device is any."""

    target: str
    severity: Severity
    device: str = ""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Hold the alerts of a rule that must fire at a time, and no others; `at` in seconds since the test begins."""

    at: float
    rule: str
    alerts: tuple[ExpectedAlert, ...]


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """Hold one test: what comes in, in order, and what is expected."""

    name: str
    recorded: tuple[Recorded, ...]
    expectations: tuple[Expectation, ...]


@dataclass(frozen=True, slots=True)
class PolicyTests:
    """Hold the policies and the tests of a file."""

    policies: tuple[Path, ...]
    tests: tuple[PolicyTest, ...]


def read_test_file(path: Path) -> PolicyTests:
    """Read a test file; its policies are named relative to it.

    Raises:
        PolicyTestError: it is no test file.
    """
    try:
        documents = list(read_documents(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PolicyTestError(f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise PolicyTestError("is not text in UTF-8") from error
    except UnreadableError as error:
        raise PolicyTestError(f"line {error.line}: {error}" if error.line else str(error)) from error
    if len(documents) != 1 or documents[0].problems:
        problems = documents[0].problems if len(documents) == 1 else ()
        raise PolicyTestError("; ".join(map(str, problems)) or f"must hold one document, holds {len(documents)}")
    fields = _mapping(documents[0].value, "", required=("policies", "tests"), optional=("interval",))
    interval = _interval(fields.get("interval", "15s"), "interval")
    policies = tuple(path.parent / _text(item, where) for item, where in _items(fields["policies"], "policies"))
    tests = tuple(_test(item, where, interval) for item, where in _some(fields["tests"], "tests"))
    return PolicyTests(policies, tests)


def _test(item: Any, where: str, interval: float) -> PolicyTest:
    fields = _mapping(item, where, required=("name", "expect"), optional=("interval", "input", "events", "pools"))
    if "interval" in fields:
        interval = _interval(fields["interval"], f"{where}.interval")
    recorded: list[Recorded] = []
    for series, place in _items(fields.get("input", []), f"{where}.input"):
        recorded += _series(series, place, interval)
    for event, place in _items(fields.get("events", []), f"{where}.events"):
        recorded.append(_event(event, place))
    for name, pools in _mapping_of_pools(fields.get("pools", {}), f"{where}.pools").items():
        recorded.append(RecordedPools(START, TargetName(name), pools))
    recorded.sort(key=lambda one: (one.at, not isinstance(one, RecordedLabels | RecordedPools)))
    expectations = [_expectation(one, place) for one, place in _some(fields["expect"], f"{where}.expect")]
    expectations.sort(key=lambda one: one.at)
    return PolicyTest(_text(fields["name"], f"{where}.name"), tuple(recorded), tuple(expectations))


def _series(item: Any, where: str, interval: float) -> list[Recorded]:
    fields = _mapping(item, where, required=("target", "signal", "values"), optional=("device", "labels"))
    name = _text(fields["signal"], f"{where}.signal")
    signal = SIGNAL.get(name)
    if signal is None:
        guess = did_you_mean(name, SIGNAL) or "; `virtwatch signals` lists them"
        raise PolicyTestError(f'{where}.signal: unknown signal "{shown(name)}"{guess}')
    target = TargetName(_text(fields["target"], f"{where}.target"), signal.target)
    device = _device(fields, where)
    if device and not signal.per_device:
        raise PolicyTestError(f"{where}.device: {name} has one value for the whole {signal.target}; leave device out")
    values = _values(fields["values"], signal, f"{where}.values")
    labels = fields.get("labels", {})
    if not isinstance(labels, dict):
        raise PolicyTestError(f"{where}.labels: must be a mapping")
    first: list[Recorded] = [RecordedLabels(START, target, {str(key): str(text) for key, text in labels.items()})]
    return (first if labels else []) + [
        RecordedSample(START + index * interval, target, name, device, value)
        for index, value in enumerate(values)
        if value is not None
    ]


def _values(value: Any, signal: Signal, where: str) -> list[float | None]:
    try:
        values = expand("" if value is None else str(value))
    except ValueError as error:
        raise PolicyTestError(f"{where}: {error}") from error
    if not values:
        raise PolicyTestError(f"{where}: must hold at least one value, as in 5x10")
    return [None if item is None else _within(item, signal, where) for item in values]


def _within(value: float, signal: Signal, where: str) -> float:
    nearest = min(max(value, signal.range.least), signal.range.greatest)
    if abs(value - nearest) > _NOISE:
        raise PolicyTestError(f"{where}: {value:g} is out of range: {scale(signal.name).described}")
    return nearest


def _mapping_of_pools(value: Any, where: str) -> Mapping[str, Mapping[str, str]]:
    if not isinstance(value, dict) or not all(isinstance(pools, dict) for pools in value.values()):
        raise PolicyTestError(f"{where}: must say where each VM's disks lie, as in {{web-1: {{vda: images}}}}")
    return {str(name): {str(disk): str(pool) for disk, pool in pools.items()} for name, pools in value.items()}


def _event(item: Any, where: str) -> RecordedEvent:
    fields = _mapping(item, where, required=("at", "target", "type"), optional=("attributes", "inferred"))
    kind = _text(fields["type"], f"{where}.type")
    if kind not in EVENT:
        guess = did_you_mean(kind, EVENT) or "; `virtwatch events` lists them"
        raise PolicyTestError(f'{where}.type: unknown event "{shown(kind)}"{guess}')
    problems: list[Problem] = []
    attributes = read_attributes(Cursor(fields.get("attributes", {}), f"{where}.attributes", problems), kind)
    if problems:
        raise PolicyTestError("; ".join(map(str, problems)))
    return RecordedEvent(
        START + _duration(fields["at"], f"{where}.at"),
        TargetName(_text(fields["target"], f"{where}.target"), EVENT[kind].targets[0]),
        kind,
        dict(attributes),
        bool(fields.get("inferred", False)),
    )


def _expectation(item: Any, where: str) -> Expectation:
    fields = _mapping(item, where, required=("at", "rule", "alerts"))
    alerts = tuple(_alert(one, place) for one, place in _items(fields["alerts"], f"{where}.alerts"))
    return Expectation(_duration(fields["at"], f"{where}.at"), _text(fields["rule"], f"{where}.rule"), alerts)


def _alert(item: Any, where: str) -> ExpectedAlert:
    fields = _mapping(item, where, required=("target", "severity"), optional=("device",))
    severity = fields["severity"]
    if severity not in list(Severity):
        raise PolicyTestError(f'{where}.severity: must be Warning or Critical, not "{severity}"')
    return ExpectedAlert(_text(fields["target"], f"{where}.target"), Severity(severity), _device(fields, where))


def _mapping(
    value: Any, where: str, *, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    place = f"{where}: " if where else ""
    if not isinstance(value, dict):
        raise PolicyTestError(f"{place}must be a mapping with {', '.join(required)}")
    for name in required:
        if name not in value:
            raise PolicyTestError(f"{place}lacks {name}")
    for name in value:
        if name not in (*required, *optional):
            raise PolicyTestError(f"{place}unknown field {name}; known are {', '.join((*required, *optional))}")
    return value


def _items(value: Any, where: str) -> list[tuple[Any, str]]:
    if not isinstance(value, list):
        raise PolicyTestError(f"{where}: must be a list")
    return [(item, f"{where}[{index}]") for index, item in enumerate(value)]


def _some(value: Any, where: str) -> list[tuple[Any, str]]:
    items = _items(value, where)
    if not items:
        raise PolicyTestError(f"{where}: must hold at least one item, or nothing is tested")
    return items


def _device(fields: Mapping[str, Any], where: str) -> str:
    """Read a device; one that is left empty is none."""
    device = fields.get("device")
    return _text(device, f"{where}.device") if device not in (None, "") else ""


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise PolicyTestError(f"{where}: must be a text")
    return value


def _duration(value: Any, where: str) -> float:
    try:
        return 0.0 if value == 0 else parse_duration(str(value))
    except ValueError as error:
        raise PolicyTestError(f"{where}: {error}") from error


def _interval(value: Any, where: str) -> float:
    interval = _duration(value, where)
    if interval <= 0:
        raise PolicyTestError(f"{where}: must be longer than 0s")
    return interval
