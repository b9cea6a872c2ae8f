"""libvirt's containers (LXC): a driver without QEMU, monitors and bulk statistics that runs on any Linux."""

import logging
import os
from collections.abc import Iterator

import pytest

from lab.guests.lxc import LxcLibvirt
from lab.rundir import RunDir
from tests.integration.agent_collect.conftest import PATIENT_S, Collect
from virtwatch_agent.observations import ConnectionState
from virtwatch_api.catalogue.readings import Source

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="libvirt's system daemon needs root")


@pytest.fixture(scope="module")
def containers(run: RunDir) -> Iterator[LxcLibvirt]:
    libvirt = LxcLibvirt(run)
    libvirt.start()
    yield libvirt
    libvirt.stop()


def test_a_container_is_watched_as_a_vm_is(
    collect: Collect, containers: LxcLibvirt, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "virtwatch_agent"):
        uuid = containers.add("web-1")
        collected = collect(uris=(containers.uri,), call_deadline=PATIENT_S)
        first = collected.sample(uuid, Source.KERNEL)
        used = first.values["cpu.time", "0"]
        collected.sample(uuid, Source.KERNEL, holding=lambda sample: sample.values["cpu.time", "0"] > used)
        memory = collected.sample(uuid, Source.BALLOON).values
        assert memory == {("memory.balloon", ""): 64 << 20, ("memory.maximum", ""): 64 << 20}
        since = collected.mark()
        containers.destroy("web-1")
        assert not collected.event(uuid, "vm.stopped", since=since).inferred
        containers.add("web-1")
        assert not collected.event(uuid, "vm.started", since=since).inferred
    [line] = [record.getMessage() for record in caplog.records if "does not offer" in record.getMessage()]
    assert line.endswith("its driver, LXC, does not offer: CPU times of each vCPU")
    assert not [one for one in collected.all if isinstance(one, ConnectionState) and one.problem]
