import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Virtwatch, rewrite
from tools.checkout import CHECKOUT

DRIVER = ("--connect", "test:///default")
HALF = re.compile(r"is [3-7]\d(\.\d)? %,")  # what the driver's VM uses, as exactly as a busy machine can tell

README = (CHECKOUT / "README.md").read_text()


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    rewrite(path, text.replace(old, new))


def test_it_shows_what_is_watched_and_what_fires(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy.parent, *DRIVER)

    assert "Watching 1 VM" in command.line("Watching")
    assert command.line("cpu-busy").split()[:2] == ["cpu-busy", "vm.cpu.utilization:"]
    assert command.line("running").split() == ["test", "running", "cpu-busy"]
    fired = " ".join(command.line("Warning test").split())
    assert "cpu-busy: vm.cpu.utilization is 50 %, above 10 %" in HALF.sub("is 50 %,", fired)


def test_machines_are_told_the_same_in_json(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy, "-o", "json", *DRIVER)

    watching = command.document(type="watching")
    assert watching["policies"][0]["rules"] == ["cpu-busy"]
    assert watching["virtualMachines"][0]["name"] == "test"
    assert watching["virtualMachines"][0]["rules"] == ["cpu-busy"]
    fired = command.document(type="transition", action="Fired", rule="cpu-busy", severity="Warning")
    assert fired["subject"]["domain"] == "test"
    assert fired["evidence"]["subject"] == "vm.cpu.utilization"
    assert all(line.startswith("{") for line in command.output.splitlines())


def test_a_wrong_policy_is_named_by_file_field_and_reason_and_nothing_is_watched(
    virtwatch: Virtwatch, policy: Path
) -> None:
    _edit(policy, "vm.cpu.utilization", "vm.cpu.usage")

    command = virtwatch("watch", "-f", policy, *DRIVER)

    assert command.exit_code() == 1
    assert (
        f'{policy}:9: spec.rules[0].threshold.signal: rule "cpu-busy": unknown signal "vm.cpu.usage"' in command.output
    )
    assert "Traceback" not in command.output


def test_a_wrong_policy_does_not_stop_a_right_one(virtwatch: Virtwatch, policy: Path) -> None:
    (policy.parent / "wrong.yaml").write_text(policy.read_text().replace("rules:", "rule:"))

    command = virtwatch("watch", "-f", policy.parent, *DRIVER)

    command.line("wrong.yaml:6: spec.rule: unknown field")
    command.line("Continuing with the valid policies: default/laptop.")
    command.line("Warning test")


def test_ctrl_c_ends_it_cleanly(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy, *DRIVER)
    command.line("Watching")

    assert command.interrupt() == 0
    assert "Traceback" not in command.output


def test_sigterm_ends_it_cleanly_while_a_connection_hangs(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy, "--connect", "test+tcp://192.0.2.1/default")
    command.line("Watching no VMs")

    assert command.interrupt(signal.SIGTERM) == 0
    assert "Traceback" not in command.output


def test_an_edit_is_applied_live(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy, *DRIVER)
    command.line("Warning test")

    _edit(policy, "0.1", "0.9")

    command.line("Warning above 90 %")
    assert "recovered after" in command.line("Resolved test")

    _edit(policy, 'warning: {above: "0.9"}', 'critical: {above: "0.2"}')

    command.line("Critical above 20 %")
    command.line("Critical test")


def test_a_wrong_edit_keeps_what_was_right_and_says_so(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy, *DRIVER)
    command.line("Warning test")

    _edit(policy, "spec:", "spec: [")

    command.line(f"{policy}:")
    command.line("stays in force: default/laptop")

    _edit(policy, "spec: [", "spec:")
    _edit(policy, "cpu-busy", "cpu-used")

    assert "the policy changed" in command.line("Resolved test")
    assert "cpu-used" in command.line("Warning test")


def test_a_policy_whose_file_goes_is_no_longer_judged(virtwatch: Virtwatch, policy: Path) -> None:
    other = policy.with_name("other.yaml")
    other.write_text(policy.read_text().replace("laptop", "other").replace("cpu-busy", "other-rule"))
    command = virtwatch("watch", "-f", policy.parent, *DRIVER)
    command.line("other-rule: vm.cpu.utilization")

    other.unlink()

    assert "the policy is gone" in command.line("Resolved test")


def test_a_selector_on_labels_is_said_to_select_no_vm(virtwatch: Virtwatch, policy: Path) -> None:
    _edit(policy, "spec:", "spec:\n  target: {selector: {matchLabels: {tier: web}}}")

    command = virtwatch("watch", "-f", policy, *DRIVER)

    command.line("default/laptop selects by labels, which VMs have in Kubernetes only")
    assert command.line("running").split() == ["test", "running", "none"]


