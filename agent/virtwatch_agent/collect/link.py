# One open connection to libvirt. Everything here blocks, and runs in the call pool, one call at a time (line.py).
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import libvirt

from virtwatch_agent.collect.events import DevicesHeard, Heard, RebootHeard, io_error, lifecycle, watchdog
from virtwatch_agent.discovery.targets import Target

_LOG = logging.getLogger(__name__)
QEMU = "QEMU"  # the name of its driver
_CLOSED_BECAUSE = ("the connection failed", "the daemon ended", "the daemon stopped answering", "it was closed here")


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Say when a silent daemon counts as gone: `interval` seconds between probes, `count` of them unanswered."""

    interval: int = 5
    count: int = 2


@dataclass(frozen=True, slots=True)
class Ears:
    """Take what a connection tells, on the event loop's thread: `heard` an event of a domain, `closed` its end."""

    heard: Callable[[libvirt.virDomain, Heard], None]
    closed: Callable[[str], None]


class Link:
    """A read-only connection. A closed one never heals: open another."""

    def __init__(self, connection: libvirt.virConnect) -> None:
        self.connection = connection
        self.driver: str = connection.getType()
        self.local = not urlsplit(connection.getURI()).hostname
        self.domains: dict[str, libvirt.virDomain] = {}
        self._callbacks: list[int] = []

    @classmethod
    def open(cls, target: Target, keepalive: Keepalive, ears: Ears | None) -> "Link":
        """Connect; OSError or libvirtError when that fails. It can hang for as long as a daemon is stopped."""
        with target.address() as uri:
            link = cls(libvirt.openReadOnly(uri))
        try:
            # The test driver needs no keepalive and has none.
            link._attempt(lambda: link.connection.setKeepAlive(keepalive.interval, keepalive.count))
            if ears is not None:
                link._listen(ears)
        except BaseException:
            link.close()
            raise
        return link

    def domain(self, uuid: str) -> libvirt.virDomain:
        """Return a domain by its UUID; libvirtError when it is not there."""
        return self.domains.get(uuid) or self.connection.lookupByUUIDString(uuid)

    def close(self) -> None:
        """Close, when no call runs any more: libvirt frees a connection under the call that uses it."""
        # Each step fails on a connection that is dead already, and must be done all the same: it frees memory here.
        for callback in self._callbacks:
            with suppress(libvirt.libvirtError):
                self.connection.domainEventDeregisterAny(callback)
        with suppress(libvirt.libvirtError):
            self.connection.unregisterCloseCallback()
        self.domains.clear()
        with suppress(libvirt.libvirtError):
            self.connection.close()

    def _listen(self, ears: Ears) -> None:
        connection = self.connection

        def on_lifecycle(_: object, domain: libvirt.virDomain, event: int, detail: int, __: object) -> None:
            if (heard := lifecycle(event, detail)) is not None:
                ears.heard(domain, heard)

        def on_io_error(
            _: object, domain: libvirt.virDomain, __: str, alias: str, action: int, reason: str, ___: object
        ) -> None:
            ears.heard(domain, io_error(alias, action, reason))

        def on_closed(_: object, reason: int, __: object) -> None:
            ears.closed(_CLOSED_BECAUSE[reason] if reason < len(_CLOSED_BECAUSE) else "it was closed")

        self._attempt(lambda: connection.registerCloseCallback(on_closed, None))
        for event, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, on_io_error),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, lambda _, domain, __: ears.heard(domain, RebootHeard())),
            (libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG, lambda _, domain, action, __: ears.heard(domain, watchdog(action))),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, lambda _, domain, __, ___: ears.heard(domain, DevicesHeard())),
            (libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, lambda _, domain, __, ___: ears.heard(domain, DevicesHeard())),
        ):
            self._callbacks.append(connection.domainEventRegisterAny(None, event, callback, None))

    @staticmethod
    def _attempt(call: Callable[[], object]) -> None:
        try:
            call()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
