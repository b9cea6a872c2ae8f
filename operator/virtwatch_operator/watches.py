"""The leader's own watches by name: started and stopped together, asked together whether they have been seen."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from virtwatch_kube.client import Json, KubeClient
from virtwatch_kube.watch import OnChange, Watch
from virtwatch_process.outages import Outages


class Watches:
    """Hold the watches of one leader; `add` them all before `start`."""

    def __init__(self, *, client: KubeClient, outages: Outages) -> None:
        self._client = client
        self._outages = outages
        self._all: dict[str, Watch] = {}
        self._started: list[Watch] = []

    def add(self, name: str, path: str, on_change: OnChange, **more: Any) -> None:
        """Take a watch, with what else `Watch` wants to know."""
        self._all[name] = Watch(
            path, client=self._client, outages=self._outages, on_change=on_change, name=name, **more
        )

    def start(self) -> None:
        """Begin all; return at once."""
        for watch in self._all.values():
            watch.start()
            self._started.append(watch)

    @property
    def stops(self) -> Iterable[Callable[[float], None]]:
        """Return what ends each that was started, within a deadline."""
        return [watch.stop for watch in self._started]

    def synced(self, *names: str) -> bool:
        """Return whether a complete list of each was delivered."""
        return all(self._all[name].synced for name in names)

    def fresh(self, *names: str) -> bool:
        """Return whether the API server has said something of each lately."""
        return all(self._all[name].fresh for name in names)

    def find(self, name: str, called: str) -> Json | None:
        """Return a watch's object without a namespace by what it is called, as last heard; None where there is none."""
        return self._all[name].find(called)

    def objects(self, name: str) -> list[Json]:
        """Return a watch's objects as last heard."""
        return self._all[name].objects()

    @property
    def ready(self) -> Mapping[str, bool]:
        """Tell of each whether it has been seen, and whether that is still so."""
        return {
            **{f"first list of {name}": watch.synced for name, watch in self._all.items()},
            **{f"recent word of {name}": watch.fresh for name, watch in self._all.items()},
        }
