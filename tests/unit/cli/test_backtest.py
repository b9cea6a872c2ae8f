import gzip
import json
from pathlib import Path

import pytest

from virtwatch_cli.__main__ import main
from virtwatch_cli.backtest.driver import read_thresholds
from virtwatch_cli.backtest.judging import Judging
from virtwatch_cli.backtest.trace import Trace, Traces
from virtwatch_rules.recording import (
    RecordedEvent,
    RecordedLabels,
    RecordedPools,
    RecordedSample,
    TargetName,
    read_lines,
    write_line,
)

POLICY = """\
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: web, namespace: shop}
spec:
  target: {selector: {matchLabels: {tier: web}}}
  collection: {interval: 15s}
  rules:
  - name: cpu-busy
    threshold: {signal: vm.cpu.utilization, warning: {above: 80%}, critical: {above: 95%}, for: 1m}
  - name: crashed
    severity: Critical
    event: {type: vm.crashed, resolveOn: [vm.started]}
"""
T0 = 1_767_225_600.0  # 2026-01-01 00:00 UTC
WEB, DB = TargetName("shop/web-1"), TargetName("shop/db-1")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "web.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Ten minutes of two VMs: both are busy from 2 m to 5 m, and one crashes at 6 m."""
    lines = [RecordedLabels(T0, WEB, {"tier": "web"})]
    for step in range(41):
        at = T0 + step * 15.0
        busy = 0.9 if 8 <= step < 20 else 0.3
        lines += [RecordedSample(at, target, "vm.cpu.utilization", "", busy) for target in (WEB, DB)]
        if step == 24:
            lines.append(RecordedEvent(at + 1, WEB, "vm.crashed", {"reason": "panicked"}))
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(write_line(line) + "\n" for line in lines))
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    code = main(["backtest", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_recording_shows_what_would_have_fired(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, policy, "--samples", recording)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == (
        "2026-01-01 00:03:00  Fired     Warning   shop/web-1  cpu-busy  vm.cpu.utilization is 90 %, above 80 %"
    )
    assert lines[1].startswith("2026-01-01 00:05:00  Resolved  Warning   shop/web-1  cpu-busy")
    assert lines[1].endswith("[Recovered]")
    assert "00:06:01  Fired     Critical  shop/web-1  crashed" in lines[2]
    assert "Would have fired 2 times on 1 VM, of 2 in the recording." in lines
    assert [line.split()[:4] for line in lines[-2:]] == [
        ["shop/web", "cpu-busy", "1", "1"],
        ["shop/web", "crashed", "1", "1"],
    ]
    assert "1 still firing" in lines[-1]


def test_machines_get_one_object_a_line(policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, policy, "--samples", recording, "-o", "json")
    items = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert items[0]["action"] == "Fired"
    assert items[-1] == {
        "policy": "shop/web",
        "rule": "crashed",
        "fired": 1,
        "targets": 1,
        "firingSeconds": 239.0,
        "longestSeconds": 239.0,
        "firingAtEnd": 1,
    }


def test_a_policy_that_only_observes_is_tried_too(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.write_text(POLICY.replace("spec:", "spec:\n  enforcement: Suspended"))
    assert "Would have fired 2 times" in run(capsys, policy, "--samples", recording)[1]


def test_the_page_needs_nothing_else(policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = recording.parent / "page.html"
    run(capsys, policy, "--samples", recording, "--html", page)
    text = page.read_text()
    assert "Would have fired 2 times on 1 target" in text
    assert text.count("<svg") == 1
    assert 'class="fire-warning"' in text
    assert 'class="bound critical"' in text
    assert "<script" not in text
    assert "http" not in text
    assert "It fired 01-01 00:06 to the end." in text


def test_a_policy_applies_to_vms_of_a_plain_host(
    tmp_path: Path, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are in no namespace, as `virtwatch record` writes them there."""
    policy.write_text(POLICY.replace("selector: {matchLabels: {tier: web}}", 'names: ["web-*"]'))
    path = tmp_path / "plain.jsonl"
    alone, other = TargetName("web-1"), TargetName("other/web-1")
    crashes = [RecordedEvent(T0 + step, target, "vm.crashed", {}) for step, target in enumerate((alone, other))]
    path.write_text("".join(write_line(line) + "\n" for line in crashes))

    assert "Would have fired once on 1 VM, of 2 in the recording." in run(capsys, policy, "--samples", path)[1]


def test_recordings_are_read_one_after_the_other_and_compressed(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = recording.read_text().splitlines(keepends=True)
    first, second = recording.parent / "1.jsonl.gz", recording.parent / "2.jsonl"
    with gzip.open(first, "wt") as file:
        file.writelines(lines[:30])
    second.write_text("".join(lines[30:]))
    whole = run(capsys, policy, "--samples", recording)
    assert run(capsys, policy, "--samples", first, second) == whole


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 1: is not JSON"),
        ('{"time":1}', "line 1: lacks target"),
        ('{"time":1,"target":"a"}', "line 1: needs signal, event, labels or pools"),
        ('{"time":1,"target":"a","signal":"vm.cpu","value":1}', 'line 1: unknown signal "vm.cpu"'),
        ('{"time":1,"target":"a","event":"vm.exploded"}', 'line 1: unknown event "vm.exploded"'),
        ('{"time":1,"target":"a","kind":"Toaster","signal":"vm.cpu.utilization","value":1}', '"Toaster" is no kind'),
        ("[]", "line 1: is no line of a recording"),
        ('{"time":"noon","target":"a"}', "line 1: Invalid isoformat string"),
        ('{"time":true,"target":"a"}', "line 1: is no line of a recording"),
        ('{"time":1796000000000,"target":"a"}', "1796000000000 is not: it looks like milliseconds"),
        ('{"time":1796000000000000,"target":"a"}', "it looks like microseconds"),
        ('{"time":1e18,"target":"a"}', "it looks like nanoseconds"),
        ('{"time":-50,"target":"a"}', "line 1: time must be in seconds from 1970 to 2100, and -50 is not"),
        ('{"time":1,"target":"a","signal":"vm.cpu.utilization","device":["a"],"value":1}', "device must be text"),
        (
            '{"time":1,"target":"a","signal":"vm.cpu.utilization","value":1' + "0" * 400 + "}",
            "is no line of a recording",
        ),
        ('{"time":1,"target":"a","signal":"node.cpu.utilization","value":1}', 'such a line needs "kind":"Node"'),
        ("[" * 200_000, "line 1: is no line of a recording"),
    ],
)
def test_a_wrong_line_is_named(
    line: str, says: str, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n")
    code, _, err = run(capsys, policy, "--samples", path)
    assert code == 1
    assert err.startswith(f"error: {path}: ")
    assert says in err


def test_what_cannot_be_read_is_said(policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = recording.parent / "none.jsonl"
    assert "No such file" in run(capsys, policy, "--samples", missing)[2]
    policy.write_text(POLICY.replace("80%", "80000%"))
    assert "spec.rules[0].threshold" in run(capsys, policy, "--samples", recording)[2]


def test_older_lines_are_left_out_and_counted(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with recording.open("a") as file:
        file.write(write_line(RecordedSample(T0, WEB, "vm.cpu.utilization", "", 0.3)) + "\n")
    assert "1 lines are older" in run(capsys, policy, "--samples", recording)[2]


def test_a_trace_stays_small_and_keeps_its_extremes() -> None:
    trace = Trace()
    for second in range(100_000):
        trace.note(float(second), 99.0 if second == 54_321 else float(second % 7))
    assert len(trace.pieces) <= 1000
    assert max(greatest for _, _, greatest in trace.pieces) == 99.0


TOGETHER = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: together}
spec:
  rules:
  - name: busy
    threshold: {signal: vm.disk.write.rate, warning: {above: 80}, for: 30s, missingData: Alert}
  - name: by-pool
    severity: Critical
    pattern: {count: {type: vm.io_error, atLeast: 2, by: StoragePool, distinct: true}, within: 1m}
  - name: by-namespace
    severity: Critical
    pattern: {count: {type: vm.crashed, atLeast: 3, by: Namespace}, within: 1m}
"""


@pytest.fixture
def of_many(tmp_path: Path) -> Path:
    """Five minutes of twelve VMs that are busy at times of their own; the last line of all is late."""
    machines = [TargetName(f"shop/web-{number}") for number in range(12)]
    lines = [RecordedPools(T0, vm, {"vda": f"pool-{number % 2}"}) for number, vm in enumerate(machines)]
    for step in range(20):
        for number, vm in enumerate(machines):
            value = 90.0 if (step + number) % 9 > 4 else 10.0
            lines.append(RecordedSample(T0 + step * 15.0 + number % 3, vm, "vm.disk.write.rate", "vda", value))
        if step in (5, 6):
            lines.append(RecordedEvent(T0 + step * 15.0 + 3, machines[step], "vm.crashed", {"reason": "panicked"}))
            lines += [
                RecordedEvent(T0 + step * 15.0 + 4, vm, "vm.io_error", {"device": "vda"}) for vm in machines[:step:2]
            ]
    lines.append(RecordedSample(T0, machines[0], "vm.disk.write.rate", "vda", 1.0))
    path = tmp_path / "many.jsonl"
    # A recording is read in the order of its lines: those of one step are not in order here.
    order = sorted(lines[:-1], key=lambda line: line.at)
    path.write_text("".join(write_line(line) + "\n" for line in (*order, lines[-1])))
    return path


def test_several_processes_say_what_one_says(tmp_path: Path, of_many: Path) -> None:
    policy = tmp_path / "together.yaml"
    policy.write_text(TOGETHER)
    thresholds = read_thresholds([policy])
    said = []
    for processes in (1, 3):
        traces = Traces(thresholds)
        judging = Judging(thresholds, [of_many], traces=traces, processes=processes)
        transitions = [
            (item.at, item.target.name, item.verdict.name, item.verdict.change, item.verdict.evidence)
            for item in judging.run()
        ]
        trace = traces.of(TargetName("shop/web-3"), "vm.disk.write.rate", "vda")
        assert trace is not None
        said.append((transitions, judging.targets, judging.late, judging.end, len(trace.pieces)))
    assert said[0] == said[1]
    assert said[0][1:3] == (12, 1)
    assert {"shop/web-3", "storage pool pool-0"} <= {name for _, name, *_ in said[0][0]}


def test_a_sample_that_is_written_in_another_way_is_read_alike() -> None:
    usual = write_line(RecordedSample(T0, WEB, "vm.cpu.utilization", "", 0.5))
    other = '{"value": null, "signal": "vm.cpu.utilization", "target": "shop/web-1", "time": "2026-01-01T00:00:15Z"}'
    none = write_line(RecordedSample(T0 + 30, WEB, "vm.cpu.utilization", "", None))
    last = write_line(RecordedSample(T0 + 45, WEB, "vm.cpu.utilization", "", 1e-3))
    read = list(read_lines([f"{usual}\n", f"{other}\n", f"{none}\n", last]))
    assert [(item.at - T0, item.value) for item in read] == [(0, 0.5), (15, None), (30, None), (45, 0.001)]


def test_milliseconds_are_refused_in_lines_as_record_writes_them_too(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are read in another way than the first of a series is."""
    line = write_line(RecordedSample(T0 + 615, WEB, "vm.cpu.utilization", "", 0.3)).replace(
        "1767226215.0", "1767226215000"
    )
    recording.write_text(recording.read_text() + line + "\n")
    assert "it looks like milliseconds" in run(capsys, policy, "--samples", recording)[2]


def test_a_last_line_that_is_cut_off_is_left_out(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recorder that is killed leaves half a line; in the middle of a recording it is an error."""
    whole = run(capsys, policy, "--samples", recording)[1]
    recording.write_text(recording.read_text() + '{"time":1767226215.0,"target":"shop/w')
    warning = f"warning: the last line of {recording} is cut off and was left out\n"
    assert run(capsys, policy, "--samples", recording) == (0, whole, warning)
    recording.write_text(recording.read_text() + "\n")
    assert run(capsys, policy, "--samples", recording)[0] == 1


@pytest.mark.parametrize("damage", ["cut off", "damaged"])
def test_a_compressed_recording_that_is_damaged_is_named(
    damage: str, policy: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = gzip.compress(recording.read_bytes())
    middle = len(packed) // 2
    path = recording.parent / "damaged.jsonl.gz"
    path.write_bytes(packed[:middle] if damage == "cut off" else packed[:12] + b"\xff" * 40 + packed[52:])
    for arguments in (["backtest", str(policy)], ["explain", "vm/shop/web-1", "-f", str(policy)]):
        assert main([*arguments, "--samples", str(path)]) == 1
        assert capsys.readouterr().err.startswith(f"error: cannot read {path}: it is cut off or damaged (")


def test_a_recording_is_read_from_standard_input(
    policy: Path, recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(capsys, policy, "--samples", recording)
    with recording.open() as file:
        monkeypatch.setattr("sys.stdin", file)
        assert run(capsys, policy, "--samples", "-") == whole


def test_names_of_a_recording_move_no_cursor(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy.write_text(POLICY.replace("{selector: {matchLabels: {tier: web}}}", "{}"))
    path, page = tmp_path / "names.jsonl", tmp_path / "page.html"
    path.write_text(
        write_line(RecordedEvent(T0, TargetName("a\x1b[31m\nb"), "vm.crashed", {"reason": "\x1b[2J"})) + "\n"
    )
    said = run(capsys, policy, "--samples", path, "--html", page)[1].splitlines()[0]
    assert "a\\u001b[31m\\u000ab  crashed  vm.crashed (reason \\u001b[2J)" in said
    assert "\x1b" not in page.read_text()
    main(["explain", "vm/web-9", "-f", str(policy), "--samples", str(path)])
    assert "\x1b" not in capsys.readouterr().err


LACKING = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: disks}
spec:
  rules:
  - name: slow
    threshold: {signal: vm.disk.write.latency, warning: {above: 10ms}}
  - name: both
    severity: Warning
    condition:
      anyOf: [{signal: vm.cpu.utilization, above: 99%}, {signal: vm.disk.write.latency, above: 10ms}]
  - name: silent
    threshold: {signal: vm.memory.balloon, warning: {above: 1Gi}, missingData: Alert}
---
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: nodes}
spec:
  target: {kind: Node}
  rules:
  - name: hot
    threshold: {signal: node.cpu.utilization, warning: {above: 10%}}
---
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: labelled, namespace: shop}
spec:
  target: {selector: {matchLabels: {tier: web}}}
  rules:
  - name: gone
    event: {type: vm.crashed}
    severity: Warning
---
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: other, namespace: bank}
spec:
  rules:
  - name: gone-there
    event: {type: vm.crashed}
    severity: Warning
"""


@pytest.fixture
def lacking(tmp_path: Path) -> Path:
    path = tmp_path / "lacking.yaml"
    path.write_text(LACKING)
    return path


@pytest.mark.parametrize("processes", [1, 2])
def test_what_could_not_be_judged_did_not_fire_0_times(
    processes: int, lacking: Path, recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("virtwatch_cli.backtest.judging._worth", lambda _: processes)
    recording.write_text("".join(line for line in recording.read_text().splitlines(True) if "labels" not in line))
    code, out, _ = run(capsys, lacking, "--samples", recording)
    nothing = "not judged: the policy selects nothing of the recording, which has no"
    assert code == 0
    assert out.splitlines()[-6:] == [
        "",
        "disks slow: not judged: the recording has no vm.disk.write.latency",
        "disks both: judged in part: without vm.disk.write.latency, of which the recording has no value",
        "nodes hot: not judged: the recording has no node",
        f'shop/labelled gone: {nothing} labels: add a line with "labels" for each VM',
        f"bank/other gone-there: {nothing} VM of namespace bank",
    ]
    assert "disks          slow        not judged  -        -                          -" in out
    assert "could not be judged" not in out


def test_machines_learn_what_could_not_be_judged(
    lacking: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = recording.parent / "page.html"
    out = run(capsys, lacking, "--samples", recording, "-o", "json", "--html", page)[1]
    rules = {item["rule"]: item for item in map(json.loads, out.splitlines()) if "fired" in item}
    assert rules["slow"]["notJudged"] == "the recording has no vm.disk.write.latency"
    assert "notJudged" not in rules["both"]
    assert "vm.disk.write.latency" in rules["both"]["partlyJudged"]
    assert rules["silent"]["fired"] == 2
    assert "notJudged" not in rules["silent"]
    assert "not judged: the recording has no vm.disk.write.latency" in page.read_text()


def test_an_empty_recording_lets_nothing_be_judged(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "empty.jsonl"
    path.touch()
    out = run(capsys, policy, "--samples", path)[1]
    assert "Nothing could be judged.\n" in out
    assert out.endswith("shop/web crashed: not judged: the recording is empty\n")


def test_targets_without_a_signal_are_counted(
    lacking: Path, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with recording.open("a") as file:
        file.write(write_line(RecordedSample(T0 + 600, DB, "vm.disk.write.latency", "vda", None)) + "\n")
    out = run(capsys, lacking, "--samples", recording)[1]
    told = "judged in part: not on 1 of 2 targets, of which the recording has no vm.disk.write.latency"
    assert f"disks slow: {told}\n" in out
