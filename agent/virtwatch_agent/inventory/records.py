"""A domain as it is kept across a restart."""

from dataclasses import dataclass

from virtwatch_agent.observations import Domain, KubernetesIdentity


@dataclass(frozen=True, slots=True)
class DomainRecord:
    """Hold a domain as it was last seen, so that what happened while nobody looked can be inferred.

    `paused_by` is the type of the event that was judged and paused it, empty without one; `migration` is "out" or "in"
    while it is known to migrate away from this node or to it.
    """

    domain: Domain
    identity: KubernetesIdentity | None
    paused_by: str = ""
    migration: str = ""
