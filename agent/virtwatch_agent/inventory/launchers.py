"""Which of the libvirts found belong to a VM's launcher: any pod may have an emptyDir of that name."""

from virtwatch_agent.inventory.addresses import LibvirtAddress


class Launchers:
    """Choose the addresses that may be opened.

    Without `required` all are: where there is no API to ask. One that was a launcher stays one for as long as its
    socket is there: the API forgets it before it ends.
    """

    def __init__(self, *, required: bool) -> None:
        self._required = required
        self._known: frozenset[str] = frozenset()
        self._opened: frozenset[str] = frozenset()
        self._found: frozenset[LibvirtAddress] = frozenset()

    def found(self, addresses: frozenset[LibvirtAddress]) -> frozenset[LibvirtAddress]:
        """Take all addresses that there are; return those that may be opened."""
        self._found = addresses
        return self._choose()

    def known(self, pods: frozenset[str]) -> frozenset[LibvirtAddress] | None:
        """Take the pods (UIDs) that the API says are launchers; return what may be opened, None if it is as before."""
        before, self._known = self._known, pods
        return None if pods <= before | self._opened else self._choose()

    def _choose(self) -> frozenset[LibvirtAddress]:
        chosen = frozenset(item for item in self._found if self._may_be_opened(item.pod_uid))
        self._opened = frozenset(item.pod_uid for item in chosen if item.pod_uid is not None)
        return chosen

    def _may_be_opened(self, pod_uid: str | None) -> bool:
        return not self._required or pod_uid is None or pod_uid in self._known or pod_uid in self._opened
