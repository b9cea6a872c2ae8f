"""The node as a source: real figures of this machine, what it does not have, and its schedule."""

import threading
import time
from pathlib import Path

import pytest

from lab.process import wait_for
from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.node.collector import NodeCollector
from virtwatch_agent.collect.node.libvirt_state import LibvirtState
from virtwatch_agent.collect.node.network import NetworkReader
from virtwatch_agent.collect.node.pages import PageReader
from virtwatch_agent.collect.node.pressure import PressureReader
from virtwatch_agent.collect.node.reader import Allocated, BasicReader
from virtwatch_agent.collect.node.registry import Hypervisors, node_sources
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.catalogue.readings import READING, Source
from virtwatch_api.targets import node_ref

HYPERVISORS = Hypervisors(lambda: Allocated(3, 2.0**30), lambda: LibvirtState(5, 1, 2))
NODE_SOURCES = sorted({reading.source for reading in READING.values() if reading.target is TargetKind.NODE})


@pytest.mark.parametrize("source", NODE_SOURCES)
def test_every_reading_is_read_or_said_to_be_unavailable(source: Source) -> None:
    found = node_sources(CostMeter(time), HYPERVISORS)[source]()

    assert {key for key, _ in found.values} | found.unavailable.keys() == {
        key for key, reading in READING.items() if reading.source is source
    }
    assert not {key for key, _ in found.values} & found.unavailable.keys()
    for key, why in found.unavailable.items():
        assert why in (READING[key].absent, *READING[key].also_absent, source.absence)  # what may be passed on
    assert all(value >= 0 for value in found.values.values())
    for key, device in found.values:
        assert bool(device) == bool(READING[key].device)


def test_what_vms_were_promised_is_part_of_it():
    values = BasicReader(HYPERVISORS.allocated)().values
    assert values["node.vcpus", ""] == 3
    assert values["node.vm.memory", ""] == 2**30
    assert 0 < values["node.memory.available", ""] < values["node.memory.total", ""]


def test_busy_time_is_part_of_the_time_of_all_cpus():
    read = BasicReader(Allocated)
    began = time.monotonic()
    before = read().values
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        pass
    after = read().values
    seconds = time.monotonic() - began
    busy = after["node.cpu.busy", ""] - before["node.cpu.busy", ""]
    assert 0 < busy <= seconds * after["node.cpu.count", ""] + 0.1  # the kernel counts in hundredths


def test_a_kernel_without_pressure_gives_a_reason_and_no_zero(tmp_path: Path):
    found = PressureReader(tmp_path)()

    assert not found.values
    assert set(found.unavailable) == {key for key, reading in READING.items() if reading.source is Source.NODE_PRESSURE}
    assert "it needs CONFIG_PSI" in found.unavailable["node.pressure.io.full"]


def test_pressure_is_the_growth_of_the_kernels_own_sum(tmp_path: Path):
    folder = tmp_path / "pressure"
    folder.mkdir()
    for resource in ("cpu", "memory", "io"):
        text = "some avg10=0.10 avg60=0.00 avg300=0.00 total=2500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n"
        (folder / resource).write_text(text)

    values = PressureReader(tmp_path)().values

    assert values["node.pressure.cpu.some", ""] == pytest.approx(2.5)
    assert values["node.pressure.io.full", ""] == pytest.approx(5e-6)
    assert ("node.pressure.cpu.full", "") not in values


def test_huge_pages_are_told_by_size(tmp_path: Path):
    for size, total, free in (("2048kB", 10, 4), ("1048576kB", 2, 0), ("64kB", 0, 0)):
        folder = tmp_path / "kernel" / "mm" / "hugepages" / f"hugepages-{size}"
        folder.mkdir(parents=True)
        (folder / "nr_hugepages").write_text(f"{total}\n")
        (folder / "free_hugepages").write_text(f"{free}\n")

    found = PageReader(tmp_path)()

    assert {device: value for (key, device), value in found.values.items() if key == "node.hugepages.free"} == {
        "2Mi": 4,
        "1Gi": 0,
    }
    assert "needs CONFIG_KSM" in found.unavailable["node.ksm.saved"]


def test_the_nodes_own_nics_are_told_and_not_those_of_vms(tmp_path: Path):
    counters = tmp_path / "1" / "net" / "dev"
    counters.parent.mkdir(parents=True)
    line = "{}: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n"
    counters.write_text("Inter-| x\n face |\n" + "".join(map(line.format, ("lo", "eth0", "tap7", "bond0"))))
    (tmp_path / "class" / "net" / "eth0" / "device").mkdir(parents=True)
    (tmp_path / "class" / "net" / "bond0" / "bonding").mkdir(parents=True)

    values = NetworkReader(tmp_path, tmp_path)().values

    assert {device for _, device in values} == {"eth0", "bond0"}
    told = {key: value for (key, device), value in values.items() if device == "eth0"}
    assert told == {
        f"node.network.{way}.{what}": value
        for way, what, value in (
            *zip(["receive"] * 4, ("bytes", "packets", "errors", "drops"), (1, 2, 3, 4), strict=True),
            *zip(["transmit"] * 4, ("bytes", "packets", "errors", "drops"), (5, 6, 7, 8), strict=True),
        )
    }


class Came:
    """Keep the samples that come, and let a test wait for some."""

    def __init__(self, wanted: int) -> None:
        self.samples: list[Sample] = []
        self._wanted = wanted
        self.enough = threading.Event()

    def __call__(self, *samples: Sample) -> None:
        self.samples.extend(samples)
        if len(self.samples) >= self._wanted:
            self.enough.set()


def test_the_node_is_sampled_as_planned_and_not_before():
    came, cost = Came(2), CostMeter(time)
    collector = NodeCollector(node_sources(cost), time, cost)
    collector.start(came)
    assert not came.samples
    collector.plan(node_ref("n1"), {Source.NODE: 0.05})
    assert came.enough.wait(30.0)
    collector.plan(node_ref("n1"), {})
    collector.stop()
    assert {sample.target for sample in came.samples} == {node_ref("n1")}
    assert came.samples[0].due is not None
    assert came.samples[0].due <= came.samples[0].clock


def test_a_source_that_fails_costs_its_own_figures_only(tmp_path: Path):
    came, cost = Came(6), CostMeter(time)
    collector = NodeCollector(node_sources(cost, proc=tmp_path), time, cost)
    collector.start(came)
    collector.plan(node_ref("n1"), {Source.NODE: 0.05, Source.NODE_NETWORK: 0.05})
    assert came.enough.wait(30.0)
    collector.stop()
    broken = next(sample for sample in came.samples if sample.source is Source.NODE_NETWORK)
    assert not broken.values
    assert "/proc/1/net/dev" in broken.unavailable["node.network.receive.bytes"]
    assert any(sample.values for sample in came.samples if sample.source is Source.NODE)


def test_the_node_is_read_once_more_between_two_instants_of_its_plan():
    came, cost = Came(2), CostMeter(time)
    collector = NodeCollector(node_sources(cost), time, cost)
    collector.start(came)
    collector.plan(node_ref("n1"), {Source.NODE: 3600.0})
    wait_for(lambda: came.samples, what="the first look", deadline=30)
    at = time.monotonic() + 0.1
    collector.look_again(node_ref("n1"), Source.NODE, at)
    assert came.enough.wait(30.0)
    collector.stop()
    assert came.samples[1].due == at
