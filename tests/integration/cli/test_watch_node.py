"""Rules on the node itself, judged by `virtwatch watch` on the real figures of this machine."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.conftest import Virtwatch

# Rule, signal, and a bound that this machine is past: it has memory, the agent is a process, one libvirt is connected.
FIRES = {
    "memory": ("node.memory.available.ratio", 'above: "0.001"'),
    "agent": ("node.agent.memory.rss", "above: 5Mi"),
    "libvirt": ("node.libvirt.connections", 'above: "0.5"'),
    "network": ("node.network.receive.rate", 'below: "1e15"'),
    "written": ("node.disk.write.rate", 'above: "1"'),
    "load": ("node.load.ratio", 'below: "100000"'),
}


def _policy(path: Path, rules: dict[str, tuple[str, str]]) -> Path:
    lines = [
        f"  - name: {name}\n    threshold: {{signal: {signal}, warning: {{{bound}}}}}\n"
        for name, (signal, bound) in rules.items()
    ]
    path.write_text(
        "apiVersion: virtwatch.io/v1alpha1\nkind: ClusterMonitorPolicy\nmetadata: {name: node}\n"
        "spec:\n  target: {kind: Node}\n  collection: {interval: 1s}\n  rules:\n" + "".join(lines)
    )
    return path


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[None]:
    """Write to this machine's disk all the time."""
    ended = threading.Event()

    def write() -> None:
        with (tmp_path / "data").open("wb") as file:
            while not ended.wait(0.1):
                file.seek(0)
                file.write(os.urandom(2**16))
                file.flush()
                os.fsync(file.fileno())

    thread = threading.Thread(target=write)
    thread.start()
    yield
    ended.set()
    thread.join()


def test_rules_on_every_source_of_the_node_fire(virtwatch: Virtwatch, tmp_path: Path, writing: None) -> None:
    policy = _policy(tmp_path / "node.yaml", FIRES)

    command = virtwatch("watch", "-f", policy, "-o", "json", "--connect", "test:///default")

    waiting = set(FIRES)
    while waiting:
        fired = command.document(type="transition", action="Fired")
        assert fired["evidence"]["subject"] == FIRES[fired["rule"]][0]
        assert fired["subject"]["node"]
        waiting.discard(fired["rule"])


@pytest.mark.skipif(not Path("/proc/pressure/cpu").exists(), reason="this kernel tells no pressure")
def test_a_rule_on_pressure_fires_while_cpus_are_short(virtwatch: Virtwatch, tmp_path: Path) -> None:
    policy = _policy(tmp_path / "node.yaml", {"pressed": ("node.pressure.cpu.ratio", 'above: "0.05"')})
    hogs = [virtwatch("--version", before=("sh", "-c", "while :; do :; done")) for _ in range(2 * os.cpu_count())]

    command = virtwatch("watch", "-f", policy, "-o", "json", "--connect", "test:///default")

    fired = command.document(type="transition", action="Fired", rule="pressed")
    assert float(fired["evidence"]["value"]) > 0.05
    assert all(hog.process.poll() is None for hog in hogs)
