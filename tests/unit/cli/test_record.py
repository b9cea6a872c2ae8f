import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from virtwatch_agent.observations import Appeared, Disk, Domain, DomainState, LibvirtObject, ObjectsListed
from virtwatch_agent.seams import Collector
from virtwatch_api.catalogue.entries import TargetKind
from virtwatch_api.targets import pool_ref
from virtwatch_cli.__main__ import main
from virtwatch_cli.record.recorder import Recorder
from virtwatch_cli.record.rotating import RotatingFile
from virtwatch_rules.recording import RecordedEvent, RecordedPools, RecordedSample, TargetName, read_lines

POLICY = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: all}
spec:
  collection: {interval: 1s}
  rules:
  - name: balloon
    threshold: {signal: vm.memory.balloon, warning: {above: 1Ki}}
"""
CLUSTER = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {{name: {name}}}
spec:
  target: {{kind: {kind}}}
  collection: {{interval: 1s}}
  rules:
  - name: there
    threshold: {{signal: {signal}, warning: {{above: 0}}}}
"""
VM = TargetName("web-1")


def sample(at: float) -> RecordedSample:
    return RecordedSample(at, VM, "vm.cpu.utilization", "", at)


def test_lines_are_written_in_the_order_of_their_times() -> None:
    lines: list[str] = []
    recorder = Recorder(lines.extend)
    for at in (10.0, 12.0, 11.0, 17.5, 14.0):
        recorder.take([sample(at)])
    assert [item.at for item in read_lines(lines)] == [10.0, 11.0, 12.0]
    recorder.take([RecordedEvent(16.0, VM, "vm.crashed", {"reason": "panicked"}, inferred=True)])
    recorder.close()
    read = list(read_lines(lines))
    assert [item.at for item in read] == [10.0, 11.0, 12.0, 14.0, 16.0, 17.5]
    assert read[4] == RecordedEvent(16.0, VM, "vm.crashed", {"reason": "panicked"}, inferred=True)
    assert recorder.lines == 6


def test_a_full_disk_ends_the_recording_and_is_said() -> None:
    def full(_: list[str]) -> None:
        raise OSError(28, "No space left on device")

    recorder = Recorder(full)
    recorder.take([sample(1.0)])
    recorder.close()
    recorder.take([sample(2.0), sample(20.0)])
    assert (recorder.problem, recorder.lines) == ("No space left on device", 0)


def test_a_recording_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text("of an earlier run\n")
    with RotatingFile(path, most_bytes=100, most_files=3) as file:
        file.begin()
        for number in range(40):
            file.write([f"line {number:04}"])
    kept = sorted(tmp_path.iterdir())
    assert [item.name for item in kept] == ["samples.jsonl", "samples.jsonl.1", "samples.jsonl.2"]
    assert all(item.stat().st_size <= 100 for item in kept)
    oldest_first = "".join(item.read_text() for item in reversed(kept)).split("\n")[:-1]
    assert oldest_first == [f"line {number:04}" for number in range(40 - len(oldest_first), 40)]


@pytest.mark.parametrize(("option", "value"), [("--max-size", "1Ki"), ("--max-size", "big"), ("--files", "0")])
def test_a_wrong_bound_is_refused(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["record", "-f", "x", "--output-file", "y", option, value])
    assert f"argument {option}: must be a" in capsys.readouterr().err


def test_a_recording_stays_as_it_is_where_none_can_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong.yaml").write_text(POLICY.replace("vm.memory.balloon", "vm.memory.baloon"))
    earlier = tmp_path / "samples.jsonl"
    earlier.write_text("of an earlier run\n")
    command = ["record", "-f", str(tmp_path / "wrong.yaml"), "--connect", "test:///default"]

    assert main([*command, "--output-file", str(earlier), "--files", "1"]) == 1

    assert earlier.read_text() == "of an earlier run\n"
    assert "recorded" not in capsys.readouterr().err


def test_a_folder_is_no_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "all.yaml").write_text(POLICY)
    (tmp_path / "folder").mkdir()
    command = ["record", "-f", str(tmp_path / "all.yaml"), "--connect", "test:///default"]

    assert main([*command, "--output-file", str(tmp_path / "folder")]) == 1

    assert f"cannot write {tmp_path / 'folder'}: Is a directory" in capsys.readouterr().err
    assert sorted(item.name for item in tmp_path.iterdir()) == ["all.yaml", "folder"]


def test_nodes_pools_and_networks_are_recorded_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With libvirt's test driver, which needs no daemon."""
    signals = {"Node": "node.libvirt.connections", "StoragePool": "pool.active", "Network": "network.active"}
    documents = [CLUSTER.format(name=kind.lower(), kind=kind, signal=signal) for kind, signal in signals.items()]
    (tmp_path / "all.yaml").write_text("---\n".join(documents))
    out = tmp_path / "samples.jsonl"
    command = [sys.executable, "-m", "virtwatch_cli", "record", "-f", tmp_path / "all.yaml"]
    with subprocess.Popen(
        [*command, "--connect", "test:///default", "--output-file", out], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        waits = set(signals.values())
        while waits:
            line = process.stdout.readline()
            waits -= {signal for signal in waits if f"there: {signal} is 1" in line}
        process.terminate()
    kinds = {(line["kind"], line["signal"]) for line in map(json.loads, out.read_text().splitlines())}
    assert kinds >= set(signals.items())
    assert main(["backtest", str(tmp_path / "all.yaml"), "--samples", str(out)]) == 0
    assert "Would have fired 3 times" in capsys.readouterr().out


def test_a_real_vm_is_recorded_and_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With libvirt's test driver, which needs no daemon."""
    (tmp_path / "all.yaml").write_text(POLICY)
    out = tmp_path / "samples.jsonl"
    command = [sys.executable, "-m", "virtwatch_cli", "record", "-f", tmp_path / "all.yaml"]
    with subprocess.Popen(
        [*command, "--connect", "test:///default", "--output-file", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if "balloon: vm.memory.balloon is 2Gi" in line:
                break
        process.terminate()
        assert "recorded " in process.stderr.read()
    assert process.returncode == 0
    first = json.loads(out.read_text().splitlines()[0])
    assert (first["target"], first["signal"], first["value"]) == ("test", "vm.memory.balloon", 2.0**31)
    assert main(["backtest", str(tmp_path / "all.yaml"), "--samples", str(out)]) == 0
    assert "Would have fired once on 1 VM" in capsys.readouterr().out


def test_on_which_pools_the_disks_of_a_vm_lie_is_recorded() -> None:
    lines: list[str] = []
    recorder = Recorder(lines.extend)

    collector = Mock(spec=Collector)
    recorder.wrap(collector, list).start(lambda *_: None)
    (deliver,) = collector.start.call_args.args
    disks = (Disk("vda", path="/images/a"), Disk("vdb", path="/elsewhere/b"))
    pool = LibvirtObject(pool_ref("p-1"), "images", "qemu", active=True, place="/images")
    deliver(Appeared(Domain("u-1", "web-1", "qemu", "1", DomainState.RUNNING, disks=disks), 10.0))
    deliver(ObjectsListed(TargetKind.STORAGE_POOL, "qemu", 11.0, (pool,)))
    recorder.close()
    assert list(read_lines(lines)) == [RecordedPools(11.0, VM, {"vda": "images"})]
