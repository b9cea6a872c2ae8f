"""Patterns over nodes: which pools a node may speak of, how they are called, and what is kept of it all."""

import json
from dataclasses import replace

import pytest
from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer

from tests.unit.operator.builders import AT, VMI, transition
from virtwatch_api.alert import Action, Reason
from virtwatch_api.compile import compile_policy
from virtwatch_api.nodemonitor import Evidence, Pool
from virtwatch_api.policy import Policy, PolicyKey, PolicyKind
from virtwatch_api.policy_codec import API_VERSION, parse_policy
from virtwatch_api.targets import vm_ref
from virtwatch_api.thresholdset import ThresholdSet, encode_spec
from virtwatch_kube.errors import NotFound, Unavailable
from virtwatch_operator.announce.sinks import News, Origin
from virtwatch_operator.patterns.sink import PatternSink
from virtwatch_operator.patterns.state import PatternStore

KEY = PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "base")
FAST = Pool("storageclass/fast", "call +1 555 0100")


def thresholds(by, *, enforcement):
    count = {"type": "vm.crashed", "atLeast": 2, "by": by}
    rule = {"name": "together", "severity": "Critical", "pattern": {"count": count, "within": "10m"}}
    metadata = {"name": "base", "uid": "u", "generation": 1}
    spec = {"rules": [rule], "enforcement": enforcement}
    policy = parse_policy(
        {"apiVersion": API_VERSION, "kind": "ClusterMonitorPolicy", "metadata": metadata, "spec": spec}
    )
    assert isinstance(policy, Policy), policy
    made = compile_policy(policy)
    assert isinstance(made, ThresholdSet), made
    spec = encode_spec(made, created="2026-01-01T00:00:00Z")
    return {"apiVersion": API_VERSION, "kind": "ThresholdSet", "spec": spec}


class Api:
    """Holds a policy's thresholds and the ConfigMap; `lost` answers about thresholds are lost."""

    def __init__(self, by, enforcement):
        self.thresholds = thresholds(by, enforcement=enforcement)
        self.kept, self.lost = None, 0

    def get(self, path):
        if "/thresholdsets/" in path:
            if self.lost:
                self.lost -= 1
                raise Unavailable("it does not answer", status=503)
            return json.loads(json.dumps(self.thresholds))
        if self.kept is None:
            raise NotFound(path)
        return {"data": {"patterns": self.kept}}

    def apply(self, path, body, *, manager):
        self.kept = body["data"]["patterns"]


class World:
    def __init__(self, *, by="StoragePool", enforcement="Enforce"):
        self.api, self.handed, self.now = Api(by, enforcement), [], AT
        self.lead()

    def lead(self):
        self.sink = PatternSink(
            store=PatternStore(client=self.api, namespace="virtwatch-system"),
            hand=self.handed.extend,
            changed=lambda policy: None,
            instance="operator-0",
            tracer=NoOpTracer(),
            clock=lambda: self.now,
        )

    def crash(self, pool=None, *, vm=0, node="n1"):
        subject = replace(VMI, target=vm_ref(f"uuid-{vm}"), name=f"web-{vm}", node=node)
        said = transition(action=Action.COUNTED, reason=Reason.EVENT, policy=KEY, rule="together", subject=subject)
        said = replace(said, severity=None, since=self.now, evidence=Evidence("vm.crashed"), pool=pool)
        self.sink.take([News(said, Origin(node, "e1", "u", "operator-0"), Context())])

    @property
    def firing(self):
        return [item.subject.label for item in self.sink.firing(KEY)]


@pytest.mark.parametrize(
    ("pool", "name"),
    [
        (FAST, "fast"),
        (Pool("0a6f1c1e-4b5a", "images_2.fast"), "images_2.fast"),
        (Pool("0a6f1c1e-4b5a", "call +1 555 0100"), "0a6f1c1e-4b5a"),
        (Pool("0a6f1c1e-4b5a", "x" * 65), "0a6f1c1e-4b5a"),
    ],
)
def test_no_node_names_a_shared_pool_in_free_words(pool, name):
    world = World()
    world.crash(pool, vm=1)
    world.crash(pool, vm=2, node="n2")
    assert world.firing == [name]
    world.lead()
    assert world.firing == [name]


def test_a_pool_whose_id_is_none_counts_nothing():
    world = World()
    world.crash(Pool("call +1 555 0100", "fast"), vm=1)
    world.crash(Pool("call +1 555 0100", "fast"), vm=2)
    assert world.firing == []


def test_what_would_have_fired_is_counted_once_after_failed_tries():
    world = World(enforcement="Observe")
    world.crash(FAST, vm=1)
    world.crash(FAST, vm=2)
    assert world.sink.would_have_fired(KEY) == 1
    world.lead()
    world.api.lost = 3
    for _ in range(3):
        with pytest.raises(Unavailable):
            world.sink.tick()
    assert world.sink.would_have_fired(KEY) == 1


def test_a_node_speaks_of_64_pools_at_a_time_and_is_told_once(caplog):
    world = World()
    for number in range(70):
        world.crash(Pool(f"pool-{number}", "images"), vm=number)
    world.crash(Pool("pool-69", "images"), vm=1)
    assert world.firing == []
    assert caplog.text.count("node n1 reports events of more than 64 storage pools") == 1

    world.now += 1300  # twice `within`
    world.sink.tick()
    world.crash(Pool("pool-69", "images"), vm=1)
    world.crash(Pool("pool-69", "images"), vm=2)
    assert len(world.firing) == 1


def test_alerts_of_pools_stand_where_older_operators_see_none():
    world = World()
    world.crash(FAST, vm=1)
    world.crash(FAST, vm=2)
    kept = json.loads(world.api.kept)
    assert kept["alerts"] == []
    assert [item["memory"]["group"] for item in kept["poolAlerts"]] == ["pool/storageclass/fast"]


def test_alerts_of_namespaces_stand_where_they_stood():
    world = World(by="Namespace")
    world.crash(vm=1)
    world.crash(vm=2)
    kept = json.loads(world.api.kept)
    assert ([item["memory"]["group"] for item in kept["alerts"]], "poolAlerts" in kept) == (["shop"], False)
