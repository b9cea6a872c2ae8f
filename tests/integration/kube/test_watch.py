# The watch on a real API server that is stopped, killed, emptied.
import json
import logging
import time

import pytest

from lab.controlplane.cluster import VMI_CRD
from lab.process import wait_for
from tests.integration.kube.conftest import CRDS
from tests.integration.kube.recorder import synced, watching
from virtwatch_kube import paths
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Expired, KubeError
from virtwatch_kube.stream import EventStream


def config_map(name, **data):
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"test": "yes"}},
        "data": data,
    }


@pytest.fixture
def maps(namespace):
    return paths.resource("v1", "configmaps", namespace=namespace)


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="virtwatch_kube")
    return lambda: [record.getMessage() for record in caplog.records]


def test_what_is_there_what_comes_what_changes_and_what_goes(client, maps):
    client.create(maps, config_map("before"))
    with watching(maps, client, labels="test=yes") as (watch, recorder):
        recorder.received("+before")
        client.create(maps, config_map("after"))
        recorder.received("+before", "+after")
        client.apply(f"{maps}/after", config_map("after", key="value"), manager="test")
        recorder.received("+before", "+after", "~after")
        client.delete(f"{maps}/before")
        recorder.received("+before", "+after", "~after", "-before")
        assert [item["metadata"]["name"] for item in watch.objects()] == ["after"]
        assert time.monotonic() - watch.last_contact < 30


def test_only_what_is_selected_is_seen_and_what_leaves_the_selection_is_gone(client, maps):
    with watching(maps, client, labels="test=yes", fields="metadata.name=mine") as (watch, recorder):
        synced(watch)
        client.create(maps, config_map("theirs"))
        client.create(maps, config_map("mine"))
        recorder.received("+mine")
        body = config_map("mine")
        body["metadata"]["labels"] = {"test": "no"}
        client.apply(f"{maps}/mine", body, manager="test")
        recorder.received("+mine", "-mine")


def test_an_empty_collection_is_synced_too(client, maps):
    with watching(maps, client, labels="test=yes") as (watch, recorder):
        synced(watch)
        wait_for(lambda: recorder.synced == 1, what="the word that it is synced", deadline=30)
        assert recorder.said == []


def test_a_handler_that_fails_loses_only_its_own_object(client, maps, lines):
    seen = []

    def fail_first(old, new):
        seen.append(new["metadata"]["name"])
        if len(seen) == 1:
            raise ValueError("a defect")

    with watching(maps, client, labels="test=yes") as (watch, _):
        watch._on_change = fail_first
        synced(watch)
        client.create(maps, config_map("a"))
        client.create(maps, config_map("b"))
        wait_for(lambda: seen == ["a", "b"], what="both objects", deadline=30)
        assert len(watch.objects()) == 2
    assert [line for line in lines() if "handler" in line] == [
        "A handler of the watch of things failed; the watch continues"
    ]


def test_stopping_a_quiet_watch_takes_no_time_that_a_person_notices(client, maps):
    with watching(maps, client) as (watch, _):
        synced(watch)
        begun = time.monotonic()
        watch.stop()
        assert time.monotonic() - begun < 2


def test_a_watch_survives_kill_9_of_the_api_server_and_notices_what_was_deleted_meanwhile(cluster, client, maps, lines):
    for name in ("stays", "goes"):
        client.create(maps, config_map(name))
    with watching(maps, client, labels="test=yes") as (watch, recorder):
        recorder.received("+stays", "+goes")
        # Held back until the API server is there again and the object is gone: so that it misses the deletion.
        watch._backoff.delay = lambda: 8.0
        cluster.apiserver.kill()
        wait_for(lambda: len(lines()) == 1, what="the line that it is lost", deadline=30)
        assert len(watch.objects()) == 2
        cluster.apiserver.restart()
        cluster.wait_ready()
        client.delete(f"{maps}/goes")
        client.create(maps, config_map("comes"))
        recorder.received("+stays", "+goes", "-goes", "+comes")
        wait_for(lambda: len(lines()) == 2, what="the line that it is back", deadline=30)
    lost, back = lines()
    assert lost.startswith("The watch of things is lost; going on with what is known. ")
    assert back.startswith("The watch of things is back after ")


def test_a_watch_that_starts_before_the_api_server_waits_for_it(cluster, client, maps, lines):
    client.create(maps, config_map("a"))
    cluster.apiserver.kill()
    try:
        with watching(maps, client, labels="test=yes") as (watch, recorder):
            wait_for(lambda: len(lines()) == 1, what="the line that it is lost", deadline=30)
            assert not watch.synced
            assert watch.last_contact is None
            cluster.apiserver.restart()
            recorder.received("+a", deadline=60)
            wait_for(lambda: len(lines()) == 2, what="the line that it is back", deadline=60)
    finally:
        cluster.apiserver.restart()
        cluster.wait_ready()


def test_a_stopped_watch_ends_though_the_api_server_is_gone(cluster, client, maps):
    with watching(maps, client) as (watch, _):
        synced(watch)
        cluster.apiserver.kill()
        watch.stop()
    cluster.apiserver.restart()
    cluster.wait_ready()


