# What one more rule of one more VM takes while all is well: nodes have tens of thousands of such pairs.
import gc
import tracemalloc

from tests.unit.rules.judged import T0, effective
from virtwatch_api.policy import Aggregate, Bound, Level, PolicyKey, PolicyKind, ThresholdRule, Timing
from virtwatch_rules.budget import WindowBudget
from virtwatch_rules.evaluator import Evaluator
from virtwatch_rules.inputs import Measured, Point

SIGNAL = "vm.cpu.utilization"
TARGETS, RULES, MOST_BYTES = 5, 200, 340


def test_a_rule_at_rest_takes_few_bytes_for_each_vm() -> None:
    policies = [PolicyKey(PolicyKind.CLUSTER_MONITOR_POLICY, f"policy-{number}") for number in range(RULES)]
    in_force = {
        f"r{number}": effective(
            ThresholdRule(SIGNAL, Aggregate(), Level(Bound.ABOVE, 0.9, 0.9), None, Timing()),
            name=f"r{number}",
            policy=policy,
        )
        for number, policy in enumerate(policies)
    }
    watched(in_force, policies)  # what is made once is no VM's
    tracemalloc.start()
    try:
        evaluators = [watched(in_force, policies) for _ in range(TARGETS)]
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert len(evaluators) == TARGETS
    assert held / (TARGETS * RULES) <= MOST_BYTES


def watched(in_force, policies) -> Evaluator:
    evaluator = Evaluator(WindowBudget())
    list(evaluator.appear(at=T0))
    list(evaluator.apply(in_force, policies, at=T0))
    for second in range(1, 4):
        list(evaluator.measured(Measured(T0 + second, [Point(SIGNAL, "", 0.5)], frozenset({SIGNAL}))))
        list(evaluator.tick(at=T0 + second + 0.5))
    return evaluator
