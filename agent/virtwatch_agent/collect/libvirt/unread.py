"""Says, once, that a VM's kernel files cannot be read, and that they can again."""

import logging

from virtwatch_agent.collect.libvirt.endpoint import Runtime
from virtwatch_agent.observations import Domain, Unwatched

_LOG = logging.getLogger(__name__)


class Unread:
    """Know the VMs whose figures could not be read at the last sample."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._said: dict[str, str] = {}  # UUID: the connection under which it was said

    def failed(self, domain: Domain, error: Exception) -> None:
        """Say why a VM has no figures."""
        if domain.uuid in self._said:
            return
        self._said[domain.uuid] = f"{domain.connection} sample"
        foreseen = isinstance(error, OSError)
        _LOG.warning("the kernel's files about VM %s cannot be read: %r", domain.name, error, exc_info=not foreseen)
        remedy = "see the host's kernel log" if foreseen else "please report this as a defect"
        self._tell(domain.uuid, f"VM {domain.name}: its figures of the kernel cannot be read ({error!r}): {remedy}")

    def well(self, uuid: str) -> None:
        """Say that a VM was read again, or is gone."""
        if uuid in self._said:
            self._tell(uuid, "")
            del self._said[uuid]

    def _tell(self, uuid: str, problem: str) -> None:
        self._runtime.deliver(Unwatched(uuid, self._said[uuid], self._runtime.clock.time(), problem))
