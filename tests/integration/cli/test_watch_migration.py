"""A live migration between two libvirts of this machine, with a real guest: what `virtwatch watch` says of it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.guests.guest import Guest
from lab.guests.host import HostLibvirt
from lab.process import free_port
from lab.rundir import RunDir
from tests.integration.cli.conftest import Virtwatch
from tests.otlp_sink import Sink

DEADLINE_S = 120.0
SLOW, FAST = 1, 1000  # MiB/s
POLICY = """\
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: moves}
spec:
  rules:
  - name: stuck
    severity: Warning
    pattern:
      sequence: [{type: vm.migration_started}, {absent: [vm.migration_completed, vm.migration_failed]}]
      within: 2s
"""


@pytest.fixture
def hosts(run: RunDir) -> Iterator[tuple[HostLibvirt, HostLibvirt]]:
    """Give two plain hosts; the first has a guest that runs Linux, the second has room for it."""
    source, target = HostLibvirt(run, name="source"), HostLibvirt(run, name="target")
    try:
        source.start()
        target.start()
        guest = source.add("db-1")
        Guest(guest.domain, daemon=target.daemon).define()
        guest.wait_ready()
        yield source, target
    finally:
        source.stop()
        target.stop()


@contextmanager
def migrating(source: HostLibvirt, target: HostLibvirt, folder: Path, *, speed: int) -> Iterator[subprocess.Popen[str]]:
    """Begin to migrate the guest, at so many MiB/s."""
    guest = source.guests[0]
    tap = guest.domain.interface.tap
    # Both ends are on one machine, where two taps of one name cannot be.
    there = folder / "there.xml"
    there.write_text(source.daemon.virsh("dumpxml", "--migratable", guest.name).replace(tap, f"{tap}x"[-15:]))
    command = ["virsh", "--connect", source.uri, "migrate", "--live", "--unsafe", "--xml", there]
    command += ["--bandwidth", str(speed), guest.name, target.uri, f"tcp://127.0.0.1:{free_port()}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
        process.wait(DEADLINE_S)
    finally:
        process.kill()
        process.communicate()


def said(sink: Sink, host: str) -> list[tuple[str, dict[str, object]]]:
    """Return the events of migrations that one of the two said, in order."""
    told = []
    for record in list(sink.logs):
        name = record.message.event_name
        if name.startswith("libvirt.domain.migration.") and record.resource["service.instance.id"] == host:
            attributes = {key.removeprefix("virtwatch.event."): value for key, value in record.attributes.items()}
            told.append((name.rpartition(".")[2], attributes.get("role") or attributes.get("reason")))
    return told


def stops(sink: Sink, host: str) -> list[object]:
    """Return why the guest stopped, as one of the two said."""
    return [
        record.attributes["virtwatch.event.reason"]
        for record in list(sink.logs)
        if record.message.event_name == "libvirt.domain.stopped" and record.resource["service.instance.id"] == host
    ]


def test_a_migration_is_said_to_start_to_fail_and_to_succeed(
    hosts: tuple[HostLibvirt, HostLibvirt], virtwatch: Virtwatch, tmp_path: Path
) -> None:
    source, target = hosts
    guest = source.guests[0]
    policy = tmp_path / "moves.yaml"
    policy.write_text(POLICY)
    with Sink() as sink:

        def watch(host: HostLibvirt, name: str):
            env = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": sink.otlp_http,
                "OTEL_BLRP_SCHEDULE_DELAY": "50",
                "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={name}",
                "TMPDIR": str(tmp_path / name),
            }
            (tmp_path / name).mkdir()
            return virtwatch("watch", "-f", policy, "--connect", host.uri, "-o", "json", env=env)

        leaves, comes = watch(source, "source"), watch(target, "target")
        # The target is to hear of the first migration too, which comes to nothing.
        for command in (leaves, comes):
            command.document(type="watching")

        with migrating(source, target, tmp_path, speed=SLOW):
            sink.wait(lambda it: said(it, "source") == [("started", None)], DEADLINE_S)
            leaves.document(rule="stuck", action="Fired")
            source.daemon.virsh("domjobabort", guest.name)
        sink.wait(lambda it: said(it, "source") == [("started", None), ("failed", None)], DEADLINE_S)
        leaves.document(rule="stuck", action="Resolved")
        assert guest.state.state == "running"

        with migrating(source, target, tmp_path, speed=FAST) as process:
            pass
        target.daemon.virsh("destroy", guest.name)  # as soon as it is there
        assert process.returncode == 0
        sink.wait(lambda it: said(it, "target") == [("completed", "target")], DEADLINE_S)
        sink.wait(lambda it: said(it, "source")[2:] == [("started", None), ("completed", "source")], DEADLINE_S)
        crashed = [record for record in sink.logs if record.message.event_name == "libvirt.domain.crashed"]
        assert crashed == []
        # The first one never ran there; the second did, if only for a moment.
        sink.wait(lambda it: stops(it, "target") == ["migrated", "destroyed"], DEADLINE_S)
        sink.wait(lambda it: stops(it, "source") == ["migrated"], DEADLINE_S)
    assert comes.process.poll() is None


PROGRESS = """\
apiVersion: virtwatch.io/v1alpha1
kind: MonitorPolicy
metadata: {name: progress}
spec:
  collection: {interval: 1s}
  rules:
  - {name: left, threshold: {signal: vm.migration.remaining, warning: {above: 1Mi}}}
"""


def test_what_a_migration_has_left_to_move_is_judged(
    hosts: tuple[HostLibvirt, HostLibvirt], virtwatch: Virtwatch, tmp_path: Path
) -> None:
    source, target = hosts
    guest = source.guests[0]
    policy = tmp_path / "progress.yaml"
    policy.write_text(PROGRESS)
    command = virtwatch("watch", "-f", policy, "-o", "json", "--connect", source.uri)
    command.document(type="watching")

    with migrating(source, target, tmp_path, speed=SLOW):
        left = command.document(type="transition", action="Fired", rule="left")
        assert float(left["evidence"]["value"]) > 1 << 20
        source.daemon.virsh("domjobabort", guest.name)

    command.document(type="transition", action="Resolved", rule="left")
