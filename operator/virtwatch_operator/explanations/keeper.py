"""Sends each Explanation to the agent of its target's node, answers what no agent does, and deletes what is old."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.place import policy_at
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_api.question import KEPT_S, NODE_LABEL, Json, Question, answer_status, read_question
from virtwatch_api.targets import TARGET_KINDS, TargetIdentity
from virtwatch_api.thresholdset import ThresholdSet, parse_thresholdset
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Conflict, KubeError, NotFound
from virtwatch_kube.paths import KUBEVIRT, resource, virtwatch
from virtwatch_rules.answer import lines, rule_documents
from virtwatch_rules.explanation import explain

logger = logging.getLogger(__name__)

MANAGER = "virtwatch-explanations"
EVERY_S = 1.0
# Seconds that an agent has to answer before the operator says what it knows.
AGENT_ANSWERS_S = 6.0
_VMI_NODE = "kubevirt.io/nodeName"


class ExplanationKeeper:
    """Look at all Explanations once a second, on a thread of its own, while there are any."""

    def __init__(
        self,
        *,
        client: KubeClient,
        operator_namespace: str,
        objects: Callable[[], Iterable[Json]],
        node_labels: Callable[[str], Mapping[str, str]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`objects` returns all Explanations as a watch knows them; `node_labels` what policies select a node by."""
        self._client = client
        self._operator_namespace = operator_namespace
        self._objects = objects
        self._node_labels = node_labels
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="explanations", daemon=True)

    def start(self) -> None:
        """Begin; return at once."""
        self._thread.start()

    def halt(self) -> None:
        """Begin nothing more."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            for document in list(self._objects()):
                try:
                    self._keep(document)
                except (NotFound, Conflict):
                    continue  # gone, or changed meanwhile
                except KubeError as error:
                    logger.info("an Explanation waits: %s", error)
                except Exception:
                    # The loop's edge: one that cannot be read must not keep the others waiting.
                    logger.exception("an Explanation cannot be kept; please report this")

    def _keep(self, document: Json) -> None:
        metadata = document["metadata"]
        age = self._clock() - _seconds(metadata["creationTimestamp"])
        path = virtwatch("explanations", namespace=metadata["namespace"], name=metadata["name"])
        if age > KEPT_S:
            self._client.delete(path)
            return
        question = read_question(document)
        if question is None:
            return
        known = (metadata.get("labels") or {}).get(NODE_LABEL)
        answered = bool((document.get("status") or {}).get("answeredAt"))
        if known is not None and (answered or age < AGENT_ANSWERS_S):
            return
        identity, node, problem = self._find(question)
        if known is None:
            sent = self._client.apply(path, _body(question, labels={NODE_LABEL: node}), manager=MANAGER)
            metadata = sent["metadata"]
        if not answered and (problem or age >= AGENT_ANSWERS_S):
            self._answer(question, identity, node, problem, seen=metadata["resourceVersion"])

    def _find(self, question: Question) -> tuple[TargetIdentity | None, str, str]:
        """Return what a question is about, on which node it is, and why nobody can tell."""
        if question.kind is not TargetKind.VIRTUAL_MACHINE:
            if question.namespace != self._operator_namespace:
                return None, "", f"a {question.kind} is asked about in the namespace {self._operator_namespace}"
            node = question.target if question.kind is TargetKind.NODE else question.node
            labels = self._node_labels(node) if question.kind is TargetKind.NODE else {}
            return TargetIdentity(question.target, None, labels, kind=question.kind), node, ""
        path = resource(KUBEVIRT, "virtualmachineinstances", namespace=question.namespace, name=question.target)
        try:
            metadata = self._client.get(path, metadata_only=True)["metadata"]
        except NotFound:
            return None, "", f"there is no VirtualMachineInstance {question.target} in {question.namespace}"
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        identity = TargetIdentity(question.target, question.namespace, labels, annotations)
        return identity, labels.get(_VMI_NODE, ""), ""

    def _answer(
        self, question: Question, identity: TargetIdentity | None, node: str, problem: str, *, seen: str
    ) -> None:
        said, rules = [f"{TARGET_KINDS[question.kind].noun} {question.target}"], []
        note = problem
        if identity is not None:
            explanation = explain(identity, self._thresholds(), node_labels=dict(self._node_labels(node)))
            said += [f"  problem: {item}" for item in explanation.problems]
            said += list(lines(explanation))
            rules = rule_documents(explanation)
            who = f"the agent of node {node} has not answered" if node else "it is on no node"
            note = f"{who}: these are the rules that apply, not how their alerts stand"
        status = answer_status(by="Operator", at=self._clock(), node=node, note=note, lines=said, rules=rules)
        namespace, name = question.key
        path = virtwatch("explanations", namespace=namespace, name=name, subresource="status")
        # As it was seen: an agent that has answered meanwhile knows more, and would not answer again.
        self._client.apply(path, {**_body(question, resourceVersion=seen), "status": status}, manager=MANAGER)

    def _thresholds(self) -> list[ThresholdSet]:
        found = []
        for document in self._client.list(virtwatch("thresholdsets")):
            metadata, item = document["metadata"], parse_thresholdset(document)
            place = metadata["namespace"], metadata["name"]
            # By where it stands: what it claims is not to be believed.
            if isinstance(item, ThresholdSet) and item.policy == policy_at(
                *place, operator_namespace=self._operator_namespace
            ):
                found.append(item)
        return found


def _body(question: Question, **more: object) -> Json:
    namespace, name = question.key
    metadata = {"namespace": namespace, "name": name, "uid": question.uid, **more}
    return {"apiVersion": API_VERSION, "kind": "Explanation", "metadata": metadata}


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).astimezone(UTC).timestamp()
