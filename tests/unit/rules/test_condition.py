from tests.unit.rules.judged import T0, Judged
from virtwatch_api.policy import (
    Aggregate,
    AllOf,
    AnyOf,
    Bound,
    Comparison,
    ConditionRule,
    Function,
    Level,
    MissingData,
    Severity,
    Timing,
)

HEADROOM, FAULTS, SWAP = "vm.memory.headroom.ratio", "vm.memory.rss", "vm.memory.balloon"
READ, WRITE, DROPS = "vm.disk.read.latency", "vm.disk.write.latency", "vm.network.receive.drops.rate"


def above(signal: str, bound: float, aggregate: Aggregate | None = None) -> Comparison:
    return Comparison(signal, aggregate or Aggregate(), Level(Bound.ABOVE, bound, bound))


def below(signal: str, bound: float) -> Comparison:
    return Comparison(signal, Aggregate(), Level(Bound.BELOW, bound, bound))


def condition(tree: AllOf | AnyOf, timing: Timing | None = None) -> ConditionRule:
    return ConditionRule(Severity.WARNING, tree, timing or Timing())


PRESSURE = AllOf((below(HEADROOM, 0.05), AnyOf((above(FAULTS, 5), above(SWAP, 1024)))))


def test_all_and_any_nest() -> None:
    judged = Judged(condition(PRESSURE))

    assert judged.see(1, {HEADROOM: 0.04, FAULTS: 0.0, SWAP: 0.0}) == []
    assert judged.see(2, {HEADROOM: 0.04, FAULTS: 0.0, SWAP: 2048.0}) == [("Fired", "Breach")]
    assert judged.said[-1].evidence.text == (
        "vm.memory.headroom.ratio is 4 %, below 5 %; vm.memory.balloon is 2Ki, above 1Ki"
    )
    assert judged.see(3, {HEADROOM: 0.04, FAULTS: 9.0, SWAP: 0.0}) == []
    assert judged.see(4, {HEADROOM: 0.5, FAULTS: 9.0, SWAP: 0.0}) == [("Resolved", "Recovered")]


def test_signals_of_two_sources_join_by_their_newest_values() -> None:
    judged = Judged(condition(AllOf((above("vm.cpu.utilization", 0.9), above(SWAP, 10)))))

    assert judged.see(1, {"vm.cpu.utilization": 0.95}) == []
    assert judged.see(1.4, {SWAP: 20.0}) == [("Fired", "Breach")]
    assert judged.see(2, {"vm.cpu.utilization": 0.1}) == [("Resolved", "Recovered")]


def test_for_counts_while_the_whole_of_it_holds() -> None:
    judged = Judged(condition(AllOf((above(FAULTS, 5), above(SWAP, 5))), Timing(for_=2.0, keep_firing_for=2.0)))
    values = [(9, 9), (9, 0), (9, 9), (9, 9), (9, 9), (0, 9), (0, 9), (0, 9)]

    changed = [second for second, (a, b) in enumerate(values) if judged.see(second, {FAULTS: a, SWAP: b})]

    assert changed == [4, 7]


def test_signals_of_one_device_are_joined_by_device() -> None:
    judged = Judged(condition(AllOf((above(READ, 0.1), above(WRITE, 0.1)))))

    slow = {(READ, "vda"): 0.2, (WRITE, "vda"): 0.01, (READ, "vdb"): 0.2, (WRITE, "vdb"): 0.3}
    assert judged.see(1, slow) == [("Fired", "Breach")]
    assert judged.said[-1].name.device == "vdb"


def test_a_signal_of_the_target_goes_with_each_device() -> None:
    judged = Judged(condition(AllOf((above(READ, 0.1), above(SWAP, 10)))))
    judged.see(1, {(READ, "vda"): 0.2, (READ, "vdb"): 0.2})

    assert judged.see(1.2, {SWAP: 20.0}) == [("Fired", "Breach")] * 2
    assert sorted(item.name.device for item in judged.said) == ["vda", "vdb"]


def test_a_device_of_another_kind_joins_by_the_worst_of_them() -> None:
    judged = Judged(condition(AllOf((above(READ, 0.1), above(DROPS, 10)))))

    judged.see(1, {(READ, "vda"): 0.2, (READ, "vdb"): 0.0, (DROPS, "net0"): 0.0, (DROPS, "net1"): 99.0})

    assert [item.name.device for item in judged.said] == ["vda"]
    assert "net1" in judged.said[0].evidence.text


def test_a_part_that_has_no_data_decides_nothing_alone() -> None:
    tree = AllOf((above(FAULTS, 5), above(SWAP, 5)))
    held, resolved, raised = (Judged(condition(tree, Timing(missing_data=choice))) for choice in MissingData)
    for judged in (held, resolved):
        assert judged.see(0, {FAULTS: 9.0, SWAP: 9.0}) == [("Fired", "Breach")]
    raised.see(0, {FAULTS: 9.0, SWAP: 0.0})

    said = {"held": held, "resolved": resolved, "raised": raised}
    changes = {
        key: [
            (second, item) for second in range(1, 9) for item in judged.see(second, {FAULTS: 9.0}) + judged.tick(second)
        ]
        for key, judged in said.items()
    }

    assert changes == {"held": [], "resolved": [(6, ("Resolved", "NoData"))], "raised": [(6, ("Fired", "NoData"))]}
    assert held.see(9, {FAULTS: 0.0}) == [("Resolved", "Recovered")]  # one part is false, whatever the other is


def test_an_idle_disk_is_not_slow() -> None:
    judged = Judged(condition(AnyOf((above(READ, 0.1), above(WRITE, 0.1)))))
    assert judged.see(1, {(READ, "vda"): 0.2, (WRITE, "vda"): None}) == [("Fired", "Breach")]

    assert judged.see(2, {(READ, "vda"): None, (WRITE, "vda"): None}) == [("Resolved", "Recovered")]


def test_each_comparison_has_a_window_of_its_own() -> None:
    judged = Judged(condition(AllOf((above(SWAP, 5), above(SWAP, 5, Aggregate(Function.MIN, 3.0))))))
    values = [9, 0, 9, 9, 9, 9]

    changed = [second for second, value in enumerate(values) if judged.see(second, {SWAP: value})]

    assert changed == [0, 1, 4]


def test_it_goes_on_after_an_edit_of_its_bounds() -> None:
    judged = Judged(condition(AllOf((above(SWAP, 5),))))
    judged.see(1, {SWAP: 9.0})

    assert judged.apply(condition(AllOf((above(SWAP, 7),))), at=1) == []
    assert judged.state.since == T0 + 1
    assert judged.see(2, {SWAP: 6.0}) == [("Resolved", "Recovered")]