def test_libvirt_that_is_absent_is_said_once_and_waited_for(virtwatch: Virtwatch, policy: Path, tmp_path: Path) -> None:
    socket = tmp_path / "libvirt-sock"

    command = virtwatch("watch", "-f", policy, "--connect", f"qemu+unix:///session?socket={socket}")

    said = command.line("cannot be reached")
    assert str(socket) in said
    assert command.interrupt() == 0
    assert command.output.count("cannot be reached") == 1
    assert "Traceback" not in command.output


def test_a_firing_alert_outlives_a_restart_with_a_state_folder(
    virtwatch: Virtwatch, policy: Path, tmp_path: Path
) -> None:
    arguments = ("watch", "-f", policy, "--state", tmp_path / "state", "-o", "json", *DRIVER)
    first = virtwatch(*arguments)
    fired = first.document(type="transition")
    first.process.kill()
    first.exit_code()

    second = virtwatch(*arguments)
    second.document(type="watching")
    _edit(policy, "0.1", "0.9")

    resolved = second.document(type="transition", action="Resolved", id=fired["id"])
    assert resolved["since"] == fired["since"]
    assert resolved["sequence"] == fired["sequence"] + 1


def test_what_fires_already_is_shown_after_a_restart(virtwatch: Virtwatch, policy: Path, tmp_path: Path) -> None:
    arguments = ("watch", "-f", policy, "--state", tmp_path / "state", *DRIVER)
    first = virtwatch(*arguments)
    first.line("Warning test")
    assert first.interrupt() == 0

    second = virtwatch(*arguments)

    second.line("Fires already:")
    assert ", above 10 %, since" in second.line("Warning test cpu-busy")


def test_a_reader_that_goes_away_ends_it(policy: Path) -> None:
    command = [sys.executable, "-m", "virtwatch_cli.__main__", "watch", "-f", str(policy), "-o", "json", *DRIVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert '"type": "watching"' in process.stdout.readline()
            process.stdout.close()
            _edit(policy, "0.1", "0.2")

            assert process.wait(30) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


def test_it_imports_neither_kubernetes_nor_kopf(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy, *DRIVER, env={"PYTHONPROFILEIMPORTTIME": "1"})
    command.line("Warning test")
    command.interrupt()

    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in command.output.splitlines()}
    assert "libvirt" in imported
    assert imported.isdisjoint({"kubernetes", "kopf", "virtwatch_kube", "virtwatch_operator", "pydantic", "aiohttp"})


def test_what_the_backend_did_not_take_is_said_although_ctrl_c_comes_before_the_first_export(
    virtwatch: Virtwatch, policy: Path
) -> None:
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    command = virtwatch("watch", "-f", policy, *DRIVER, env=nowhere)
    command.line("Watching")

    assert command.interrupt() == 0
    assert "Telemetry: http://127.0.0.1:9/v1/" in command.output


def test_a_uri_that_is_named_twice_is_watched_once(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy, *DRIVER, *DRIVER)

    assert "through test:///default. " in command.line("Watching 1 VM")


def test_the_readmes_command_shows_what_the_readme_shows(virtwatch: Virtwatch) -> None:
    (example,) = re.findall(r"virtwatch watch -f (\S+) --connect test:///default", README)

    command = virtwatch("watch", "-f", CHECKOUT / example, *DRIVER)

    for text in ("default/laptop", "cpu-busy", "paused", "running"):
        assert command.line(text).strip() in README
    _, fired = command.line("Critical test").split("  ", maxsplit=1)
    assert HALF.sub("is 50 %,", fired.strip()) in README


def test_a_rule_on_the_node_is_judged_by_real_figures(virtwatch: Virtwatch, tmp_path: Path) -> None:
    policy = tmp_path / "node.yaml"
    policy.write_text(
        """
apiVersion: virtwatch.io/v1alpha1
kind: ClusterMonitorPolicy
metadata: {name: host}
spec:
  target: {kind: Node}
  collection: {interval: 1s}
  rules:
  - name: promised
    threshold: {signal: node.cpu.allocation.ratio, warning: {above: "0.01"}}
  - name: in-use
    severity: Warning
    condition:
      allOf:
      - {signal: node.memory.available.ratio, below: 100%}
      - {signal: node.memory.allocation.ratio, above: "0.01"}
"""
    )
    command = virtwatch("watch", "-f", policy, "-o", "json", *DRIVER)

    fired = command.document(type="transition", action="Fired", rule="promised")
    assert float(fired["evidence"]["value"]) > 0.01
    assert command.document(type="transition", action="Fired", rule="in-use")["severity"] == "Warning"


