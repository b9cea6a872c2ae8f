"""Drivers of other hypervisors: what they offer is collected, what they lack is said once, and nothing else suffers.

The hypervisors themselves run on no test machine: libvirt's test driver refuses what their drivers lack.
"""

import logging

import libvirt
import pytest

from tests.integration.agent_collect.conftest import PATIENT_S, URI, UUID, Collect
from tests.integration.agent_collect.drivers import DRIVERS, Driver, answer_as
from virtwatch_agent.collect.libvirt import relisting
from virtwatch_agent.observations import ConnectionState
from virtwatch_api.catalogue.readings import Source

# By call that only some drivers offer: a reading that it alone gives.
GIVEN_BY = {
    "interfaceStats": (Source.KERNEL, "network.receive.bytes"),
    "memoryStats": (Source.BALLOON, "memory.maximum"),
    "blockStats": (Source.BLOCK, "disk.read.bytes"),
    "blockInfo": (Source.BLOCK, "disk.capacity"),
}


@pytest.fixture(params=DRIVERS, ids=lambda driver: driver.name)
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Driver:
    monkeypatch.setattr(relisting, "LIST_EVERY_S", 0.3)
    answer_as(request.param, monkeypatch)
    return request.param


def test_a_driver_gives_what_it_offers(collect: Collect, driver: Driver) -> None:
    collected = collect(uris=(URI,), call_deadline=PATIENT_S)
    values = collected.sample(UUID, Source.KERNEL).values
    assert {key for key, _ in values} >= {"cpu.time", "cpu.count"}
    for call, (source, key) in GIVEN_BY.items():
        if call in driver.offers:
            collected.sample(UUID, source, holding=lambda sample, key=key: key in {name for name, _ in sample.values})
    assert not [one for one in collected.all if isinstance(one, ConnectionState) and one.problem]


def test_what_a_driver_lacks_is_said_in_one_line(
    collect: Collect, driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "virtwatch_agent"):
        collected = collect(uris=(URI,), call_deadline=PATIENT_S)
        for _ in range(3):
            collected.sample(UUID, Source.KERNEL, since=collected.mark())
        said = [record.getMessage() for record in caplog.records if "does not offer" in record.getMessage()]
    assert said == [f"libvirt at {URI}: its driver, {driver.name}, does not offer: {driver.lacks}"]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_starts_and_stops_are_seen_with_and_without_events(
    collect: Collect, driver: Driver, domain: libvirt.virDomain
) -> None:
    collected = collect(uris=(URI,), call_deadline=PATIENT_S)
    collected.sample(UUID, Source.KERNEL)
    since = collected.mark()
    domain.destroy()
    assert collected.event(UUID, "vm.stopped", since=since).inferred is not driver.has_events
    since = collected.mark()
    domain.create()
    assert collected.event(UUID, "vm.started", since=since).inferred is not driver.has_events
    collected.sample(UUID, Source.KERNEL, since=since)
