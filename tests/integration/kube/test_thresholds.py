# The agent's source of thresholds on a real API server, and without one.
import json
import logging
import time

import pytest

from lab.process import free_port, wait_for
from tests.unit.agent.kubernetes.test_documents import document
from virtwatch_agent.kubernetes.memory import ThresholdMemory
from virtwatch_agent.kubernetes.thresholds import KubernetesThresholds
from virtwatch_agent.observations import IdentitiesChanged, NodeChanged, ThresholdsChanged
from virtwatch_api.nodemonitor import Acknowledged
from virtwatch_kube import paths
from virtwatch_kube.client import KubeClient

NODE = "thresholds-n1"
NODE_MONITORS = paths.virtwatch("nodemonitors")


class Core:
    """Keep the newest observation of each kind, as the core would."""

    def __init__(self):
        self.received = []

    def __call__(self, observation):
        self.received.append(observation)

    def newest(self, kind):
        return next((item for item in reversed(self.received) if isinstance(item, kind)), None)

    def policies(self):
        changed = self.newest(ThresholdsChanged)
        return None if changed is None else {item.policy.name for item in changed.thresholds}

    def rejected(self):
        changed = self.newest(ThresholdsChanged)
        return None if changed is None else {item.policy.name for item in changed.rejected}

    def knows(self, *names, deadline=30):
        wait_for(lambda: self.policies() == set(names), what=f"the policies {names}", deadline=deadline)


@pytest.fixture
def source(client, tmp_path):
    """Return a way to start sources; all are stopped in the end."""
    started = []

    def start(client=client, **options):
        core = Core()
        made = KubernetesThresholds(
            client=client, node=NODE, state_dir=tmp_path, operator_namespace="virtwatch-system", **options
        )
        made.start(core)
        started.append(made)
        return made, core

    yield start
    for made in started:
        made.stop()


@pytest.fixture
def sets(client, namespace):
    """Return a way to apply ThresholdSets in a namespace of the test's own."""
    path = paths.virtwatch("thresholdsets", namespace=namespace)

    def apply(name, **spec):
        body = document(name, **spec)
        body["metadata"] = {"name": name}
        body["spec"]["policy"]["namespace"] = namespace
        client.apply(f"{path}/{name}", body, manager="test")
        return f"{path}/{name}"

    yield apply
    for item in client.list(path):
        client.delete(f"{path}/{item['metadata']['name']}")


