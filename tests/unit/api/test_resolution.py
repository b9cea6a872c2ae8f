from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virtwatch_api.catalogue.signals import TargetKind
from virtwatch_api.policy import (
    Aggregate,
    Bound,
    Collection,
    Enforcement,
    EventMatch,
    EventRule,
    LabelSelector,
    Level,
    PolicyKey,
    PolicyKind,
    Requirement,
    Rule,
    Severity,
    Target,
    ThresholdRule,
    Timing,
)
from virtwatch_api.resolution import never_judged, resolve_rules, selects
from virtwatch_api.targets import TargetIdentity
from virtwatch_api.thresholdset import ThresholdSet

CLUSTER, NAMESPACED = PolicyKind.CLUSTER_MONITOR_POLICY, PolicyKind.MONITOR_POLICY
TIER = LabelSelector((Requirement("tier", "In", ("web",)),))
VM = TargetIdentity("web-1", "shop", {"tier": "web"})
RULE = Rule(
    "cpu-starved",
    ThresholdRule(
        "vm.cpu.delay.ratio",
        Aggregate(),
        Level(Bound.ABOVE, 0.05, 0.03),
        Level(Bound.ABOVE, 0.10, 0.06),
        Timing(),
    ),
)


def _policy(name="p", kind=NAMESPACED, *, rules=(RULE,), created=1.0, overridable=True, namespaces=None, **target):
    key = PolicyKey(kind, name, "shop" if kind is NAMESPACED else None)
    return ThresholdSet(
        policy=key,
        policy_uid="u",
        generation=1,
        created=created,
        hash="h",
        enforcement=Enforcement.ENFORCE,
        overridable=overridable,
        target=Target(**target),
        namespaces=("shop",) if kind is NAMESPACED else namespaces,
        collection=Collection(),
        rules=rules,
    )


def _annotated(**annotations):
    return replace(VM, annotations={f"virtwatch.io/rule.{name}": text for name, text in annotations.items()})


def _winner(*policies, machine=VM):
    return resolve_rules(machine, policies).rules["cpu-starved"].thresholds.policy.name


MOST_SPECIFIC_FIRST = (
    _policy("may not be overridden", CLUSTER, overridable=False),
    _policy("own with a selector", selector=TIER),
    _policy("own", created=0.5),
    _policy("cluster with names", CLUSTER, names=("web-*",)),
    _policy("cluster", CLUSTER, created=0.1),
)


@pytest.mark.parametrize("index", range(len(MOST_SPECIFIC_FIRST)))
def test_the_most_specific_policy_wins_whatever_its_age(index):
    remaining = MOST_SPECIFIC_FIRST[index:]
    assert _winner(*reversed(remaining)) == remaining[0].policy.name


def test_a_cluster_policy_for_some_namespaces_goes_first():
    broad = _policy("broad", CLUSTER, created=0.1)
    on_nodes = _policy("on nodes", CLUSTER, node_selector=LabelSelector(()))
    assert _winner(broad, _policy("in namespaces", CLUSTER, namespaces=("shop",))) == "in namespaces"
    assert _winner(broad, on_nodes) == "on nodes"


def test_of_equal_policies_the_older_wins_then_the_first_name():
    assert _winner(_policy("a", created=2.0), _policy("b", created=1.0)) == "b"
    assert _winner(_policy("b"), _policy("a")) == "a"


def test_rules_are_inherited_one_by_one():
    other = replace(RULE, name="other")
    base = _policy("base", CLUSTER, rules=(RULE, other))
    rules = resolve_rules(VM, [base, _policy("own")]).rules
    assert {name: item.thresholds.policy.name for name, item in rules.items()} == {
        "cpu-starved": "own",
        "other": "base",
    }


