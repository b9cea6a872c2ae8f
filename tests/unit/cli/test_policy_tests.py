from pathlib import Path

import pytest

from tests.unit.cli.test_backtest import POLICY
from virtwatch_cli.__main__ import main
from virtwatch_cli.backtest.driver import read_thresholds
from virtwatch_cli.policy_tests.series import expand
from virtwatch_cli.watch.session import only_in_a_cluster

TEST = """\
policies: [web.yaml]
interval: 15s
tests:
- name: a busy VM warns after a minute
  input:
  - {target: shop/web-1, labels: {tier: web}, signal: vm.cpu.utilization, values: 0.3x7 0.9x20}
  - {target: shop/db-1, signal: vm.cpu.utilization, values: 0.9x27}
  events:
  - {at: 90s, target: shop/web-1, type: vm.crashed}
  expect:
  - {at: 2m45s, rule: cpu-busy, alerts: []}
  - {at: 3m, rule: cpu-busy, alerts: [{target: shop/web-1, severity: Warning}]}
  - {at: 2m, rule: crashed, alerts: [{target: shop/web-1, severity: Critical}]}
"""


def run(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    (folder / "web.yaml").write_text(POLICY)
    path = folder / "test.yaml"
    path.write_text(text)
    code = main(["test", str(path)])
    return code, *capsys.readouterr()


def test_a_policy_that_does_what_is_expected_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(tmp_path, TEST, capsys)
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"ok    {tmp_path / 'test.yaml'}: a busy VM warns after a minute", "1 passed, 0 failed"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "2m45s, rule: cpu-busy, alerts: []",
            "2m45s, rule: cpu-busy, alerts: [{target: shop/web-1, severity: Warning}]",
            "at 2m45s cpu-busy must fire Warning on shop/web-1; it fires on nothing; shop/web-1 (pending)",
        ),
        (
            "alerts: [{target: shop/web-1, severity: Warning}]",
            "alerts: [{target: shop/web-1, severity: Critical}]",
            "at 3m cpu-busy must fire Critical on shop/web-1; it fires Warning on shop/web-1",
        ),
        (
            "crashed, alerts: [{target: shop/web-1, severity: Critical}]",
            "crashed, alerts: []",
            "at 2m crashed must fire on nothing; it fires Critical on shop/web-1",
        ),
    ],
)
def test_a_difference_is_said_in_a_sentence(
    old: str, new: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(tmp_path, TEST.replace(old, new), capsys)
    assert code == 1
    assert out.splitlines()[0].startswith("FAIL")
    assert out.splitlines()[1].strip() == says


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("rule: crashed", "rule: crash", 'there is no rule "crash"; the policies have cpu-busy, crashed'),
        ("signal: vm.cpu.utilization, values: 0.3x7", "signal: vm.cpu, values: 0.3x7", 'unknown signal "vm.cpu"'),
        ("type: vm.crashed", "type: vm.exploded", 'tests[0].events[0].type: unknown event "vm.exploded"'),
        ("values: 0.9x27", "values: 0.9y27", 'tests[0].input[1].values: "0.9y27" is no value'),
        ("at: 3m,", "at: soon,", "tests[0].expect[1].at"),
        ("severity: Warning", "severity: Fatal", "must be Warning or Critical"),
        ("interval: 15s", "intervall: 15s", "unknown field intervall"),
        ("policies: [web.yaml]\n", "", "lacks policies"),
        ("policies: [web.yaml]", "policies: [none.yaml]", "cannot be read"),
        ("tests:", "tests: {", "is not YAML"),
        (TEST[TEST.index("tests:") :], "tests: []", "tests: must hold at least one item, or nothing is tested"),
        (TEST[TEST.index("  expect:") :], "  expect: []", "tests[0].expect: must hold at least one item"),
        ("  input:", "  interval: 0s\n  input:", "tests[0].interval: must be longer than 0s"),
        (
            "type: vm.crashed",
            "type: vm.crashed, attributes: {reson: panicked}",
            'attributes: vm.crashed has no attribute "reson"; it has reason, cause; did you mean "reason"?',
        ),
        (
            "type: vm.crashed",
            "type: vm.crashed, attributes: {reason: paniced}",
            'tests[0].events[0].attributes.reason: vm.crashed never has reason "paniced"',
        ),
        (
            "values: 0.9x27",
            "values: 500",
            "tests[0].input[1].values: 500 is out of range: vm.cpu.utilization is a share from 0 to 1",
        ),
        ("values: 0.9x27", "values: -3", "tests[0].input[1].values: -3 is out of range"),
        ("values: 0.9x27", "values: 1e999", '"1e999" is larger than any number'),
        ("values: 0.9x27", "values: ", "tests[0].input[1].values: must hold at least one value"),
        (
            "{target: shop/db-1,",
            "{target: shop/db-1, device: vda,",
            "tests[0].input[1].device: vm.cpu.utilization has one value for the whole VirtualMachine; leave device out",
        ),
    ],
)
def test_a_wrong_test_file_is_named_by_its_field(
    old: str, new: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(tmp_path, TEST.replace(old, new, 1), capsys)
    assert code == 1
    assert says in err


def test_a_device_that_is_left_empty_is_any(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(tmp_path, TEST.replace("severity: Warning}", "severity: Warning, device: }"), capsys)
    assert (code, err) == (0, ""), out


def test_a_series_may_end_at_the_edge_of_its_range(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0.3-0.1x3 ends a little below 0, as a computer adds."""
    code, _, err = run(tmp_path, TEST.replace("values: 0.9x27", "values: 0.3-0.1x3"), capsys)
    assert (code, err) == (0, "")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1 2.5 -3", [1.0, 2.5, -3.0]),
        ("7x2", [7.0, 7.0, 7.0]),
        ("0+5x2 10-5x2", [0.0, 5.0, 10.0, 10.0, 5.0, 0.0]),
        ("_ _x2 1e3", [None, None, None, 1000.0]),
        ("", []),
    ],
)
def test_series_are_written_as_promtool_does(text: str, values: list[float | None]) -> None:
    assert expand(text) == values


@pytest.mark.parametrize("text", ["x3", "1+2", "a", "1x9999999"])
def test_what_is_no_series_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        expand(text)


TOGETHER = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: together}
spec:
  rules:
  - name: storage-gone
    severity: Critical
    pattern: {count: {type: vm.paused, atLeast: 2, by: StoragePool, distinct: true}, within: 1m}
"""
OF_A_POOL = """\
policies: [together.yaml]
tests:
- name: two VMs of one pool
  pools: {web-1: {vda: images}, web-2: {vda: images, vdb: scratch}, web-3: {vda: scratch}}
  events:
  - {at: 10s, target: web-1, type: vm.paused}
  - {at: 10s, target: web-3, type: vm.paused}
  - {at: 70s, target: web-2, type: vm.paused}
  expect:
  - {at: 30s, rule: storage-gone, alerts: []}
  - {at: 70s, rule: storage-gone, alerts: []}
  - {at: 2m, rule: storage-gone, alerts: []}
"""


def test_a_rule_on_several_vms_is_tested_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "together.yaml").write_text(TOGETHER)
    assert run(tmp_path, OF_A_POOL, capsys)[0] == 0
    both = OF_A_POOL.replace("at: 70s, target", "at: 60s, target")
    code, out, _ = run(tmp_path, both, capsys)
    assert code == 1
    fires = "Critical on storage pool images, Critical on storage pool scratch"
    assert f"at 1m10s storage-gone must fire on nothing; it fires {fires}" in out


def test_watch_names_a_rule_that_only_a_cluster_judges(tmp_path: Path) -> None:
    path = tmp_path / "together.yaml"
    path.write_text(TOGETHER)
    (said,) = only_in_a_cluster(read_thresholds([path]))
    assert said.startswith("Rule storage-gone of ClusterMonitorPolicy together counts events by StoragePool, which")
    path.write_text(TOGETHER.replace("StoragePool", "Node"))
    assert list(only_in_a_cluster(read_thresholds([path]))) == []
