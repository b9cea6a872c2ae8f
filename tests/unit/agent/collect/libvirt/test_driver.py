"""The cheap tier without a process: the test driver's one domain, by the name of other drivers."""

import time
from collections.abc import Iterator

import libvirt
import pytest

from virtwatch_agent.collect.libvirt.connection import QEMU, Connection
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.driver import read_cheaply

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
ASK_A_MONITOR = ("memoryStats", "blockStats", "blockInfo")  # where the driver is QEMU's


@pytest.fixture
def connection() -> Iterator[Connection]:
    connection = Connection(libvirt.openReadOnly("test:///default"))
    yield connection
    connection.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the calls that would ask a monitor."""
    calls: list[str] = []
    for call in ASK_A_MONITOR:
        monkeypatch.setattr(libvirt.virDomain, call, lambda *_, call=call: calls.append(call))
    return calls


@pytest.mark.parametrize(("driver", "tried"), [(QEMU, []), ("Xen", list(ASK_A_MONITOR))])
def test_no_monitor_of_qemu_is_asked_what_its_driver_offers(
    connection: Connection, asked: list[str], driver: str, tried: list[str]
) -> None:
    connection.driver = driver

    batch = read_cheaply(connection, [(UUID, Devices(disks=("vda",)))], until=float("inf"), clock=time)

    assert batch.readings[UUID]
    assert asked == tried
