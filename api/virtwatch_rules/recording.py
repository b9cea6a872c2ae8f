"""What was measured and what happened, as lines of JSON: written by `record`, read by `backtest` and by tests.

A sample is {"time", "target", "signal", "device", "value"}, an event {"time", "target", "event", "attributes"}, a
target's labels, which policies select by, {"time", "target", "labels"}, and the storage pools of its disks
{"time", "target", "pools"}. A time is in seconds since 1970 or ISO 8601. A target that is no VM has its "kind".
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.events import EVENT
from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.names import shown

_KINDS = {kind.value: kind for kind in TargetKind}
_LATEST = datetime(2100, 1, 1, tzinfo=UTC).timestamp()
_OTHER_UNITS = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))
_EARLIEST_GUESSED = 1e8  # of another unit: 1973


class RecordingError(Exception):
    """Say which line cannot be read, and why."""


class TargetName(NamedTuple):
    """Name a target as people do: "shop/web-1", or "web-1" outside Kubernetes."""

    name: str
    kind: TargetKind = TargetKind.VIRTUAL_MACHINE

    def __str__(self) -> str:
        return self.name


class RecordedSample(NamedTuple):
    """Hold one value of a signal; None where nothing happened that it could measure. There are millions of them."""

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


@dataclass(frozen=True, slots=True)
class RecordedPools:
    """Hold on which storage pool each disk of a VM lies from a time on."""

    at: float
    target: TargetName
    pools: Mapping[str, str]


Recorded = RecordedSample | RecordedEvent | RecordedLabels | RecordedPools


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
        case RecordedPools():
            line["pools"] = dict(item.pools)
    return json.dumps(line, separators=(",", ":"), allow_nan=False)


class Reader:
    """Read the lines of recordings, one after the other; it knows the times, the signals, what was late, and cut off.

    Only what is of a target that is `mine` is given out; all is read, so that what is late is the same for all readers.
    """

    def __init__(self, mine: Callable[[TargetName], bool] = lambda _: True) -> None:
        self.first = math.inf
        self.newest = -math.inf
        self.late = 0  # lines of mine that came after a newer one, and are left out
        self.signals: dict[TargetName, set[str]] = {}  # of which values came, of mine
        self.cut_off: list[str] = []  # the recordings whose last line is half a line: it is left out
        self._recording = ""
        self._mine = mine
        self._names: dict[tuple[str, str], TargetName] = {}
        # What stands between the time and the value of a sample, as `write_line` writes it: of a day's recording of
        # 200 VMs each comes thousands of times, and is parsed once.
        self._series: dict[str, tuple[TargetName, str, str] | None] = {}

    def read(self, lines: Iterable[str], *, name: str = "") -> Iterator[Recorded]:
        """Read the lines of a recording of that name in their order; empty ones are left out.

        Raises:
            RecordingError: a line is none of a recording.
        """
        self._recording = name
        series, begin, begin_at = self._series, "\0", 0.0  # how the last sample begins, up to its comma, and its time
        for number, line in enumerate(lines, 1):
            begins = line.startswith(begin)
            comma, colon = len(begin) - 1 if begins else line.find(","), line.rfind(":")
            known = series.get(line[comma:colon], _UNKNOWN)
            if known is not _UNKNOWN and line.startswith(_TIME) and line.endswith(_END):
                try:
                    if not begins:
                        begin, begin_at = line[: comma + 1], _plausible(float(line[_TIME_ENDS:comma]))
                    text = line[colon + 1 : -2] if known is not None else "null"
                    value = None if text == "null" else float(text)
                except ValueError:
                    begin = "\0"  # written in another way, or wrong: parsed as a whole below
                else:
                    if begin_at < self.newest:
                        self.late += known is not None
                        continue
                    self.newest = begin_at
                    if known is not None:
                        yield RecordedSample(begin_at, *known, value)
                    continue
            item = self._parse(line, number, line[comma:colon])
            if item is not None:
                yield item

    def _parse(self, line: str, number: int, between: str) -> Recorded | None:
        """Read a line that is not known by what stands between its time and its value; None for none of mine."""
        if line.isspace() or not line:
            return None
        try:
            item = _read(json.loads(line), self._names)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            if number > 1 and isinstance(error, json.JSONDecodeError) and not line.endswith("\n"):
                self.cut_off.append(self._recording)  # who wrote it was killed
                return None
            raise RecordingError(f"line {number}: {_reason(error)}") from error
        mine = self._mine(item.target)
        if isinstance(item, RecordedSample) and mine:
            self.signals.setdefault(item.target, set()).add(item.signal)
        if isinstance(item, RecordedSample) and line.startswith(_TIME) and _SAMPLE.fullmatch(between):
            self._series[between] = (item.target, item.signal, item.device) if mine else None
        if item.at < self.newest:
            self.late += mine
            return None
        self.first, self.newest = min(self.first, item.at), item.at
        return item if mine else None


_UNKNOWN = (TargetName(""), "", "")
_TIME = '{"time":'
_TIME_ENDS = len(_TIME)
_END = "}\n"
_SAMPLE = re.compile(r',"target":"[^"\\]*"(,"kind":"\w+")?,"signal":"[^"\\]*","device":"[^"\\]*","value"')


def read_lines(lines: Iterable[str]) -> Iterator[Recorded]:
    """Read lines in their order; empty ones are left out, and lines older than one above them.

    Raises:
        RecordingError: a line is none of a recording.
    """
    yield from Reader().read(lines)


def _read(line: Any, names: dict[tuple[str, str], TargetName]) -> Recorded:
    time, name, kind = line["time"], line["target"], line.get("kind", "VirtualMachine")
    number = isinstance(time, int | float) and not isinstance(time, bool)
    at = _plausible(float(time) if number else _read_time(time))
    target = names.get((name, kind))
    if target is None:
        if kind not in _KINDS:
            raise ValueError(f'"{shown(str(kind))}" is no kind of target; it is one of {", ".join(_KINDS)}')
        target = names[name, kind] = TargetName(str(name), _KINDS[kind])
    if "signal" in line:
        return _read_sample(line, at, target)
    if "event" in line:
        if line["event"] not in EVENT:
            raise ValueError(f'unknown event "{shown(str(line["event"]))}"; `virtwatch events` lists them')
        attributes = {str(key): str(text) for key, text in (line.get("attributes") or {}).items()}
        return RecordedEvent(at, target, line["event"], attributes, bool(line.get("inferred", False)))
    if "labels" in line:
        return RecordedLabels(at, target, {str(key): str(text) for key, text in line["labels"].items()})
    if "pools" in line:
        return RecordedPools(at, target, {str(key): str(text) for key, text in line["pools"].items()})
    raise ValueError("needs signal, event, labels or pools")


def _read_sample(line: Any, at: float, target: TargetName) -> RecordedSample:
    name, device, value = line["signal"], line.get("device") or "", line["value"]
    signal = SIGNAL.get(name)
    if signal is None:
        raise ValueError(f'unknown signal "{shown(str(name))}"; `virtwatch signals` lists them')
    if signal.target is not target.kind:
        raise ValueError(f'{name} is a signal of a {signal.target}: such a line needs "kind":"{signal.target}"')
    if not isinstance(device, str):
        raise ValueError('device must be text, as in "vda", or "" for none')  # noqa: TRY004 - as all that is wrong
    return RecordedSample(at, target, name, device, None if value is None else float(value))


def _plausible(at: float) -> float:
    """Return a time that can be one of a recording; any other is most often in another unit."""
    if 0.0 <= at < _LATEST:
        return at
    if not math.isfinite(at):
        raise ValueError("time is not finite")
    units = (name for name, parts in _OTHER_UNITS if _EARLIEST_GUESSED <= at / parts < _LATEST)
    unit = next(units, None)
    guess = f": it looks like {unit}" if unit else ""
    raise ValueError(f"time must be in seconds from 1970 to 2100, and {at:.15g} is not{guess}")


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
