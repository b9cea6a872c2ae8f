"""What the operator does with Explanations, on a real API server."""

import time

from tests.integration.operator.place import Place, eventually
from virtwatch_api.question import NODE_LABEL, answer_status
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.explanations.keeper import ExplanationKeeper


def test_an_agents_answer_that_came_meanwhile_stays(place: Place):
    questions = virtwatch("explanations", namespace=place.name)
    for name in ("answered", "waiting"):
        body = {
            "apiVersion": "virtwatch.io/v1alpha1",
            "kind": "Explanation",
            "metadata": {"name": name, "namespace": place.name, "labels": {NODE_LABEL: "node-1"}},
            "spec": {"target": {"name": "web-1"}},
        }
        place.client.create(questions, body)
    seen = sorted(place.client.list(questions), key=lambda document: document["metadata"]["name"])
    path = virtwatch("explanations", namespace=place.name, name="answered")
    status = answer_status(by="Agent", at=time.time(), node="node-1", note="", lines=["VM web-1"], rules=[])
    body = {**body, "metadata": {"name": "answered", "namespace": place.name}, "status": status}
    place.client.apply(f"{path}/status", body, manager="virtwatch-agent")
    keeper = ExplanationKeeper(
        client=place.client,
        operator_namespace=place.system,
        objects=lambda: seen,
        node_labels=lambda _: {},
        clock=lambda: time.time() + 60,
    )
    keeper.start()
    waiting = virtwatch("explanations", namespace=place.name, name="waiting")
    eventually(lambda: place.client.get(waiting).get("status"), what="the operator's answer to the other question")
    keeper.halt()

    assert place.client.get(path)["status"]["answeredBy"] == "Agent"


def test_a_question_is_deleted_after_ten_minutes(place: Place):
    body = {
        "apiVersion": "virtwatch.io/v1alpha1",
        "kind": "Explanation",
        "metadata": {"name": "why", "namespace": place.name},
        "spec": {"target": {"name": "web-1"}},
    }
    questions = virtwatch("explanations", namespace=place.name)
    place.client.create(questions, body)
    ahead = 0.0
    keeper = ExplanationKeeper(
        client=place.client,
        operator_namespace=place.system,
        objects=lambda: place.client.list(questions),
        node_labels=lambda _: {},
        clock=lambda: time.time() + ahead,
    )
    keeper.start()
    path = virtwatch("explanations", namespace=place.name, name="why")
    eventually(lambda: place.client.get(path).get("status"), what="the answer")
    ahead = 601.0

    def gone() -> bool:
        try:
            place.client.get(path)
        except NotFound:
            return True
        return False

    eventually(gone, what="the question to be deleted")
    keeper.halt()