def test_a_version_from_before_the_api_servers_memory_is_expired(cluster, client, maps):
    cluster.apiserver.restart()
    cluster.wait_ready()

    def expired():
        try:
            stream = EventStream(maps, client=client, version="1", selectors={})
            return bool(list(stream)) and False
        except Expired:
            return True
        except KubeError:
            return False

    wait_for(expired, what="410", deadline=60)


def test_a_watch_whose_version_expired_lists_anew_and_says_nothing(client, maps, lines):
    client.create(maps, config_map("a"))
    with watching(maps, client, labels="test=yes") as (watch, recorder):
        recorder.received("+a")
        wait_for(lambda: watch._stream, what="the stream that follows the list", deadline=30)
        watch._version = "1"
        watch._stream.cut()
        wait_for(lambda: recorder.synced == 2, what="a second list", deadline=30)
        client.create(maps, config_map("b"))
        recorder.received("+a", "+b")
    assert lines() == []


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.test.virtwatch.io"},
    "spec": {
        "group": "test.virtwatch.io",
        "scope": "Cluster",
        "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
WIDGET = {"apiVersion": "test.virtwatch.io/v1", "kind": "Widget", "metadata": {"name": "w"}}
WIDGETS_PATH = paths.resource("test.virtwatch.io/v1", "widgets")


@pytest.fixture
def widgets(cluster):
    """Return a way to make the kind; it is gone before and after."""

    def make():
        cluster.kubectl("apply", "-f", "-", input=json.dumps(WIDGETS))
        cluster.wait_established("crd/widgets.test.virtwatch.io")

    cluster.kubectl("delete", "crd", "widgets.test.virtwatch.io", "--ignore-not-found")
    yield make
    cluster.kubectl("delete", "crd", "widgets.test.virtwatch.io", "--ignore-not-found")


def test_a_kind_that_is_made_later_is_found(client, widgets, lines):
    with watching(WIDGETS_PATH, client) as (watch, recorder):
        wait_for(lambda: len(lines()) == 1, what="the line that the kind is absent", deadline=30)
        assert "apply virtwatch's crds/" in lines()[0]
        assert not watch.synced
        widgets()
        client.create(WIDGETS_PATH, WIDGET)
        recorder.received("+w")
        # A kind that is this new is listed a moment before it can be watched.
        wait_for(lambda: len(lines()) == 2, what="the line that it is back", deadline=60)


def test_a_kind_that_need_not_be_there_is_awaited_quietly(client, widgets, lines, monkeypatch):
    monkeypatch.setattr("virtwatch_kube.watch.ABSENT_DELAY_S", 0.5)
    with watching(WIDGETS_PATH, client, required=False) as (watch, recorder):
        synced(watch)
        assert watch.objects() == []
        widgets()
        client.create(WIDGETS_PATH, WIDGET)
        recorder.received("+w")
    assert lines() == []


def test_a_kind_that_is_deleted_takes_its_objects_along(cluster, client, widgets, monkeypatch):
    monkeypatch.setattr("virtwatch_kube.watch.ABSENT_DELAY_S", 0.5)
    widgets()
    client.create(WIDGETS_PATH, WIDGET)
    with watching(WIDGETS_PATH, client, required=False) as (_, recorder):
        recorder.received("+w")
        cluster.kubectl("delete", "crd", "widgets.test.virtwatch.io")
        recorder.received("+w", "-w")
        widgets()
        client.create(WIDGETS_PATH, WIDGET)
        recorder.received("+w", "-w", "+w")


def test_an_account_that_may_not_watch_is_told_once_what_to_grant(cluster, namespace, maps, lines):
    account = KubeClient.from_environment(str(cluster.service_account_kubeconfig("default", "default")))
    with watching(maps, account) as (watch, _):
        wait_for(lambda: watch._backoff._next > 1.0, what="some attempts", deadline=60)
        assert not watch.synced
    (line,) = lines()
    assert "cannot list resource" in line
    assert "RBAC" in line


@pytest.fixture
def emptied(cluster):
    """Return a way to empty etcd, with everything stopped meanwhile; the kinds are made again afterwards."""
    yield cluster.restart_emptied
    cluster.apply_crds(VMI_CRD, CRDS)


def test_a_watch_notices_that_etcd_was_emptied_under_it(client, emptied, lines):
    path = paths.resource("v1", "configmaps", namespace="default")
    client.create(path, config_map("from-before"))
    with watching(path, client, labels="test=yes") as (watch, recorder):
        recorder.received("+from-before")
        # A restored or emptied etcd counts its versions anew: far behind what the watch has seen.
        for number in range(300):
            client.apply(f"{path}/from-before", config_map("from-before", number=str(number)), manager="test")
        before = int(watch._version)
        emptied()
        client.create(path, config_map("from-after"))
        wait_for(
            lambda: [item["metadata"]["name"] for item in watch.objects()] == ["from-after"],
            what="the new etcd's only object",
            deadline=60,
        )
        assert int(watch._version) < before
    assert "-from-before" in recorder.said
    assert len(lines()) <= 4
