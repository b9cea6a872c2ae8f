import threading
from collections.abc import Callable, Mapping

from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.policy import PolicyKey


class Namespaces:
    """Keep the labels of all namespaces, and mark the policies that select by them when they change.

    Only namespaces in which a VM has been seen count: others come and go without any ThresholdSet being written again.
    """

    def __init__(self, mark: Callable[[PolicyKey], None]) -> None:
        self._mark = mark
        self._labels: dict[str, Mapping[str, str]] = {}
        self._interested: set[PolicyKey] = set()
        self._populated: set[str] = set()
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
        self._changed(name)
        if labels is None:
            with self._lock:
                self._populated.discard(name)

    def populate(self, name: str) -> None:
        """Take note that a namespace has a VM."""
        with self._lock:
            if name in self._populated:
                return
            self._populated.add(name)
        self._changed(name)

    def _changed(self, name: str) -> None:
        with self._lock:
            interested = tuple(self._interested) if name in self._populated else ()
        for key in interested:
            self._mark(key)

    def labels_for(self, key: PolicyKey) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of every namespace with VMs by its name; a change after this marks the policy."""
        with self._lock:
            self._interested.add(key)
            return {name: labels for name, labels in self._labels.items() if name in self._populated}

    def forget(self, key: PolicyKey) -> None:
        """Mark a policy no more."""
        with self._lock:
            self._interested.discard(key)
