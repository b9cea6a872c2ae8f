"""One open connection to libvirt.

Everything here blocks, and runs in the call pool, one call at a time (calls.py).
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import libvirt

from virtwatch_agent.collect.libvirt.events import (
    DevicesEvent,
    LibvirtEvent,
    MemoryPassEvent,
    RebootEvent,
    agent_lifecycle,
    block_job,
    block_threshold,
    io_error,
    job_completed,
    lifecycle,
    memory_failure,
    watchdog,
)
from virtwatch_agent.inventory.addresses import LibvirtAddress

_LOG = logging.getLogger(__name__)
QEMU = "QEMU"  # the name of its driver
_CLOSED_BECAUSE = ("the connection failed", "the daemon ended", "the daemon stopped answering", "it was closed here")


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Say when a silent daemon counts as gone: `interval` seconds between probes, `count` of them unanswered."""

    interval: int = 5
    count: int = 2


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Take what a connection reports, on the event loop's thread: `received` an event of a domain, `closed` its end."""

    received: Callable[[libvirt.virDomain, LibvirtEvent], None]
    closed: Callable[[str], None]


class Connection:
    """A read-only connection. A closed one never heals: open another."""

    def __init__(self, raw: libvirt.virConnect) -> None:
        self.raw = raw
        self.driver: str = raw.getType()
        self.local = not urlsplit(raw.getURI()).hostname
        self.domains: dict[str, libvirt.virDomain] = {}
        self.has_events = True  # that domains start and stop: ESX's and VirtualBox's drivers report no event
        self.lacks: tuple[str, ...] | None = None  # figures that its driver does not offer, once that was tried
        self._callbacks: list[int] = []

    @classmethod
    def open(cls, address: LibvirtAddress, keepalive: Keepalive, callbacks: Callbacks | None) -> "Connection":
        """Connect; OSError or libvirtError when that fails. It can hang for as long as a daemon is stopped."""
        with address.address() as uri:
            connection = cls(libvirt.openReadOnly(uri))
        try:
            # The test driver needs no keepalive and has none.
            connection._attempt(lambda: connection.raw.setKeepAlive(keepalive.interval, keepalive.count))
            if callbacks is not None:
                connection._listen(callbacks)
        except BaseException:
            connection.close()
            raise
        return connection

    def domain(self, uuid: str) -> libvirt.virDomain:
        """Return a domain by its UUID; libvirtError when it is not there."""
        return self.domains.get(uuid) or self.raw.lookupByUUIDString(uuid)

    def close(self) -> None:
        """Close, when no call runs any more: libvirt frees a connection under the call that uses it."""
        # Each step fails on a connection that is dead already, and must be done all the same: it frees memory here.
        for callback in self._callbacks:
            with suppress(libvirt.libvirtError):
                self.raw.domainEventDeregisterAny(callback)
        with suppress(libvirt.libvirtError):
            self.raw.unregisterCloseCallback()
        self.domains.clear()
        with suppress(libvirt.libvirtError):
            self.raw.close()

    def _listen(self, callbacks: Callbacks) -> None:
        raw, received = self.raw, callbacks.received

        def on_lifecycle(_: object, domain: libvirt.virDomain, event: int, detail: int, __: object) -> None:
            if (event_ := lifecycle(event, detail)) is not None:
                received(domain, event_)

        def on_io_error(
            _: object, domain: libvirt.virDomain, __: str, alias: str, action: int, reason: str, ___: object
        ) -> None:
            received(domain, io_error(alias, action, reason))

        def on_closed(_: object, reason: int, __: object) -> None:
            callbacks.closed(_CLOSED_BECAUSE[reason] if reason < len(_CLOSED_BECAUSE) else "it was closed")

        self._attempt(lambda: raw.registerCloseCallback(on_closed, None))
        for event, callback in (
            (libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, on_lifecycle),
            (libvirt.VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, on_io_error),
            (libvirt.VIR_DOMAIN_EVENT_ID_REBOOT, lambda _, domain, __: received(domain, RebootEvent())),
            (
                libvirt.VIR_DOMAIN_EVENT_ID_WATCHDOG,
                lambda _, domain, action, __: received(domain, watchdog(action)),
            ),
            (
                libvirt.VIR_DOMAIN_EVENT_ID_MIGRATION_ITERATION,
                lambda _, domain, __, ___: received(domain, MemoryPassEvent()),
            ),
            (
                libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
                lambda _, domain, __, ___: received(domain, DevicesEvent()),
            ),
            (
                libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
                lambda _, domain, alias, __: received(domain, DevicesEvent(removed=alias)),
            ),
        ):
            try:
                self._callbacks.append(raw.domainEventRegisterAny(None, event, callback, None))
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                    raise
                self.has_events = self.has_events and event != libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
        self._listen_to_what_may_be_unknown(received)

    def _listen_to_what_may_be_unknown(self, received: Callable[[libvirt.virDomain, LibvirtEvent], None]) -> None:
        """Register for events that an older libvirt does not know: it does without them."""

        def emit(domain: libvirt.virDomain, event: LibvirtEvent | None) -> None:
            if event is not None:
                received(domain, event)

        for event, callback in (
            (
                libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
                lambda _, domain, device, job, status, __: emit(domain, block_job(device, job, status)),
            ),
            (
                libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED,
                lambda _, domain, job, __: emit(domain, job_completed(job)),
            ),
            (
                libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE,
                lambda _, domain, state, __, ___: emit(domain, agent_lifecycle(state)),
            ),
            (
                libvirt.VIR_DOMAIN_EVENT_ID_BLOCK_THRESHOLD,
                lambda _, domain, device, *__: emit(domain, block_threshold(device)),
            ),
            (
                libvirt.VIR_DOMAIN_EVENT_ID_MEMORY_FAILURE,
                lambda _, domain, __, action, *___: emit(domain, memory_failure(action)),
            ),
        ):
            with suppress(libvirt.libvirtError):
                self._callbacks.append(self.raw.domainEventRegisterAny(None, event, callback, None))

    @staticmethod
    def _attempt(call: Callable[[], object]) -> None:
        try:
            call()
        except libvirt.libvirtError as error:
            if error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
                raise
