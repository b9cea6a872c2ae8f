"""The snapshots of each domain: libvirt reports no event of them, so that they are compared from look to look."""

from collections.abc import Container, Iterable, Iterator

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

    @property
    def had(self) -> frozenset[str]:
        """Return the domains that had snapshots at the last look."""
        return frozenset(uuid for uuid, names in self._known.items() if names)

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
    connection: Connection, uuids: Iterable[str], *, had: Container[str], until: float, clock: Clock
) -> dict[str, frozenset[str]]:
    """Return the names of the snapshots of domains, in the pool; none of a driver that has no snapshots.

    One call names the domains that have any: of the others only those that `had` some are asked, which may be gone.
    Those for which there is no time `until` then (monotonic seconds) are left out.
    """
    found: dict[str, frozenset[str]] = {}
    having = _having(connection)
    for uuid in uuids:
        if having is not None and uuid not in having and uuid not in had:
            found[uuid] = frozenset()
            continue
        if clock.monotonic() >= until:
            break
        try:
            found[uuid] = frozenset(connection.domain(uuid).snapshotListNames(0))
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT:
                break
    return found


def _having(connection: Connection) -> frozenset[str] | None:
    """Return the domains that have snapshots; None of a driver that cannot tell them apart."""
    try:
        listed = connection.raw.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT)
    except libvirt.libvirtError:
        return None
    return frozenset(domain.UUIDString() for domain in listed)
