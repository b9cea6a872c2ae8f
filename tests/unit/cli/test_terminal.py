import errno
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.unit.cli.examples import FIRED, FIRING
from virtwatch_agent.observations import Appeared, Domain, DomainState, NodeChanged, Observation
from virtwatch_api.nodemonitor import Acknowledged, AgentHealth, Counts, FiringAlert, NodeStatus
from virtwatch_api.targets import vm_ref
from virtwatch_cli.watch import terminal as terminal_module
from virtwatch_cli.watch.terminal import Screen, TerminalReporter
from virtwatch_cli.watch.watched import Watched

DEADLINE_S = 60.0


class _Screen(Screen):
    """Note what is shown; a broken one raises."""

    def __init__(self) -> None:
        self.shown: list[object] = []
        self.news = threading.Condition()
        self.broken: Exception | None = None

    def overview(self, watched) -> None:
        self._note(("overview", *watched.domains))

    def appeared(self, watched, domain, *, at) -> None:
        self._note(("appeared", domain.uuid))

    def vanished(self, watched, domain, *, at, reason) -> None:
        self._note(("vanished", domain.uuid))

    def firing(self, alerts, *, total) -> None:
        self._note(("firing", *(item.alert.target for item in alerts), total))

    def values(self, standings, *, at) -> None:
        self._note(("values", *standings))

    def unavailable(self, policy, item, *, over) -> None:
        self._note(("unavailable", item.rule, over))

    def transition(self, transition) -> None:
        self._note(transition.sequence)

    def problem(self, problem) -> None:
        self._note(problem)

    def wait(self, fits: Callable[[list[object]], bool]) -> None:
        with self.news:
            assert self.news.wait_for(lambda: fits(self.shown), DEADLINE_S), self.shown

    def _note(self, item: object) -> None:
        if self.broken is not None:
            raise self.broken
        with self.news:
            self.shown.append(item)
            self.news.notify_all()


def _status(*sequences: int, epoch: str = "e1", firing: tuple[FiringAlert, ...] = ()) -> NodeStatus:
    return NodeStatus(
        epoch=epoch,
        sequence=max(sequences, default=0),
        transitions=tuple(replace(FIRED, sequence=number) for number in sequences),
        waiting=0,
        firing=firing,
        counts=Counts(critical=len(firing)),
        applied=(),
        virtual_machines=0,
        agent=AgentHealth("", 0.0, 0.0, 0.0, 0, 0),
        conditions=(),
    )


class _Terminal:
    def __init__(self) -> None:
        self.screen = _Screen()
        self.closed = threading.Event()
        self.delivered: list[Observation] = []
        self.reporter = TerminalReporter(self.screen, Watched("node", ()), connections=0, closed=self.closed.set)

    def start(self) -> None:
        self.reporter.start(self.delivered.append)


@pytest.fixture
def unstarted(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Terminal]:
    """Make a terminal that shows nothing yet: what it is told first, it shows first, however late it begins."""
    monkeypatch.setattr(terminal_module, "_END", DEADLINE_S)
    made = _Terminal()
    yield made
    made.reporter.stop()


@pytest.fixture
def terminal(unstarted: _Terminal) -> _Terminal:
    unstarted.start()
    return unstarted


def test_each_transition_is_shown_once_and_then_acknowledged(terminal: _Terminal) -> None:
    terminal.reporter.publish(_status(1, 2))
    terminal.screen.wait(lambda shown: shown[-1:] == [2])
    terminal.reporter.publish(_status(1, 2, 3))
    terminal.screen.wait(lambda shown: shown[-1:] == [3])
    terminal.reporter.stop()

    assert terminal.screen.shown == [("overview",), 1, 2, 3]
    assert terminal.delivered == [
        NodeChanged(labels={}, acknowledged=Acknowledged("e1", 2)),
        NodeChanged(labels={}, acknowledged=Acknowledged("e1", 3)),
    ]


def test_a_new_epoch_begins_to_count_anew(terminal: _Terminal) -> None:
    terminal.reporter.publish(_status(5))
    terminal.screen.wait(lambda shown: shown[-1:] == [5])
    terminal.reporter.publish(_status(1, epoch="e2"))

    terminal.screen.wait(lambda shown: shown[-1:] == [1])


def test_what_was_there_at_the_start_is_one_overview_and_what_comes_later_is_a_line(unstarted: _Terminal) -> None:
    terminal = unstarted

    def domain(uuid: str) -> Domain:
        return Domain(uuid, uuid, "c", "1", DomainState.RUNNING)

    terminal.reporter.found(Appeared(domain("a"), 1.0))
    terminal.reporter.found(Appeared(domain("b"), 1.0))
    terminal.start()
    terminal.screen.wait(lambda shown: shown == [("overview", "a", "b")])
    terminal.reporter.found(Appeared(domain("b"), 2.0))
    terminal.reporter.found(Appeared(replace(domain("b"), state=DomainState.PAUSED), 3.0))

    terminal.screen.wait(lambda shown: shown[1:] == [("appeared", "b")])


def test_new_policies_are_a_new_overview(terminal: _Terminal) -> None:
    terminal.screen.wait(lambda shown: shown == [("overview",)])
    terminal.reporter.policies(())

    terminal.screen.wait(lambda shown: shown == [("overview",), ("overview",)])


@pytest.mark.parametrize(
    "error",
    [BrokenPipeError(), OSError(errno.ENOSPC, "No space left on device"), UnicodeEncodeError("ascii", "é", 0, 1, "")],
    ids=lambda error: type(error).__name__,
)
def test_whoever_started_it_is_told_that_nothing_can_be_shown_any_more_and_why(
    terminal: _Terminal, error: Exception
) -> None:
    terminal.screen.broken = error
    terminal.reporter.publish(_status(1))

    assert terminal.closed.wait(DEADLINE_S)
    assert terminal.reporter.error is error
    assert terminal.delivered == []


OTHER = replace(FIRING, alert=replace(FIRING.alert, target=vm_ref("u2")))


def test_what_fired_before_the_start_is_shown_once_with_the_overview(terminal: _Terminal) -> None:
    terminal.reporter.publish(_status(firing=(OTHER,)))
    terminal.screen.wait(lambda shown: shown == [("overview",), ("firing", vm_ref("u2"), 1)])
    terminal.reporter.publish(_status(1, firing=(FIRING, OTHER)))
    terminal.reporter.policies(())

    terminal.screen.wait(lambda shown: shown[2:] == [1, ("overview",)])


def test_what_fired_before_the_start_is_shown_although_it_is_known_late(terminal: _Terminal) -> None:
    terminal.screen.wait(lambda shown: shown == [("overview",)])
    terminal.reporter.publish(_status(firing=(OTHER,)))

    terminal.screen.wait(lambda shown: shown[1:] == [("firing", vm_ref("u2"), 1)])


def test_what_fires_by_a_transition_that_is_shown_is_not_shown_twice(terminal: _Terminal) -> None:
    terminal.reporter.publish(_status(1, firing=(FIRING, OTHER)))

    terminal.screen.wait(lambda shown: shown == [("overview",), ("firing", vm_ref("u2"), 2), 1])


def test_what_waits_is_shown_before_the_end(unstarted: _Terminal) -> None:
    for number in range(100):
        unstarted.reporter.problem(str(number))
    unstarted.start()
    unstarted.reporter.stop()

    assert [item for item in unstarted.screen.shown if isinstance(item, str)] == [str(number) for number in range(100)]
