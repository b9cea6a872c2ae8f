"""On which of libvirt's storage pools a disk of a VM lies."""

import posixpath
from collections.abc import Iterable

from virtwatch_agent.observations import Disk, LibvirtObject


def pool_of(disk: Disk, connection: str, pools: Iterable[LibvirtObject]) -> LibvirtObject | None:
    """Return the pool of a disk of a VM of a connection; None where there is none, or nobody knows."""
    folder = posixpath.dirname(disk.path)
    of_it = [pool for pool in pools if pool.connection == connection]
    if disk.pool:
        return next((pool for pool in of_it if pool.name == disk.pool), None)
    return next((pool for pool in of_it if folder and pool.place == folder), None)
