"""The sentences in which alerts explain themselves."""

from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.policy import Aggregate, Bound, Function, Level, ThresholdRule

_BINARY = ("", "Ki", "Mi", "Gi", "Ti")


def describe_value(rule: ThresholdRule, value: float, level: Level | None, device: str) -> str:
    """Say what was measured, how it was aggregated, and which bound it is held against."""
    signal = f"{rule.signal} of {device}" if device else rule.signal
    measured = f"{signal}{_aggregated(rule.aggregate)} is {format_value(rule.signal, value)}"
    if level is None:
        return measured
    return f"{measured}, {_relation(rule.signal, value, level)}"


def describe_silence(rule: ThresholdRule, seconds: float) -> str:
    """Say that a signal has no data."""
    return f"{rule.signal} has had no data for {seconds:.0f} s"


def describe_unplugged(rule: ThresholdRule, device: str) -> str:
    """Say that a signal's device is gone."""
    return f"{rule.signal} of {device}: the VM has no {device} any more"


def format_value(signal: str, value: float) -> str:
    """Write a value in its signal's unit, short enough to read."""
    unit = SIGNAL[signal].unit
    if unit == "1":
        return f"{value:.3g}"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if abs(value) < 1 else f"{value:.3g} s"
    if unit.startswith("By"):
        power = 0
        while abs(value) >= 1024 and power < len(_BINARY) - 1:
            value, power = value / 1024, power + 1
        return f"{value:.3g} {_BINARY[power]}B{unit[2:]}"
    return f"{value:.3g} {unit.replace('{', '').replace('}', '')}"


def _relation(signal: str, value: float, level: Level) -> str:
    """Say where a value stands: past the bound, back at the recovery, or in between, where a firing alert holds."""
    above = level.bound is Bound.ABOVE
    if level.breached(value):
        return f"{level.bound.value} {format_value(signal, level.value)}"
    recovery = f"{'at or below' if above else 'at or above'} {format_value(signal, level.recover)}"
    return recovery if level.recovered(value) else f"not yet {recovery}"


def _aggregated(aggregate: Aggregate) -> str:
    if aggregate.function is Function.LAST:
        return ""
    return f" ({aggregate.function.value} over {aggregate.window:g}s)"
