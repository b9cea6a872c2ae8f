# What policies come to as they are edited, one after the other, against what they come to when all is done anew.
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soak import times
from virtwatch_agent.core.coverage import Coverage
from virtwatch_agent.judge.rulebook import Rulebook
from virtwatch_agent.judge.virtual_machine import VirtualMachine
from virtwatch_agent.observations import Domain, DomainState, KubernetesIdentity
from virtwatch_api.policy import (
    Aggregate,
    Bound,
    Collection,
    Enforcement,
    EventMatch,
    EventRule,
    Function,
    LabelSelector,
    Level,
    PolicyKey,
    PolicyKind,
    Requirement,
    Rule,
    RuleBody,
    Severity,
    Target,
    ThresholdRule,
    Timing,
)
from virtwatch_api.resolution import ANNOTATION_PREFIX, Resolution, resolve_rules
from virtwatch_api.thresholdset import ThresholdSet

POLICIES = [
    PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "base"),
    PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, "fixed"),
    PolicyKey(PolicyKind.MONITOR_POLICY, "web", "shop"),
    PolicyKey(PolicyKind.MONITOR_POLICY, "web", "bank"),
]
WEB = LabelSelector((Requirement("tier", "In", ("web",)),))
WAYS = ("apply", "vanish", "appear", "wait")


def threshold(signal: str, aggregate: Aggregate, bound: float) -> ThresholdRule:
    return ThresholdRule(signal, aggregate, Level(Bound.ABOVE, bound, bound), None, Timing())


bodies: st.SearchStrategy[RuleBody] = st.one_of(
    st.builds(
        threshold,
        st.sampled_from(["vm.memory.rss", "vm.cpu.utilization", "vm.disk.write.rate"]),
        st.sampled_from([Aggregate(), Aggregate(Function.AVG, 60.0)]),
        st.sampled_from([0.5, 0.7]),
    ),
    st.builds(
        EventRule,
        st.just(Severity.CRITICAL),
        st.sampled_from(["vm.crashed", "vm.paused"]).map(EventMatch),
        st.sampled_from([(), ("vm.resumed",)]),
        st.just(60.0),
    ),
)
rules = st.dictionaries(st.sampled_from("abc"), bodies, min_size=1).map(
    lambda named: tuple(Rule(name, body) for name, body in named.items())
)


@st.composite
def thresholds(draw: st.DrawFn) -> ThresholdSet:
    policy = draw(st.sampled_from(POLICIES))
    return ThresholdSet(
        policy,
        "uid",
        1,
        draw(st.sampled_from([0.0, 1.0])),
        "hash",
        draw(st.sampled_from([Enforcement.ENFORCE, Enforcement.ENFORCE, Enforcement.OBSERVE, Enforcement.SUSPENDED])),
        overridable=policy.name != "fixed",
        target=Target(selector=draw(st.sampled_from([None, WEB])), names=draw(st.sampled_from([(), ("v1",)]))),
        namespaces=(policy.namespace,) if policy.namespace else None,
        collection=Collection(interval=draw(st.sampled_from([5.0, 15.0]))),
        rules=draw(rules),
    )


in_force = st.lists(thresholds(), max_size=4, unique_by=lambda item: item.policy)


def machine(name: str, namespace: str, tier: str, **annotations: str) -> VirtualMachine:
    made = VirtualMachine(Domain(f"uuid-{name}", name, "test", "1", DomainState.RUNNING), "n1")
    written = {f"{ANNOTATION_PREFIX}{rule}": text for rule, text in annotations.items()}
    made.identity = KubernetesIdentity(namespace, name, f"uid-{name}", (), {"tier": tier}, written)
    return made


def machines() -> list[VirtualMachine]:
    return [
        machine("v1", "shop", "web"),
        machine("v2", "shop", "web"),  # as the first, but for its name
        machine("v3", "bank", "db"),
        machine("v4", "shop", "web", a="off", b="warning=0.9"),
    ]


