"""The node as a source: real figures of this machine, and its schedule."""

import threading
import time

from virtwatch_agent.collect.node.collector import NodeCollector
from virtwatch_agent.collect.node.reader import Allocated, read_node
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.readings import READING, Source
from virtwatch_api.targets import node_ref


def test_every_reading_of_the_node_is_read():
    values = read_node(lambda: Allocated(3, 2.0**30))
    assert {key for key, _ in values} == {key for key, reading in READING.items() if reading.source is Source.NODE}
    assert values["node.vcpus", ""] == 3
    assert values["node.vm.memory", ""] == 2**30
    assert 0 < values["node.memory.available", ""] < values["node.memory.total", ""]


def test_busy_time_is_part_of_the_time_of_all_cpus():
    before, began = read_node(Allocated), time.monotonic()
    while time.monotonic() - began < 0.1:
        pass
    after = read_node(Allocated)
    seconds = time.monotonic() - began
    busy = after["node.cpu.busy", ""] - before["node.cpu.busy", ""]
    assert 0 < busy <= seconds * after["node.cpu.count", ""] + 0.1  # the kernel counts in hundredths


def test_the_node_is_sampled_as_planned_and_not_before():
    came: list[Sample] = []
    two = threading.Event()

    def deliver(*samples: Sample) -> None:
        came.extend(samples)
        if len(came) == 2:
            two.set()

    collector = NodeCollector(Allocated, time)
    collector.start(deliver)
    assert not came
    collector.plan(node_ref("n1"), {Source.NODE: 0.05})
    assert two.wait(5.0)
    collector.plan(node_ref("n1"), {})
    collector.stop()
    assert {sample.target for sample in came} == {node_ref("n1")}
    assert came[0].due is not None
    assert came[0].due <= came[0].clock
