"""Sampling of VMs whose files the test lays out."""

import sched
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from virtwatch_agent.collect.cost import CostMeter
from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.domains import Attached
from virtwatch_agent.collect.libvirt.jobs import JobsSeen
from virtwatch_agent.collect.libvirt.monitor import Answer
from virtwatch_agent.collect.libvirt.sampler import Sampler
from virtwatch_agent.observations import Domain, DomainState, Sample, Unwatched
from virtwatch_api.catalogue.readings import Source


@dataclass
class Reader:
    values: Any

    ran: float = 0.0  # seconds of its one vCPU
    process: Any = field(default_factory=lambda: SimpleNamespace(folder=Path("/nowhere")))

    def stopped(self) -> bool:
        return False

    def threads(self) -> list[bytes]:
        return [b"%d 0 1" % round(self.ran * 1e9)]

    def counted(self, threads: Any) -> Any:
        return {("cpu.time", "0"): int(threads[0].split()[0]) / 1e9}

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
    jobs: list[JobsSeen | None] = field(default_factory=list)  # None: nobody asks

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

    connections = SimpleNamespace(well=lambda _: None)

    def reason(self, _: str) -> str:
        return ""

    def jobs_seen(self, _: str, seen: JobsSeen) -> None:
        self.jobs.append(seen)

    def jobs_unasked(self, _: str) -> None:
        self.jobs.append(None)

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


def test_a_vm_that_jumps_between_its_looks_is_looked_at_once():
    """What it did in the second before goes along: the rate of all the time since the last look would hide the jump."""
    node = Node({"a": Reader(GOOD)})
    node.sampler.plan("a", {Source.KERNEL: 60.0})
    node.sampler.glance("a", {"vm.cpu.utilization": [0.8]})
    for _ in range(5):
        node.readers["a"].ran += 0.125
        node.pass_(1.5)
    looks = len(node.told)

    node.readers["a"].ran += 1.2
    node.pass_(1.5)

    assert len(node.told) == looks + 1
    before = node.told[-1].before
    assert before.clock == node.now - 1.5
    assert before.values["cpu.time", "0"] == 0.625
    assert node.told[-1].due == node.now

    node.readers["a"].ran += 1.2
    node.pass_(1.5)
    assert len(node.told) == looks + 1


def test_a_vm_that_is_gone_is_not_glanced_at():
    node = Node({})
    node.sampler.glance("a", {"vm.cpu.utilization": [0.8]})
    assert node.sampler.next_due() is None


def test_a_vm_without_rules_of_mode_hybrid_is_not_glanced_at():
    node = Node({"a": Reader(GOOD)})
    node.sampler.plan("a", {Source.KERNEL: 60.0})
    node.sampler.glance("a", {"vm.cpu.utilization": [0.8]})
    node.sampler.glance("a", {})
    for _ in range(5):
        node.readers["a"].ran += 1.0
        node.pass_(1.0)
    assert len(node.told) == 1


def test_jobs_are_taken_as_long_as_somebody_asks_for_them() -> None:
    node, seen = Node({"a": Reader(GOOD)}), JobsSeen(1.0, {})
    answer = Answer({}, frozenset("a"), {"a": {}}, jobs={"a": seen})
    node.sampler.plan("a", {Source.KERNEL: 1.0, Source.BLOCK_JOBS: 15.0})
    node.jobs.clear()

    node.pass_(15.0).sampler.answered(node.endpoint, answer)
    assert node.jobs == [seen]

    node.sampler.plan("a", {Source.KERNEL: 1.0})
    node.sampler.answered(node.endpoint, answer)  # to what was asked before
    assert node.jobs == [seen, None]


def test_a_look_for_jobs_gives_no_sample_and_is_no_silence() -> None:
    node = Node({"a": Reader(GOOD)})
    node.sampler.plan("a", {Source.STATE: 1.0, Source.BLOCK_JOBS: 15.0})
    node.pass_(0.0).pass_(60.0)
    assert node.told[-1].values["telemetry.age", ""] == 60.0

    node.sampler.answered(node.endpoint, Answer({}, frozenset("a"), {"a": {}}, jobs={"a": JobsSeen(1.0, {})}))
    node.pass_(2.0)
    assert node.told[-1].values["telemetry.age", ""] == 2.0
