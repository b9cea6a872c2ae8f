"""What the parts of the collector share: a libvirt that is watched, and the means to do it."""

import sched
from collections.abc import Container
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from virtwatch_agent.collect.libvirt.call_pool import CallPool, Post
from virtwatch_agent.collect.libvirt.call_queue import CallQueue
from virtwatch_agent.collect.libvirt.connection import Keepalive
from virtwatch_agent.collect.libvirt.inspection import Inspector
from virtwatch_agent.collect.libvirt.monitor_queue import MonitorQueue
from virtwatch_agent.inventory.addresses import AddressKind, LibvirtAddress
from virtwatch_agent.inventory.oom import OomKills
from virtwatch_agent.inventory.processes import ProcessTable
from virtwatch_agent.seams import Clock, Deliver

# Seconds of a call's deadline after which one that asks of many domains leaves the rest to another call: over a slow
# link many calls take long, and none of them is stuck.
SLICE_S = 1.0


@dataclass(frozen=True, slots=True)
class Runtime:
    """Hold what the parts of the collector work with; `post` runs a task on the collector's thread."""

    pool: CallPool
    openings: CallPool  # a pool of their own: what does not answer must not hold up calls on connections that do
    post: Post
    timers: sched.scheduler
    clock: Clock
    deliver: Deliver
    processes: ProcessTable
    keepalive: Keepalive
    oom_kills: OomKills
    macvtaps: Container[str] = ()  # the names of interfaces that are macvtaps


@dataclass(eq=False, slots=True)
class Endpoint:
    """One libvirt, connected or not."""

    address: LibvirtAddress
    inspector: Inspector
    new: bool  # its socket appeared while we watched
    calls: CallQueue | None = None
    monitors: MonitorQueue | None = None  # made when a monitor is first asked
    reading: bool = False  # its libvirt is being asked for cheap readings
    attempt: object | None = None  # the one that is under way, or that brought the connection
    failing_since: float | None = None  # monotonic seconds
    problem: str = ""  # that was reported
    connected_before: bool = False
    reported_closed: bool = False
    said_lacks: bool = False  # what its driver does not offer was logged
    given_up: bool = False  # what still arrives for it is dropped
    retry: sched.Event | None = None
    local: bool = field(init=False)  # its domains run on this host

    def __post_init__(self) -> None:
        self.local = self.address.kind is not AddressKind.URI or not urlsplit(self.address.name).hostname

    @property
    def watched_from_birth(self) -> bool:
        """Return whether every domain of it must have started while we watched."""
        return self.connected_before or (self.new and self.address.kind is AddressKind.POD)
