"""Sampling of VMs whose files the test lays out."""

import sched
import time
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.domains import Attached
from virtwatch_agent.collect.libvirt.sampler import Sampler
from virtwatch_agent.observations import Domain, DomainState, Sample, Unwatched
from virtwatch_api.catalogue.readings import Source


@dataclass
class Reader:
    values: Any

    def read(self, clock: float) -> Any:
        if isinstance(self.values, Exception):
            raise self.values
        return self.values


@dataclass
class Node:
    """Some VMs of one libvirt, and what is delivered of them."""

    readers: dict[str, Reader]
    now: float = 100.0
    slept: float = 0.0
    told: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.endpoint: Any = SimpleNamespace(
            address=SimpleNamespace(name="qemu:///system"), local=True, calls=None, monitors=None
        )
        runtime: Any = SimpleNamespace(
            clock=self,
            timers=sched.scheduler(self.monotonic, time.sleep),
            deliver=self._deliver,
            pool=None,
            processes=None,
        )
        self.sampler = Sampler(runtime, self, patience=3.0, cost=CostMeter(self), slept=lambda: self.slept)  # type: ignore[arg-type]
        for uuid in self.readers:
            self.sampler.plan(uuid, {Source.KERNEL: 1.0})

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 1000.0 + self.now

    def find(self, uuid: str) -> tuple[Domain, Attached] | None:
        if uuid not in self.readers:
            return None
        domain = Domain(uuid, f"vm-{uuid}", "qemu:///system", "1", DomainState.RUNNING)
        return domain, Attached(self.endpoint, Devices(), self.readers[uuid], 0.0)  # type: ignore[arg-type]

    def pass_(self, seconds: float) -> "Node":
        self.now += seconds
        self.sampler.sample()
        return self

    @property
    def sampled(self) -> set[str]:
        return {one.target.id for one in self.told if isinstance(one, Sample)}

    @property
    def problems(self) -> list[str]:
        return [one.problem for one in self.told if isinstance(one, Unwatched)]

    def _deliver(self, *observations: Any) -> None:
        self.told += observations


GOOD = {("memory.rss", ""): 1.0}


def test_an_error_of_one_vm_costs_no_other_its_sample() -> None:
    node = Node({name: Reader(GOOD) for name in "abc"})
    node.readers["b"].values = ValueError("not enough values to unpack")

    node.pass_(2.0)

    assert node.sampled == {"a", "c"}


def test_a_vm_that_cannot_be_read_is_named_once_until_it_can() -> None:
    node = Node({"a": Reader(OSError(5, "Input/output error"))})
    node.pass_(2.0).pass_(2.0)
    (problem,) = node.problems
    assert problem.startswith("VM vm-a: its figures of the kernel cannot be read (OSError(5,")

    node.readers["a"].values = GOOD
    node.pass_(2.0).pass_(2.0)
    assert node.problems == [problem, ""]


def test_a_vm_that_goes_unread_leaves_no_problem() -> None:
    node = Node({"a": Reader(OSError(5, "Input/output error"))})
    node.pass_(2.0)

    del node.readers["a"]
    node.sampler.forget("a")

    assert node.problems[-1] == ""


def test_only_another_machines_counters_go_on_while_this_one_sleeps() -> None:
    for local, counted in ((True, 0.0), (False, 3600.0)):
        node = Node({"a": Reader(GOOD)}, slept=3600.0)
        node.endpoint.local = local
        node.pass_(2.0)
        assert [one.slept for one in node.told] == [counted]
