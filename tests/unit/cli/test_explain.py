import json
import socket
from pathlib import Path

import pytest

from tests.unit.cli.test_backtest import POLICY, policy, recording
from virtwatch_cli.__main__ import main
from virtwatch_cli.explain import look, sources

__all__ = ["policy", "recording"]  # fixtures
LOOK_S = 5


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask so often, and search so long, that a busy machine has an answer within a look."""
    monkeypatch.setattr(look, "_LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(sources, "_FIND_S", 60.0)


LOCAL = """\
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: local}
spec:
  rules:
  - name: balloon
    threshold: {signal: vm.memory.balloon, warning: {above: 1Gi}, for: 1h}
"""


def test_a_target_of_a_recording_is_explained(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "vm/shop/web-1", "-f", str(policy), "--samples", str(recording)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("VM shop/web-1 (recorded), as of the end of the recording\n")
    assert "  from      MonitorPolicy shop/web, which selects this VM\n" in out
    assert "  now       vm.cpu.utilization is 30 %, at or below 80 %\n" in out
    assert "  state     firing Critical since 2026-01-01 00:06:01 UTC\n" in out
    assert "  next      resolves on vm.started\n" in out
    assert "  asks      vm.cpu.utilization from kernel each 15s\n" in out


def test_machines_get_one_object(policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["explain", "vm/shop/web-1", "-f", str(policy), "--samples", str(recording), "-o", "json"])
    answer = json.loads(capsys.readouterr().out)
    rule = answer["rules"][0]
    assert (rule["rule"], rule["inForce"], rule["policy"], rule["replaces"]) == ("cpu-busy", True, "shop/web", [])
    assert rule["alerts"][0]["state"] == "inactive"
    assert rule["asks"][0]["everySeconds"] == 15.0


def test_a_rule_whose_signal_a_recording_lacks_cannot_be_judged(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.write_text(POLICY.replace("vm.cpu.utilization", "vm.cpu.delay.ratio"))
    command = ["explain", "vm/shop/web-1", "-f", str(policy), "--samples", str(recording)]
    main(command)
    assert (
        "  cannot    be judged: no vm.cpu.delay.ratio (the recording has no value of it)\n" in capsys.readouterr().out
    )
    main([*command, "-o", "json"])
    missing = json.loads(capsys.readouterr().out)["rules"][0]["missing"]
    assert missing == [{"signal": "vm.cpu.delay.ratio", "why": "the recording has no value of it"}]


def test_a_recording_without_labels_says_why_nothing_applies(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording.write_text("".join(line for line in recording.read_text().splitlines(True) if "labels" not in line))
    main(["explain", "vm/shop/web-1", "-f", str(policy), "--samples", str(recording)])
    out = capsys.readouterr().out
    assert "the recording; it has no labels, so policies with a selector select nothing of it\n" in out
    assert out.endswith("No policy has a rule for it.\n")


def test_a_vm_that_no_policy_selects_has_no_rules(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["explain", "vm/shop/db-1", "-f", str(policy), "--samples", str(recording)])
    assert capsys.readouterr().out.endswith("No policy has a rule for it.\n")


def test_a_target_that_is_not_there_is_said_with_those_that_are(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", "vm/web-9", "-f", str(policy), "--samples", str(recording)]) == 1
    assert capsys.readouterr().err == 'error: the recording has no VM "web-9"; it has shop/db-1, shop/web-1\n'


def test_a_vm_of_this_host_is_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With libvirt's test driver, which needs no daemon; in no namespace a MonitorPolicy applies to every VM."""
    (tmp_path / "local.yaml").write_text(LOCAL)
    arguments = ["explain", "vm/test", "-f", str(tmp_path / "local.yaml"), "--connect", "test:///default"]
    assert main([*arguments, "--for", f"{LOOK_S}s"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"VM test (running), after a look of {LOOK_S} s")
    assert "  now       vm.memory.balloon is 2Gi, above 1Gi\n" in out
    assert "  next      fires in 59m" in out
    assert "a question to the QEMU monitor" in out


@pytest.mark.parametrize("target", ["web-1", "vm/", "pod/web-1"])
def test_a_target_needs_a_kind_and_a_name(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["explain", target, "-f", "x"])
    assert "must be a kind and a name" in capsys.readouterr().err


@pytest.mark.parametrize("time", ["0s", "999ms"])
def test_a_look_that_sees_nothing_is_refused(time: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["explain", "vm/test", "-f", "x", "--for", time])
    assert f'must be at least 1s, not "{time}"' in capsys.readouterr().err


def test_a_wrong_policy_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(POLICY.replace("80%", "80000%"))
    assert main(["explain", "vm/web-1", "-f", str(path)]) == 1
    assert "spec.rules[0].threshold" in capsys.readouterr().err


def test_a_rule_without_data_is_said_to_be_unjudgeable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The test driver has no process whose waiting for a CPU the kernel could count."""
    (tmp_path / "local.yaml").write_text(LOCAL.replace("vm.memory.balloon", "vm.cpu.delay.ratio").replace("1Gi", "10%"))
    arguments = ["explain", "vm/test", "-f", str(tmp_path / "local.yaml"), "--connect", "test:///default"]
    assert main([*arguments, "--for", f"{LOOK_S}s"]) == 0
    why = "only the kernel of its own host reports it, for a QEMU whose vCPU threads can be told apart"
    assert f"  cannot    be judged: no vm.cpu.delay.ratio ({why})\n" in capsys.readouterr().out
    main([*arguments, "--for", f"{LOOK_S}s", "-o", "json"])
    assert json.loads(capsys.readouterr().out)["rules"][0]["missing"] == [{"signal": "vm.cpu.delay.ratio", "why": why}]


OTHERS = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: storage}
spec:
  target: {kind: StoragePool}
  rules:
  - name: room
    threshold: {signal: pool.available, warning: {below: 1000Ti}, for: 1h}
---
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: networks}
spec:
  target: {kind: Network}
  rules:
  - name: up
    threshold: {signal: network.active, warning: {above: "0.5"}}
---
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: node}
spec:
  target: {kind: Node}
  rules:
  - name: memory
    threshold: {signal: node.memory.available.ratio, warning: {below: "100%"}, for: 1h}
"""


@pytest.mark.parametrize(
    ("target", "begins", "says"),
    [
        ("pool/default-pool", "storage pool default-pool (active), after a look", "now       pool.available is 100Gi"),
        ("network/default", "network default (active), after a look", "state     firing Warning"),
        (f"node/{socket.gethostname().lower()}", "node ", "now       node.memory.available.ratio is "),
    ],
)
def test_other_targets_of_this_host_are_looked_at(
    target: str, begins: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "others.yaml").write_text(OTHERS)
    arguments = ["explain", target, "-f", str(tmp_path / "others.yaml"), "--connect", "test:///default"]
    assert main([*arguments, "--for", f"{LOOK_S}s"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(begins)
    assert says in out


def test_of_a_pool_of_a_cluster_the_node_must_be_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "pool/images", "--cluster"]) == 1
    assert "name the node too, as in pool/n1/images" in capsys.readouterr().err
