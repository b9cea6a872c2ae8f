"""Asks guests through QEMU's guest agent, on libvirt hosts whose owner lets virtwatch.

The agent is a program in the guest, outside our trust, and libvirt waits for its answer without end. libvirt answers
such questions only on a connection that may change VMs: virtwatch opens one for them alone, and asks no more on it.
"""

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

import libvirt

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.guest.file_systems import FileSystem, readings
from virtwatch_agent.collect.guest.reader import FILE_SYSTEMS, LOAD, GuestReader, nobody_asks, nothing
from virtwatch_agent.collect.libvirt.connection import Keepalive
from virtwatch_agent.inventory.addresses import LibvirtAddress
from virtwatch_agent.observations import Domain, Series
from virtwatch_agent.seams import Clock
from virtwatch_api.catalogue import absences

logger = logging.getLogger(__name__)

_FILE_SYSTEM_INFO = libvirt.VIR_DOMAIN_GUEST_INFO_FILESYSTEM
_LOAD_INFO = 1 << 7  # VIR_DOMAIN_GUEST_INFO_LOAD, which a libvirt that is older than the server's does not name
_LOAD_SINCE = 11_002_000  # libvirt's version
_MOST_LISTED = 1024  # file systems that are looked at
_MOST_LOAD = 1e6
# Calls of one libvirt that hang. Each holds one of the daemon's 20 threads until the guest's agent answers or ends.
_MOST_HANGING = 4
_HANGS_S = 8.0
_MOST_IDLE = 4  # connections that are kept

_REASONS: Mapping[int, str] = MappingProxyType(
    {
        libvirt.VIR_ERR_NO_SUPPORT: absences.NO_GUEST_QUESTIONS,
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED: absences.NO_GUEST_CHANNEL,
        libvirt.VIR_ERR_AGENT_UNRESPONSIVE: absences.GUEST_SILENT,
        libvirt.VIR_ERR_AGENT_UNSYNCED: absences.GUEST_SILENT,
        libvirt.VIR_ERR_OPERATION_TIMEOUT: absences.GUEST_SILENT,
        libvirt.VIR_ERR_OPERATION_INVALID: absences.GUEST_STANDS,
        libvirt.VIR_ERR_NO_DOMAIN: absences.GUEST_STANDS,
        libvirt.VIR_ERR_OPERATION_DENIED: absences.GUESTS_DENIED,
        libvirt.VIR_ERR_ACCESS_DENIED: absences.GUESTS_DENIED,
        libvirt.VIR_ERR_AUTH_FAILED: absences.GUESTS_DENIED,
        libvirt.VIR_ERR_AUTH_CANCELLED: absences.GUESTS_DENIED,
        libvirt.VIR_ERR_AUTH_UNAVAILABLE: absences.GUESTS_DENIED,
    }
)


@dataclass(eq=False, slots=True)
class _Place:
    """One libvirt: its connections that no call uses now, and since when (monotonic seconds) calls are under way."""

    address: LibvirtAddress
    idle: list[libvirt.virConnect] = field(default_factory=list)
    calls: dict[str, float] = field(default_factory=dict)  # by UUID
    lock: threading.Lock = field(default_factory=threading.Lock)


