# Where a policy's ThresholdSet lives and what it looks like.
from dataclasses import dataclass
from typing import Any

from virtwatch_api.policy import Enforcement, PolicyKey, PolicyKind
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_api.thresholdset import ThresholdSet, encode_spec
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.policies import InForce

Json = dict[str, Any]

MANAGER = "virtwatch-thresholds"
CLUSTER_PREFIX = "cluster."


@dataclass(frozen=True, slots=True)
class Stored:
    """Hold what a ThresholdSet that exists says of itself."""

    policy: PolicyKey
    policy_uid: str
    in_force: InForce


def place(key: PolicyKey, *, operator_namespace: str) -> tuple[str, str]:
    """Return the namespace and name of a policy's ThresholdSet; a cluster policy's lives beside the operator."""
    if key.kind is PolicyKind.CLUSTER_MONITOR_POLICY:
        return operator_namespace, CLUSTER_PREFIX + key.name
    return key.namespace or "default", key.name


def thresholdset_path(place: tuple[str, str]) -> str:
    """Return the path of a ThresholdSet."""
    namespace, name = place
    return virtwatch("thresholdsets", namespace=namespace, name=name)


def thresholdset_body(thresholds: ThresholdSet, *, place: tuple[str, str], created: str) -> Json:
    """Write a ThresholdSet that the garbage collector removes with its policy; `created` is the policy's timestamp."""
    namespace, name = place
    policy = thresholds.policy
    owner = {"apiVersion": API_VERSION, "kind": policy.kind.value, "name": policy.name, "uid": thresholds.policy_uid}
    return {
        "apiVersion": API_VERSION,
        "kind": "ThresholdSet",
        "metadata": {"namespace": namespace, "name": name, "ownerReferences": [{**owner, "controller": True}]},
        "spec": encode_spec(thresholds, created=created),
    }


def read_stored(document: Json) -> Stored:
    """Read whose a ThresholdSet is and what is in force by it; the API server has validated it."""
    spec = document["spec"]
    policy = spec["policy"]
    return Stored(
        PolicyKey(PolicyKind(policy["kind"]), policy["name"], policy.get("namespace")),
        policy.get("uid", ""),
        InForce(spec["hash"], policy.get("generation", 0), Enforcement(spec["enforcement"])),
    )
