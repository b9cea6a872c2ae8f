"""An agent hears of each clone of KubeVirt's once, and of none that was done before."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.controlplane.cluster import ControlPlane
from lab.process import wait_for
from tests.integration.kube.scripted import ScriptedServer
from tests.unit.agent.kubernetes.test_clones import clone
from virtwatch_agent.kubernetes.clones import CLONES, GROUP, Clones
from virtwatch_agent.observations import Cloned, Observation
from virtwatch_kube.client import KubeClient

KIND = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{CLONES}.clone.kubevirt.io"},
    "spec": {
        "group": "clone.kubevirt.io",
        "scope": "Namespaced",
        "names": {"kind": "VirtualMachineClone", "plural": CLONES},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture
def served(cluster: ControlPlane) -> Iterator[None]:
    """Let the API server have KubeVirt's kind, as far as it is read."""
    cluster.kubectl("apply", "-f", "-", input=json.dumps(KIND))
    cluster.wait_established(f"crd/{CLONES}.clone.kubevirt.io")
    yield
    cluster.kubectl("delete", "crd", f"{CLONES}.clone.kubevirt.io")


def test_each_clone_that_succeeds_is_heard_of_once(
    served: None, cluster: ControlPlane, client: KubeClient, namespace: str
) -> None:
    def put(name: str, phase: str, **labels: str) -> None:
        made = clone(phase, targetName=f"{name}-vm")
        metadata = {"namespace": namespace, "name": name, "labels": labels}
        made |= {"apiVersion": GROUP, "kind": "VirtualMachineClone", "metadata": metadata}
        cluster.kubectl("apply", "-f", "-", input=json.dumps(made))

    heard: list[Observation] = []
    put("before", "Succeeded")
    clones = Clones(client=client, time=lambda: 7.0)
    clones.start(lambda *observations: heard.extend(observations))
    try:
        wait_for(lambda: clones.listening, what="the first list", deadline=30)
        put("now", "RestoreInProgress")
        put("now", "Succeeded")
        put("now", "Succeeded", touched="again")
        put("before", "Succeeded", touched="again")
        put("last", "Succeeded")
        wait_for(lambda: len(heard) > 1, what="two clones", deadline=30)
    finally:
        clones.stop()

    assert heard == [Cloned(namespace, "db", f"{name}-vm", 7.0) for name in ("now", "last")]


OLD = {**clone(), "metadata": {"namespace": "shop", "name": "c1", "uid": "1", "resourceVersion": "1"}}
NEW = {**clone(targetName="db-3"), "metadata": {"namespace": "shop", "name": "c2", "uid": "2", "resourceVersion": "2"}}
ABSENT = 404, {}, b"404 page not found\n"
REFUSED = 403, {}, {"message": "not yet"}
AGAIN = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


def listed(*clones: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
    return 200, {}, {"metadata": {"resourceVersion": "10"}, "items": list(clones)}


@pytest.mark.parametrize(
    "answers",
    [(ABSENT, listed(OLD)), (listed(OLD), ABSENT, listed(OLD)), (REFUSED, listed(OLD)), (listed(OLD), listed(OLD))],
    ids=["it comes", "it goes and comes", "it is refused at first", "it is listed again"],
)
def test_what_had_succeeded_before_is_no_news_however_often_it_is_listed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: list[Any]
) -> None:
    monkeypatch.setattr("virtwatch_kube.watch.ABSENT_DELAY_S", 0.05)
    server = ScriptedServer(tmp_path)
    server.lists = [*answers, listed(OLD, NEW)]
    server.watches = [*([AGAIN] for answer in answers if answer[0] == 200), [None]]
    heard: list[Observation] = []
    clones = Clones(client=server.client, time=lambda: 7.0)
    clones.start(lambda *observations: heard.extend(observations))
    try:
        wait_for(lambda: heard, what="a clone", deadline=30)
    finally:
        clones.stop()
        server.close()

    assert heard == [Cloned("shop", "db", "db-3", 7.0)]
