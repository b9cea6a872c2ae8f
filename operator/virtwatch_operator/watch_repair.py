# Restarts kopf's watch of policies and channels where it has ended without a word.
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from virtwatch_api.channel import ChannelKey
from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.policy import PolicyKey
from virtwatch_kube.client import KubeClient
from virtwatch_kube.errors import Unavailable
from virtwatch_kube.outage import Outage
from virtwatch_kube.paths import virtwatch
from virtwatch_operator.policies import PLURAL, Seen
from virtwatch_operator.watch_check import Mark, WatchCheck, check

STALE_S = 180.0  # after which a restart does not help


class WatchRepair:
    """Compare what kopf delivered with what the API server holds; mark what was missed and restart kopf's watch."""

    def __init__(
        self,
        *,
        client: KubeClient,
        mark_policy: Callable[[PolicyKey], None],
        mark_channel: Callable[[ChannelKey], None],
        restart: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._mark_policy = mark_policy
        self._mark_channel = mark_channel
        self._restart = restart
        self._clock = clock
        self._policies: WatchCheck[PolicyKey] = WatchCheck()
        self._channels: WatchCheck[ChannelKey] = WatchCheck()
        self._outage = Outage("The watch of policies and channels", consequence="it is restarted")
        self._stale_since: float | None = None

    def policy(self, key: PolicyKey, seen: Seen) -> None:
        """Take note of a policy that kopf delivered."""
        self._policies.received(key, (seen.uid, seen.generation) if seen.uid else None)

    def channel(self, key: ChannelKey, mark: Mark) -> None:
        """Take note of a channel that kopf delivered."""
        self._channels.received(key, mark)

    @property
    def ready(self) -> Mapping[str, bool]:
        """Return what is received."""
        return {
            "changes of policies are received": not self._policies.stale,
            "changes of channels are received": not self._channels.stale,
        }

    @property
    def hopeless(self) -> bool:
        """Return whether restarts have not helped for minutes: the process must end."""
        return self._stale_since is not None and self._clock() - self._stale_since > STALE_S

    def look(self) -> Collection[PolicyKey]:
        """Look at all policies and channels; return the policies that there are.

        Raises:
            KubeError: they could not be listed.
        """
        policies = {
            PolicyKey(kind, document["metadata"]["name"], document["metadata"].get("namespace")): _mark(document)
            for kind, plural in PLURAL.items()
            for document in self._list(plural)
        }
        channels = {
            ChannelKey(document["metadata"]["namespace"], document["metadata"]["name"]): _mark(document)
            for document in self._list("notificationchannels")
        }
        missed = check(self._policies, policies, mark=self._mark_policy)
        missed = check(self._channels, channels, mark=self._mark_channel) or missed
        if missed:
            self._stale_since = self._stale_since or self._clock()
            self._outage.failed(Unavailable(missed))
            self._restart()
        else:
            self._stale_since = None
            self._outage.healed()
        return [key for key, mark in policies.items() if mark is not None]

    def _list(self, plural: str) -> list[dict[str, Any]]:
        return self._client.list(virtwatch(plural), metadata_only=True)


def _mark(document: Json) -> Mark:
    metadata = document["metadata"]
    # One that is being deleted is as good as gone.
    return None if metadata.get("deletionTimestamp") else (metadata["uid"], metadata["generation"])
