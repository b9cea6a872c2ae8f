"""Asks KubeVirt for a guest's file systems, as its guest agent reported them to virt-launcher within 5 minutes."""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from virtwatch_agent.collect.found import Found
from virtwatch_agent.collect.guest.file_systems import FileSystem, readings
from virtwatch_agent.collect.guest.reader import LOAD, GuestReader, nobody_asks, nothing
from virtwatch_agent.observations import Domain
from virtwatch_api.catalogue import absences
from virtwatch_kube import paths
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Forbidden, KubeError, NotFound

logger = logging.getLogger(__name__)

_SUBRESOURCES = "subresources.kubevirt.io/v1"
_NO_LOAD = dict.fromkeys(LOAD, absences.NO_LOAD_IN_API)
_WITHOUT_AGENT = "guest agent"  # KubeVirt answers so with 500, as of a fault of its own


class KubeVirtGuests:
    """Read the subresource `filesystemlist` of the VMI of a pod."""

    def __init__(
        self,
        client: KubeClient,
        vmi_of: Callable[[str], tuple[str, str] | None],
        *,
        otherwise: GuestReader = nobody_asks,
    ) -> None:
        """`vmi_of` returns the namespace and name of the VMI of a launcher's pod (UID), where the API named it.

        `otherwise` asks the guests that KubeVirt does not run.
        """
        self._client = client
        self._vmi_of = vmi_of
        self._otherwise = otherwise
        self._refused = False

    def __call__(self, domain: Domain) -> Found:
        """Return how full a guest's file systems are, or why that is not known."""
        vmi = self._vmi_of(domain.pod_uid) if domain.pod_uid else None
        if vmi is None:
            return self._otherwise(domain)
        path = paths.resource(
            _SUBRESOURCES,
            "virtualmachineinstances",
            namespace=vmi[0],
            name=vmi[1],
            subresource="filesystemlist",
        )
        try:
            document = self._client.get(path)
        except Forbidden as error:
            if not self._refused:
                logger.warning("file systems of guests stay unknown (see agent-guests in RBAC): %s", error)
            self._refused = True
            return nothing(absences.GUESTS_FORBIDDEN, load=absences.NO_LOAD_IN_API)
        except KubeError as error:
            logger.debug("KubeVirt does not tell the file systems of %s/%s: %s", *vmi, error)
            without_agent = isinstance(error, NotFound) or _WITHOUT_AGENT in str(error)
            why = absences.NO_FILE_SYSTEMS if without_agent else absences.KUBEVIRT_SILENT
            return nothing(why, load=absences.NO_LOAD_IN_API)
        values = readings(_listed(document))
        return Found(values, _NO_LOAD) if values else nothing(absences.NO_FILE_SYSTEMS, load=absences.NO_LOAD_IN_API)


def _listed(document: Any) -> Iterator[FileSystem]:
    items = document.get("items") if isinstance(document, dict) else None
    for item in items or ():
        if isinstance(item, dict):
            yield FileSystem(*map(item.get, ("mountPoint", "fileSystemType", "usedBytes", "totalBytes")))
