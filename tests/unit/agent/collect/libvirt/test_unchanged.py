"""When figures of a VM cannot have changed, so that QEMU is not asked for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.unchanged import LONGEST_S, Unchanged
from virtwatch_agent.observations import Series
from virtwatch_api.catalogue.readings import Source

POOL = Devices(off_main_loop=True, stats_period=10.0)
MAIN_LOOP = Devices(stats_period=10.0)
WRITTEN = {("disk.write.operations", "vda"): 7.0}
DRIVERLESS = {("memory.balloon", ""): 9.0, ("memory.maximum", ""): 9.0}
REPORTED = {("memory.usable", ""): 5.0, ("memory.balloon", ""): 9.0, ("memory.guest.updated", ""): 1000.0}


@dataclass
class Vm:
    """One VM whose threads run as the test says."""

    devices: Devices = POOL
    paused: bool = False
    now: float = 0.0
    vcpus: int = 0
    disks: int = 0
    looked_at: float = 0.0
    started: float = 1000.0
    has_process: bool = True
    reader: Any = field(init=False)

    def __post_init__(self) -> None:
        process = SimpleNamespace(folder=Path("/proc/1"), started=self.started)
        self.reader = SimpleNamespace(process=process) if self.has_process else None
        self.unchanged = Unchanged(lambda _: self)  # type: ignore[arg-type, return-value]

    def look(self, *, now: float) -> None:
        self.looked_at = now

    def held(self, source: Source = Source.BLOCK, *, after: float = 10.0) -> Any:
        """Let time pass; return what is held of a source, None where QEMU is asked."""
        self.now += after
        held = self.unchanged.look(
            "a", source, self.reader, self.devices, paused=self.paused, at=1000.0 + self.now, clock=self.now
        )
        values = list(self.unchanged.release("a"))
        assert bool(values) is held
        return values[0] if values else None

    def ask(self, source: Source = Source.BLOCK, *, answer: Mapping[Series, float] | None = None) -> None:
        assert self.held(source) is None
        usual = WRITTEN if source is Source.BLOCK else REPORTED
        self.unchanged.answered("a", source, usual if answer is None else answer)


def test_disks_whose_threads_rest_are_not_asked() -> None:
    vm = Vm()
    vm.ask()
    held = vm.held()
    assert (held.values, held.at, held.clock) == (WRITTEN, 1020.0, 20.0)


def test_a_guest_that_only_computes_leaves_its_disks_alone() -> None:
    vm = Vm()
    vm.ask()
    vm.vcpus += 1
    assert vm.held() is not None


def test_disks_whose_threads_ran_are_asked() -> None:
    vm = Vm()
    vm.ask()
    vm.disks += 1
    assert vm.held() is None


def test_what_ran_between_the_question_and_its_answer_is_asked_again() -> None:
    vm = Vm()
    assert vm.held() is None
    vm.disks += 1
    vm.unchanged.answered("a", Source.BLOCK, WRITTEN)
    assert vm.held() is None


def test_a_late_answer_counts_from_its_own_question() -> None:
    vm = Vm()
    assert vm.held() is None
    vm.disks += 1
    assert vm.held() is None  # asked again, and both questions wait
    vm.unchanged.answered("a", Source.BLOCK, WRITTEN)
    assert vm.held() is None


def test_disks_of_the_main_loop_are_asked_unless_the_vm_is_paused() -> None:
    vm = Vm(MAIN_LOOP)
    vm.ask()
    assert vm.held() is None

    vm.paused = True
    vm.unchanged.answered("a", Source.BLOCK, WRITTEN)
    assert vm.held() is None, "it was asked while the guest ran"
    vm.unchanged.answered("a", Source.BLOCK, WRITTEN)
    assert vm.held() is not None
    vm.vcpus += 1
    assert vm.held() is None, "it ran in between"


def test_figures_are_asked_every_minute_all_the_same() -> None:
    vm = Vm()
    vm.ask()
    assert [vm.held() is not None for _ in range(7)] == [True] * 5 + [False, False]


def test_a_thin_volume_is_asked_for_the_host_extends_it() -> None:
    vm = Vm(Devices(off_main_loop=True, volumes={"vda": "/dev/vg/lv"}))
    vm.ask()
    assert vm.held() is None


def test_other_devices_are_asked() -> None:
    vm = Vm()
    vm.ask()
    vm.devices = Devices(off_main_loop=True, disks=("vdb",))
    assert vm.held() is None


def test_a_new_qemu_is_asked() -> None:
    vm = Vm()
    vm.ask()
    vm.unchanged.forget("a")
    assert vm.held() is None


def test_memory_of_a_guest_that_does_not_run_grows_old() -> None:
    vm = Vm()
    vm.ask(Source.BALLOON)
    fresh = vm.held(Source.BALLOON)
    assert fresh.values == REPORTED | {("memory.guest.age", ""): 20.0}
    stale = vm.held(Source.BALLOON, after=20.0)
    assert stale.values == {
        ("memory.balloon", ""): 9.0,
        ("memory.guest.updated", ""): 1000.0,
        ("memory.guest.age", ""): 40.0,
    }


def test_memory_of_a_guest_that_runs_is_asked() -> None:
    vm = Vm()
    vm.ask(Source.BALLOON)
    vm.vcpus += 1
    assert vm.held(Source.BALLOON) is None


def test_what_is_held_of_a_vm_that_does_not_answer_is_dropped() -> None:
    vm = Vm()
    vm.ask()
    vm.unchanged.look("a", Source.BLOCK, vm.reader, vm.devices, paused=False, at=1.0, clock=vm.now + 1.0)
    vm.unchanged.drop("a")
    assert list(vm.unchanged.release("a")) == []


def test_a_vm_without_a_process_here_is_asked() -> None:
    vm = Vm(has_process=False)
    vm.ask()
    assert vm.held() is None


def test_threads_are_watched_between_looks_that_are_far_apart() -> None:
    vm = Vm()
    vm.ask()
    asked = vm.looked_at
    vm.unchanged.watch(clock=asked + 0.5)
    assert vm.looked_at == asked, "it was just looked at"
    vm.unchanged.watch(clock=asked + 8.0)
    assert vm.looked_at == asked + 8.0
    vm.unchanged.watch(clock=asked + 61.0)
    assert vm.looked_at == asked + 8.0, "it is asked next time anyway"


def test_disks_that_are_flushed_without_a_thread_are_asked_for_minutes() -> None:
    """QEMU ends a flush at once where nothing was written since the one before: no thread of its pool runs."""
    vm = Vm()
    flushed = {**WRITTEN, ("disk.flush.operations", "vda"): 1.0}
    vm.ask()
    vm.unchanged.look("a", Source.BLOCK, vm.reader, POOL, paused=False, at=1000.0, clock=vm.now)
    list(vm.unchanged.release("a"))
    assert vm.held(after=60.0) is None
    vm.unchanged.answered("a", Source.BLOCK, flushed)
    assert vm.held(after=60.0) is None
    vm.unchanged.answered("a", Source.BLOCK, {**flushed, ("disk.flush.operations", "vda"): 4.0})

    for _ in range(50):
        assert vm.held() is None
        vm.unchanged.answered("a", Source.BLOCK, {**flushed, ("disk.flush.operations", "vda"): 4.0})
    vm.now += 600.0
    vm.ask()
    assert vm.held() is not None, "they are no more"


def test_disks_that_are_flushed_by_their_threads_rest_in_between() -> None:
    vm = Vm()
    for flushes in range(1, 4):
        vm.disks += 1
        assert vm.held() is None
        vm.unchanged.answered("a", Source.BLOCK, {**WRITTEN, ("disk.flush.operations", "vda"): float(flushes)})
        assert vm.held() is not None


def test_a_guest_without_a_driver_is_not_asked_for_its_memory_each_time() -> None:
    """It never reported, though QEMU asks it to: so its balloon keeps its size, whatever it computes."""
    vm = Vm(started=0.0)
    vm.ask(Source.BALLOON, answer=DRIVERLESS)
    for _ in range(5):
        vm.vcpus += 1
        held = vm.held(Source.BALLOON)
        assert held is not None
        assert held.values == DRIVERLESS
    assert vm.held(Source.BALLOON, after=LONGEST_S) is None, "a driver may have been loaded since"


def test_a_guest_that_may_yet_load_its_driver_is_asked_each_time() -> None:
    vm = Vm(started=1000.0)
    vm.ask(Source.BALLOON, answer=DRIVERLESS)
    vm.vcpus += 1
    assert vm.held(Source.BALLOON) is None


def test_a_guest_that_once_reported_is_asked_each_time() -> None:
    """It has rebooted: what it reported before is gone, its driver will report again."""
    vm = Vm(started=0.0)
    vm.ask(Source.BALLOON)
    vm.vcpus += 1
    vm.ask(Source.BALLOON, answer=DRIVERLESS)
    vm.vcpus += 1
    assert vm.held(Source.BALLOON) is None


def test_a_guest_that_nobody_asks_to_report_is_asked_each_time() -> None:
    vm = Vm(started=0.0, devices=Devices(off_main_loop=True))
    vm.ask(Source.BALLOON, answer=DRIVERLESS)
    vm.vcpus += 1
    assert vm.held(Source.BALLOON) is None
