# The promise of the journal: every transition has its Events once, whoever dies when, and none is acknowledged before.
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import NoOpTracer

from tests.unit.operator.builders import AT, CLUSTER_POLICY, PLAIN, TRUSTING, VMI, monitor, status, transition
from virtwatch_api.nodemonitor import Acknowledged
from virtwatch_kube.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from virtwatch_operator.announce.announcer import Announcer
from virtwatch_operator.announce.continuity import Continuity
from virtwatch_operator.announce.sinks import TURN_S
from virtwatch_operator.events.recorder import Outcome, Recorder
from virtwatch_operator.events.reminders import Reminders
from virtwatch_operator.events.sink import EventSink
from virtwatch_operator.events.storm_recorder import StormRecorder
from virtwatch_operator.fleet import Fleet

FLEET = Fleet(
    trust=TRUSTING,
    down=lambda node: False,
    waiting=lambda node: None,
    reported=lambda policy: None,
    presence_changed=lambda: None,
)


class Killed(BaseException):
    """A kill -9: nothing below may catch it."""


class ApiServer:
    """Stores Events by name and the newest acknowledgement; `faults` holds what the next requests meet."""

    def __init__(self, faults=()):
        self.events = {}
        self.acknowledged = None
        self.faults = list(faults)
        self.requests = 0
        self.client_is_dead = False

    def create(self, path, body):
        name = (body["metadata"]["namespace"], body["metadata"]["name"])
        with self._fault():
            if name in self.events:
                raise Conflict("AlreadyExists", status=409, reason="AlreadyExists")
            self.events[name] = body

    def get(self, path):
        with self._fault():
            namespace, name = path.split("/")[-3], path.split("/")[-1]
            if (namespace, name) not in self.events:
                raise NotFound("none", status=404)
            return self.events[namespace, name]

    def apply(self, path, body, *, manager):
        with self._fault():
            if body["kind"] == "Event":
                name = body["metadata"]["namespace"], body["metadata"]["name"]
                if _fixed(self.events.get(name, body)) != _fixed(body):
                    raise Invalid("only the series may change", status=422)
                self.events[name] = body
            else:
                told = body["spec"]["acknowledged"]
                self.acknowledged = Acknowledged(told["epoch"], told["sequence"])

    def _fault(self):
        if self.client_is_dead:
            raise Killed
        self.requests += 1
        error, when = (self.faults.pop(0) if self.faults else None) or (None, "before")
        self.client_is_dead = isinstance(error, Killed)
        return _Fault(error, when)


def _fixed(event):
    return {key: value for key, value in event.items() if key not in ("series", "metadata")}


class _Fault:
    """Raises before the request is served, or after it was: the answer is lost."""

    def __init__(self, error, when):
        self.error, self.when = error, when

    def __enter__(self):
        if self.error is not None and self.when == "before":
            raise self.error

    def __exit__(self, *_):
        if self.error is not None and self.when == "after":
            raise self.error


class World:
    """One node, one API server and the leader of the day, who leads since `begun`."""

    def __init__(self, *transitions, burst=1000, faults=(), begun=AT - 3600):
        self.api = ApiServer(faults)
        self.status = status(*transitions)
        self.outcomes = []
        self.again = []
        self.burst = burst
        self.begun = begun
        self.clock = 0.0
        self.start()

    def start(self):
        self.api.client_is_dead = False
        recorder = Recorder(client=self.api, burst=self.burst, count=self.outcomes.append)
        reminders = Reminders(firing=tuple, instance="operator-0")
        storms = StormRecorder(client=self.api, recorder=recorder, clock=lambda: self.begun)
        self.sink = EventSink(recorder, storms=storms, reminders=reminders, tracer=NoOpTracer())
        self.handed = deque()
        self.announcer = Announcer(
            client=self.api,
            hand=self.handed.extend,
            trust=TRUSTING,
            continuity=Continuity(client=self.api, fleet=FLEET, trust=TRUSTING, gone=lambda node: False),
            monitor_of=lambda node: self.monitor,
            policy_uid=lambda key: "policy-uid",
            again=self.again.append,
            tracer=NoOpTracer(),
            instance="operator-0",
            clock=lambda: self.clock,
        )

    def announce(self):
        """Decide, let the sink take what it can, and acknowledge that, as the leader's threads do."""
        self.announcer.announce("n1")
        try:
            while self.handed:
                for _ in range(self.sink.take([item.news for item in self.handed])):
                    self.handed.popleft().all_took()
        finally:
            if not self.api.client_is_dead:
                self.announcer.announce("n1")

    def ask_slowly(self, key):
        """Take a whole turn."""
        self.clock += TURN_S + 0.01
        return "policy-uid"

    @property
    def monitor(self):
        return monitor(self.status, acknowledged=self.api.acknowledged)

    def told(self):
        return sorted((body["eventTime"], body["regarding"]["kind"]) for body in self.api.events.values())


def some(count):
    return [transition(sequence, at=1_795_000_000 + sequence) for sequence in range(1, count + 1)]


def test_each_transition_is_told_twice_and_then_acknowledged():
    world = World(*some(3))
    world.announce()
    assert len(world.api.events) == 6
    assert world.api.acknowledged == Acknowledged("e1", 3)


def test_what_was_acknowledged_is_not_told_again_though_the_watch_is_late():
    world = World(*some(3))
    world.announce()
    requests, world.api.acknowledged = world.api.requests, None
    world.announce()
    assert world.api.requests == requests


