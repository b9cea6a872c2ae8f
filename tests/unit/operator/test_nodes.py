"""What is written to NodeMonitors: what is missing there, and nothing that stands."""

import pytest

from virtwatch_kube.errors import NotFound
from virtwatch_operator.nodes.agents import AgentPods
from virtwatch_operator.nodes.nodes import (
    MANAGER,
    OBSERVED_MANAGER,
    NodeReconciler,
    differs,
    followed,
    nodemonitor_body,
)

NODE = {"metadata": {"name": "n1", "uid": "u1", "labels": {"kubernetes.io/hostname": "n1", "zone": "a"}}}
READY = {"agent": "Ready", "message": "pod agent is ready"}


class ApiServer:
    """Stands for the API server: what it is asked for, and what is applied there."""

    def __init__(self):
        self.asked, self.applied, self.others = [], [], {}

    def get(self, path):
        self.asked.append(path)
        if not path.endswith("/n1"):
            raise NotFound(path)
        return NODE

    def apply(self, path, body, *, manager):
        self.applied.append((manager, body))
        labels = {**body["metadata"].get("labels", {}), **self.others}
        return {"metadata": {"uid": "m1", **body["metadata"], "labels": labels}, "spec": body.get("spec", {})}


class World:
    def __init__(self, *, node=NODE, keys=frozenset(), received=True):
        self.server, self.keys, self.received = ApiServer(), keys, received
        self.pods = AgentPods(lambda node: None)
        status = {"conditions": [{"type": "Ready", "status": "True"}]}
        pod = {"metadata": {"name": "agent"}, "spec": {"nodeName": "n1"}, "status": status}
        self.pods.on_change(None, pod)
        self.nodes = NodeReconciler(
            client=self.server,
            pods=self.pods,
            keys=lambda: self.keys,
            node_of=lambda name: node if name == "n1" else None,
            received=lambda: self.received,
            clock=lambda: 0.0,
        )

    def stands(self, keys=(), observed=READY, **metadata):
        body = nodemonitor_body(NODE, keys)
        document = {"metadata": {"uid": "m1", **body["metadata"], **metadata}, "spec": {"observed": observed}}
        return self.nodes.noticed("n1", document)

    @property
    def managers(self):
        return [manager for manager, _ in self.server.applied]


def test_a_new_leader_writes_nothing_where_all_is_as_it_should_be():
    world = World(keys={"zone"})
    assert not world.stands(keys={"zone"})
    world.nodes.reconcile("n1")
    assert (world.server.asked, world.server.applied) == ([], [])


def test_labels_that_a_policy_selects_by_anew_are_written_once():
    world = World(keys={"zone"})
    world.stands()
    world.nodes.reconcile("n1")
    world.nodes.reconcile("n1")
    ((manager, body),) = world.server.applied
    assert manager == MANAGER
    assert body["metadata"]["labels"]["zone"] == "a"


def test_labels_that_somebody_edits_are_put_right_by_the_same_leader():
    world = World(keys={"zone"})
    world.stands()
    world.nodes.reconcile("n1")
    assert world.stands(labels={"zone": "b"})
    world.nodes.reconcile("n1")
    assert world.managers == [MANAGER, MANAGER]
    world.stands(keys={"zone"})
    world.nodes.reconcile("n1")
    assert world.managers == [MANAGER, MANAGER]


def test_labels_of_others_are_theirs_and_cost_no_further_writes():
    world = World(keys={"zone"})
    labels = {**nodemonitor_body(NODE, {"zone"})["metadata"]["labels"], "team": "a"}
    world.server.others = {"team": "a"}
    world.stands(labels=labels)
    for _ in range(3):
        world.nodes.reconcile("n1")
        world.stands(labels=labels)
    assert world.managers == [MANAGER]


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({}, False),
        ({"annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"}}, False),
        ({"annotations": {"virtwatch.io/rule.cpu": "off"}}, True),
        ({"labels": {"zone": "b"}}, True),
    ],
)
def test_a_node_that_changes_in_what_is_followed_is_looked_at(change, seen):
    assert differs(followed(NODE), {"metadata": {**NODE["metadata"], **change}}) is seen


@pytest.mark.parametrize("owner", [[], [{"uid": "another"}]])
def test_a_nodemonitor_of_a_node_that_was_made_anew_gets_its_owner(owner):
    world = World()
    world.stands(ownerReferences=owner)
    world.nodes.reconcile("n1")
    assert world.managers == [MANAGER]


def test_a_nodemonitor_is_made_only_once_all_are_known():
    world = World(received=False)
    world.nodes.reconcile("n1")
    assert world.server.applied == []
    world.received = True
    world.nodes.reconcile("n1")
    assert world.managers == [MANAGER, OBSERVED_MANAGER]


def test_a_node_that_no_watch_has_told_of_is_asked_for():
    world = World(node=None)
    world.nodes.reconcile("n1")
    assert len(world.server.asked) == 1
    assert MANAGER in world.managers


def test_what_is_seen_of_an_agent_is_written_where_it_says_something_else():
    world = World()
    assert world.stands(observed={"agent": "NotReady", "message": ""})
    world.nodes.reconcile("n1")
    assert world.managers == [OBSERVED_MANAGER]
