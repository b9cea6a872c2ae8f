"""The sentence in which an anomaly explains itself."""

from collections.abc import Sequence
from datetime import UTC, datetime

from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_rules.anomaly.rollup import Rollup
from virtwatch_rules.anomaly.series import Episode

_MOST = 3


def describe(worst: Sequence[tuple[tuple[str, str], Episode]], rollup: Rollup) -> str:
    """Say the three most unusual signals, most unusual first, and how often this rule has found something here."""
    parts = [_one(signal, device, episode) for (signal, device), episode in worst[:_MOST]]
    if len(worst) > _MOST:
        parts.append(f"{len(worst) - _MOST} more")
    often = rollup.per_week
    if often is not None:
        allowed = rollup.sensitivity.per_week
        parts.append(f"this rule finds {often:.2g} a week here, its budget is {allowed:g}")
    return "; ".join(parts)


def _one(signal: str, device: str, episode: Episode) -> str:
    known = SIGNAL.get(signal)
    write = known.format if known else "{:.4g}".format
    name = f"{signal} of {device}" if device else signal
    since = datetime.fromtimestamp(episode.since, UTC).strftime("%Y-%m-%d %H:%M UTC")
    band = f"expected {write(episode.lower)} to {write(episode.upper)}"
    return f"{name} is {write(episode.value)}, {band} ({episode.kind}) since {since}, score {episode.score:.2f}"
