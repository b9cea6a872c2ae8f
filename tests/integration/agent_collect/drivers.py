"""What libvirt's drivers of other hypervisors lack, by their tables of calls in its sources."""

from dataclasses import dataclass

import libvirt
import pytest

# By class of libvirt-python, the calls of the agent that only some drivers offer.
_CONNECTION = frozenset({"getAllDomainStats", "domainEventRegisterAny", "registerCloseCallback", "setKeepAlive"})
_DOMAIN = frozenset(
    {
        *("vcpus", "memoryStats", "blockStats", "blockInfo", "interfaceStats", "jobStats"),
        *("controlInfo", "diskErrors", "snapshotListNames"),
    }
)


@dataclass(frozen=True, slots=True)
class Driver:
    """One driver: its name as it reports it, the calls that it offers, and how the agent words what it lacks."""

    name: str
    offers: frozenset[str]
    lacks: str

    @property
    def has_events(self) -> bool:
        return "domainEventRegisterAny" in self.offers


_NO_EVENTS = "events (VMs are listed every 15 s instead)"
_NO_FIGURES = "CPU times of each vCPU, the guest's memory, disk operations, disk sizes, NIC counters"
XEN = Driver(
    "Xen",
    frozenset({"domainEventRegisterAny", "vcpus", "memoryStats", "blockStats", "interfaceStats", "jobStats"}),
    "disk sizes",
)
ESX = Driver("ESX", frozenset({"snapshotListNames"}), f"{_NO_EVENTS}, {_NO_FIGURES}")
VIRTUALBOX = Driver("VBOX", frozenset({"snapshotListNames"}), f"{_NO_EVENTS}, {_NO_FIGURES}")
BHYVE = Driver("BHYVE", frozenset({"domainEventRegisterAny"}), _NO_FIGURES)
DRIVERS = (XEN, ESX, VIRTUALBOX, BHYVE)


def answer_as(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let libvirt's test driver refuse what another driver lacks, as libvirt does for it."""

    def refuse(*_: object) -> None:
        error = libvirt.libvirtError("this function is not supported by the connection driver")
        error.err = (libvirt.VIR_ERR_NO_SUPPORT, 0, str(error), 2, "", "", "", -1, -1)
        raise error

    for owner, calls in ((libvirt.virConnect, _CONNECTION), (libvirt.virDomain, _DOMAIN)):
        for call in calls - driver.offers:
            monkeypatch.setattr(owner, call, refuse)
    monkeypatch.setattr(libvirt.virConnect, "getType", lambda _: driver.name)
