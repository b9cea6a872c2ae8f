import gc
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from virtwatch_api.catalogue.signals import SIGNAL
from virtwatch_api.policy import EventRule, PolicyKind, ThresholdRule
from virtwatch_cli.policy_files import Finding, list_policy_files, read_policy_file, read_policy_files
from virtwatch_cli.scalars import resolve

KINDS = {
    yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["spec"]["names"]["kind"]
    for path in (Path(__file__).parents[3] / "crds").glob("*.yaml")
}
RIGHT = """\
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: example}
spec:
  rules:
  - name: cpu-busy
    threshold:
      signal: vm.cpu.utilization
      warning: {above: "0.9"}
"""

MERGED = """\
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: merged}
spec:
  rules:
  - name: cpu-busy
    threshold: &busy
      signal: vm.cpu.utilization
      warning: {above: "0.9"}
  - name: cpu-used
    threshold: {<<: *busy, warning: {above: "0.7"}}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(RIGHT.replace("example", "first"))
    return path


@pytest.fixture
def heap_set_aside() -> Iterator[None]:
    """Spare the garbage collector what other tests have left: to search that would be no cost of this one."""
    gc.freeze()
    yield
    gc.unfreeze()


def _findings(path: Path, text: str) -> list[Finding]:
    path.write_text(text)
    return list(read_policy_file(path).findings)


def test_a_right_policy_is_compiled(policy: Path) -> None:
    read = read_policy_file(policy)

    assert read.findings == ()
    assert [str(item.policy) for item in read.thresholds] == ["default/first"]


def test_a_finding_names_file_line_field_and_reason(policy: Path) -> None:
    findings = _findings(policy, RIGHT.replace("vm.cpu.utilization", "vm.cpu.usage"))

    assert [str(finding) for finding in findings] == [
        (
            f'{policy}:8: spec.rules[0].threshold.signal: rule "cpu-busy": unknown signal "vm.cpu.usage"; '
            "`virtwatch signals` lists them"
        )
    ]


def test_a_missing_field_is_named_at_what_should_hold_it(policy: Path) -> None:
    findings = _findings(policy, RIGHT.replace('      warning: {above: "0.9"}\n', ""))

    assert [(finding.line, finding.field) for finding in findings] == [(7, "spec.rules[0].threshold")]


def test_all_that_is_wrong_is_said_at_once(policy: Path) -> None:
    findings = _findings(policy, RIGHT.replace("cpu-busy", "CPU").replace('"0.9"', "0.9"))

    assert {finding.field for finding in findings} == {"spec.rules[0].name", "spec.rules[0].threshold.warning.above"}


def test_findings_come_in_the_order_of_their_lines(policy: Path) -> None:
    wrong = RIGHT.replace("vm.cpu.utilization", "vm.cpu.usage").replace('"0.9"', '"0.9", recover: "1"')
    findings = _findings(policy, f"{wrong}---\n{wrong}")

    assert [finding.line for finding in findings] == [8, 9, 18, 19]


def test_a_key_that_stands_twice_is_wrong(policy: Path) -> None:
    findings = _findings(policy, RIGHT + '      warning: {above: "0.8"}\n')

    assert [(finding.line, finding.reason) for finding in findings] == [(10, "stands here twice; remove one")]


def test_a_merged_key_that_is_overridden_stands_there_once(policy: Path) -> None:
    policy.write_text(MERGED)

    read = read_policy_file(policy)

    assert read.findings == ()
    bodies = [rule.body for rule in read.thresholds[0].rules]
    assert [body.warning.value for body in bodies if isinstance(body, ThresholdRule) and body.warning] == [0.9, 0.7]


def test_a_key_that_stands_twice_beside_a_merge_is_still_wrong(policy: Path) -> None:
    findings = _findings(policy, MERGED.replace('warning: {above: "0.7"}', 'warning: {above: "0.7", above: "0.8"}'))

    assert [(finding.line, finding.field) for finding in findings] == [(11, "spec.rules[1].threshold.warning.above")]


def test_what_looks_like_a_date_is_a_string_as_for_kubectl(policy: Path) -> None:
    labels = "  target: {selector: {matchLabels: {release: 2026-01-01}}}\n"
    policy.write_text(RIGHT.replace("example", "2026-01-01").replace("spec:\n", f"spec:\n{labels}"))

    read = read_policy_file(policy)

    assert read.findings == ()
    (thresholds,) = read.thresholds
    assert thresholds.policy.name == "2026-01-01"
    assert thresholds.target.selector is not None
    assert thresholds.target.selector.matches({"release": "2026-01-01"})


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("{a: b}", "a mapping"),
        ("[a]", "a list"),
    ],
)
def test_what_is_no_string_is_called_what_it_is(policy: Path, written: str, kind: str) -> None:
    findings = _findings(policy, RIGHT.replace("example", written))

    assert [finding.reason for finding in findings] == [f"must be a non-empty string, not {kind}"]


JSON_WITH_TABS = r"""
{
	"apiVersion": "virtwatch.io/v1alpha1",
	"kind": "MonitorPolicy",
	"metadata":	{"name": "a"},
	"spec": {
		"rules": [{
			"name": "odd",
			"severity": "Critical",
			"event": {"type": "vm.io_error", "where": {"device": "a \" 	b"}}
		}]
	}
}
"""


def test_json_may_be_indented_by_tabs(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(JSON_WITH_TABS)

    read = read_policy_file(policy)

    assert read.findings == ()
    (rule,) = read.thresholds[0].rules
    assert isinstance(rule.body, EventRule)
    assert rule.body.event.where == (("device", 'a " \tb'),)


def test_what_is_wrong_in_json_has_its_line_too(tmp_path: Path) -> None:
    twice = JSON_WITH_TABS.replace('"severity"', '"name": "Odd",\n\t\t\t"severity"')

    findings = _findings(tmp_path / "policy.json", twice)

    assert {(finding.line, finding.field) for finding in findings} == {(9, "spec.rules[0].name")}
    assert "stands here twice; remove one" in {finding.reason for finding in findings}


@pytest.mark.parametrize("name", ["policy.yaml", "policy.json"])
def test_two_halves_of_a_character_in_json_are_the_character(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(JSON_WITH_TABS.replace("\t", "  ").replace('b"', r'\ud83d\ude00"'))

    read = read_policy_file(tmp_path / name)

    assert read.findings == ()
    (rule,) = read.thresholds[0].rules
    assert isinstance(rule.body, EventRule)
    assert rule.body.event.where[0][1].endswith("\N{GRINNING FACE}")


def test_half_of_a_character_is_refused_with_its_line(policy: Path) -> None:
    (finding,) = _findings(policy, RIGHT.replace("example", r'"x\ud83dx"'))

    assert (finding.line, finding.reason) == (3, "is not YAML: found invalid Unicode character escape code")


def test_what_of_a_rule_has_no_engine_is_named(policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SIGNAL, "vm.memory.balloon", replace(SIGNAL["vm.memory.balloon"], formula=None))
    rule = "  - {name: odd, threshold: {signal: vm.memory.balloon, warning: {above: 1Gi}}}\n"

    findings = _findings(policy, RIGHT + rule)

    assert [(finding.line, finding.field) for finding in findings] == [(10, "spec.rules[1].threshold.signal")]
    assert "not implemented" in findings[0].reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"a: [1\nb: 2", "is not YAML"),
        (b"a: \x01", "is not YAML"),
        (b"a: !!python/object/apply:os.system [ls]", "must be virtwatch.io/v1alpha1"),
        (b"? [a, {b: c}]\n: d", "is not YAML"),
        (b"a: !!bool x", '"x" cannot be read as !!bool'),
        (b"a: !!binary aGFsbG8=", '"aGFsbG8=" cannot be read as !!binary'),
        (b"a: .inf", "inf is no number that Kubernetes has"),
        (b"a: *b", "there is no anchor"),
        (b"a: &b [*b]", 'the value of anchor "b" holds itself'),
        (b"~: b", "a key must be text"),
        (b"<<: [1]", "<< takes a mapping"),
        (b"a: '" + b"x" * 2**20 + b"'", "is larger than 1 MiB"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        (b"- just\n- a list", "must be a mapping"),
        (b"kind: MonitorPolicy", "must be virtwatch.io/v1alpha1"),
        (b"[" * 10_000, "is nested more than 64 levels deep"),
    ],
)
def test_what_is_no_policy_at_all_is_said_and_kills_nothing(policy: Path, content: bytes, reason: str) -> None:
    policy.write_bytes(content)

    read = read_policy_file(policy)

    assert read.thresholds == ()
    assert reason in " ".join(str(finding) for finding in read.findings)


def test_aliases_that_grow_or_go_round_kill_nothing(policy: Path) -> None:
    doubled = "".join(f"  a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
    growing = f"apiVersion: virtwatch.io/v1alpha1\nkind: MonitorPolicy\nspec:\n  a0: &a0 [x]\n{doubled}"

    assert _findings(policy, growing)
    assert _findings(policy, "apiVersion: virtwatch.io/v1alpha1\nkind: MonitorPolicy\nspec: &a {rules: [*a]}\n")


def test_a_wrong_document_leaves_the_others_of_its_file(policy: Path) -> None:
    policy.write_text(
        RIGHT.replace("example", "one").replace("rules:", "rule:") + "---\n" + RIGHT.replace("example", "two")
    )

    read = read_policy_file(policy)

    assert [str(item.policy) for item in read.thresholds] == ["default/two"]
    assert {finding.line for finding in read.findings} == {4, 5}


def test_other_kinds_beside_policies_are_left_out_and_named(policy: Path) -> None:
    policy.write_text(RIGHT + "---\n# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n")

    read = read_policy_file(policy)

    assert read.findings == ()
    assert read.others == (f"{policy}:13: a Namespace of v1 is no policy; left out",)


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (
            "kind: MonitorPolicy",
            "kind: MonitorPolcy",
            (
                '13: kind: must be one of MonitorPolicy, ClusterMonitorPolicy, not "MonitorPolcy"; '
                'did you mean "MonitorPolicy"?'
            ),
        ),
        ("virtwatch.io/v1alpha1", "virtwach.io/v1alpha1", "12: apiVersion: must be virtwatch.io/v1alpha1"),
        ("virtwatch.io/v1alpha1", "v1alpha1", "12: apiVersion: must be virtwatch.io/v1alpha1"),
    ],
)
def test_a_policy_whose_kind_or_group_is_misspelt_is_wrong(policy: Path, old: str, new: str, finding: str) -> None:
    misspelt = RIGHT.replace("example", "second").replace(old, new)
    findings = _findings(policy, RIGHT + "---\n# misspelt\n" + misspelt)

    assert [str(item) for item in findings] == [f"{policy}:{finding}"]


@pytest.mark.parametrize("kind", sorted(KINDS - {*PolicyKind, "NotificationChannel"}))
def test_what_virtwatch_writes_itself_is_left_out_too(policy: Path, kind: str) -> None:
    policy.write_text(RIGHT.replace("example", "first") + f"---\napiVersion: virtwatch.io/v1alpha1\nkind: {kind}\n")

    read = read_policy_file(policy)

    assert read.findings == ()
    assert read.others == (f"{policy}:11: a {kind} of virtwatch.io/v1alpha1 is no policy; left out",)


CHANNEL = """\
apiVersion: virtwatch.io/v1alpha1
kind: NotificationChannel
metadata: {name: oncall, namespace: shop}
spec: {type: Email, urlSecretRef: {name: oncall}}
"""


def test_channels_are_checked_too(policy: Path) -> None:
    assert _findings(policy, CHANNEL) == []
    assert [str(item.key) for item in read_policy_file(policy).channels] == ["shop/oncall"]

    findings = _findings(policy, CHANNEL.replace("Email", "Pigeon"))
    assert [(item.line, item.field) for item in findings] == [(4, "spec.type")]


def test_a_list_of_objects_is_each_of_them(policy: Path) -> None:
    item = RIGHT.replace("\n", "\n  ").rstrip()
    wrong = item.replace("example", "other").replace("vm.cpu.utilization", "vm.cpu.usage")
    findings = _findings(policy, f"apiVersion: v1\nkind: List\nitems:\n- {item}\n- {wrong}\n")

    assert [str(one.policy) for one in read_policy_file(policy).thresholds] == ["default/example"]
    assert [(one.line, one.field) for one in findings] == [(20, "items[1].spec.rules[0].threshold.signal")]


def test_a_wrong_tag_is_one_finding_and_no_consequences(policy: Path) -> None:
    findings = _findings(policy, RIGHT.replace('"0.9"', "!!bool x"))

    assert [item.reason for item in findings] == ['"x" cannot be read as !!bool; remove the tag, or quote the text']


HEAD = "apiVersion: virtwatch.io/v1alpha1\nkind: MonitorPolicy\nmetadata: {name: p}\n"
RULES = "".join(f"  - {{name: r{n}, severity: Warning, event: {{type: vm.crashed}}}}\n" for n in range(13_000))
BOMB = "x:\n- &a0 [y]\n" + "".join(f"- &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
MERGES = "x0: &a0 {y: 1}\n" + "".join(f"x{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 9))


@pytest.mark.parametrize(
    "text",
    [
        f"{BOMB}{HEAD}",
        f"{MERGES}{HEAD}",
        f"{HEAD}spec:\n" + "".join(f"  key{n}: {n}\n" for n in range(20_000)),
        f"{HEAD}spec:\n  rules:\n{RULES}",
        "[" + "a," * 500_000 + "]",
        '{"a": "' + "\\\\" * 500_000 + '"}',
        "---\na: 1\n" * 110_000,
        "a: " * 340_000,
    ],
    ids=["aliases", "merges", "keys", "rules", "a list", "escapes", "documents", "colons"],
)
def test_no_file_costs_more_than_a_second(policy: Path, text: str, heap_set_aside: None) -> None:
    """Each takes a third of it alone; what other threads of the tests take is no cost of the file."""
    begun = time.thread_time()

    assert _findings(policy, text)
    assert time.thread_time() - begun < 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", True),
        ("n", False),
        ("~", None),
        ("1:30", "1:30"),
        ("0o17", 15),
        ("017", 15),
        ("08", 8),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("1e3", 1000),
        ("5.0", 5),
        (".5", 0.5),
        ("-0", 0),
        ("2026-11-23", "2026-11-23"),
        ("0x" + "f" * 5000, "0x" + "f" * 5000),
        ("1e400", "1e400"),
        ("9" * 5000, "9" * 5000),
        ("+", "+"),
        ("1.2.3", "1.2.3"),
        ("18446744073709551616", 18446744073709551616.0),
    ],
)
def test_an_unquoted_scalar_means_what_it_means_to_kubectl(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(("label", "key"), [("on", "true"), ("1", "1"), ("1.5", "1.5"), ("no", "false"), ("x", "x")])
def test_a_key_is_the_text_that_kubectl_makes_of_it(policy: Path, label: str, key: str) -> None:
    target = f"  target: {{selector: {{matchLabels: {{{label}: web}}}}}}\n"
    policy.write_text(RIGHT.replace("spec:\n", f"spec:\n{target}"))

    (thresholds,) = read_policy_file(policy).thresholds

    assert thresholds.target.selector is not None
    assert [item.key for item in thresholds.target.selector.requirements] == [key]


def test_a_policy_that_stands_twice_counts_where_it_stands_first(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yaml"):
        (tmp_path / name).write_text(RIGHT)

    first, second = read_policy_files(list_policy_files([tmp_path]))

    assert (len(first.thresholds), len(second.thresholds)) == (1, 0)
    assert "stands in" in second.findings[0].reason
    assert "a.yaml" in second.findings[0].reason


def test_a_folder_gives_its_yaml_and_json_files_in_order(tmp_path: Path) -> None:
    for name in ("b.yml", "a.yaml", "c.json", "README.md"):
        (tmp_path / name).touch()
    (tmp_path / "within").mkdir()
    (tmp_path / "within" / "d.yaml").touch()

    assert [path.name for path in list_policy_files([tmp_path])] == ["a.yaml", "b.yml", "c.json"]


def test_of_a_folder_only_files_and_links_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "file.yaml").touch()
    (tmp_path / "link.yaml").symlink_to("file.yaml")
    (tmp_path / "nowhere.yaml").symlink_to("none")

    assert [path.name for path in list_policy_files([tmp_path])] == ["file.yaml", "link.yaml", "nowhere.yaml"]
    assert list_policy_files([tmp_path / "fifo.yaml"]) == [tmp_path / "fifo.yaml"]


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    read = read_policy_file(tmp_path / "none.yaml")

    assert str(read.findings[0]) == f"{tmp_path}/none.yaml: cannot be read: No such file or directory"
