"""A window holds, and makes of its samples, what Prometheus' does: its answers to random series are recorded."""

import pytest

from tests.prometheus_windows import Case, ask_prometheus, random_cases
from tests.recorded import recorded
from virtwatch_agent.judge.window import Window
from virtwatch_api.policy import Aggregate, Function

RECORDED, SEED = 2000, 20261130


def ours(case: Case) -> float | None:
    """Say what the agent makes of the case."""
    window = Window(Aggregate(case.function, case.window_ms / 1000))
    for ms, value in case.samples:
        window.add(ms / 1000, value)
    return window.value(case.now_ms / 1000)


def differences(cases: list[Case], answers: list[float | None]) -> list[tuple[Case, float | None, float | None]]:
    return [
        (case, ours(case), answer)
        for case, answer in zip(cases, answers, strict=True)
        # The last value stays in force however old it is: missing data has a rule of its own.
        if (case.function is not Function.LAST or answer is not None)
        and ours(case) != (None if answer is None else pytest.approx(answer, rel=1e-9, abs=1e-9))
    ]


@pytest.mark.soak
def test_a_window_is_what_prometheus_says() -> None:
    cases = random_cases(SEED, RECORDED)

    assert differences(cases, recorded("prometheus/windows.json", lambda: ask_prometheus(cases))) == []
