"""What a bulk call brings while another client asks a VM's monitor: a collision that nobody can make on purpose."""

import time
from types import SimpleNamespace
from typing import Any

import libvirt

from virtwatch_agent.collect.libvirt.connection import QEMU
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.monitor import Answer, Occupied, ask
from virtwatch_api.catalogue.readings import Source

WHOLE = {"balloon.current": 1024, "balloon.maximum": 2048, "balloon.last-update": 1, "balloon.usable": 512}
PARTIAL = {"balloon.current": 1024, "balloon.maximum": 2048}  # what libvirt itself knows
DISK = {"block.count": 1, "block.0.name": "vda", "block.0.path": "/x"}
COUNTED = {**DISK, "block.0.rd.reqs": 10}


def answer(source: Source | None, **stats: dict[str, Any]) -> Answer:
    """Ask VMs by name, of which libvirt gives these statistics."""
    domains = {
        name: SimpleNamespace(UUIDString=lambda name=name: name, controlInfo=lambda: (0, 0, 0)) for name in stats
    }
    raw = SimpleNamespace(
        domainListGetStats=lambda asked, groups, flags: [
            (domain, stats[domain.UUIDString()]) for domain in asked if groups and flags
        ]
    )
    connection: Any = SimpleNamespace(driver=QEMU, raw=raw, domain=domains.__getitem__, domains={})
    return ask(connection, dict.fromkeys(stats, Devices()), frozenset((source,) if source else ()), time)  # type: ignore[arg-type]


def test_a_partial_answer_is_none_and_is_asked_for_again() -> None:
    for source, whole, partial in ((Source.BALLOON, WHOLE, PARTIAL), (Source.BLOCK, COUNTED, DISK)):
        told = answer(source, a=whole, b=partial)

        assert set(told.read) == {"a"}
        assert told.occupied == {"b": Occupied(0.0)}, "it is asked again soon, not an interval later"
        assert told.free == {"a"}


def test_a_vm_without_a_drive_that_has_a_medium_is_whole() -> None:
    told = answer(Source.BLOCK, a={"block.count": 1, "block.0.name": "sda"}, b={"block.count": 0})

    assert told.occupied == {}
    assert set(told.read) == {"a", "b"}


def test_whether_a_monitor_answers_is_asked_without_any_figure() -> None:
    told = answer(None, a={"dirtyrate.calc_status": 0}, b={})

    assert told.free == {"a"}
    assert told.occupied == {"b": Occupied(0.0)}
    assert told.read == {"a": {}}


def test_a_vm_whose_monitor_is_broken_costs_the_others_no_answer() -> None:
    """libvirt fails the whole call when one monitor breaks under it."""
    states = {"well": 0, "broken": libvirt.VIR_DOMAIN_CONTROL_ERROR}
    domains = {
        name: SimpleNamespace(UUIDString=lambda name=name: name, controlInfo=lambda state=state: (state, 0, 0))
        for name, state in states.items()
    }

    def stats(asked: Any, groups: int, flags: int) -> Any:
        if any(domain is domains["broken"] for domain in asked):
            raise libvirt.libvirtError("Unable to read from monitor: Connection reset by peer")
        return [(domain, {"balloon.last-update": 0}) for domain in asked]

    raw = SimpleNamespace(domainListGetStats=stats, isAlive=lambda: 1)
    connection: Any = SimpleNamespace(driver=QEMU, raw=raw, domain=domains.__getitem__, domains={})

    told = ask(connection, dict.fromkeys(states, Devices()), frozenset(), time)  # type: ignore[arg-type]

    assert told.free == {"well"}
    assert told.occupied["broken"].broken
