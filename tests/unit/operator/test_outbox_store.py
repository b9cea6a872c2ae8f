"""Outboxes in the API: written before news counts as taken, one write for many changes, found again by a new leader."""

import threading

import pytest

from lab.process import wait_for
from tests.unit.operator.builders import AT, transition
from tests.unit.operator.test_outbox import ROUTE
from virtwatch_api.channel import ChannelKey
from virtwatch_kube.errors import Conflict, NotFound, Unavailable
from virtwatch_operator.notify.outbox import Outbox, take
from virtwatch_operator.notify.store import OutboxStore

KEY = ChannelKey("shop", "oncall")


class ApiServer:
    """Holds ConfigMaps by path; `faults` are what the next writes meet, `open` lets writes through."""

    def __init__(self):
        self.held, self.writes, self.faults = {}, 0, []
        self.open = threading.Event()
        self.open.set()

    def get(self, path):
        if path not in self.held:
            raise NotFound("none", status=404)
        return self.held[path]

    def list(self, path, *, labels):
        return list(self.held.values())

    def apply(self, path, body, *, manager):
        self.open.wait(30)
        self.writes += 1
        if self.faults:
            raise self.faults.pop(0)
        before = self.held.get(path, {"metadata": {"resourceVersion": ""}})["metadata"]["resourceVersion"]
        if body["metadata"].get("resourceVersion", before) != before:
            raise Conflict("modified", status=409)
        self.held[path] = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.writes)}}
        return self.held[path]


def add(sequence):
    item = transition(sequence, rule=f"r{sequence}")
    return lambda outbox: take(outbox, item, ROUTE, id_=str(sequence), now=AT)


def rules(outbox: Outbox) -> set[str]:
    return {item.transition.alert.rule for item in outbox.waiting}


def test_a_new_leader_reads_what_the_last_one_wrote():
    api = ApiServer()
    OutboxStore(client=api, namespace="system").change(KEY, add(1))
    fresh = OutboxStore(client=api, namespace="system")
    fresh.load()
    assert fresh.channels() == [KEY]
    assert rules(fresh.get(KEY)) == {"r1"}


def test_what_was_not_written_did_not_happen():
    api = ApiServer()
    store = OutboxStore(client=api, namespace="system")
    api.faults = [Unavailable("down")]
    with pytest.raises(Unavailable):
        store.change(KEY, add(1))
    assert rules(store.get(KEY)) == set()
    store.change(KEY, add(2))
    assert rules(store.get(KEY)) == {"r2"}


def test_another_leaders_write_is_read_and_kept():
    api = ApiServer()
    old, new = (OutboxStore(client=api, namespace="system") for _ in range(2))
    old.change(KEY, add(1))
    new.change(KEY, add(2))
    old.change(KEY, add(3))
    assert rules(old.get(KEY)) == {"r1", "r2", "r3"}


def test_changes_that_come_together_share_a_write():
    api = ApiServer()
    store = OutboxStore(client=api, namespace="system")
    api.open.clear()
    threads = [threading.Thread(target=store.change, args=(KEY, add(number))) for number in range(1, 21)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(store._of(KEY).waiting) == 20, what="all to wait", deadline=30)
    api.open.set()
    for thread in threads:
        thread.join(30)
    assert rules(store.get(KEY)) == {f"r{number}" for number in range(1, 21)}
    assert api.writes <= 3


def test_an_outbox_that_cannot_be_read_is_started_anew(caplog):
    api = ApiServer()
    OutboxStore(client=api, namespace="system").change(KEY, add(1))
    for document in api.held.values():
        document["data"] = {"outbox": '{"version": 99}'}
    store = OutboxStore(client=api, namespace="system")
    store.load()
    store.change(KEY, add(2))
    assert rules(store.get(KEY)) == {"r2"}
    assert "cannot be read as an outbox" in caplog.text
