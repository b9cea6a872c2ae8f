"""What KubeVirt says of clones: libvirt, which copies nothing for them, reports none."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from virtwatch_agent.observations import Cloned
from virtwatch_agent.seams import Deliver
from virtwatch_kube import paths
from virtwatch_kube.client import Json, KubeClient
from virtwatch_kube.watch import Watch, bare
from virtwatch_process.outages import Outages

GROUP = "clone.kubevirt.io/v1beta1"
CLONES = "virtualmachineclones"
FORBIDDEN_RETRY_S = 300.0
_STOP_S = 1.0


def read_clone(document: Json, *, at: float) -> Cloned | None:
    """Return which VM a VirtualMachineClone has cloned; None of one that is not done, or whose source is no VM."""
    spec, status = _mapping(document.get("spec")), _mapping(document.get("status"))
    source = _mapping(spec.get("source"))
    if status.get("phase") != "Succeeded" or source.get("kind") != "VirtualMachine":
        return None
    clone = status.get("targetName") or _mapping(spec.get("target")).get("name") or ""
    return Cloned(str(document["metadata"].get("namespace", "")), str(source.get("name", "")), str(clone), at)


class Clones:
    """Deliver each VirtualMachineClone that succeeds from now on.

    What had succeeded when the kind was first listed, or was served again after it was not, is no news.
    """

    def __init__(
        self, *, client: KubeClient, outages: Outages | None = None, time: Callable[[], float] = time.time
    ) -> None:
        self._time = time  # seconds since 1970
        self._deliver: Deliver = lambda *_: None
        self._done: set[str] = set()  # uids
        self._watch = Watch(
            paths.resource(GROUP, CLONES),
            client=client,
            on_change=self._changed,
            on_synced=self._listed,
            name="VirtualMachineClones",
            outages=outages,
            required=False,  # KubeVirt has this version of them since 1.5
            forbidden_delay=FORBIDDEN_RETRY_S,
            keep=bare,
        )
        self.listening = False  # it is known what had succeeded before

    def start(self, deliver: Deliver) -> None:
        """Begin; return at once."""
        self._deliver = deliver
        self._watch.start()

    def stop(self) -> None:
        """End within 1 s."""
        self._watch.stop(_STOP_S)

    def _listed(self) -> None:
        self.listening = not self._watch.absent

    def _changed(self, old: Json | None, new: Json | None) -> None:
        if new is None:
            self._done.discard(str((old or {}).get("metadata", {}).get("uid", "")))
            return
        uid, cloned = str(new["metadata"].get("uid", "")), read_clone(new, at=self._time())
        if cloned is None or uid in self._done:
            return
        self._done.add(uid)
        if self.listening:
            self._deliver(cloned)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