# Few names, so that policies, rules, labels and annotations often meet.
rules = st.sampled_from(
    [
        RULE,
        replace(RULE, name="other"),
        replace(RULE, body=replace(RULE.body, critical=None)),
        Rule("other", EventRule(Severity.WARNING, EventMatch("vm.crashed"), (), 300.0)),
    ]
)
policies = st.builds(
    _policy,
    st.sampled_from("abc"),
    st.sampled_from(PolicyKind),
    rules=st.lists(rules, max_size=2, unique_by=lambda rule: rule.name).map(tuple),
    created=st.sampled_from([1.0, 2.0]),
    overridable=st.booleans(),
    namespaces=st.sampled_from([None, ("shop",), ("bank",)]),
    selector=st.sampled_from([None, TIER, LabelSelector((Requirement("tier", "NotIn", ("web",)),))]),
    names=st.sampled_from([(), ("web-*",), ("db-*",)]),
)
several = st.lists(policies, max_size=6, unique_by=lambda item: item.policy).flatmap(
    lambda sets: st.tuples(st.just(sets), st.permutations(sets))
)
machines = st.builds(
    TargetIdentity,
    st.sampled_from(["web-1", "db-1"]),
    st.sampled_from(["shop", "bank", None]),
    st.sampled_from([{}, {"tier": "web"}, {"tier": "db"}]),
    st.dictionaries(
        st.sampled_from(["cpu-starved", "other", "third"]).map("virtwatch.io/rule.{}".format),
        st.sampled_from(["off", "warning=1", "critical=-5m", "warning=0.5,critical=2", "loud", ""]),
        max_size=3,
    ),
)


@given(several, machines)
def test_the_order_in_which_policies_are_known_changes_nothing(sets, machine):
    given_, shuffled = sets
    assert resolve_rules(machine, given_) == resolve_rules(machine, shuffled)


@given(several, machines)
def test_a_rule_in_force_comes_from_a_policy_that_selects_the_vm(sets, machine):
    for name, effective in resolve_rules(machine, sets[0]).rules.items():
        assert selects(effective.thresholds, machine)
        assert effective.rule.name == name
        assert name in {rule.name for rule in effective.thresholds.rules}


@given(several, machines)
def test_an_annotation_is_followed_or_answered_by_a_sentence(sets, machine):
    plain = resolve_rules(replace(machine, annotations={}), sets[0])
    followed = resolve_rules(machine, sets[0])
    changed = {name for name in plain.rules if plain.rules[name] != followed.rules.get(name)}
    for key in machine.annotations:
        name = key.removeprefix("virtwatch.io/rule.")
        assert (name in changed) is not any(key in problem for problem in followed.problems)


@given(several, machines)
def test_what_may_not_be_overridden_never_is(sets, machine):
    fixed = [item for item in sets[0] if not item.overridable and selects(item, machine)]
    rules = resolve_rules(machine, sets[0]).rules
    for thresholds in fixed:
        for rule in thresholds.rules:
            effective = rules[rule.name]
            assert not effective.thresholds.overridable
            assert effective.rule in effective.thresholds.rules


def test_an_annotation_turns_a_rule_off():
    assert resolve_rules(_annotated(**{"cpu-starved": "off"}), [_policy()]).rules == {}


def test_an_annotation_moves_the_levels_with_their_hysteresis():
    effective = resolve_rules(_annotated(**{"cpu-starved": "warning=0.2, critical=0.4"}), [_policy()]).rules[
        "cpu-starved"
    ]
    body = effective.rule.body
    assert (body.warning.value, body.critical.value) == (0.2, 0.4)
    assert body.warning.recover == pytest.approx(0.18)
    assert body.critical.recover == pytest.approx(0.36)
    assert effective.why == (
        "MonitorPolicy shop/p, which applies to every VM in its scope; "
        "annotation virtwatch.io/rule.cpu-starved sets warning=0.2, critical=0.4"
    )


@pytest.mark.parametrize(
    ("old", "text", "recover"),
    [
        (Level(Bound.ABOVE, 0.05, 0.03), "20%", 0.18),
        (Level(Bound.ABOVE, 0.05, 0.03), "1%", 0.006),
        (Level(Bound.ABOVE, 0.05, 0.05), "1%", 0.01),
        (Level(Bound.ABOVE, 0.05, 0.0), "1%", 0.0),
        (Level(Bound.BELOW, 0.1, 0.15), "20%", 0.25),
        (Level(Bound.BELOW, 0.1, 0.19), "95%", 0.955),
    ],
)
def test_a_level_that_an_annotation_moves_can_still_recover(old, text, recover):
    rule = replace(RULE, body=replace(RULE.body, warning=old, critical=None))
    policy = replace(_policy(), rules=(rule,))
    body = resolve_rules(_annotated(**{"cpu-starved": f"warning={text}"}), [policy]).rules["cpu-starved"].rule.body

    assert body.warning.recover == pytest.approx(recover)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("loud", 'write "off" or "warning=…,critical=…"'),
        ("warning=much", '"warning=much": must be a number such as "0.9" or "90%"'),
        ("critical=100%", "the rule can never fire: vm.cpu.delay.ratio is never above 100 %"),
        ("warning=20ms", '"20ms" is a time, and vm.cpu.delay.ratio is not in seconds'),
        ("warning=90", '"90" is out of range: vm.cpu.delay.ratio is a share from 0 to 1; did you mean "90%"?'),
        ("warning=0.9", "critical must be at least as far out as warning"),
        ("fatal=1", '"fatal=1" sets no level of this rule'),
    ],
)
def test_a_wrong_annotation_is_ignored_with_a_sentence(text, words):
    resolution = resolve_rules(_annotated(**{"cpu-starved": text}), [_policy()])
    assert resolution.rules["cpu-starved"].rule == RULE
    (problem,) = resolution.problems
    assert problem.startswith("annotation virtwatch.io/rule.cpu-starved is ignored: ")
    assert words in problem


