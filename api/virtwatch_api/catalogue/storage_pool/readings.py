"""The readings of a storage pool and its volumes: what libvirt says, and the file system where it lies on one."""

from virtwatch_api.catalogue.entries import Instrument, Reading, Source, TargetKind

_VOLUME = "libvirt.storage_volume.name"


_STOPPED = "the pool is stopped"
_NO_VOLUME = "the pool is stopped, or has no volume that libvirt can read, or more than 1,000"


def _gauge(
    key: str, metric: str, unit: str, description: str, device: str | None = None, *, absent: str = ""
) -> Reading:
    return Reading(
        key,
        f"libvirt.{metric}",
        unit,
        Instrument.GAUGE,
        Source.STORAGE,
        description,
        device=device,
        target=TargetKind.STORAGE_POOL,
        absent=absent,
    )


READINGS: tuple[Reading, ...] = (
    _gauge("pool.state", "storage_pool.active", "1", "Whether the pool is started: 1 or 0."),
    _gauge("pool.capacity", "storage_pool.capacity", "By", "Size of the pool.", absent=_STOPPED),
    _gauge("pool.allocation", "storage_pool.allocation", "By", "Bytes of the pool that are used.", absent=_STOPPED),
    _gauge("pool.free", "storage_pool.available", "By", "Bytes of the pool that are free.", absent=_STOPPED),
    _gauge(
        "pool.promised",
        "storage_pool.promised",
        "By",
        "Sum of the sizes that the pool's volumes may reach.",
        absent=_NO_VOLUME,
    ),
    _gauge(
        "volume.capacity", "storage_volume.capacity", "By", "Size that a volume may reach.", _VOLUME, absent=_NO_VOLUME
    ),
    _gauge(
        "volume.allocation",
        "storage_volume.allocation",
        "By",
        "Bytes that a volume occupies.",
        _VOLUME,
        absent=_NO_VOLUME,
    ),
)
