"""Answers Explanations about this node and its VMs: asks the core, and keeps the answers fresh."""

import logging
import threading
import time
from functools import partial

from virtwatch_agent.observations import Answer, Asked
from virtwatch_agent.seams import Deliver
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy_codec import API_VERSION
from virtwatch_api.question import KEPT_S, NODE_LABEL, Json, Question, answer_status, read_question
from virtwatch_kube import paths
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import KubeError
from virtwatch_kube.watch import Watch
from virtwatch_process.outages import Outages

logger = logging.getLogger(__name__)

MANAGER = "virtwatch-agent"
EVERY_S = 2.0
_MOST = 16  # questions that are answered at a time
_STOP_S = 1.0


class Explanations:
    """Answer the Explanations that the operator has sent to this node."""

    def __init__(self, *, client: KubeClient, node: str, operator_namespace: str, outages: Outages) -> None:
        self._client = client
        self._node = node
        self._operator_namespace = operator_namespace
        self._deliver: Deliver = lambda *_: None
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._asked_since: dict[str, float] = {}  # monotonic seconds, by the Explanation's uid
        self._written: dict[str, Json] = {}
        self._failed = False
        self._watch = Watch(
            paths.virtwatch("explanations"),
            client=client,
            labels=f"{NODE_LABEL}={node}",
            on_change=self._changed,
            name="Explanations",
            outages=outages,
            required=False,
        )
        self._thread = threading.Thread(target=self._run, name="explanations", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        self._deliver = deliver
        self._watch.start()
        self._thread.start()

    def stop(self) -> None:
        """End within 2 s."""
        self._stopping.set()
        self._wake.set()
        self._watch.stop(_STOP_S)
        self._thread.join(_STOP_S)

    def _changed(self, old: Json | None, new: Json | None) -> None:
        if old is None or new is None:
            self._wake.set()  # our own answers change it too

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                questions = self._questions()
                if questions:
                    self._deliver(*(Asked(item, partial(self._answer, item)) for item in questions))
            except Exception:
                # The loop's edge: one question that cannot be read must not end the answers to all others.
                logger.exception("Explanations cannot be answered now; please report this")
                questions = []
            self._wake.wait(EVERY_S if questions else None)
            if self._wake.is_set():
                self._wake.clear()

    def _questions(self) -> list[Question]:
        now = time.monotonic()
        found = [item for document in self._watch.objects() if (item := read_question(document)) is not None]
        self._asked_since = {item.uid: self._asked_since.get(item.uid, now) for item in found}
        self._written = {uid: status for uid, status in self._written.items() if uid in self._asked_since}
        found = [item for item in found if now - self._asked_since[item.uid] < KEPT_S and self._may_ask(item)]
        return sorted(found, key=lambda item: -self._asked_since[item.uid])[:_MOST]

    def _may_ask(self, question: Question) -> bool:
        """Return whether a namespace may ask about a target: about what is no VM, the operator's alone."""
        return question.kind is TargetKind.VIRTUAL_MACHINE or question.namespace == self._operator_namespace

    def _answer(self, question: Question, answer: Answer) -> None:
        # From the core's thread, which waits for no API server.
        status = answer_status(
            by="Agent",
            at=answer.at,
            node=self._node,
            note=answer.note,
            lines=answer.lines,
            rules=[dict(rule) for rule in answer.rules],
        )
        threading.Thread(target=self._write, args=(question, status), name="explanation", daemon=True).start()

    def _write(self, question: Question, status: Json) -> None:
        namespace, name = question.key
        before = self._written.get(question.uid)
        stands = self._watch.find(name, namespace)
        ours = stands is not None and stands.get("status", {}).get("answeredBy") == status["answeredBy"]
        if ours and before is not None and {**before, "answeredAt": ""} == {**status, "answeredAt": ""}:
            return  # nothing new
        body = {
            "apiVersion": API_VERSION,
            "kind": "Explanation",
            "metadata": {"namespace": namespace, "name": name, "uid": question.uid},
            "status": status,
        }
        try:
            self._client.apply(
                paths.virtwatch("explanations", namespace=namespace, name=name, subresource="status"),
                body,
                manager=MANAGER,
            )
        except KubeError as error:
            if not self._failed:
                logger.warning("an Explanation could not be answered (%s); it is tried again", error)
            self._failed = True
        else:
            self._failed = False
            self._written[question.uid] = status
