import threading
from collections.abc import Callable, Mapping

from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.policy import PolicyKey


class Namespaces:
    """Keep the labels of all namespaces, and mark the policies that select by them when they change."""

    def __init__(self, mark: Callable[[PolicyKey], None]) -> None:
        self._mark = mark
        self._labels: dict[str, Mapping[str, str]] = {}
        self._interested: set[PolicyKey] = set()
        self._lock = threading.Lock()

    def on_change(self, old: Json | None, new: Json | None) -> None:
        """Take note of a namespace that came, went or changed."""
        document = new or old
        assert document is not None
        name = document["metadata"]["name"]
        labels = None if new is None else dict(new["metadata"].get("labels") or {})
        with self._lock:
            if self._labels.get(name) == labels:
                return
            if labels is None:
                del self._labels[name]
            else:
                self._labels[name] = labels
            interested = tuple(self._interested)
        for key in interested:
            self._mark(key)

    def labels_for(self, key: PolicyKey) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of every namespace by its name; a change after this marks the policy."""
        with self._lock:
            self._interested.add(key)
            return dict(self._labels)

    def forget(self, key: PolicyKey) -> None:
        """Mark a policy no more."""
        with self._lock:
            self._interested.discard(key)
