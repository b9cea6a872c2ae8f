# What a policy's ThresholdSet looks like, and whether the one that stands is still the one that was written.
from dataclasses import dataclass
from typing import Any

from virtwatch_api.policy import Enforcement, PolicyKey, PolicyKind
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_api.thresholdset import ThresholdSet, encode_spec
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.policies import InForce

Json = dict[str, Any]

MANAGER = "virtwatch-thresholds"
_KEPT = frozenset(("namespace", "name", "uid", "resourceVersion", "managedFields"))


@dataclass(frozen=True, slots=True)
class Stored:
    """Hold a ThresholdSet that exists, and what it says of itself; `writer` is the manager who wrote it last."""

    policy: PolicyKey
    policy_uid: str
    in_force: InForce
    document: Json
    version: str
    writer: str

    def is_as(self, body: Json) -> bool:
        """Return whether all of it is as in `body`, but for the trace and the generation, which change no judgement."""
        owners = [owner["uid"] for owner in self.document["metadata"].get("ownerReferences") or ()]
        wanted = [owner["uid"] for owner in body["metadata"]["ownerReferences"]]
        return owners == wanted and _meaning(self.document["spec"]) == _meaning(body["spec"])


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
    """Read whose a ThresholdSet says that it is and what is in force by it; whoever wrote it, it can be read."""
    metadata, spec = document["metadata"], document.get("spec") or {}
    policy = spec.get("policy") or {}
    return Stored(
        PolicyKey(_kind(policy.get("kind")), str(policy.get("name", "")), policy.get("namespace")),
        str(policy.get("uid", "")),
        InForce(str(spec.get("hash", "")), int(policy.get("generation", 0)), _enforcement(spec.get("enforcement"))),
        document={**document, "spec": spec},
        version=str(metadata.get("resourceVersion", "")),
        writer=_writer(metadata.get("managedFields") or ()),
    )


def claim(document: Json) -> Json:
    """Keep of a ThresholdSet whose it says that it is, and who wrote it."""
    kept = {name: value for name, value in document["metadata"].items() if name in _KEPT}
    return {"metadata": kept, "spec": {"policy": (document.get("spec") or {}).get("policy")}}


def _meaning(spec: Json) -> Json:
    policy = {name: value for name, value in (spec.get("policy") or {}).items() if name != "generation"}
    return {**{name: value for name, value in spec.items() if name != "traceparent"}, "policy": policy}


def _kind(value: object) -> PolicyKind:
    return (
        PolicyKind.CLUSTER_MONITOR_POLICY if value == PolicyKind.CLUSTER_MONITOR_POLICY else PolicyKind.MONITOR_POLICY
    )


def _enforcement(value: object) -> Enforcement:
    return next((item for item in Enforcement if item == value), Enforcement.ENFORCE)


def _writer(notes: Any) -> str:
    newest: Json = max(notes, key=lambda note: str(note.get("time", "")), default={})
    return str(newest.get("manager", ""))