def meant(resolution: Resolution) -> tuple[object, object]:
    chosen = {name: (item.rule, item.thresholds, item.why) for name, item in resolution.rules.items()}
    return chosen, resolution.problems


@dataclass
class Edited:
    """Hold one node's machines, judged by what a rulebook says."""

    def __post_init__(self) -> None:
        self.book, self.coverage, self.machines = Rulebook(), Coverage(), machines()
        self.now = 1000.0

    def resolve(self, item: VirtualMachine) -> Resolution:
        return self.book.resolve(item.ref, item.selector_identity)

    def turn(self, sets: list[ThresholdSet], ways: list[str]) -> None:
        # Each is read anew: what is equal need not be the same object.
        self.book.change([replace(item) for item in sets])
        for item, way in zip(self.machines, ways, strict=True):
            self.now += 1.0
            if way == "vanish":
                list(item.vanish(now=self.now))
            elif way == "appear":
                item.appear(item.domain, at=self.now)
            if way != "wait":
                list(item.apply(self.resolve(item), [one.policy for one in sets], now=self.now))
            self.coverage.note(item)


turns = st.lists(st.tuples(in_force, st.lists(st.sampled_from(WAYS), min_size=4, max_size=4)), min_size=1, max_size=6)


@settings(max_examples=times(60, 5000), deadline=None)
@given(turns)
def test_edits_resolve_to_what_the_pure_function_says(edits: list[tuple[list[ThresholdSet], list[str]]]) -> None:
    edited = Edited()
    for sets, ways in edits:
        edited.turn(sets, ways)
        for item in edited.machines:
            assert meant(edited.resolve(item)) == meant(resolve_rules(item.selector_identity, sets))


@settings(max_examples=times(60, 5000), deadline=None)
@given(turns)
def test_edits_lead_to_what_judging_anew_would_ask(edits: list[tuple[list[ThresholdSet], list[str]]]) -> None:
    edited = Edited()
    for sets, ways in edits:
        edited.turn(sets, ways)
    sets, _ = edits[-1]
    edited.turn(sets, ["apply"] * len(edited.machines))

    for item, anew in zip(edited.machines, machines(), strict=True):
        list(anew.apply(resolve_rules(anew.selector_identity, sets), [one.policy for one in sets], now=edited.now))
        assert dict(item.evaluator.intervals) == dict(anew.evaluator.intervals)
        assert item.evaluator.event_types == anew.evaluator.event_types
        assert item.policies == anew.policies == {rule.thresholds.policy for rule in item.rules.values()}
        asked, wanted = [{(effective.rule, wish) for effective, wish in one.evaluator.asked()} for one in (item, anew)]
        assert asked == wanted


@settings(max_examples=times(40, 2000), deadline=None)
@given(turns)
def test_coverage_counts_the_vms_that_are_there(edits: list[tuple[list[ThresholdSet], list[str]]]) -> None:
    edited = Edited()
    for sets, ways in edits:
        edited.turn(sets, ways)

        here = [item for item in edited.machines if item.present]
        counted = {policy: sum(policy in item.policies for item in here) for policy in POLICIES}
        assert edited.coverage.machines == {policy: count for policy, count in counted.items() if count}


def test_vms_that_the_same_policies_select_share_what_is_resolved() -> None:
    book, (first, second, *_) = Rulebook(), machines()
    base = ThresholdSet(
        POLICIES[0],
        "uid",
        1,
        0.0,
        "hash",
        Enforcement.ENFORCE,
        overridable=True,
        target=Target(),
        namespaces=None,
        collection=Collection(),
        rules=(Rule("a", threshold("vm.memory.rss", Aggregate(), 1.0)),),
    )
    book.change([base])
    for item in (first, second):
        book.resolve(item.ref, item.selector_identity)

    book.change([replace(base, rules=(Rule("a", threshold("vm.memory.rss", Aggregate(), 2.0)),))])

    resolved = [book.resolve(item.ref, item.selector_identity) for item in (first, second)]
    assert resolved[0] is resolved[1]
    assert resolved[0].changed == {"a"}
