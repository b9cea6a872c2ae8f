"""What was measured and what happened, as lines of JSON: written by `record`, read by `backtest` and by tests.

A sample is {"time", "target", "signal", "device", "value"}, an event {"time", "target", "event", "attributes"}, and a
target's labels, which policies select by, {"time", "target", "labels"}. A time is in seconds since 1970 or ISO 8601.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.events import EVENT
from virtwatch_api.catalogue.signals import SIGNAL

_KINDS = {kind.value: kind for kind in TargetKind}


class RecordingError(Exception):
    """Say which line cannot be read, and why."""


@dataclass(frozen=True, slots=True)
class TargetName:
    """Name a target as people do: "shop/web-1", or "web-1" outside Kubernetes."""

    name: str
    kind: TargetKind = TargetKind.VIRTUAL_MACHINE

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class RecordedSample:
    """Hold one value of a signal; None where nothing happened that it could measure."""

    at: float
    target: TargetName
    signal: str
    device: str
    value: float | None


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """Hold one event."""

    at: float
    target: TargetName
    type: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    inferred: bool = False


@dataclass(frozen=True, slots=True)
class RecordedLabels:
    """Hold the labels of a target from a time on."""

    at: float
    target: TargetName
    labels: Mapping[str, str]


Recorded = RecordedSample | RecordedEvent | RecordedLabels


def write_line(item: Recorded) -> str:
    """Write one line, without its end."""
    line: dict[str, Any] = {"time": round(item.at, 3), "target": item.target.name}
    if item.target.kind is not TargetKind.VIRTUAL_MACHINE:
        line["kind"] = item.target.kind.value
    match item:
        case RecordedSample():
            line |= {"signal": item.signal, "device": item.device, "value": item.value}
        case RecordedEvent():
            line |= {"event": item.type, "attributes": dict(item.attributes)}
            if item.inferred:
                line["inferred"] = True
        case RecordedLabels():
            line["labels"] = dict(item.labels)
    return json.dumps(line, separators=(",", ":"), allow_nan=False)


def read_lines(lines: Iterable[str]) -> Iterator[Recorded]:
    """Read lines in their order; empty ones are left out.

    Raises:
        RecordingError: a line is none of a recording.
    """
    names: dict[tuple[str, str], TargetName] = {}
    for number, line in enumerate(lines, 1):
        if line.isspace() or not line:
            continue
        try:
            yield _read(json.loads(line), names)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordingError(f"line {number}: {_reason(error)}") from error


def _read(line: Any, names: dict[tuple[str, str], TargetName]) -> Recorded:
    time, name, kind = line["time"], line["target"], line.get("kind", "VirtualMachine")
    at = float(time) if isinstance(time, int | float) else _read_time(time)
    if not math.isfinite(at):
        raise ValueError("time is not finite")
    target = names.get((name, kind))
    if target is None:
        if kind not in _KINDS:
            raise ValueError(f'"{kind}" is no kind of target')
        target = names[name, kind] = TargetName(str(name), _KINDS[kind])
    if "signal" in line:
        signal, value = line["signal"], line["value"]
        if signal not in SIGNAL:
            raise ValueError(f'unknown signal "{signal}"; `virtwatch signals` lists them')
        return RecordedSample(at, target, signal, line.get("device") or "", None if value is None else float(value))
    if "event" in line:
        if line["event"] not in EVENT:
            raise ValueError(f'unknown event "{line["event"]}"; `virtwatch events` lists them')
        attributes = {str(key): str(text) for key, text in (line.get("attributes") or {}).items()}
        return RecordedEvent(at, target, line["event"], attributes, bool(line.get("inferred", False)))
    if "labels" in line:
        return RecordedLabels(at, target, {str(key): str(text) for key, text in line["labels"].items()})
    raise ValueError("needs signal, event or labels")


def _read_time(text: str) -> float:
    read = datetime.fromisoformat(text)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _reason(error: Exception) -> str:
    match error:
        case json.JSONDecodeError():
            return f"is not JSON: {error.msg}"
        case KeyError():
            return f"lacks {error.args[0]}"
        case ValueError():
            return str(error)
        case _:
            return 'is no line of a recording, as in {"time":0,"target":"web-1","signal":"...","device":"","value":1}'
