# A Lease is held by one, by a clock that nobody sets.
import copy
from contextlib import suppress

import pytest

from virtwatch_kube import election
from virtwatch_kube.election import GIVE_UP_S, LEASE_S, RENEW_S, Election
from virtwatch_kube.errors import Conflict, NotFound, Unavailable
from virtwatch_kube.outage import Outage
from virtwatch_process.outages import Outages


class Leases:
    """Holds one Lease, as an API server does."""

    def __init__(self):
        self.lease, self.version, self.down = None, 0, False

    def get(self, path):
        if self.down:
            raise Unavailable("no answer")
        if self.lease is None:
            raise NotFound("no Lease", status=404, reason="NotFound")
        return copy.deepcopy(self.lease)

    def create(self, path, body, *, manager):
        return self._store(body)

    def replace(self, path, body, *, manager):
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise Conflict("changed", status=409)
        return self._store(body)

    def _store(self, body):
        self.version += 1
        self.lease = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return copy.deepcopy(self.lease)


class Replica:
    def __init__(self, leases, identity, now):
        self.election = Election(
            client=leases, namespace="n", name="l", identity=identity, elected=lambda: None, clock=now
        )

    def turn(self):
        with suppress(Unavailable):
            self.election._turn()
        return self.election.leads


@pytest.fixture
def world():
    class World:
        now = 1000.0

        def __init__(self):
            self.leases = Leases()
            self.a, self.b = (Replica(self.leases, name, lambda: self.now) for name in "ab")

    return World()


def test_one_leads_and_the_other_waits_for_as_long_as_it_renews(world):
    assert world.a.turn()
    for _ in range(20):
        world.now += 2
        assert world.a.turn()
        assert not world.b.turn()


def test_a_dead_leader_is_followed_after_its_lease_and_not_before(world):
    world.a.turn()
    world.b.turn()
    world.now += LEASE_S - 0.1
    assert not world.b.turn()
    world.now += 0.2
    assert world.b.turn()
    assert world.leases.lease["spec"]["leaseTransitions"] == 2


def test_a_wall_clock_that_is_set_makes_no_second_leader(world, monkeypatch):
    world.a.turn()
    world.b.turn()

    class Future(election.datetime):
        @classmethod
        def now(cls, tz=None):
            return super().now(tz).replace(year=2099)

    monkeypatch.setattr(election, "datetime", Future)
    world.now += 1
    assert not world.b.turn()


def test_a_leader_that_finds_itself_replaced_or_cannot_renew_leads_no_more(world):
    world.a.turn()
    world.leases.down = True
    world.now += RENEW_S
    assert world.a.turn()
    world.now += GIVE_UP_S - RENEW_S + 0.1
    assert not world.a.turn()
    assert world.a.election.lost


def test_a_leader_that_was_frozen_past_its_lease_writes_nothing_when_it_thaws(world):
    world.a.turn()
    world.b.turn()
    world.now += LEASE_S + 1
    assert not world.a.election.leads  # before it has looked
    assert world.b.turn()
    world.a.turn()
    assert world.a.election.lost


def test_an_api_server_that_is_absent_is_one_line_for_the_process(caplog):
    class Absent:
        def get(self, path):
            replica._stopping.set()
            raise Unavailable("no answer")

    outages = Outages()
    replica = Election(client=Absent(), namespace="n", name="l", identity="a", elected=lambda: None, outages=outages)
    Outage("The watch", consequence="it waits", among=outages).failed(Unavailable("no answer"))
    replica._run()
    assert [record.getMessage() for record in caplog.records] == ["The watch is lost; it waits. no answer"]


def test_a_lease_that_is_released_is_taken_at_the_next_look(world):
    world.a.turn()
    world.b.turn()
    world.a.election.release()
    assert not world.a.election.leads
    assert world.b.turn()
