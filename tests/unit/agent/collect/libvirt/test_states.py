"""How long a VM has been paused, and how old its samples are."""

from virtwatch_agent.collect.libvirt.states import States
from virtwatch_agent.observations import DomainState
from virtwatch_api.catalogue.readings import Source

PAUSED, RUNNING = DomainState.PAUSED, DomainState.RUNNING


def test_the_time_of_a_pause_ends_with_it():
    states = States()
    assert states.read("a", PAUSED, "ioerror", now=10.0)["state.paused", ""] == 0
    told = states.read("a", PAUSED, "ioerror", now=75.0)
    assert told["state.paused", ""] == 65
    assert told["state", "paused (ioerror)"] == 1
    assert states.read("a", RUNNING, "unpaused", now=80.0)["state.paused", ""] == 0
    assert states.read("a", PAUSED, "user", now=90.0)["state.paused", ""] == 0


def test_the_age_is_that_of_the_source_that_is_silent_longest():
    states = States()
    states.planned("a", {Source.KERNEL: 1.0, Source.BLOCK: 5.0, Source.STATE: 1.0}, now=0.0)
    states.sampled("a", Source.KERNEL, now=9.0)
    states.sampled("a", Source.BLOCK, now=4.0)
    assert states.read("a", RUNNING, "", now=10.0)["telemetry.age", ""] == 6
    states.planned("a", {Source.KERNEL: 1.0}, now=10.0)
    assert states.read("a", RUNNING, "", now=10.0)["telemetry.age", ""] == 1


def test_a_source_that_never_answered_is_as_old_as_the_question():
    states = States()
    states.planned("a", {Source.BALLOON: 1.0}, now=5.0)
    assert states.read("a", RUNNING, "", now=25.0)["telemetry.age", ""] == 20
    states.forget("a")
    assert states.read("a", RUNNING, "", now=25.0)["telemetry.age", ""] == 0
