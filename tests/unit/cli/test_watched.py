from tests.unit.cli.examples import compiled
from virtwatch_agent.observations import Appeared, Domain, DomainState, IdentitiesChanged, Observation, Vanished
from virtwatch_agent.seams import Collector, Deliver
from virtwatch_api.policy import PolicyKind
from virtwatch_cli.watch.listening import ListeningCollector
from virtwatch_cli.watch.watched import Watched

PLAIN = Domain("u1", "db-1", "qemu:///system", "1", DomainState.RUNNING)
IN_A_POD = Domain("u2", "shop_web-1", "pod/p2", "1", DomainState.RUNNING, pod_uid="p2")


def _rules(watched: Watched) -> dict[str, list[str]]:
    return {machine.name: [item.rule.name for item in machine.rules] for machine in watched.machines()}


def test_vms_are_listed_by_name_with_the_rules_in_force() -> None:
    watched = Watched("node", (), (compiled("cpu"), compiled("web", names=["web-*"])))
    watched.domains = {"u2": IN_A_POD, "u1": PLAIN}

    assert _rules(watched) == {"db-1": ["cpu"], "shop/web-1": ["cpu", "web"]}


def test_the_most_specific_policy_is_the_one_shown() -> None:
    everywhere = compiled("cpu", kind=PolicyKind.CLUSTER_MONITOR_POLICY, name="everywhere")
    watched = Watched("node", (), (everywhere, compiled("cpu", name="mine")), {"u1": PLAIN})

    (machine,) = watched.machines()

    assert [str(item.thresholds.policy) for item in machine.rules] == ["default/mine"]


class _Found(Collector):
    def __init__(self, *observations: Observation) -> None:
        self.observations = observations

    def start(self, deliver: Deliver) -> None:
        for observation in self.observations:
            deliver(observation)

    def plan(self, uuid, intervals) -> None: ...

    def scatter(self, target, within) -> None: ...

    def look_again(self, target, source, at) -> None: ...

    def launchers(self, pods) -> None: ...

    def stop(self) -> None: ...


def test_a_vm_in_a_pod_gets_the_identity_that_the_kubernetes_api_would_give_it() -> None:
    received: list[Observation] = []
    appeared = Appeared(IN_A_POD, at=1.0)

    ListeningCollector(_Found(appeared), found=lambda _: None).start(received.append)

    identities, passed_on = received
    assert isinstance(identities, IdentitiesChanged)
    (identity,) = identities.identities
    assert (identity.namespace, identity.name, identity.pod_uids) == ("shop", "web-1", ("p2",))
    assert passed_on is appeared


def test_everything_is_passed_on_and_only_vms_that_come_and_go_are_told() -> None:
    received: list[Observation] = []
    told: list[Observation] = []
    observations = (Appeared(PLAIN, at=1.0), IdentitiesChanged(()), Vanished("u1", at=2.0, reason="shutdown"))

    ListeningCollector(_Found(*observations), found=told.append).start(received.append)

    assert tuple(received) == observations
    assert told == [observations[0], observations[2]]
