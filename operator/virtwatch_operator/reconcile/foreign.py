# Names ThresholdSets that stand where no policy's should: agents ignore them, and whoever put them there should hear.
import logging
from collections.abc import Container, Iterable

from virtwatch_api.nodemonitor_codec import Json
from virtwatch_api.place import policy_at
from virtwatch_api.policy import PolicyKey
from virtwatch_operator.reconcile.thresholds import read_stored

logger = logging.getLogger(__name__)


class ForeignThresholds:
    """Log each ThresholdSet without a policy once, unless its policy has just gone and it is about to follow."""

    def __init__(self, *, operator_namespace: str) -> None:
        self._operator_namespace = operator_namespace
        self._suspects: set[str] = set()
        self._logged: set[str] = set()

    def look(self, documents: Iterable[Json], policies: Container[PolicyKey]) -> int:
        """Look at all ThresholdSets, given all policies; return how many are foreign."""
        found: set[str] = set()
        for document in documents:
            metadata = document["metadata"]
            namespace, name = metadata["namespace"], metadata["name"]
            if policy_at(namespace, name, operator_namespace=self._operator_namespace) in policies:
                continue
            found.add(metadata["uid"])
            if metadata["uid"] in self._suspects - self._logged:
                stored = read_stored(document)
                logger.error(
                    "ThresholdSet %s/%s belongs to no policy and is ignored; it claims %s %s (by %s); delete it",
                    namespace,
                    name,
                    stored.policy.kind,
                    stored.policy,
                    stored.writer or "somebody unknown",
                )
                self._logged.add(metadata["uid"])
        self._suspects = found
        self._logged &= found
        return len(found & self._logged)
