"""What those who announce and notify ask about policies and alerts: answered from memory, else by the API server."""

from collections.abc import Callable, Iterator

from virtwatch_api.alert import AlertKey
from virtwatch_api.nodemonitor import Transition
from virtwatch_api.policy import Notify, PolicyKey, Rule
from virtwatch_api.policy_codec import read_notify, read_rules_of
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import NotFound
from virtwatch_operator.events.reminders import Lasting
from virtwatch_operator.fleet import Fleet
from virtwatch_operator.nodes.silent import NODE_SILENT
from virtwatch_operator.policies import PolicyBook, policy_path


class PolicyLookup:
    """Answer about policies; each answer about one that is not in the book may raise KubeError."""

    def __init__(self, *, client: KubeClient, book: PolicyBook) -> None:
        self._client = client
        self._book = book

    def uid(self, key: PolicyKey) -> str:
        """Return a policy's uid, empty where the policy is gone."""
        facts = self._book.get(key)
        if facts is not None:
            return facts.uid
        try:
            return str(self._client.get(policy_path(key))["metadata"]["uid"])
        except NotFound:
            return ""

    def notify(self, key: PolicyKey) -> tuple[Notify, ...]:
        """Return whom a policy wants told, nobody where the policy is gone."""
        facts = self._book.get(key)
        if facts is not None:
            return facts.notify
        try:
            return read_notify(self._client.get(policy_path(key)))
        except NotFound:
            return ()

    def rule(self, key: PolicyKey, name: str) -> Rule | None:
        """Return a policy's rule, None where either is gone or not valid."""
        facts = self._book.get(key)
        try:
            rules = facts.rules if facts is not None else read_rules_of(self._client.get(policy_path(key)))
        except NotFound:
            return None
        return next((rule for rule in rules if rule.name == name), None)


class AlertLookup:
    """Answer about alerts that fire; `heard` tells whether all nodes have been seen, `lately` whether just now.

    `across` tells whether an alert that spans nodes fires.
    """

    def __init__(
        self,
        *,
        book: PolicyBook,
        fleet: Fleet,
        received: Callable[[], bool],
        lately: Callable[[], bool],
        across: Callable[[AlertKey], bool],
    ) -> None:
        self._book = book
        self._fleet = fleet
        self._received = received
        self._lately = lately
        self._across = across

    def firing(self, begun_by: float) -> Iterator[Lasting]:
        """Yield what fires since a time, but for silent nodes: whether their alerts still do nobody knows."""
        for facts in self._book.all():
            for alert in self._fleet.firing(facts.key, begun_by=begun_by):
                yield Lasting(alert, facts.uid)

    def may_last(self, transition: Transition) -> bool:
        """Return whether an alert's node is there, or another one that knows it; until all are known, it may be."""
        node = transition.subject.node
        if not node:  # the operator judges it
            return self._across(transition.alert)
        if transition.alert.rule == NODE_SILENT:
            return not self._lately() or node in self._fleet.presence.silent
        if not self._received() or self._fleet.known(node):
            return True
        return bool(self._fleet.knowing(transition.alert))

    def is_unknown(self, transition: Transition) -> bool:
        """Return whether nobody knows if an alert still fires: its node is silent."""
        return transition.alert.rule != NODE_SILENT and transition.subject.node in self._fleet.presence.silent
