"""Replays the tests of a file and compares what fires with what is expected."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from virtwatch_api.duration import format_duration
from virtwatch_api.thresholdset import ThresholdSet
from virtwatch_cli.backtest.driver import read_thresholds
from virtwatch_cli.backtest.recordings import BacktestError
from virtwatch_cli.policy_tests.document import (
    START,
    Expectation,
    ExpectedAlert,
    PolicyTest,
    PolicyTestError,
    read_test_file,
)
from virtwatch_rules.replay import Replay


@dataclass(frozen=True, slots=True)
class Result:
    """Hold the outcome of one test: sentences about what was not as expected."""

    name: str
    failures: tuple[str, ...]


def run_file(path: Path) -> list[Result]:
    """Run the tests of a file.

    Raises:
        PolicyTestError: the file or one of its policies is invalid.
    """
    file = read_test_file(path)
    try:
        thresholds = read_thresholds(file.policies)
    except BacktestError as error:
        raise PolicyTestError(str(error)) from error
    known = {rule.name for item in thresholds for rule in item.rules}
    for test in file.tests:
        for expectation in test.expectations:
            if expectation.rule not in known:
                rules = ", ".join(sorted(known))
                raise PolicyTestError(f'{test.name}: there is no rule "{expectation.rule}"; the policies have {rules}')
    return [Result(test.name, tuple(_failures(test, thresholds))) for test in file.tests]


def _failures(test: PolicyTest, thresholds: Sequence[ThresholdSet]) -> Iterator[str]:
    replay = Replay(thresholds)
    waiting = list(test.recorded)
    for _ in replay.until(START):
        pass
    for expectation in test.expectations:
        now = START + expectation.at
        while waiting and waiting[0].at <= now:
            for _ in replay.feed(waiting.pop(0)):
                pass
        for _ in replay.until(now):
            pass
        fires = sorted(_firing(replay, expectation.rule), key=str)
        wanted = sorted(expectation.alerts, key=str)
        if not _same(wanted, fires):
            yield _difference(expectation, wanted, fires, replay)


def _firing(replay: Replay, rule: str) -> Iterator[ExpectedAlert]:
    for target, name, alert in replay.alerts():
        if name.rule == rule and alert.state.severity is not None:
            yield ExpectedAlert(target.name, alert.state.severity, name.device)


def _same(wanted: Sequence[ExpectedAlert], fires: Sequence[ExpectedAlert]) -> bool:
    rest = list(fires)
    for one in wanted:
        match = next(
            (
                other
                for other in rest
                if (other.target, other.severity) == (one.target, one.severity) and one.device in ("", other.device)
            ),
            None,
        )
        if match is None:
            return False
        rest.remove(match)
    return not rest


def _difference(
    expectation: Expectation, wanted: Sequence[ExpectedAlert], fires: Sequence[ExpectedAlert], replay: Replay
) -> str:
    at = format_duration(expectation.at)
    text = f"at {at} {expectation.rule} must fire {_list(wanted)}; it fires {_list(fires)}"
    pending = [
        f"{target} (pending)"
        for target, name, alert in replay.alerts()
        if name.rule == expectation.rule and alert.state.severity is None
    ]
    return f"{text}; {', '.join(pending)}" if pending else text


def _list(alerts: Sequence[ExpectedAlert]) -> str:
    if not alerts:
        return "on nothing"
    return ", ".join(f"{one.severity} on {one.target}{f' ({one.device})' if one.device else ''}" for one in alerts)
