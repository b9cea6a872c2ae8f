"""What the demo shows while Kubernetes is built."""

from collections.abc import Iterator

import pytest

from lab.demo.alone import watch_alone
from lab.demo.teller import Teller
from lab.guests.host import HostLibvirt
from lab.rundir import RunDir, clean


@pytest.fixture
def run() -> Iterator[RunDir]:
    made = RunDir.create("test")
    yield made
    clean(made)


def test_an_alert_fires_and_resolves_without_kubernetes(run: RunDir, capsys: pytest.CaptureFixture[str]) -> None:
    host = HostLibvirt(run)
    host.start()

    watch_alone(run, host.add("billing"), uri=host.uri, teller=Teller())
    host.stop()

    told = capsys.readouterr().out
    alerts = [line.split()[1:4] for line in told.splitlines() if "cpu-busy: " in line]
    assert alerts[0][1:] == ["billing", "cpu-busy:"]  # how severe it is depends on what else the machine computes
    assert alerts[-1][:2] == ["Resolved", "billing"]
