import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from virtwatch_api.catalogue.events import EVENTS
from virtwatch_api.catalogue.signals import SIGNALS
from virtwatch_cli.__main__ import main


@pytest.mark.parametrize(("subcommand", "names"), [("signals", SIGNALS), ("events", EVENTS)])
def test_the_catalogue_is_listed_for_people_and_for_machines(
    subcommand: str, names: tuple, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([subcommand]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == [item.name for item in names]

    assert main([subcommand, "-o", "json"]) == 0
    assert [item["name"] for item in json.loads(capsys.readouterr().out)] == [item.name for item in names]


@pytest.mark.parametrize(
    ("subcommand", "name", "words"),
    [
        (
            "signals",
            "vm.cpu.delay.ratio",
            ["is a share from 0 to 1", "No value if:", "A bad value means:", "What to do:"],
        ),
        ("signals", "vm.cpu.delay.ratio", ["libvirt.domain.cpu.delay.ratio, a summary"]),
        ("signals", "vm.disk.read.rate", ["libvirt.domain.disk.io, a counter"]),
        ("events", "vm.paused", ["where reason:", "ioerror"]),
    ],
)
def test_one_entry_of_the_catalogue_is_explained(
    subcommand: str, name: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([subcommand, name]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in words)

    assert main([subcommand, name[:-1]]) == 1
    assert f'did you mean "{name}"?' in capsys.readouterr().err


def test_check_says_what_is_right_and_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = "apiVersion: virtwatch.io/v1alpha1\nkind: ClusterMonitorPolicy\n"
    event = "spec: {rules: [{name: crash, severity: Critical, event: {type: vm.crashed}}]}\n"
    (tmp_path / "a.yaml").write_text(f"{head}metadata: {{name: right}}\n{event}")

    assert main(["check", "-f", str(tmp_path)]) == 0
    assert "ClusterMonitorPolicy right is valid (1 rule)" in capsys.readouterr().out

    (tmp_path / "b.yaml").write_text(f"{head}metadata: {{name: wrong}}\n{event.replace('vm.crashed', 'vm.crash')}")

    assert main(["check", "-f", str(tmp_path / "a.yaml"), "-f", str(tmp_path / "b.yaml")]) == 1
    assert (
        f'{tmp_path}/b.yaml:4: spec.rules[0].event.type: rule "crash": unknown event "vm.crash"'
        in capsys.readouterr().out
    )


def test_check_goes_on_after_a_file_with_half_of_a_character(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    right = (
        "apiVersion: virtwatch.io/v1alpha1\nkind: ClusterMonitorPolicy\nmetadata: {name: right}\n"
        "spec: {rules: [{name: crash, severity: Critical, event: {type: vm.crashed}}]}\n"
    )
    (tmp_path / "a.yaml").write_text(right.replace("name: right", r'name: "\ud800x"'))
    (tmp_path / "b.yaml").write_text(right)

    assert main(["check", "-f", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert f"{tmp_path}/a.yaml:3: is not YAML: found invalid Unicode character escape code" in said
    assert said.count("a.yaml") == 1
    assert "b.yaml: ClusterMonitorPolicy right is valid (1 rule)" in said


def test_check_fails_where_there_is_no_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-f", str(tmp_path)]) == 1
    assert "there is no MonitorPolicy" in capsys.readouterr().err


EVENT_POLICY = """\
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: crashes}
spec: {rules: [{name: crash, severity: Critical, event: {type: vm.crashed}}]}
"""


def test_check_reads_standard_input_and_files_without_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(EVENT_POLICY)
    assert main(["check", str(tmp_path / "a.yaml")]) == 0

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(EVENT_POLICY.encode())))
    assert main(["check", "-f", "-"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "-: ClusterMonitorPolicy crashes is valid (1 rule)"

    with pytest.raises(SystemExit, match="2"):
        main(["check"])
    assert "name at least one file or folder" in capsys.readouterr().err


def test_check_writes_findings_for_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(EVENT_POLICY + "---\n" + EVENT_POLICY.replace("vm.crashed", "vm.crash"))

    assert main(["check", str(tmp_path), "-o", "json"]) == 1
    written = json.loads(capsys.readouterr().out)
    assert [(item["name"], item["rules"]) for item in written["valid"]] == [("crashes", 1)]
    assert [(item["line"], item["field"]) for item in written["findings"]] == [(9, "spec.rules[0].event.type")]

    assert main(["check", str(tmp_path), "-o", "github"]) == 1
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"::error file={tmp_path}/a.yaml,line=9,title=virtwatch check::spec.rules[0].event.type: ")


def test_check_warns_of_a_rule_that_is_never_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(EVENT_POLICY + "---\n" + EVENT_POLICY.replace("crashes", "crashes-too"))
    warning = (
        "rule crash of ClusterMonitorPolicy crashes-too stands in ClusterMonitorPolicy crashes for the same targets "
        "too: only that of the older policy judges them; rename one of them"
    )

    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{path}: warning: {warning}"
    assert main(["check", str(path), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == [{"file": str(path), "message": warning}]
    assert main(["check", str(path), "-o", "github"]) == 0
    assert capsys.readouterr().out == f"::warning file={path},title=virtwatch check::{warning}\n"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "spec: {",
            "spec: {overridable: false, ",
            "ClusterMonitorPolicy second may not be overridden and judges alone",
        ),
        ("spec: {", "spec: {target: {names: [web]}, ", ""),
        ("spec: {", "spec: {target: {namespaceSelector: {matchLabels: {tier: web}}}, ", ""),
        ("spec: {", "spec: {enforcement: Suspended, ", ""),
        ("ClusterMonitorPolicy", "MonitorPolicy", ""),
    ],
)
def test_check_warns_only_of_what_is_certain(
    old: str, new: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(EVENT_POLICY + "---\n" + EVENT_POLICY.replace("crashes", "second").replace(old, new))
    assert main(["check", str(path)]) == 0
    out = capsys.readouterr().out
    assert says in out
    assert ("warning" in out) is bool(says)


def test_check_writes_no_escape_sequence_of_a_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text(EVENT_POLICY.replace("crashes", r'"\e[2J"').replace("crash,", r'"\e]0;x\a",'))
    (tmp_path / "b.yaml").write_text('kind: "\\e[2J"\napiVersion: "v\\e[1m"\n')

    for output in ("text", "json", "github"):
        main(["check", str(tmp_path), "-o", output])
    said = capsys.readouterr()
    assert "\x1b" not in said.out + said.err


def test_a_subcommand_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([])
    assert "usage: virtwatch" in capsys.readouterr().err


def test_watch_says_where_it_found_no_policy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "-f", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"There is no policy to judge by in {tmp_path}: name other files.\n"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("", "must be a libvirt URI, as in test:///default"),
        (" ", "must be a libvirt URI, as in test:///default"),
        ("test:///missing%20one.xml", "/missing one.xml is no file"),
        ("test:///", "/ is no file"),
    ],
)
def test_watch_refuses_a_uri_that_leads_nowhere(uri: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["watch", "-f", "policies", "--connect", uri])
    assert f"error: argument --connect: {reason}" in capsys.readouterr().err


def test_watch_takes_the_test_drivers_own_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = tmp_path / "node.xml"
    node.write_text("<node/>")

    assert main(["watch", "-f", str(tmp_path), "--connect", f"test://{node}"]) == 1
    assert "There is no policy" in capsys.readouterr().err


def test_watch_without_its_extra_says_what_to_install(tmp_path: Path) -> None:
    """In a process of its own: modules that are imported twice would stay in the packages of all other tests."""
    without = "import sys; sys.modules['psutil'] = None; from virtwatch_cli.__main__ import main; sys.exit(main())"

    done = subprocess.run(
        [sys.executable, "-c", without, "watch", "-f", tmp_path], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert (
        done.stderr == "error: the Python package psutil is missing; pip install 'virtwatch[cli,cluster]' brings it\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["0s"], "a silence of 0s silences nothing; write for example 2h, or --end to end one"),
        (["1h", "--kubeconfig", "/nonexistent"], "kubeconfig /nonexistent does not exist. Run in a Pod"),
    ],
)
def test_a_silence_that_cannot_be_is_refused(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["silence", "vm/web-1", *arguments]) == 1
    assert says in capsys.readouterr().err


def test_a_standard_input_that_is_closed_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["check", "-"]) == 1
    assert main(["score", "--input", "-"]) == 1
    said = capsys.readouterr()
    assert "-: standard input is closed" in said.out
    assert "standard input: is closed" in said.err
