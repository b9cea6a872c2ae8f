"""The signals of a storage pool."""

from virtwatch_api.catalogue.entries import NOT_NEGATIVE, SHARE, Range, TargetKind
from virtwatch_api.catalogue.formulas import Signal


def _planned(
    name: str, unit: str, description: str, range_: Range = NOT_NEGATIVE, *, bad_value: str, remedy: str
) -> Signal:
    return Signal(name, unit, description, None, TargetKind.STORAGE_POOL, range_, bad_value, remedy)


SIGNALS: tuple[Signal, ...] = (
    _planned(
        "pool.utilization",
        "1",
        "Used share of a storage pool.",
        SHARE,
        bad_value="The pool is almost full; VMs on it pause on an I/O error when it is.",
        remedy="Remove volumes that nobody uses, or extend the pool.",
    ),
    _planned(
        "pool.overprovisioning.ratio",
        "1",
        "Size promised to volumes per size of the pool.",
        bad_value="When guests fill their disks the pool runs full before them.",
        remedy="Watch the pool's use closely, or extend it.",
    ),
)