@pytest.fixture
def nowhere(cluster, tmp_path):
    """Return a client of an API server that is not there."""
    config = json.loads(cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{free_port()}"
    (tmp_path / "nowhere").write_text(json.dumps(config))
    return KubeClient.from_environment(str(tmp_path / "nowhere"))


def test_policies_come_change_and_go(client, source, sets):
    sets("web")
    _, core = source()
    core.knows("web")
    path = sets("db")
    core.knows("web", "db")
    sets("web", hash="changed")
    wait_for(
        lambda: "changed" in {item.hash for item in core.newest(ThresholdsChanged).thresholds},
        what="the changed hash",
        deadline=30,
    )
    client.delete(path)
    core.knows("web")


def test_no_policies_at_all_is_knowledge_too(source):
    _, core = source()
    core.knows()


def test_an_unreadable_one_is_rejected_and_hinders_no_other(source, sets):
    sets("web")
    sets("odd", target={"kind": "Node"})
    _, core = source()
    core.knows("web")
    wait_for(lambda: core.rejected() == {"odd"}, what="the rejected one", deadline=30)


def test_many_at_once_are_few_deliveries(source, sets):
    for number in range(30):
        sets(f"p{number}")
    _, core = source()
    core.knows(*(f"p{number}" for number in range(30)))
    assert len([item for item in core.received if isinstance(item, ThresholdsChanged)]) == 1


def test_without_an_api_server_the_last_known_policies_are_in_force_at_once(source, sets, nowhere, tmp_path):
    sets("web")
    first, core = source()
    core.knows("web")
    first.stop()
    before = core.newest(ThresholdsChanged)
    _, again = source(client=nowhere)
    assert again.received == [before]


@pytest.mark.parametrize("seconds", [0.0, 0.2], ids=["a quick disk", "a slow disk"])
def test_what_is_judged_by_is_on_disk_first(client, sets, tmp_path, monkeypatch, seconds):
    write = ThresholdMemory._write
    monkeypatch.setattr(ThresholdMemory, "_write", lambda *given: (time.sleep(seconds), write(*given)))

    def named(documents):
        return {item["spec"]["policy"]["name"] for item in documents or []}

    class Killed(Core):
        """Look, at each delivery, at what an agent that is killed now would begin with."""

        def __call__(self, observation):
            super().__call__(observation)
            if isinstance(observation, ThresholdsChanged):
                on_disk.append((self.policies(), named(ThresholdMemory(tmp_path).load())))

    on_disk = []
    core = Killed()
    source = KubernetesThresholds(client=client, node=NODE, state_dir=tmp_path, operator_namespace="virtwatch-system")
    source.start(core)
    try:
        path = sets("web")
        core.knows("web")
        client.delete(path)
        core.knows()
        sets("db")
        core.knows("db")
    finally:
        source.stop()
    assert [known == remembered for known, remembered in on_disk] == [True] * len(on_disk)


def test_what_was_deleted_while_the_agent_was_away_is_gone_once_the_api_server_answers(client, source, sets):
    path = sets("web")
    first, core = source()
    core.knows("web")
    first.stop()
    client.delete(path)
    _, again = source()
    assert again.received[0].thresholds
    again.knows()


def test_a_restart_that_finds_nothing_new_delivers_nothing_new(source, sets):
    sets("web")
    first, core = source()
    core.knows("web")
    first.stop()
    second, again = source()
    wait_for(lambda: second._thresholds.synced, what="the list", deadline=30)
    wait_for(lambda: again.newest(IdentitiesChanged) is not None, what="the VMs", deadline=30)
    assert len([item for item in again.received if isinstance(item, ThresholdsChanged)]) == 1


def vmi(name, *, node=NODE, **status):
    labels = {"kubevirt.io/nodeName": node, "tier": "web"}
    return {
        "apiVersion": paths.KUBEVIRT,
        "kind": "VirtualMachineInstance",
        "metadata": {"name": name, "labels": labels},
        "spec": {"domain": {"devices": {}}},
        "status": status,
    }


def test_only_this_nodes_vms_are_known(client, source, namespace):
    path = paths.resource(paths.KUBEVIRT, "virtualmachineinstances", namespace=namespace)
    client.create(path, vmi("mine", activePods={"pod-1": NODE, "pod-2": "other"}))
    client.create(path, vmi("theirs", node="other", activePods={"pod-3": "other"}))
    _, core = source()

    def mine(*pods):
        changed = core.newest(IdentitiesChanged)
        return changed is not None and {(item.name, item.pod_uids) for item in changed.identities} == set(pods)

    wait_for(lambda: mine(("mine", ("pod-1",))), what="this node's VM", deadline=30)
    client.apply(f"{path}/theirs", vmi("theirs", activePods={"pod-4": NODE}), manager="test")
    wait_for(lambda: mine(("mine", ("pod-1",)), ("theirs", ("pod-4",))), what="the VM that migrated", deadline=30)
    client.delete(f"{path}/mine")
    wait_for(lambda: mine(("theirs", ("pod-4",))), what="the deletion", deadline=30)


@pytest.mark.parametrize("known", [True, False], ids=["the watch has said it", "the watch has not said it"])
def test_where_a_vm_migrated_is_known_before_it_is_gone(client, source, namespace, known):
    path = paths.resource(paths.KUBEVIRT, "virtualmachineinstances", namespace=namespace)
    state = {"migrationState": {"targetNode": "other", "sourceNode": NODE}, "activePods": {"pod-1": NODE}}
    client.create(path, vmi("moves", **(state if known else {"activePods": {"pod-1": NODE}})))
    client.create(path, vmi("deleted", activePods={"pod-2": NODE}))
    _, core = source()

    def mine():
        changed = core.newest(IdentitiesChanged)
        return None if changed is None else {item.name for item in changed.identities}

    wait_for(lambda: mine() == {"moves", "deleted"}, what="both VMs", deadline=30)
    client.delete(f"{path}/deleted")
    wait_for(lambda: mine() == {"moves"}, what="the deletion", deadline=30)
    client.apply(f"{path}/moves", vmi("moves", node="other", **state), manager="test")
    wait_for(lambda: mine() == set(), what="the VM's departure", deadline=30)

    said = [item for changed in core.received if isinstance(changed, IdentitiesChanged) for item in changed.identities]
    last = [item for item in said if item.name == "moves"][-1]
    assert (last.migration_target, last.pod_uids) == ("other", ("pod-1",))
    assert {item.migration_target for item in said if item.name == "deleted"} == {""}


def test_a_vm_that_came_and_went_between_two_looks_was_here(client, source, namespace, monkeypatch):
    """So an agent that is slow to look knows that an alert's VM was on its node, and that it has stopped."""
    monkeypatch.setattr("virtwatch_agent.kubernetes.thresholds.SETTLE_S", 2.0)
    path = paths.resource(paths.KUBEVIRT, "virtualmachineinstances", namespace=namespace)
    _, core = source()
    wait_for(lambda: core.newest(IdentitiesChanged) is not None, what="the list", deadline=30)

    client.create(path, vmi("passes", activePods={"pod-1": NODE}))
    client.apply(f"{path}/passes", vmi("passes", activePods={}), manager="test")
    client.delete(f"{path}/passes")

    def looks():
        return [
            [(one.name, one.pod_uids) for one in item.identities]
            for item in core.received
            if isinstance(item, IdentitiesChanged)
        ]

    wait_for(lambda: len(looks()) == 3, what="what came and went", deadline=30)
    assert looks() == [[], [("passes", ("pod-1",))], []]


def test_what_the_operator_acknowledges_is_heard_and_the_agents_own_writes_are_not(client, source):
    new = []
    body = {"apiVersion": paths.VIRTWATCH, "kind": "NodeMonitor", "metadata": {"name": NODE, "labels": {"zone": "a"}}}
    _, core = source(on_new_node_monitor=lambda: new.append(1))
    client.create(NODE_MONITORS, body)
    path = paths.virtwatch("nodemonitors", name=NODE)
    try:
        wait_for(lambda: core.newest(NodeChanged) == NodeChanged({"zone": "a"}, None), what="the labels", deadline=30)
        wait_for(lambda: new == [1], what="the word that it is new, which another thread says", deadline=30)
        client.apply(f"{path}/status", {**body, "status": {"epoch": "e1"}}, manager="agent")
        client.apply(path, {**body, "spec": {"acknowledged": {"epoch": "e1", "sequence": 3}}}, manager="operator")
        wait_for(
            lambda: core.newest(NodeChanged).acknowledged == Acknowledged("e1", 3),
            what="the acknowledgement",
            deadline=30,
        )
    finally:
        client.delete(path)
    assert len([item for item in core.received if isinstance(item, NodeChanged)]) == 2
    assert new == [1]


def test_a_disk_that_refuses_costs_the_memory_alone(client, source, sets, tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="virtwatch_agent")
    (tmp_path / "thresholds.new").mkdir()
    sets("web")
    made, core = source()
    core.knows("web")
    wait_for(lambda: bool(caplog.records), what="the line about the disk", deadline=30)
    sets("db")
    core.knows("web", "db")
    made.stop()
    assert len([line for line in caplog.messages if "cannot be written" in line]) == 1


def test_it_ends_at_once_though_the_api_server_is_gone(source, nowhere):
    made, _ = source(client=nowhere)
    made.stop()
    wait_for(lambda: not made._thread.is_alive(), what="its thread to end", deadline=10)
