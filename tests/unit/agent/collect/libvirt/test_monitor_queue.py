"""Whom the monitor calls of one libvirt ask; the pool is a list, and calls that hang are never worked off."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from virtwatch_agent.collect.libvirt import monitor_queue
from virtwatch_agent.collect.libvirt.connection import QEMU
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.monitor import Answer, Occupied
from virtwatch_agent.collect.libvirt.monitor_queue import MonitorQueue
from virtwatch_api.catalogue.readings import Source


@dataclass
class Libvirt:
    """One libvirt, all of whose VMs lie on one storage, under which they hang."""

    now: float = 0.0
    calls: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # by VM that is held back: for how long it has waited

    def __post_init__(self) -> None:
        connection: Any = SimpleNamespace(driver=QEMU, close=lambda: None)
        main: Any = SimpleNamespace(connection=connection, submit=self.submit)
        self.queue = MonitorQueue(main, another=lambda: connection, pool=self, clock=self, results=self)  # type: ignore[arg-type]

    def want(self, uuid: str) -> None:
        self.queue.want(uuid, Source.BLOCK, Devices())
        self.queue.pump()

    def work(self) -> None:
        call = self.calls.pop(0)
        call.done(call.run())

    def hang(self, uuid: str) -> None:
        """Let a call about a VM hang; it is seen which VM that is."""
        self.want(uuid)
        self.work()  # opens a connection
        asking = self.calls.pop(0)
        asking.run()
        asking.overdue()
        self.work()  # looks which monitor is occupied

    def submit(self, call: Any) -> None:
        self.calls.append(call)

    def monotonic(self) -> float:
        return self.now

    def stuck(self, uuid: str) -> bool:
        return False

    def suspect(self) -> None:
        pass

    def is_stopped(self, uuid: str) -> bool:
        return False

    def places(self, uuid: str) -> frozenset[str]:
        return frozenset({"/mnt/nfs"})

    def answered(self, answer: Answer) -> None:
        pass

    def held(self, held: Mapping[str, Occupied]) -> None:
        self.seconds |= {uuid: by.seconds for uuid, by in held.items()}


@pytest.fixture
def libvirt(monkeypatch: pytest.MonkeyPatch) -> Libvirt:
    """Four calls of it hang, and a VM is held back since."""
    made = Libvirt()
    occupied = lambda _, uuids: Answer({uuid: Occupied(9.0) for uuid in uuids}, frozenset())  # noqa: E731
    monkeypatch.setattr(monitor_queue, "probe", occupied)
    monkeypatch.setattr(monitor_queue, "ask", lambda _, domains, *__: made.asked.extend(domains))
    for uuid in ("n0", "n1", "n2", "n3"):
        made.hang(uuid)
    made.want("n7")
    assert made.seconds == {"n7": 0.0}
    return made


def test_one_that_is_tried_is_asked_once_a_connection_is_open(libvirt: Libvirt) -> None:
    libvirt.now = 60.0
    libvirt.want("n7")
    libvirt.work()  # opens a connection
    libvirt.calls.pop(0).run()

    assert libvirt.asked[-1] == "n7"


def test_a_vm_that_comes_again_has_not_waited_since_before(libvirt: Libvirt) -> None:
    libvirt.now = 30.0
    libvirt.queue.forget("n7")
    libvirt.want("n7")

    assert libvirt.seconds == {"n7": 0.0}
