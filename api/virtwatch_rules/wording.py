"""The sentences in which alerts explain themselves, and say what comes next."""

from virtwatch_api.alert import AlertState
from virtwatch_api.bounds import scale
from virtwatch_api.policy import Aggregate, Bound, Function, Level, Severity, Timing


def describe_signal(signal: str, aggregate: Aggregate, device: str) -> str:
    """Name a signal, its device and how it is aggregated."""
    name = f"{signal} of {device}" if device else signal
    if aggregate.function is Function.LAST:
        return name
    return f"{name} ({aggregate.function.value} over {describe_seconds(aggregate.window)})"


def describe_value(signal: str, aggregate: Aggregate, device: str, value: float, level: Level) -> str:
    """Say what was measured and where it stands: past the bound, back at the recovery, or in between."""
    bound = level.value if level.breached(value) else level.recover
    written = _format(signal, aggregate, value, beside=bound)
    return f"{describe_signal(signal, aggregate, device)} is {written}, {_relation(signal, aggregate, value, level)}"


def describe_bound(signal: str, aggregate: Aggregate, level: Level) -> str:
    """Say what breaches a level: "above 90 %"."""
    return f"{level.bound.value} {_format(signal, aggregate, level.value)}"


def describe_recovery(signal: str, aggregate: Aggregate, level: Level) -> str:
    """Say where a level recovers: "at or below 80 %"."""
    side = "at or below" if level.bound is Bound.ABOVE else "at or above"
    return f"{side} {_format(signal, aggregate, level.recover)}"


def describe_silence(signal: str, device: str, seconds: float) -> str:
    """Say that a signal has no data."""
    return f"{signal}{f' of {device}' if device else ''} has had no data for {seconds:.0f} s"


def describe_idle(signal: str, aggregate: Aggregate, device: str) -> str:
    """Say that nothing happened that a signal could measure."""
    return f"{describe_signal(signal, aggregate, device)} has no value: there was no operation"


def describe_gone(signal: str, device: str) -> str:
    """Say that a signal's device is gone."""
    return f"{signal} of {device}: there is no {device} any more"


def describe_seconds(seconds: float) -> str:
    """Write a duration as policies do: 90s, 2m, 1h30m."""
    whole = round(seconds)
    if whole < 120 and whole % 60:
        return f"{seconds:g}s"
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or f"{seconds:g}s"


def next_step(state: AlertState, timing: Timing, *, holds: str, recovers: str, at: float) -> str:
    """Say what becomes of an alert; `holds` and `recovers` complete "if it stays" and "once it is"."""
    if state.severity is None:
        since = state.critical_since if state.critical_since is not None else state.warning_since
        if since is None:
            wait = f" for {describe_seconds(timing.for_)}" if timing.for_ else ""
            return f"fires when {holds}{wait}"
        return f"fires in {_rest(since, timing.for_, at)} if it stays {holds}"
    if state.severity is Severity.WARNING and state.critical_since is not None:
        return f"becomes Critical in {_rest(state.critical_since, timing.for_, at)} if it stays {holds}"
    if state.warning_good_since is not None:
        return f"resolves in {_rest(state.warning_good_since, timing.keep_firing_for, at)} if it stays {recovers}"
    wait = f" for {describe_seconds(timing.keep_firing_for)}" if timing.keep_firing_for else ""
    return f"resolves when {recovers}{wait}"


def _rest(since: float, wait: float, at: float) -> str:
    return describe_seconds(max(0, round(since + wait - at))) or "0s"


def _relation(signal: str, aggregate: Aggregate, value: float, level: Level) -> str:
    if level.breached(value):
        return f"{level.bound.value} {_format(signal, aggregate, level.value, beside=value)}"
    side = "at or below" if level.bound is Bound.ABOVE else "at or above"
    recovery = f"{side} {_format(signal, aggregate, level.recover, beside=value)}"
    return recovery if level.recovered(value) else f"not yet {recovery}"


def evidence_function(aggregate: Aggregate) -> str:
    """Name what aggregated a value in its evidence, so that whoever shows the value knows its unit; "" for Last."""
    return "" if aggregate.function is Function.LAST else aggregate.function.value


def _format(signal: str, aggregate: Aggregate, value: float, *, beside: float | None = None) -> str:
    return scale(signal, aggregate.function).format(value, beside=beside)
