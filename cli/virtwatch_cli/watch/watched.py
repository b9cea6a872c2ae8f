"""What a person is shown as watched: the VMs that were found, and the rules in force for each. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from virtwatch_agent.observations import Domain, IdentitiesChanged, KubernetesIdentity
from virtwatch_api.resolution import EffectiveRule, resolve_rules
from virtwatch_api.targets import TargetIdentity
from virtwatch_api.thresholdset import ThresholdSet


@dataclass(frozen=True, slots=True)
class WatchedMachine:
    """Pair a VM with the rules in force for it, by name."""

    domain: Domain
    rules: tuple[EffectiveRule, ...]

    @property
    def name(self) -> str:
        """Return the VM's name; on KubeVirt with its namespace."""
        identity = kubernetes_identity(self.domain)
        return f"{identity.namespace}/{identity.name}" if identity else self.domain.name


@dataclass(slots=True)
class Watched:
    """Know what is watched now."""

    node: str
    connections: tuple[str, ...]
    thresholds: tuple[ThresholdSet, ...] = ()
    domains: dict[str, Domain] = field(default_factory=dict)

    def machine(self, domain: Domain) -> WatchedMachine:
        """Return a VM with its rules."""
        identity = kubernetes_identity(domain)
        machine = TargetIdentity(identity.name, identity.namespace) if identity else TargetIdentity(domain.name)
        rules = resolve_rules(machine, self.thresholds).rules
        return WatchedMachine(domain, tuple(rules[name] for name in sorted(rules)))

    def machines(self) -> Iterator[WatchedMachine]:
        """Yield all VMs, by name."""
        for domain in sorted(self.domains.values(), key=lambda domain: (domain.name, domain.uuid)):
            yield self.machine(domain)


def kubernetes_identity(domain: Domain) -> KubernetesIdentity | None:
    """Tell a KubeVirt VM's identity from its domain's name, `<namespace>_<name>`; its labels stay unknown."""
    if domain.pod_uid is None:
        return None
    namespace, _, name = domain.name.partition("_")
    return KubernetesIdentity(namespace, name or namespace, domain.uuid, (domain.pod_uid,), {}, {})


def identities(domains: Iterator[Domain]) -> IdentitiesChanged:
    """Say of all KubeVirt VMs what the Kubernetes API says elsewhere."""
    found = (kubernetes_identity(domain) for domain in domains)
    return IdentitiesChanged(tuple(identity for identity in found if identity is not None))
