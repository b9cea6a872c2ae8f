"""When two figures of each vCPU say that a VM is worth a look."""

import random

from virtwatch_agent.collect.kernel.jumps import SIGNALS, Jumps
from virtwatch_agent.judge.derive import Deriver
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_api.targets import vm_ref

SECOND = 1_000_000_000


class Vm:
    """Let vCPUs run, and wait, for shares of a second."""

    def __init__(self, **bounds: list[float]) -> None:
        self.jumps = Jumps({f"vm.cpu.{name.replace('_', '.')}": values for name, values in bounds.items()})
        self.threads = [(0, 0), (0, 0)]
        self.jumps.begin([b"0 0 1", b"0 0 1"])

    def runs(self, *ran: float, waited: float = 0.0) -> bool:
        more = zip(self.threads, ran, strict=True)
        self.threads = [(old[0] + int(share * SECOND), old[1] + int(waited * SECOND)) for old, share in more]
        return self.jumps.next([b"%d %d 7" % item for item in self.threads], seconds=1.0)


def test_a_vm_that_crosses_a_bound_is_worth_a_look_once():
    vm = Vm(utilization=[0.8, 0.6])
    told = [vm.runs(share, share) for share in (0.2, 0.25, 0.3, 0.7, 0.75, 0.85, 0.86, 0.79)]
    assert told == [False, False, False, True, False, True, False, True]


def test_a_jump_towards_a_bound_is_told_before_it_is_there():
    vm = Vm(utilization=[0.99])
    noise = random.Random(1)
    assert not any(vm.runs(share, share) for share in [0.2 + noise.uniform(-0.03, 0.03) for _ in range(30)])
    assert not vm.runs(0.5, 0.5)
    assert not vm.runs(0.2, 0.2)
    assert vm.runs(0.7, 0.7)
    assert not vm.runs(0.7, 0.7)


def test_what_changes_all_the_time_is_no_jump():
    vm = Vm(utilization=[0.99])
    told = [vm.runs(share, share) for share in [0.1, 0.7] * 60]
    assert not any(told[40:])


def test_a_vm_that_comes_to_rest_jumps_once():
    """Its threads are then as they were: that says all that parsing them would."""
    vm = Vm(utilization=[0.9])
    for _ in range(10):
        vm.runs(1.0, 1.0)
    assert [vm.runs(0.0, 0.0) for _ in range(3)] == [True, False, False]
    assert vm.runs(1.0, 1.0)


def test_the_busiest_vcpu_and_waiting_are_followed_where_asked():
    assert [Vm(worst_utilization=[0.9]).runs(1.0, 0.0)] == [False]  # the first glance has nothing to compare with
    vm = Vm(worst_utilization=[0.9], delay_ratio=[0.1])
    assert not vm.runs(0.2, 0.1)
    assert vm.runs(1.0, 0.0)
    assert vm.runs(1.0, 0.0, waited=0.2)
    assert not vm.runs(1.0, 0.0, waited=0.2)


def test_glances_mean_what_the_catalogue_says():
    """Each signal that glances follow is, of two samples, what its formula makes of them."""
    ran, waited = (0.25, 0.75), 0.5
    values = [{("cpu.count", ""): 2.0}, {("cpu.count", ""): 2.0}]
    for number, share in enumerate(ran):
        values[0] |= {("cpu.time", str(number)): 0.0, ("cpu.delay", str(number)): 0.0}
        values[1] |= {("cpu.time", str(number)): share, ("cpu.delay", str(number)): waited}
    deriver = Deriver()
    deriver.want(SIGNALS)
    for at, taken in enumerate(values):
        points = deriver.derive(Sample(vm_ref("u"), Source.KERNEL, "1", 0.0, at, at, taken))
    derived = {point.signal: point.value for point in points}
    for name, (figure, worst) in SIGNALS.items():
        figures = (ran, (waited, waited))[figure]
        assert derived[name] == (max(figures) if worst else sum(figures) / 2), name
