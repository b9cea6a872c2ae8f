"""Counts what would have fired in the last day, of policies that only observe; kept as what rules learn is."""

from collections.abc import Collection, Iterator, Mapping

from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.policy import PolicyKey
from virtwatch_api.targets import TargetRef
from virtwatch_rules.alerts import Document

_DAY_S = 86_400.0
_BUCKET_S = 300.0
_VERSION = 1


class Observed:
    """Count by five minutes: 288 figures a policy."""

    ref = TargetRef(TargetKind.NODE, "/observed")  # as what it is kept; no node is called so

    def __init__(self) -> None:
        self._counts: dict[PolicyKey, dict[int, int]] = {}
        self.taught = False  # since this was set to False

    def fired(self, policy: PolicyKey, *, at: float) -> None:
        """Count an alert that would have fired."""
        counts = self._counts.setdefault(policy, {})
        bucket = int(at // _BUCKET_S)
        counts[bucket] = counts.get(bucket, 0) + 1

    def last_day(self, *, now: float, policies: Collection[PolicyKey]) -> Mapping[PolicyKey, int]:
        """Return the counts of policies that exist; others are forgotten."""
        oldest = int((now - _DAY_S) // _BUCKET_S)
        for policy in self._counts.keys() - set(policies):
            del self._counts[policy]
        for counts in self._counts.values():
            for bucket in [bucket for bucket in counts if bucket < oldest]:
                del counts[bucket]
        return {policy: sum(counts.values()) for policy, counts in self._counts.items()}

    def learned(self, *, within: float) -> Iterator[tuple[PolicyKey, str, Document]]:  # noqa: ARG002
        """Yield what is to be kept."""
        for policy, counts in self._counts.items():
            yield policy, "", {"version": _VERSION, "counts": [[*item] for item in sorted(counts.items())]}

    def teach(self, policy: PolicyKey, rule: str, document: Document) -> None:  # noqa: ARG002
        """Take back the counts from before a restart."""
        try:
            saved = {int(bucket): int(count) for bucket, count in document["counts"]}
        except (KeyError, TypeError, ValueError):
            return
        self.taught = True
        counts = self._counts.setdefault(policy, {})
        for bucket, count in saved.items():
            counts[bucket] = counts.get(bucket, 0) + count
