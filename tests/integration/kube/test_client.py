import json

import pytest

from lab.process import free_port
from virtwatch_kube import paths
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, Forbidden, Invalid, KubeError, NotFound, Unavailable
from virtwatch_kube.service_account import by_service_account


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@pytest.fixture
def maps(namespace):
    return paths.resource("v1", "configmaps", namespace=namespace)


def test_objects_are_made_read_listed_and_deleted(client, maps):
    for name in ("a", "b"):
        client.create(maps, config_map(name, key=name))
    assert client.get(f"{maps}/a")["data"] == {"key": "a"}
    assert {"a", "b"} <= {item["metadata"]["name"] for item in client.list(maps)}
    assert [item["metadata"]["name"] for item in client.list(maps, fields="metadata.name=b")] == ["b"]
    client.delete(f"{maps}/a")
    with pytest.raises(NotFound, match=r"GET .*/configmaps/a: the API server answered 404"):
        client.get(f"{maps}/a")


def test_a_list_beyond_one_page_is_complete(client, maps, monkeypatch):
    monkeypatch.setattr("virtwatch_kube.client.PAGE", 3)
    for number in range(8):
        body = config_map(f"page-{number}")
        body["metadata"]["labels"] = {"page": "yes"}
        client.create(maps, body)
    assert len(client.list(maps, labels="page=yes")) == 8


def test_making_an_object_twice_is_a_conflict(client, maps):
    client.create(maps, config_map("twice"))
    with pytest.raises(Conflict) as raised:
        client.create(maps, config_map("twice"))
    assert raised.value.reason == "AlreadyExists"


def test_a_body_that_the_schema_refuses_is_invalid(client, maps):
    with pytest.raises(Invalid, match="Invalid value"):
        client.create(maps, config_map("Not_A_Name"))


def test_an_applied_field_belongs_to_its_manager(client, maps):
    client.apply(f"{maps}/owned", config_map("owned", key="mine"), manager="first")
    with pytest.raises(Conflict, match='conflict with "first"'):
        client.apply(f"{maps}/owned", config_map("owned", key="yours"), manager="second", force=False)
    client.apply(f"{maps}/owned", config_map("owned", key="yours"), manager="second")
    assert client.get(f"{maps}/owned")["data"] == {"key": "yours"}


def test_a_field_that_its_manager_leaves_out_goes(client, maps):
    client.apply(f"{maps}/shrinks", config_map("shrinks", a="1", b="2"), manager="first")
    client.apply(f"{maps}/shrinks", config_map("shrinks", a="1"), manager="first")
    assert client.get(f"{maps}/shrinks")["data"] == {"a": "1"}


def test_a_status_is_applied_by_its_subresource(client):
    path = paths.virtwatch("nodemonitors", name="client-status")
    body = {"apiVersion": paths.VIRTWATCH, "kind": "NodeMonitor", "metadata": {"name": "client-status"}}
    with pytest.raises(NotFound):
        client.apply(f"{path}/status", {**body, "status": {"epoch": "e"}}, manager="agent")
    client.create(paths.virtwatch("nodemonitors"), body)
    client.apply(f"{path}/status", {**body, "status": {"epoch": "e"}}, manager="agent")
    assert client.get(path)["status"] == {"epoch": "e"}
    client.delete(path)


def test_what_an_account_may_not_do_is_forbidden(cluster, namespace, maps):
    kubeconfig = cluster.service_account_kubeconfig("default", "default")
    with pytest.raises(Forbidden, match="cannot list resource"):
        KubeClient.from_environment(str(kubeconfig)).list(maps)


def test_a_token_that_nobody_knows_is_forbidden(cluster, tmp_path):
    config = json.loads(cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "stale"}
    (tmp_path / "config").write_text(json.dumps(config))
    with pytest.raises(Forbidden, match="401"):
        KubeClient.from_environment(str(tmp_path / "config")).get("/api/v1/nodes")


def test_an_api_server_that_is_not_there_is_unavailable(cluster, tmp_path):
    config = json.loads(cluster.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = server = f"https://127.0.0.1:{free_port()}"
    (tmp_path / "config").write_text(json.dumps(config))
    with pytest.raises(Unavailable, match=f"no answer from the API server at {server}"):
        KubeClient.from_environment(str(tmp_path / "config")).get("/api/v1/nodes")


def test_an_api_server_with_another_certificate_is_not_talked_to(cluster, tmp_path):
    config = json.loads(cluster.kubeconfig.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority"]
    (tmp_path / "config").write_text(json.dumps(config))
    with pytest.raises(Unavailable, match=r"(?i)certificate"):
        KubeClient.from_environment(str(tmp_path / "config")).get("/api/v1/nodes")


@pytest.mark.parametrize("content", [None, "", "no: kubeconfig", "{broken", "\x00"])
def test_an_unusable_kubeconfig_says_what_to_do(tmp_path, content):
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KubeError, match="set KUBECONFIG"):
        KubeClient.from_environment(str(path))


def test_a_mounted_service_account_is_used_and_its_rotated_token_read_again(cluster, namespace, tmp_path):
    def token():
        return cluster.kubectl("create", "token", "default", "--namespace=default").stdout.strip()

    host, port = cluster.server.removeprefix("https://").split(":")
    (tmp_path / "token").write_text(token())
    (tmp_path / "ca.crt").write_bytes(cluster.pki.ca.read_bytes())
    env, now = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}, [0.0]
    mounted = KubeClient(by_service_account(env, mounted=tmp_path, clock=lambda: now[0]))
    reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    who = mounted.create(reviews, review)["status"]["userInfo"]["username"]
    assert who == "system:serviceaccount:default:default"

    (tmp_path / "token").write_text("stale")
    assert mounted.create(reviews, review)["status"]["userInfo"]["username"] == who
    now[0] = 60.0
    with pytest.raises(Forbidden):
        mounted.create(reviews, review)
