"""A connection of its own for one kind of object: a call that hangs on it delays nothing that concerns VMs."""

from collections.abc import Callable
from contextlib import suppress

import libvirt

from virtwatch_agent.collect.libvirt.connection import Connection, Keepalive
from virtwatch_agent.collect.objects.reader import Heard, ObjectReader
from virtwatch_agent.inventory.addresses import LibvirtAddress


class ObjectConnection(Connection):
    """A read-only connection that listens to one kind of object, not to domains."""

    def __init__(self, raw: libvirt.virConnect) -> None:
        super().__init__(raw)
        self._end_listening: Callable[[], None] = lambda: None

    @classmethod
    def open_for(
        cls,
        reader: ObjectReader,
        address: LibvirtAddress,
        keepalive: Keepalive,
        *,
        received: Heard,
        closed: Callable[[], None],
    ) -> "ObjectConnection":
        """Connect and listen; OSError or libvirtError when that fails. It can hang as long as a daemon is stopped."""
        with address.address() as uri:
            connection = cls(libvirt.openReadOnly(uri))
        try:
            raw = connection.raw
            cls._attempt(lambda: raw.setKeepAlive(keepalive.interval, keepalive.count))
            cls._attempt(lambda: raw.registerCloseCallback(lambda *_: closed(), None))
            cls._attempt(lambda: connection._listen_by(reader, received))  # else the listing alone shows what changed
        except BaseException:
            connection.close()
            raise
        return connection

    def _listen_by(self, reader: ObjectReader, received: Heard) -> None:
        self._end_listening = reader.listen(self.raw, received)

    def close(self) -> None:
        """Close, when no call runs any more."""
        with suppress(libvirt.libvirtError):
            self._end_listening()
        super().close()
