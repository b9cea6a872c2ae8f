"""The snapshots of each domain: libvirt tells no event of them, so that they are compared from look to look."""

from collections.abc import Iterable, Iterator

import libvirt

from virtwatch_agent.collect.libvirt.connection import Connection
from virtwatch_agent.observations import TargetEvent
from virtwatch_agent.seams import Clock
from virtwatch_api.targets import vm_ref


class Snapshots:
    """Know the names of each domain's snapshots; those that there were at first are no news."""

    def __init__(self) -> None:
        self._known: dict[str, frozenset[str]] = {}
        self._read_at: dict[str, float] = {}

    def in_turn(self, uuids: Iterable[str]) -> tuple[str, ...]:
        """Return domains, those first whose last look was longest ago."""
        return tuple(sorted(uuids, key=lambda uuid: self._read_at.get(uuid, float("-inf"))))

    def seen(self, uuid: str, names: frozenset[str], *, at: float) -> Iterator[TargetEvent]:
        """Say what changed since the last look."""
        before = self._known.get(uuid, names)
        self._known[uuid] = names
        self._read_at[uuid] = at
        for type_, changed in (("vm.snapshot_created", names - before), ("vm.snapshot_deleted", before - names)):
            for name in sorted(changed):
                yield TargetEvent(type_, vm_ref(uuid), at, {"snapshot": name}, inferred=True)

    def forget(self, uuid: str) -> None:
        """Drop a domain that is gone."""
        self._known.pop(uuid, None)
        self._read_at.pop(uuid, None)


def read_snapshots(
    connection: Connection, uuids: Iterable[str], *, until: float, clock: Clock
) -> dict[str, frozenset[str]]:
    """Return the names of the snapshots of domains, in the pool; none of a driver that has no snapshots.

    Those for which there is no time `until` then (monotonic seconds) are left out.
    """
    found: dict[str, frozenset[str]] = {}
    for uuid in uuids:
        if clock.monotonic() >= until:
            break
        try:
            found[uuid] = frozenset(connection.domain(uuid).snapshotListNames(0))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
                break
    return found
