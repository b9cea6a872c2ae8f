"""VM, VMI, Node, Namespace and policy silence an alert; one that is not overridable its policy and Node alone."""

import pytest

from tests.unit.operator.builders import AT, CLUSTER_POLICY, PLAIN, POLICY, VMI, transition
from virtwatch_api.silence import UNTIL
from virtwatch_kube.errors import Forbidden, NotFound, Unavailable
from virtwatch_kube.paths import KUBEVIRT, resource
from virtwatch_operator.notify.silences import Silences
from virtwatch_operator.policies import policy_path

NODE = resource("v1", "nodes", name="n1")
NAMESPACE = resource("v1", "namespaces", name="shop")
VM = resource(KUBEVIRT, "virtualmachines", namespace="shop", name="web-1")
INSTANCE = resource(KUBEVIRT, "virtualmachineinstances", namespace="shop", name="web-1")
TENANTS = (NAMESPACE, VM, INSTANCE)


class ApiServer:
    """Holds what is annotated, by path; all else does not exist."""

    def __init__(self, *paths, overridable=True, error=None):
        self.paths, self.overridable, self.error, self.asked = set(paths), overridable, error, []

    def get(self, path, *, metadata_only=False):
        self.asked.append(path)
        if self.error is not None and path == self.error[0]:
            raise self.error[1]
        annotations = {UNTIL: "2030-01-01T00:00:00Z"} if path in self.paths else {}
        if path == policy_path(CLUSTER_POLICY):
            assert not metadata_only
            spec = {"overridable": self.overridable}
            return {"kind": "ClusterMonitorPolicy", "metadata": {"annotations": annotations}, "spec": spec}
        if not annotations:
            raise NotFound("none", status=404)
        return {"kind": "PartialObjectMetadata", "metadata": {"annotations": annotations}}


def silenced(*paths, policy=POLICY, subject=VMI, **more):
    return Silences(client=ApiServer(*paths, **more)).until(transition(policy=policy, subject=subject)) > AT


@pytest.mark.parametrize("path", [*TENANTS, NODE, policy_path(POLICY)])
def test_a_tenants_policy_is_silenced_by_any_of_them(path):
    assert silenced(path)
    assert not silenced()


@pytest.mark.parametrize("path", [*TENANTS, NODE, policy_path(CLUSTER_POLICY)])
def test_a_cluster_policy_is_silenced_by_any_of_them(path):
    assert silenced(path, policy=CLUSTER_POLICY)


@pytest.mark.parametrize("path", TENANTS)
def test_what_is_not_overridable_no_tenant_silences(path):
    assert not silenced(path, policy=CLUSTER_POLICY, overridable=False)


@pytest.mark.parametrize("path", [NODE, policy_path(CLUSTER_POLICY)])
def test_what_is_not_overridable_its_policy_and_its_node_silence(path):
    assert silenced(path, policy=CLUSTER_POLICY, overridable=False)


def test_another_vms_silence_counts_for_itself_alone():
    assert not silenced(resource(KUBEVIRT, "virtualmachines", namespace="shop", name="web-2"))


def test_a_plain_vm_is_silenced_by_its_node_and_nothing_of_kubevirt_is_asked():
    api = ApiServer(NODE)
    assert Silences(client=api).until(transition(policy=CLUSTER_POLICY, subject=PLAIN)) > AT
    assert api.asked == [policy_path(CLUSTER_POLICY), NODE]


def test_what_may_not_be_read_silences_nothing():
    assert not silenced(VM, error=(VM, Forbidden("no", status=403)))


def test_a_policy_that_cannot_be_read_now_is_not_taken_for_overridable():
    with pytest.raises(Unavailable):
        silenced(NODE, policy=CLUSTER_POLICY, error=(policy_path(CLUSTER_POLICY), Unavailable("down")))


def test_an_answer_serves_for_a_while():
    now = [0.0]
    api = ApiServer(VM)
    silences = Silences(client=api, clock=lambda: now[0])
    assert silences.until(transition())
    api.paths.clear()
    assert silences.until(transition())
    now[0] = 21.0
    assert not silences.until(transition())