class GuestAgents:
    """Read file systems and load of the guests of some libvirts; from any thread."""

    def __init__(
        self, addresses: Iterable[LibvirtAddress], clock: Clock, *, keepalive: Keepalive | None = None
    ) -> None:
        """Ask the guests that the libvirts at these addresses run, and no others."""
        self._places = {address.name: _Place(address) for address in addresses}
        self._clock = clock
        self._keepalive = keepalive or Keepalive()

    def __call__(self, domain: Domain) -> Found:
        """Return a guest's figures, or why there are none. It can hang for as long as the guest's agent is silent."""
        place = self._places.get(domain.connection)
        if place is None:
            return nothing(absences.GUEST_NOT_ASKED)
        now = self._clock.monotonic()
        with place.lock:
            if sum(now - began >= _HANGS_S for began in place.calls.values()) >= _MOST_HANGING:
                return nothing(absences.GUESTS_HANG)
            place.calls[domain.uuid] = now
        try:
            return self._ask(place, domain)
        except libvirt.libvirtError as error:
            return nothing(_reason(error, absences.GUEST_UNREACHED))
        except OSError:  # of the socket's folder
            return nothing(absences.GUEST_UNREACHED)
        finally:
            with place.lock:
                place.calls.pop(domain.uuid, None)

    def _ask(self, place: _Place, domain: Domain) -> Found:
        raw = self._connection(place)
        try:
            return _figures(raw, domain)
        finally:
            with place.lock:
                keep = len(place.idle) < _MOST_IDLE and raw.isAlive()
                if keep:
                    place.idle.append(raw)
            if not keep:
                _close(raw)

    def _connection(self, place: _Place) -> libvirt.virConnect:
        """Return a connection that no other call uses: two calls on one may crash the process (CVE-2024-4418)."""
        while True:
            with place.lock:
                raw = place.idle.pop() if place.idle else None
            if raw is None:
                break
            if raw.isAlive():
                return raw
            _close(raw)
        with place.address.address() as uri:
            raw = libvirt.open(uri)
        with suppress(libvirt.libvirtError):  # the test driver has none
            raw.setKeepAlive(self._keepalive.interval, self._keepalive.count)
        return raw


def guest_agents(addresses: Iterable[LibvirtAddress], clock: Clock, *, asked: bool) -> GuestReader:
    """Return what asks the guests of these libvirts, where whoever owns them lets it."""
    return GuestAgents(addresses, clock) if asked else nobody_asks


def _close(raw: libvirt.virConnect) -> None:
    with suppress(libvirt.libvirtError):
        raw.close()


def _figures(raw: libvirt.virConnect, domain: Domain) -> Found:
    vm = raw.lookupByUUIDString(domain.uuid)
    try:
        values, unavailable = _file_systems(vm.guestInfo(_FILE_SYSTEM_INFO))
    except libvirt.libvirtError as error:
        if error.get_error_code() in _REASONS or not raw.isAlive():
            raise  # the guest, or its libvirt, answers nothing else either
        values, unavailable = {}, dict.fromkeys(FILE_SYSTEMS, absences.NO_AGENT_FILE_SYSTEMS)
    except UnicodeDecodeError:  # a name that is no UTF-8 costs the guest all names: libvirt's binding gives none
        values, unavailable = {}, dict.fromkeys(FILE_SYSTEMS, absences.NO_AGENT_FILE_SYSTEMS)
    if raw.getLibVersion() < _LOAD_SINCE:
        return Found(values, {**unavailable, **dict.fromkeys(LOAD, absences.NO_LOAD_IN_LIBVIRT)})
    load, why = _attempted(lambda: _load(vm.guestInfo(_LOAD_INFO)))
    if not load:
        return Found(values, {**unavailable, **dict.fromkeys(LOAD, why)})
    return Found({**values, **load, ("guest.cpus", ""): float(vm.info()[3])}, unavailable)


def _attempted(ask: Callable[[], dict[Series, float]]) -> tuple[dict[Series, float], str]:
    try:
        return ask(), absences.NO_LOAD_IN_AGENT
    except libvirt.libvirtError as error:
        return {}, _reason(error, absences.NO_LOAD_IN_AGENT)


def _reason(error: libvirt.libvirtError, otherwise: str) -> str:
    # What libvirt says may quote the guest: only the number is of use.
    logger.debug("a guest was asked in vain: libvirt's error %s", error.get_error_code())
    return _REASONS.get(error.get_error_code() or 0, otherwise)


def _file_systems(said: Mapping[str, object]) -> tuple[dict[Series, float], dict[str, str]]:
    count = said.get("fs.count")
    listed = min(count, _MOST_LISTED) if isinstance(count, int) else 0
    found = [
        FileSystem(*(said.get(f"fs.{number}.{key}") for key in ("mountpoint", "fstype", "used-bytes", "total-bytes")))
        for number in range(listed)
    ]
    values = readings(found)
    return values, {} if values else dict.fromkeys(FILE_SYSTEMS, absences.NO_AGENT_FILE_SYSTEMS)


def _load(said: Mapping[str, object]) -> dict[Series, float]:
    found = {minutes: said.get(f"load.{minutes}m") for minutes in (1, 5, 15)}
    return {
        (f"guest.load.{minutes}m", ""): float(value)
        for minutes, value in found.items()
        if isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= _MOST_LOAD
    }
