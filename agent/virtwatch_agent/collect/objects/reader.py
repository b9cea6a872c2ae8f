"""What a kind of libvirt object gives: how it is listed, seen and read. One module per kind implements it."""

from collections.abc import Callable, Mapping
from typing import Protocol

import libvirt

from virtwatch_agent.observations import LibvirtObject, Series
from virtwatch_api.catalogue.entries import Source, TargetKind

# Takes an object's UUID and the type of what happened to it; an empty one says only that the list may be another.
Heard = Callable[[str, str], None]


class ObjectReader(Protocol):
    """Read one kind of object; every method but the properties asks libvirt and may hang."""

    @property
    def kind(self) -> TargetKind:
        """Return the kind of target that its objects are."""
        ...

    @property
    def source(self) -> Source:
        """Return the source of its readings."""
        ...

    def listen(self, raw: libvirt.virConnect, received: Heard) -> Callable[[], None]:
        """Register for what happens to objects; return what ends that. libvirtError where the driver has none."""
        ...

    def list_all(self, raw: libvirt.virConnect, connection: str) -> tuple[LibvirtObject, ...]:
        """Return every object, active or not."""
        ...

    def read(self, raw: libvirt.virConnect, uuid: str, *, local: bool) -> Mapping[Series, float]:
        """Return an object's readings; `local` says that its libvirt is this host's. What is unknown is left out."""
        ...

    def forget(self, uuid: str) -> None:
        """Drop what is kept of an object that is gone."""
        ...
