"""What the operator does with Explanations, on a real API server."""

import time

from tests.integration.operator.place import Place, eventually
from virtwatch_kube.errors import NotFound
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.explanations.keeper import ExplanationKeeper


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
