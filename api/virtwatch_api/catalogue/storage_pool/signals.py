"""The signals of a storage pool."""

from virtwatch_api.catalogue.entries import NOT_NEGATIVE, SHARE, Range, TargetKind
from virtwatch_api.catalogue.formulas import Signal


def _planned(name: str, unit: str, description: str, range_: Range = NOT_NEGATIVE) -> Signal:
    return Signal(name, unit, description, None, TargetKind.STORAGE_POOL, range_)


SIGNALS: tuple[Signal, ...] = (
    _planned("pool.utilization", "1", "Used share of a storage pool.", SHARE),
    _planned("pool.overprovisioning.ratio", "1", "Size promised to volumes per size of the pool."),
)
