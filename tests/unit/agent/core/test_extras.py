"""Extra samples of mode Hybrid: at random instants, and no more than their CPU budget holds."""

import itertools

from tests.integration.agent_core.scripted import policy
from virtwatch_agent.collect.plan import demand
from virtwatch_agent.core.extras import Extras
from virtwatch_agent.judge.node import Node
from virtwatch_agent.judge.rulebook import Rulebook
from virtwatch_agent.observations import Sample
from virtwatch_api.catalogue.readings import Source
from virtwatch_rules.budget import WindowBudget

FULL = {"name": "full", "threshold": {"signal": "node.memory.available.ratio", "warning": {"below": "20%"}}}
_NAMES = itertools.count()


def node(extras: Extras, **collection: str) -> Node:
    thresholds = policy(FULL, target={"kind": "Node"}, collection=collection)
    made = Node(f"n{next(_NAMES)}", WindowBudget())
    made.appear(at=0.0)
    rulebook = Rulebook()
    rulebook.change((thresholds,))
    list(made.apply(rulebook.resolve(made.ref, made.selector_identity), [thresholds.policy], now=0.0))
    extras.plan(made, demand(made.evaluator.intervals, frozenset(), exported={}))
    return made


def sees(extras: Extras, one: Node, available: float, *, now: float) -> float | None:
    values = {("node.memory.available", ""): available, ("node.memory.total", ""): 100.0}
    sample = Sample(one.ref, Source.NODE, "node", 0.0, now, now, values)
    look = one.measure(sample, due=now)
    assert look is not None
    return extras.after(one.ref, sample, look.points, now=now)


def test_a_node_whose_memory_shrinks_is_looked_at_again_at_random_and_a_still_one_not():
    extras = Extras()
    one = node(extras, mode="Hybrid", interval="40s")
    again = [sees(extras, one, 80.0, now=40.0 * number) for number in range(10)]
    assert again == [None] * 10

    instants = [sees(extras, one, 65.0 - 6 * number, now=400.0 + 40.0 * number) for number in range(8)]
    waits = [at - 400.0 - 40.0 * number for number, at in enumerate(instants) if at is not None]
    assert instants[0] is not None  # it moved as it did not before
    assert instants[-1] is not None  # it nears its bound
    assert len(waits) < 8
    assert all(2.5 <= wait <= 7.5 for wait in waits)
    assert len(set(waits)) == len(waits)


def test_the_other_modes_take_no_extra_samples():
    extras = Extras()
    for mode in ("Sampled", "Continuous"):
        one = node(extras, mode=mode, interval="40s")
        assert not any(sees(extras, one, 90.0 - 8 * number, now=40.0 * number) for number in range(10))


def test_extra_samples_of_many_targets_keep_to_their_budget():
    extras = Extras()
    many = [node(extras, mode="Hybrid", interval="10s") for _ in range(40)]
    for second in range(100):
        for number, one in enumerate(many):
            sees(extras, one, 50.0 + 40.0 * ((second + number) % 2), now=1000.0 + second)
    assert 0 < extras.taken * 1e-4 <= 0.02 * (100 + 5)  # CPU seconds


def test_a_target_that_is_forgotten_is_not_looked_at():
    extras = Extras()
    one = node(extras, mode="Hybrid", interval="40s")
    extras.forget(one.ref)
    assert not any(sees(extras, one, 90.0 - 8 * number, now=40.0 * number) for number in range(10))


def test_pressure_that_rises_lets_mode_hybrid_look_at_what_it_changes():
    extras = Extras()
    hybrid, continuous = (node(extras, mode=mode, interval="40s") for mode in ("Hybrid", "Continuous"))
    assert list(extras.roused("memory", now=10.0)) == [(hybrid.ref, Source.NODE)]
    assert list(extras.roused("io", now=10.0)) == []
    assert hybrid.ref != continuous.ref


def test_pressure_rouses_all_in_turn_where_there_is_no_cpu_for_all(monkeypatch):
    monkeypatch.setattr(
        "virtwatch_agent.core.extras._COST_S", {True: 0.0199, False: 0.0199}
    )  # 5 looks of what is saved
    extras = Extras()
    many = [node(extras, mode="Hybrid", interval="40s").ref for _ in range(12)]
    rounds = [[ref for ref, _ in extras.roused("memory", now=10.0 * number)] for number in range(1, 4)]
    assert rounds == [many[:5], many[5:10], [*many[10:], *many[:3]]]
