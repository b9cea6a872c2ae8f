# What is said of an I/O error that libvirt tells, or does not tell; time is the test's.
import sched
from pathlib import Path

import pytest

from virtwatch_agent.collect.libvirt.devices import Devices
from virtwatch_agent.collect.libvirt.emitter import Emitter
from virtwatch_agent.collect.libvirt.endpoint import Runtime
from virtwatch_agent.collect.libvirt.events import IoErrorEvent, RebootEvent
from virtwatch_agent.inventory.oom import OomKills
from virtwatch_agent.observations import Appeared, Domain, DomainState, TargetEvent, Vanished
from virtwatch_api.targets import vm_ref

DEVICES = Devices(disk_of_alias={"ua-rootdisk": "vda"})


class Told:
    def __init__(self) -> None:
        self.now = 100.0
        self.all = []
        self.together = []
        self.forgotten = []
        self.paused = True
        runtime = Runtime(
            pool=None,
            openings=None,
            post=None,
            timers=sched.scheduler(self.monotonic, self.wait),
            clock=self,
            deliver=self.take,
            processes=None,
            keepalive=None,
            oom_kills=OomKills(Path("/nowhere")),
        )
        self.timers = runtime.timers
        self.teller = Emitter(runtime, self.forgotten.append, is_paused=lambda _: self.paused)

    def take(self, *observations) -> None:
        self.all.extend(observations)
        self.together.append(observations)

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds

    def pause(self, reason="ioerror") -> None:
        self.teller.tell([TargetEvent("vm.paused", vm_ref("a"), self.now, {"reason": reason})])

    def error(self, action="pause", reason="enospc") -> None:
        self.teller.happened("a", IoErrorEvent("ua-rootdisk", action, reason), DEVICES, at=self.now)

    def errors(self):
        return [(event.attributes, event.inferred) for event in self.all if event.type == "vm.io_error"]


@pytest.fixture
def told():
    return Told()


def test_a_vms_new_state_and_what_led_to_it_are_delivered_together(told):
    state = Appeared(Domain(uuid="a", name="vm", connection="host", incarnation="1", state=DomainState.PAUSED), 100.0)
    paused = TargetEvent("vm.paused", vm_ref("a"), 100.0, {"reason": "user"})
    told.teller.tell([state, paused])
    told.teller.tell([])
    assert told.together == [(state, paused)]


def test_an_error_that_libvirt_tells_names_the_disk_as_its_readings_do(told):
    told.error()
    told.pause()
    told.timers.run()
    assert told.errors() == [({"action": "pause", "reason": "enospc", "device": "vda"}, False)]


def test_an_error_without_a_reason_has_none(told):
    told.error(reason="")
    assert told.errors() == [({"action": "pause", "device": "vda"}, False)]


def test_a_pause_by_an_error_that_libvirt_does_not_tell_is_told_as_an_error(told):
    told.pause()
    assert told.errors() == []
    told.timers.run()
    assert told.errors() == [({"action": "pause"}, True)]


def test_an_error_that_is_told_after_its_pause_is_told_once(told):
    told.pause()
    told.error()
    told.timers.run()
    told.error()
    assert len(told.errors()) == 1


def test_a_vm_that_runs_again_at_once_had_nothing_to_infer(told):
    told.pause()
    told.paused = False
    told.timers.run()
    assert told.errors() == []


def test_the_next_error_after_a_resume_is_told_again(told):
    told.error()
    told.teller.tell([TargetEvent("vm.resumed", vm_ref("a"), told.now)])
    told.error()
    assert len(told.errors()) == 2


def test_a_vm_that_vanishes_is_forgotten(told):
    told.teller.happened("a", RebootEvent(), DEVICES, at=100.0)
    told.teller.tell([Vanished("a", 100.0, "lost")])
    told.teller.happened("a", RebootEvent(), DEVICES, at=100.1)
    assert told.forgotten == ["a"]
    assert [getattr(one, "type", "vanished") for one in told.all] == ["vm.rebooted", "vanished", "vm.rebooted"]
