import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.cli.examples import FIRED, FIRING, compiled
from virtwatch_agent.observations import Domain, DomainState, Standing
from virtwatch_api.alert import INACTIVE, Action, AlertState, Reason
from virtwatch_api.nodemonitor import Evidence, Unavailable
from virtwatch_api.policy import Aggregate, Bound, Level, Rule, Severity, ThresholdRule, Timing
from virtwatch_api.resolution import effective_rules
from virtwatch_api.targets import Subject, vm_ref
from virtwatch_cli.policy_files import Finding
from virtwatch_cli.watch.json_lines import JsonScreen
from virtwatch_cli.watch.text import TextScreen
from virtwatch_cli.watch.watched import Watched
from virtwatch_rules.verdict import AlertName, Explained

DOMAIN = Domain("u1", "web-1", "qemu:///system", "1", DomainState.PAUSED)
WATCHED = Watched("node-1", ("qemu:///system",), (compiled("cpu"),), {"u1": DOMAIN})
RESOLVED = replace(FIRED, action=Action.RESOLVED, reason=Reason.DOMAIN_STOPPED, severity=None, since=1_000_000.0)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def _words(out: io.StringIO) -> list[str]:
    return [" ".join(line.split()) for line in out.getvalue().splitlines() if line]


def test_the_overview_tells_a_person_what_is_judged_and_when_it_fires(out: io.StringIO) -> None:
    TextScreen(out, {}).overview(WATCHED)

    assert _words(out) == [
        "Watching 1 VM on node-1 through qemu:///system. Ctrl-C ends it.",
        "default/cpu, each 15s",
        "cpu vm.cpu.utilization: Warning above 70 %, Critical above 90 %; for 30s",
        "VM STATE RULES",
        "web-1 paused cpu",
    ]


def test_a_transition_is_one_line_with_severity_vm_rule_and_why(out: io.StringIO) -> None:
    TextScreen(out, {}).transition(FIRED)

    (line,) = _words(out)
    assert line.endswith("Critical web-1 cpu: vm.cpu.utilization is 0.97, above 0.9")


def test_an_end_says_why_and_after_how_long(out: io.StringIO) -> None:
    TextScreen(out, {}).transition(RESOLVED)

    assert "Resolved web-1 cpu: the VM stopped after 1m30s" in _words(out)[0]


def test_what_fires_already_is_told_with_its_day(out: io.StringIO) -> None:
    TextScreen(out, {}).firing((FIRING,), total=1)

    header, *lines = _words(out)
    assert header == "Fires already:"
    line = " ".join(lines)
    assert line.startswith("Critical web-1 cpu: vm.cpu.utilization is 0.97, above 0.9, since 1970-01-1")


def test_that_more_fires_than_is_listed_is_said(out: io.StringIO) -> None:
    TextScreen(out, {}).firing((FIRING,), total=20)

    assert _words(out)[-1] == "20 alerts fire in all."


def test_another_severity_says_what_it_was(out: io.StringIO) -> None:
    eased = replace(FIRED, action=Action.EASED, severity=Severity.WARNING, previous=Severity.CRITICAL)

    TextScreen(out, {}).transition(eased)

    assert "(was Critical)" in _words(out)[0]


@pytest.mark.parametrize(
    ("out", "env", "coloured"),
    [(_Terminal(), {}, True), (_Terminal(), {"NO_COLOR": "1"}, False), (io.StringIO(), {}, False)],
)
def test_there_is_colour_on_a_terminal_only(out: io.StringIO, env: dict[str, str], coloured: bool) -> None:
    TextScreen(out, env).transition(FIRED)

    assert ("\x1b[" in out.getvalue()) is coloured


def test_vms_that_come_and_go_are_lines(out: io.StringIO) -> None:
    screen = TextScreen(out, {})

    screen.appeared(WATCHED, DOMAIN, at=1.0)
    screen.vanished(WATCHED, DOMAIN, at=2.0, reason="shutdown")

    assert [line.partition(" ")[2] for line in _words(out)] == [
        "VM web-1 paused; rules: cpu",
        "VM web-1 gone: shutdown",
    ]


RECOVERS = Level(Bound.ABOVE, 0.9, 0.8)
BODY = ThresholdRule("vm.cpu.utilization", Aggregate(), RECOVERS, None, Timing(for_=120.0))


