"""A detector as a small document, exact to the bit: saved, restored, handed over; what cannot be read starts again."""

import base64
import binascii
import math
import struct
from array import array
from collections.abc import Mapping
from typing import Any

from virtwatch_rules.anomaly.detector import Detector
from virtwatch_rules.anomaly.sequence import BINS

VERSION = 1
_NUMBERS = (
    "floor", "interval", "last", "long", "mean", "middle", "restless", "short", "strange", "unusual", "variance",
)  # fmt: skip
_INNER = (
    ("season", "error"), ("season", "plain_error"), ("ranges", "begun"),
)  # fmt: skip
_FINITE = len(_NUMBERS) + 3
_ARRAYS = (("season", "means"), ("season", "visits"), ("sequence", "steps"), ("sequence", "sums"),
           ("ranges", "lows"), ("ranges", "highs"), ("ranges", "young_lows"), ("ranges", "young_highs"),
           ("ranges", "late_lows"), ("ranges", "late_highs"))  # fmt: skip


def document(detector: Detector) -> dict[str, Any]:
    """Return a detector's state as JSON, below 3 KiB."""
    numbers = [getattr(detector, name) for name in _NUMBERS]
    numbers += [getattr(getattr(detector, part), name) for part, name in _INNER]
    packed = [array("d", numbers), array("d", detector.recent), *(_array(detector, path) for path in _ARRAYS)]
    return {
        "version": VERSION,
        "counts": [
            detector.points,
            detector.run,
            detector.sequence.at,
            detector.ranges.points,
            detector.ranges.learned,
        ],
        "arrays": [base64.b64encode(_little_endian(item)).decode() for item in packed],
    }


def detector_from(saved: Mapping[str, Any]) -> Detector | None:
    """Make a detector of what was saved of one; None when it cannot be read."""
    if saved.get("version") != VERSION:
        return None
    detector = Detector()
    try:
        points, run, at, generation, learned = (int(count) for count in saved["counts"])
        numbers, recent, *arrays = (base64.b64decode(item, validate=True) for item in saved["arrays"])
        values = _doubles(numbers)
        for name, value in zip(_NUMBERS, values, strict=False):
            setattr(detector, name, value)
        for (part, name), value in zip(_INNER, values[len(_NUMBERS) :], strict=True):
            setattr(getattr(detector, part), name, value)
        detector.recent = list(_doubles(recent))
        for path, data in zip(_ARRAYS, arrays, strict=True):
            _fill(_array(detector, path), data)
    except (KeyError, TypeError, ValueError, struct.error, binascii.Error):
        return None
    if (
        min(points, run, generation, learned) < 0
        or not -1 <= at < BINS
        or not all(map(math.isfinite, (*values[:_FINITE], *detector.recent)))
    ):
        return None
    detector.points, detector.run, detector.sequence.at = points, run, at
    detector.ranges.points, detector.ranges.learned = generation, learned
    return detector


def _array(detector: Detector, path: tuple[str, str]) -> "array[Any]":
    part, name = path
    found: array[Any] = getattr(getattr(detector, part), name)
    return found


def _little_endian(values: "array[Any]") -> bytes:
    return struct.pack(f"<{len(values)}{values.typecode}", *values)


def _doubles(data: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(data) // 8}d", data)


def _fill(into: "array[Any]", data: bytes) -> None:
    into[:] = array(into.typecode, struct.unpack(f"<{len(into)}{into.typecode}", data))