def test_an_acknowledgement_that_was_written_over_is_written_again():
    """An agent whose list is full says nothing new before it hears of it: else both waited for each other."""
    world = World(*some(3))
    world.announce()
    world.api.acknowledged = Acknowledged("e1", 1)
    world.again.clear()

    world.announce()
    assert world.again == ["n1", "n1"]
    world.clock += 5.0
    world.announce()

    assert world.api.acknowledged == Acknowledged("e1", 3)
    assert len(world.api.events) == 6


def test_a_node_whose_turn_is_over_is_looked_at_again():
    world = World(*some(12))
    world.announcer._policy_uid = world.ask_slowly
    world.announcer.announce("n1")
    assert world.again == ["n1"]
    assert [item.news.transition.sequence for item in world.handed] == [1, 2, 3, 4, 5, 6, 7, 8]

    world.announce()
    assert world.api.acknowledged == Acknowledged("e1", 12)
    assert len(world.api.events) == 24


def test_a_node_with_a_new_epoch_starts_at_the_beginning():
    world = World(*some(3))
    world.announce()
    world.status = status(*some(1), epoch="e2")
    world.announce()
    assert len(world.api.events) == 8
    assert world.api.acknowledged == Acknowledged("e2", 1)


def test_a_nodemonitor_that_was_made_anew_is_acknowledged_again():
    world = World(*some(2))
    world.announce()
    world.api.acknowledged = None
    world.announcer._monitor_of = lambda node: monitor(world.status, uid="u2")
    world.announce()
    assert world.api.acknowledged == Acknowledged("e1", 2)
    assert len(world.api.events) == 4


def test_what_was_told_before_a_failure_is_acknowledged_all_the_same():
    world = World(*some(3), faults=[None, None, (Unavailable("down"), "before")])
    with pytest.raises(Unavailable):
        world.announce()
    assert world.api.acknowledged == Acknowledged("e1", 1)
    world.announce()
    assert world.api.acknowledged == Acknowledged("e1", 3)
    assert len(world.told()) == 6


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NotFound('namespaces "shop" not found', status=404), Outcome.NOWHERE),
        (Forbidden("unable to create new content: it is being terminated", status=403), Outcome.NOWHERE),
        (Invalid("note: too long", status=422), Outcome.REFUSED),
        (Forbidden('events "e" is forbidden: exceeded quota: small', status=403), Outcome.REFUSED),
        (Forbidden('admission webhook "w" denied the request: no Events here', status=403), Outcome.REFUSED),
        (Forbidden("ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no", status=403), Outcome.REFUSED),
    ],
)
def test_an_event_that_can_never_be_created_holds_up_nothing(error, outcome):
    world = World(*some(2), faults=[(error, "before")])
    world.announce()
    assert world.outcomes == [outcome, Outcome.CREATED, Outcome.CREATED, Outcome.CREATED]
    assert world.api.acknowledged == Acknowledged("e1", 2)


def test_a_missing_right_is_no_reason_to_lose_anything():
    world = World(*some(1), faults=[(Forbidden("events is forbidden", status=403), "before")])
    with pytest.raises(Forbidden):
        world.announce()
    assert world.api.acknowledged is None


def test_events_that_are_refused_use_up_the_budget_so_that_they_flood_no_log(caplog):
    refusal = (Forbidden('events "e" is forbidden: exceeded quota: small', status=403), "before")
    world = World(*some(30), faults=[refusal] * 12, burst=5)  # ten Events and two summaries
    world.announce()
    assert world.api.acknowledged == Acknowledged("e1", 30)
    assert world.outcomes.count(Outcome.WITHHELD) == 50
    assert len(caplog.records) == 12


def test_a_storm_is_cut_to_the_budget_counted_and_acknowledged():
    world = World(*some(30), burst=25)
    world.announce()
    assert world.api.acknowledged == Acknowledged("e1", 30)
    told = [body for body in world.api.events.values() if body["reason"] != "AlertsWithheld"]
    summaries = [body for body in world.api.events.values() if body["reason"] == "AlertsWithheld"]
    assert len(told) == 50
    assert sorted(body["regarding"]["kind"] for body in summaries) == ["MonitorPolicy", "VirtualMachineInstance"]
    assert world.outcomes.count(Outcome.WITHHELD) == 10


def test_a_policy_shares_its_budget_over_all_its_vms_and_each_vm_has_its_own():
    mixed = [transition(number, subject=PLAIN if number % 2 else VMI, policy=CLUSTER_POLICY) for number in range(1, 21)]
    world = World(*mixed, burst=15)
    world.announce()
    told = [body["regarding"]["kind"] for body in world.api.events.values() if body["reason"] != "AlertsWithheld"]
    assert {kind: told.count(kind) for kind in told} == {
        "VirtualMachineInstance": 10,
        "Node": 10,
        "ClusterMonitorPolicy": 15,
    }


FAULTS = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from([Unavailable("down", status=503), Killed(), Forbidden("no", status=403)]),
        st.sampled_from(["before", "after"]),
    ),
)


@given(st.lists(FAULTS, max_size=60), st.integers(1, 12), st.integers(1, 5))
def test_whatever_fails_or_dies_every_transition_is_told_once(faults, count, listed):
    world = World(faults=faults)
    journal = some(count)
    for _ in range(len(faults) + count + 1):
        acknowledged = world.api.acknowledged.sequence if world.api.acknowledged else 0
        waiting = [item for item in journal if item.sequence > acknowledged]
        for item in journal[:acknowledged]:
            assert sum(f".{item.sequence}." in name for _, name in world.api.events) == 2
        if not waiting:
            break
        world.status = status(*waiting[:listed])
        try:
            world.announce()
        except (Unavailable, Forbidden):
            pass
        except Killed:
            world.start()
    assert world.api.acknowledged == Acknowledged("e1", count)
    assert len(world.told()) == len(set(world.told())) == 2 * count