def standing(name: str, value: float | None, state: AlertState = INACTIVE, *, missing: str = "") -> Standing:
    thresholds = replace(compiled("cpu"), rules=(Rule("cpu", BODY),))
    effective = effective_rules(thresholds)["cpu"]
    evidence = Evidence("vm.cpu.utilization", value, 0.9, "so it is")
    explained = Explained(AlertName(thresholds.policy, "cpu"), state, evidence, "fires when above 90 % for 2m")
    return Standing(Subject(name, vm_ref(name), "node-1"), effective, explained, missing)


def test_what_fires_stands_first_then_what_is_closest(out: io.StringIO) -> None:
    fires = AlertState(severity=Severity.WARNING, since=1.0)
    standings = [standing("far", 0.1), standing("near", 0.89), standing("blind", None, missing="no process")]
    TextScreen(out, {}).values([*standings, standing("hot", 0.95, fires)], at=0.0)

    assert _words(out)[1:] == [
        "STATE VM RULE NOW WARNING CRITICAL",
        "Warning hot cpu 95 % above 90 %",
        "near cpu 89 % above 90 %",
        "far cpu 10 % above 90 %",
        "cannot tell blind cpu above 90 %",
    ]


def test_values_that_do_not_fit_a_screen_are_counted(out: io.StringIO) -> None:
    TextScreen(out, {}).values([standing(f"vm-{number}", 0.5) for number in range(50)], at=0.0)

    assert _words(out)[-1] == "and 30 more, further from their bounds; -o json has all"


def test_current_values_are_told_to_machines_with_their_bounds(out: io.StringIO) -> None:
    JsonScreen(out).values([standing("web-1", 0.5)], at=0.0)

    (value,) = json.loads(out.getvalue())["values"]
    assert (value["virtualMachine"], value["value"], value["now"], value["for"]) == ("web-1", 0.5, "50 %", "2m")
    assert value["warning"] == {
        "above": 0.9,
        "recover": 0.8,
        "text": "above 90 %",
        "recoverText": "at or below 80 %",
    }


def test_a_screen_names_all_vms_within_80_columns(out: io.StringIO) -> None:
    names = [*(f"database-replica-{number:02}" for number in range(40)), "debian 12", "Win10-Office"]
    domains = {name: Domain(name, name, "c", "1", DomainState.RUNNING) for name in names}
    watched = replace(WATCHED, thresholds=(replace(compiled("cpu"), rules=(Rule("cpu", BODY),)),), domains=domains)
    screen = TextScreen(out, {})
    screen.overview(watched)
    assert all(name in out.getvalue() for name in names)
    assert len(out.getvalue().splitlines()) <= 24
    screen.values([standing(name, 0.5) for name in names], at=0.0)
    missing = Unavailable("cpu", "vm.cpu.delay.ratio", 3, "only the kernel of its own host reports it", "debian 12")
    screen.unavailable(WATCHED.thresholds[0].policy, missing, over=False)

    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert "until at or below 80 %; for 2m" in " ".join(_words(out))


def test_every_line_for_machines_is_one_object_with_a_type(out: io.StringIO) -> None:
    screen = JsonScreen(out)
    screen.overview(WATCHED)
    screen.firing((FIRING,), total=1)
    screen.appeared(WATCHED, DOMAIN, at=1.0)
    screen.transition(FIRED)
    screen.vanished(WATCHED, DOMAIN, at=2.0, reason="shutdown")
    screen.problem(Finding(Path("a.yaml"), 3, "spec.rules", "must be a list"))
    screen.problem("libvirt is absent")

    documents = [json.loads(line) for line in out.getvalue().splitlines()]

    assert [item["type"] for item in documents] == [
        *("watching", "firing", "vm", "transition", "vm", "problem", "problem")
    ]
    assert documents[0]["policies"][0]["rules"] == documents[0]["virtualMachines"][0]["rules"] == ["cpu"]
    assert (documents[1]["severity"], documents[1]["subject"]["domain"]) == ("Critical", "web-1")
    assert documents[1]["id"] == documents[3]["id"]
    assert documents[3]["evidence"]["value"] == "0.97"
    assert documents[4]["state"] == "gone"
    assert (documents[5]["file"], documents[5]["line"], documents[5]["field"]) == ("a.yaml", 3, "spec.rules")


def test_a_line_for_machines_can_be_written_in_every_encoding() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="latin-1", errors="backslashreplace")

    JsonScreen(out).problem("\ud83d é \N{GRINNING FACE}")

    assert json.loads(raw.getvalue())["message"] == "\ud83d é \N{GRINNING FACE}"
