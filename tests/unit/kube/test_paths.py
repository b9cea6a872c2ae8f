import pytest

from virtwatch_kube import paths


@pytest.mark.parametrize(
    ("made", "path"),
    [
        (paths.virtwatch("monitorpolicies"), "/apis/virtwatch.io/v1alpha1/monitorpolicies"),
        (
            paths.virtwatch("monitorpolicies", namespace="shop", name="web", subresource="status"),
            "/apis/virtwatch.io/v1alpha1/namespaces/shop/monitorpolicies/web/status",
        ),
        (
            paths.virtwatch("nodemonitors", name="n1", subresource="status"),
            "/apis/virtwatch.io/v1alpha1/nodemonitors/n1/status",
        ),
        (paths.resource("v1", "nodes", name="n1"), "/api/v1/nodes/n1"),
        (paths.resource(paths.EVENTS, "events", namespace="shop"), "/apis/events.k8s.io/v1/namespaces/shop/events"),
    ],
)
def test_a_path_names_collection_object_and_subresource(made, path):
    assert made == path


def test_a_name_cannot_leave_its_place_in_the_path():
    assert paths.resource("v1", "nodes", name="../secrets?x") == "/api/v1/nodes/..%2Fsecrets%3Fx"
