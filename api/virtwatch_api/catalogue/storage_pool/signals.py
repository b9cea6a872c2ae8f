"""The signals of a storage pool."""

from virtwatch_api.catalogue.entries import NOT_NEGATIVE, SHARE, Range, TargetKind
from virtwatch_api.catalogue.formulas import Formula, Signal, Value


def _signal(
    name: str,
    unit: str,
    description: str,
    formula: Formula,
    range_: Range = NOT_NEGATIVE,
    *,
    bad_value: str,
    remedy: str,
) -> Signal:
    return Signal(name, unit, description, formula, TargetKind.STORAGE_POOL, range_, bad_value, remedy)


SIGNALS: tuple[Signal, ...] = (
    _signal(
        "pool.active",
        "1",
        "Whether a storage pool is started: 1, or 0 where it is defined and stopped.",
        Value("pool.state"),
        bad_value="The pool is stopped; VMs with disks in it cannot start.",
        remedy="Start it with virsh pool-start, and see in libvirt's log why it stopped.",
    ),
    _signal(
        "pool.utilization",
        "1",
        "Used share of a storage pool.",
        Value("pool.allocation", per="pool.capacity"),
        SHARE,
        bad_value="The pool is almost full; VMs on it pause on an I/O error when it is.",
        remedy="Remove volumes that nobody uses, or extend the pool.",
    ),
    _signal(
        "pool.available",
        "By",
        "Free bytes of a storage pool.",
        Value("pool.free"),
        bad_value="The pool is almost full; VMs on it pause on an I/O error when it is.",
        remedy="Remove volumes that nobody uses, or extend the pool.",
    ),
    _signal(
        "pool.overprovisioning.ratio",
        "1",
        "Size promised to volumes per size of the pool.",
        Value("pool.promised", per="pool.capacity"),
        bad_value="When guests fill their disks the pool runs full before them.",
        remedy="Watch the pool's use closely, or extend it.",
    ),
    _signal(
        "pool.volume.utilization",
        "1",
        "Bytes that a volume occupies per size that it may reach.",
        Value("volume.allocation", per="volume.capacity"),
        bad_value="The volume is almost filled: a guest that writes more meets the end of its disk.",
        remedy="Extend the volume and the guest's file system, or remove data in the guest.",
    ),
)