def test_an_endless_annotation_makes_no_endless_sentence():
    (problem,) = resolve_rules(_annotated(**{"cpu-starved": "warning=" + "9" * 100_000}), [_policy()]).problems
    assert len(problem) < 400


def test_an_annotation_for_a_rule_that_does_not_apply_is_named():
    resolution = resolve_rules(_annotated(typo="off"), [_policy()])
    assert resolution.problems == ("annotation virtwatch.io/rule.typo names no rule that applies to this VM",)


def test_an_event_rule_can_only_be_turned_off():
    rule = Rule("crash", EventRule(Severity.CRITICAL, EventMatch("vm.crashed"), (), 300.0))
    resolution = resolve_rules(_annotated(crash="warning=1"), [_policy(rules=(rule,))])
    assert resolution.rules["crash"].rule == rule
    assert resolution.problems == (
        'annotation virtwatch.io/rule.crash is ignored: only "off" works on a rule that is not a threshold',
    )


def test_an_annotation_against_a_fixed_policy_is_named():
    resolution = resolve_rules(_annotated(**{"cpu-starved": "off"}), [_policy("all", CLUSTER, overridable=False)])
    assert "cpu-starved" in resolution.rules
    assert resolution.problems == ("annotation virtwatch.io/rule.cpu-starved is ignored: all may not be overridden",)


def test_a_monitorpolicy_never_leaves_its_namespace():
    policy = _policy()
    assert selects(policy, VM)
    assert not selects(policy, replace(VM, namespace="bank"))
    assert not selects(policy, replace(VM, namespace=None))


def test_a_plain_domain_is_selected_as_one_without_labels():
    domain = TargetIdentity("web-1")
    assert selects(_policy(kind=CLUSTER), domain)
    assert not selects(_policy(kind=CLUSTER, selector=TIER), domain)
    assert selects(_policy(kind=CLUSTER, selector=LabelSelector((Requirement("tier", "DoesNotExist"),))), domain)


def test_a_cluster_policy_with_namespaces_selects_in_these_alone():
    policy = _policy(kind=CLUSTER, namespaces=("bank",))
    assert not selects(policy, VM)
    assert selects(policy, replace(VM, namespace="bank"))
    assert not selects(_policy(kind=CLUSTER, namespaces=()), VM)


def test_a_suspended_policy_and_one_for_nodes_select_no_vm():
    assert not selects(replace(_policy(), enforcement=Enforcement.SUSPENDED), VM)
    assert not selects(replace(_policy(kind=CLUSTER), target=Target(kind=TargetKind.NODE)), VM)


def test_a_node_selector_looks_at_the_labels_of_the_node():
    policy = _policy(kind=CLUSTER, node_selector=TIER)
    assert selects(policy, VM, node_labels={"tier": "web"})
    assert not selects(policy, VM, node_labels={"tier": "db"})
    assert not selects(policy, VM)


@pytest.mark.parametrize(
    ("other", "replaced"),
    [
        ({}, ["b"]),
        ({"created": 0.0}, ["a"]),
        ({"names": ("web-*",)}, []),
        ({"selector": TIER}, []),
        ({"kind": CLUSTER, "names": ("web-*",)}, ["b"]),
        ({"kind": CLUSTER, "overridable": False}, ["a"]),
        ({"kind": CLUSTER, "overridable": False, "node_selector": TIER}, []),
    ],
)
def test_a_rule_that_another_replaces_everywhere_is_named(other, replaced) -> None:
    found = never_judged([_policy("b", **other), _policy("a")])
    assert [rule.thresholds.policy.name for _, rule in found] == replaced


def test_a_policy_that_is_suspended_replaces_no_rule() -> None:
    assert not list(never_judged([replace(_policy("a"), enforcement=Enforcement.SUSPENDED), _policy("b")]))
