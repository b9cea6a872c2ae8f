"""Listen to the Kubernetes Events of a namespace, and know when each became visible."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from lab.process import wait_for
from tools.errors import ToolError
from virtwatch_kube.client import KubeClient
from virtwatch_kube.paths import EVENTS, resource
from virtwatch_kube.watch import Watch

SYNC_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class Told:
    """One Event: `at` is when this process saw it, in monotonic seconds; `happened` what it says, since the epoch."""

    at: float
    happened: float
    name: str
    reason: str
    about: str
    note: str
    count: int


class EventLog:
    """Every Event of a namespace in the order of its coming; a context manager. `about` is "Kind name"."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self._told: list[Told] = []
        self._changed = threading.Condition()
        self._watch = Watch(
            resource(EVENTS, "events", namespace=namespace),
            client=KubeClient.from_environment(str(kubeconfig)),
            on_change=self._take,
            name=f"events of {namespace}",
        )

    def __enter__(self) -> Self:
        self._watch.start()
        # What was said before is not taken for new.
        wait_for(lambda: self._watch.synced, what="the Events so far", deadline=SYNC_DEADLINE_S)
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.stop()

    def told(self, *, about: str = "", reason: str = "", since: float = 0) -> list[Told]:
        """Return the Events so far about an object, with a reason, of what happened since a time."""
        with self._changed:
            return [
                item
                for item in self._told
                if about in ("", item.about) and reason in ("", item.reason) and item.happened >= since
            ]

    def wait(self, wanted: Callable[[], bool], *, what: str, deadline: float) -> None:
        """Return when `wanted()` holds, asked again after each Event; fail after `deadline` seconds."""
        with self._changed:
            if not self._changed.wait_for(wanted, deadline):
                last = "\n".join(f"    {item.reason} {item.about}: {item.note}" for item in self._told[-5:])
                raise ToolError(f"Waited in vain for {what}, {deadline:g} s; the last Events:\n{last or '    none'}")

    def _take(self, _: dict[str, Any] | None, new: dict[str, Any] | None) -> None:
        if new is None:
            return
        regarding = new.get("regarding", {})
        told = Told(
            at=time.monotonic(),
            happened=_seconds(new.get("eventTime")),
            name=new["metadata"]["name"],
            reason=new.get("reason", ""),
            about=f"{regarding.get('kind')} {regarding.get('name')}",
            note=new.get("note", ""),
            count=new.get("series", {}).get("count", 1),
        )
        with self._changed:
            self._told.append(told)
            self._changed.notify_all()


def _seconds(written: str | None) -> float:
    # Events of others (the kubelet's among them) may lack it.
    return datetime.fromisoformat(written).timestamp() if written else 0.0