def test_current_values_stand_beside_their_bounds(virtwatch: Virtwatch, policy: Path) -> None:
    command = virtwatch("watch", "-f", policy, *DRIVER)
    assert command.line("STATE VM RULE").split() == ["STATE", "VM", "RULE", "NOW", "WARNING", "CRITICAL"]
    value = " ".join(command.row("test cpu-busy").split())
    assert re.fullmatch(r"Warning test cpu-busy [3-7]\d(\.\d)? % above 10 %", value)

    (told,) = virtwatch("watch", "-f", policy, "-o", "json", *DRIVER).document(type="values")["values"]
    assert told["warning"]["text"] == "above 10 %"
    assert 0.3 <= told["value"] < 0.8


def test_a_rule_that_cannot_be_judged_is_named(virtwatch: Virtwatch, policy: Path) -> None:
    """The test driver has no process whose waiting for a CPU the kernel could count."""
    _edit(policy, "vm.cpu.utilization", "vm.cpu.delay.ratio")
    command = virtwatch("watch", "-f", policy, *DRIVER)
    machine = virtwatch("watch", "-f", policy, "-o", "json", *DRIVER)
    assert "rule cpu-busy cannot be judged for test: no" in command.line("No data")
    told = machine.document(type="unavailable")
    assert (told["rule"], told["signal"], told["over"]) == ("cpu-busy", "vm.cpu.delay.ratio", False)


def test_the_first_screen_names_all_vms(virtwatch: Virtwatch, policy: Path, tmp_path: Path) -> None:
    names = [f"web-{number:02}" for number in range(40)]
    domain = "<domain type='test'><name>{}</name><memory>65536</memory><os><type>hvm</type></os></domain>"
    host = tmp_path / "host.xml"
    host.write_text(f"<node>{''.join(domain.format(name) for name in names)}</node>")
    arguments = ("watch", "-f", policy, "-o", "json", "--connect", f"test://{host}")
    watching = virtwatch(*arguments).document(type="watching")
    assert [item["name"] for item in watching["virtualMachines"]] == names


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--connect", "qemu:///sytem"), 'did you mean "/system"?'),
        (("--connect", "laptop"), '"laptop" names no driver of libvirt; write a URI such as qemu:///system'),
        (("--connect", "qemu+shh://host/system"), 'did you mean "ssh"?'),
        (("--connect", "kvm:///system"), 'libvirt has no driver "kvm"; write a URI such as qemu:///system'),
        (("--connect", "foo:///x"), 'libvirt has no driver "foo"; write a URI such as qemu:///system'),
        (("--connect", "test:///etc/passwd"), "test:///etc/passwd cannot be opened: /etc/passwd:1: "),
        ((*DRIVER, "--state", "/etc/passwd"), "--state /etc/passwd cannot be used: it is no folder; name a folder"),
        ((*DRIVER, "--state", "/proc/nothing"), "--state /proc/nothing cannot be used: No such file or directory"),
    ],
)
def test_what_can_never_be_used_ends_it_with_a_sentence(
    virtwatch: Virtwatch, policy: Path, arguments: tuple[str, ...], said: str
) -> None:
    command = virtwatch("watch", "-f", policy, *arguments)
    assert command.exit_code() != 0
    assert said in command.output
    assert "Watching" not in command.output
    assert "Traceback" not in command.output


@pytest.mark.parametrize("uri", ["qemu+ssh://nohost.invalid/system", "qemu+tls://nohost.invalid/system"])
def test_a_host_that_does_not_exist_is_answered_at_once(virtwatch: Virtwatch, policy: Path, uri: str) -> None:
    began = time.monotonic()
    virtwatch("watch", "-f", policy, *DRIVER).line("Watching")
    start = time.monotonic() - began  # of any such command on this machine as busy as it is
    began = time.monotonic()
    command = virtwatch("watch", "-f", policy, "--connect", uri)

    said = command.line("cannot be reached")

    assert time.monotonic() - began < 5.0 + 2 * start
    assert uri in said
    assert command.interrupt() == 0
    assert "Traceback" not in command.output


def test_a_policy_in_mode_sampled_is_judged(virtwatch: Virtwatch, policy: Path) -> None:
    _edit(policy, "collection: {interval: 1s}", 'collection: {mode: Sampled, interval: 1s, share: "0.5"}')

    command = virtwatch("watch", "-f", policy, *DRIVER)

    assert "cpu-busy" in command.line("Warning test")
